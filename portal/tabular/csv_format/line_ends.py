"""Where lines and records end, over whole blocks at once: by what quotes stand beside."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

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


def has(data: bytes, mark: bytes, start: int = 0) -> bool:
    """Tell whether one byte, or none, is somewhere in data from `start` on."""
    return bool(mark) and data.find(mark, start) >= 0


class Ends(NamedTuple):
    """Where records end."""

    mask: Any
    """numpy, a truth value for each byte: a line end outside of quoted and escaped text."""
    sound: bool
    """No quote in the data is out of place; else the mask is right up to the first that is."""
    closed: bool
    """The data does not end within a quoted value."""


def record_ends(data: bytes, form: CsvForm) -> Ends | None:
    """Return the line ends that end records; None where only reading one value after the other can tell. Data begins where a record begins; its
    end may be anywhere."""
    escape = form.escape if form.escape != form.quote else b""
    if has(data, escape):
        if has(data, form.comment):
            return None
        data = re.sub(re.escape(escape) + b".", b"xx", data, flags=re.DOTALL)
    letters = np.frombuffer(data, np.uint8)
    ends = letters == _LF
    if b"\r" in data:
        ends |= letters == _CR
    if not has(data, form.quote):
        return Ends(ends, True, True)
    if has(data, form.comment):
        return None
    quotes = letters == form.quote[0]
    limits = letters == form.delimiter[0]
    limits |= ends
    regular = _by_parity(ends, quotes, limits)
    return regular or (None if form.trim else _by_neighbours(ends, quotes, limits))


def _by_parity(ends: Any, quotes: Any, limits: Any) -> Ends | None:
    """Where each quote opens a value, closes one or is one of two within one, being inside is a matter of odd and even.

    `limits`: delimiters and line ends. Of two truth values, a > b is: a and not b, in one step."""
    inside = np.bitwise_xor.accumulate(quotes.view(np.uint8)).view(np.bool_)
    beside = limits > inside
    beside |= quotes
    opens, closes = quotes & inside, quotes > inside
    if (opens[1:] > beside[:-1]).any() or (closes[:-1] > beside[1:]).any():
        return None
    return Ends(ends > inside, True, not inside[-1])


def _by_neighbours(ends: Any, quotes: Any, limits: Any) -> Ends:
    """Tell by the neighbours of each run of quotes what it does, where values have quotes within that mean nothing (5" pipe).

    A run of an odd number opens a value if something to delimit is before it and not behind it; it closes one, if one is open, if it is the other
    way round; with both it does what is due. One of an even number changes nothing: doubled quotes, or an empty value."""
    places = np.flatnonzero(quotes)
    first = np.flatnonzero(np.diff(places, prepend=-2) > 1)
    starts, stops = places[first], places[np.append(first[1:], len(places)) - 1]
    odd = (stops - starts) % 2 == 0
    before = (starts == 0) | limits[starts - 1]
    behind = (stops == len(quotes) - 1) | limits[np.minimum(stops + 1, len(quotes) - 1)]
    turns = np.flatnonzero(odd & (before | behind))
    opens = np.append(_states(before[turns], behind[turns]), False)  # the last one stands for: before the first
    inside = opens[np.searchsorted(turns, np.arange(len(starts))) - 1]
    wrong = ~behind & ((inside & odd) | (~inside & ~odd & before))
    mask = ends.copy()
    lines = np.flatnonzero(ends)
    mask[lines[opens[np.searchsorted(starts[turns], lines) - 1]]] = False
    return Ends(mask, not wrong.any(), not opens[len(turns) - 1])


def _states(before: Any, behind: Any) -> Any:
    """Whether a value is open after each turn: as the last sure one says, and turned by each since that could be either."""
    either = before & behind
    turned = np.cumsum(either)
    sure = np.maximum.accumulate(np.where(either, -1, np.arange(len(either))))
    open_then = (sure >= 0) & before[sure]
    return open_then ^ ((turned - np.where(sure >= 0, turned[sure], 0)) % 2 == 1)


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
