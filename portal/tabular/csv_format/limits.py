"""Refuses records that are longer than was asked for, also where a chunk holds them whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from portal.errors import ConversionFailed
from portal.tabular.csv_format.line_ends import count_lines, record_ends
from portal.tabular.csv_format.records import Grammar, Walk
from portal.tabular.rows import Chunk


def limited(chunks: Iterable[Chunk], grammar: Grammar, limit: int) -> Iterator[Chunk]:
    """Yield chunks. Raises ConversionFailed for a record of more than `limit` bytes, its line end apart. A chunk that is no longer costs nothing."""
    for chunk in chunks:
        if len(chunk.data) > limit and (start := _first_long(chunk.data, grammar, limit)) >= 0:
            raise too_long(chunk.line + count_lines(chunk.data[:start]), chunk.offset + start, limit)
        yield chunk


def too_long(line: int, offset: int, limit: int, opened: str = "") -> ConversionFailed:
    hint = "Raise max_record_bytes if it is meant; is the quote character right?"
    return ConversionFailed(f"Line {line}: the record that begins here (byte {offset}) is longer than {limit} bytes.{opened}", hint=hint)


def _first_long(data: bytes, grammar: Grammar, limit: int) -> int:
    """Return where the first record of more than `limit` bytes begins; negative when there is none."""
    ends = record_ends(data, grammar.form)
    if ends is None or not ends.sound:
        walk = Walk(grammar, data, final=True)
        return next((span.start for span in walk if span.end - span.start > limit), -1)
    places = np.concatenate(([-1], np.flatnonzero(ends.mask), [len(data)]))
    starts = places[:-1][np.diff(places) - 1 > limit] + 1
    comment = grammar.form.comment
    return next((int(start) for start in starts if not comment or data[start : start + 1] != comment), -1)
