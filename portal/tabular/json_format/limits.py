"""Refuses records that are longer than was asked for, also where a chunk holds them whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from portal.errors import ConversionFailed
from portal.tabular.json_format.scanning import new_scan
from portal.tabular.json_format.shape import HINT, Kind
from portal.tabular.rows import Chunk


def limited(chunks: Iterable[Chunk], kind: Kind, limit: int) -> Iterator[Chunk]:
    """Yield chunks. Raises ConversionFailed for a record of more than `limit` bytes. A chunk that is no longer costs nothing."""
    for chunk in chunks:
        data = chunk.data
        if len(data) > limit and (start := _long_line(data, limit) if kind == "lines" else _long_value(data, limit, array=kind == "array")) >= 0:
            raise too_long(chunk.line + data.count(b"\n", 0, start), limit)
        yield chunk


def too_long(line: int, limit: int) -> ConversionFailed:
    message = f"The record that begins in line {line} is longer than {limit:,} bytes."
    return ConversionFailed(message, hint=f"Is it one? {HINT} Else raise max_record_bytes; a record is held in memory as a whole.")


def _long_line(data: bytes, limit: int) -> int:
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n"))
    places = np.concatenate(([-1], ends, [len(data)]))
    long = np.flatnonzero(np.diff(places) - 1 > limit)
    return int(places[long[0]]) + 1 if len(long) else -1


def _long_value(data: bytes, limit: int, *, array: bool) -> int:
    """A record that is too long is open at the end of one of the pieces of that length, and does not end within another from its start."""
    scan = new_scan(array)
    before = b"[" if array else b""
    scan.feed(before)
    seen = -1
    for at in range(0, len(data), limit):
        start = scan.feed(data[at : at + limit]).open - len(before)
        if start > seen:
            seen = start
            if not new_scan(False).feed(data[start : start + limit]).records and start + limit < len(data):
                return start
    return -1
