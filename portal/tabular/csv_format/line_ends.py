"""Where lines and records end, over whole blocks at once: by the parity of quotes, where all of them are used as RFC 4180 says."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from portal.native.csv_kernel import CsvForm

_LF, _CR = 10, 13
_WINDOW = 1 << 16


def count_lines(data: bytes) -> int:
    """Return the number of line ends (LF, CR LF, CR) in data."""
    letters, returns, count = np.frombuffer(data, np.uint8), b"\r" in data, 0
    for start in range(0, len(data), _WINDOW):
        window = letters[start : start + _WINDOW]
        count += int(np.count_nonzero(window == _LF))
        if returns:
            after = letters[start + 1 : start + 1 + _WINDOW] == _LF
            bare = window == _CR
            count += int(np.count_nonzero(bare)) - int(np.count_nonzero(bare[: len(after)] & after))
    return count


def has(data: bytes, mark: bytes) -> bool:
    """Tell whether one byte, or none, is somewhere in data: several times as fast as `in`."""
    return bool(mark) and bool((np.frombuffer(data, np.uint8) == mark[0]).any())


def record_ends(data: bytes, form: CsvForm) -> Any:
    """Return a numpy mask of the line ends of data that are outside of quoted and escaped text; None where quotes, escapes and comments are used
    in a way that only reading one value after the other can tell. Data begins where a record begins; its end may be anywhere."""
    escape = form.escape if form.escape != form.quote else b""
    if escape and escape in data:
        if form.comment and form.comment in data:
            return None
        data = re.sub(re.escape(escape) + b".", b"xx", data, flags=re.DOTALL)
    letters = np.frombuffer(data, np.uint8)
    ends = letters == _LF
    if (returns := letters == _CR).any():
        ends |= returns
    if not form.quote:
        return ends
    quotes = letters == form.quote[0]
    if not quotes.any():
        return ends
    if form.comment and form.comment in data:
        return None
    inside = np.bitwise_xor.accumulate(quotes.view(np.uint8)).view(np.bool_)
    ends = ends > inside
    limits = letters == form.delimiter[0]
    limits |= ends
    limits |= quotes
    return ends if _regular(quotes, inside, limits) else None


def _regular(quotes: Any, inside: Any, limits: Any) -> bool:
    """Whether each quote opens a value, closes one or is one of two within one: then being inside is a matter of odd and even.

    `limits`: what a quote may stand beside: delimiters, line ends, quotes. Of two truth values, a > b is: a and not b, in one step."""
    opens, closes = quotes & inside, quotes > inside
    return not (opens[1:] > limits[:-1]).any() and not (closes[:-1] > limits[1:]).any()


def last_end(ends: Any, data: bytes, *, final: bool) -> int:
    """Return where the last whole record ends, by the mask of `record_ends`; 0 when there is none. See `Walk` for `final`."""
    if final:
        return len(data)
    end = len(data) - data.endswith(b"\r")
    while end > 0:
        start = max(0, end - _WINDOW)
        found = np.flatnonzero(ends[start:end])
        if len(found):
            return start + int(found[-1]) + 1
        end = start
    return 0
