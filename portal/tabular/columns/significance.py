"""Whether the digits of a number come back from the 64-bit float nearest to it."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

SAFE_DIGITS = 15
"""Every decimal number of so many digits comes back from a 64-bit float as it was (IEEE 754, DBL_DIG)."""
MOST_DIGITS = 17
"""So many tell every 64-bit float from its neighbours; more say something that it does not hold."""


def rounded(text: str) -> bool:
    """Tell whether a decimal number is neither the 64-bit float nearest to it nor what that is written as."""
    try:
        number = float(text)
        return Decimal(text) not in (Decimal(repr(number)), Decimal(number))
    except InvalidOperation:
        return False  # beyond what decimals hold: it overflows or vanishes, which is told apart


def rounded_digits(texts: Any, numbers: Any) -> str:
    """Return the first of the plain texts that is rounded by the float read from it, '' if none is."""
    long = pc.greater(pc.binary_length(texts), SAFE_DIGITS)
    if not pc.any(long).as_py():
        return ""
    # Arrow writes the shortest text of a float: a number that comes back as it was is kept, the others are few and looked at.
    long = pc.and_(long, pc.not_equal(texts, pc.cast(numbers, pa.string())))
    return next((text for text in texts.filter(long).to_pylist() if rounded(text)), "")


def long_digits(texts: Any) -> str:
    """Return the first of some texts (no sign, no exponent) that is rounded by a float and has more than 17 significant digits."""
    digits = pc.utf8_trim(pc.replace_substring(texts, ".", ""), "0")
    long = texts.filter(pc.greater(pc.binary_length(digits), MOST_DIGITS))
    return next((text for text in long.to_pylist() if rounded(text)), "")
