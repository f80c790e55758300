"""Between floats and exact decimals, by their texts: Arrow's own casts multiply with powers of ten, and miss the nearest value by a step."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

_LARGE = 2.0**53
"""From here on floats are integers, and their shortest text may be another one than they are."""


def float_of(decimals: Any, kind: Any) -> Any:
    """Return the floats of a type that are nearest to decimals (an Arrow array or scalar): what reading their digits gives (IEEE 754, 5.12)."""
    return pc.cast(pc.cast(decimals, pa.string()), kind)


def decimal_of(floats: Any, kind: Any) -> Any:
    """Return an array of floats as decimals of a type: the number of the fewest digits that the float is nearest to, and of one beyond 2**53 the
    integer that it is. Raises pyarrow.ArrowInvalid for what the type has not the digits for, NaN and infinities."""
    texts = pc.cast(floats, pa.string())
    large = pc.fill_null(pc.and_(pc.is_finite(floats), pc.greater_equal(pc.abs(floats), _LARGE)), False)
    if pc.any(large, min_count=0).as_py():
        exact = [f"{number:.0f}" for number in floats.filter(large).to_pylist()]
        texts = pc.replace_with_mask(texts, large, pa.array(exact, pa.string()))
    return pc.cast(texts, kind)
