"""Arrow arrays of Python values, made from their buffers: `pyarrow.array` imports pandas first, which takes a second, and costs more a value.

Arrow columnar format: https://arrow.apache.org/docs/format/Columnar.html (offsets, data, validity bitmap with the least bit first).
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import accumulate, chain
from typing import Any

import numpy as np
import pyarrow as pa

from portal.errors import PortalError

_CODES = {"int64": "q", "int32": "i", "double": "d", "timestamp[ms, tz=UTC]": "q"}


def filled(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Return an array of a kind of the ledger's: strings (below 2 GiB together), integers, floats, timestamps in ms. None is null.

    Raises PortalError for a number that the kind cannot hold."""
    missing = values.count(None)
    if missing == len(values):
        return pa.nulls(len(values), kind)
    validity = _validity(values) if missing else None
    if kind == pa.string():
        return _strings(["" if value is None else value for value in values] if missing else values, validity)
    try:
        plain = array(_CODES[str(kind)], [0 if value is None else value for value in values] if missing else values)
    except OverflowError as error:
        raise PortalError(f"A number is too large for a column of the kind {kind}.", hint="Some store told a size that nothing has.") from error
    return pa.Array.from_buffers(kind, len(values), [validity, pa.py_buffer(plain)])


def _validity(values: Sequence[Any]) -> pa.Buffer:
    return pa.py_buffer(np.packbits(np.fromiter((value is not None for value in values), np.bool_, len(values)), bitorder="little"))


def _strings(values: Sequence[str], validity: pa.Buffer | None) -> pa.Array:
    text = "".join(values)
    data = text.encode()
    lengths = map(len, values) if len(data) == len(text) else (len(value.encode()) for value in values)
    offsets = array("i", chain((0,), accumulate(lengths)))
    return pa.Array.from_buffers(pa.string(), len(values), [validity, pa.py_buffer(offsets), pa.py_buffer(data)])
