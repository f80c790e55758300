"""Whole records and their values out of bytes: by the kernel where there is one, else in Python; what comes out is the same."""

from __future__ import annotations

from collections.abc import Sequence

from portal.native import csv_kernel
from portal.native.csv_kernel import ColumnSpec, CsvParsed
from portal.native.library import library
from portal.tabular.csv_format.line_ends import has, last_end, record_ends
from portal.tabular.csv_format.records import Grammar, Walk
from portal.tabular.csv_format.texts import parse_texts


def read(
    data: bytes, grammar: Grammar, specs: Sequence[ColumnSpec], text_nulls: Sequence[bytes], *, pad: bool, careful: bool = False
) -> CsvParsed:  # fmt: skip
    """Read whole records. A column comes as its spec's type or as text.

    Arguments:
        text_nulls: unquoted texts that mean 'no value' whatever the column's type.
        pad: records with too few values get 'no value' for the others.
        careful: without the kernel.
    """
    if library() is not None and not careful:
        return csv_kernel.parse(data, grammar.form, specs, pad=pad)
    return parse_texts(data, grammar, len(specs), text_nulls, pad=pad)


def whole(grammar: Grammar, data: bytes, *, final: bool, start: int = 0) -> int:
    """Return where the last whole record of data ends, `start` when there is none.

    Arguments:
        final: nothing follows, so that all is whole.
        start: where a record begins; what is before it is not looked at.
    """
    form = grammar.form
    if final:
        return len(data)
    if not has(data, form.quote, start) and not has(data, grammar.escape_byte, start):
        return _last_line_end(data, start)
    if library() is not None:
        return start + csv_kernel.whole(memoryview(data)[start:], form, final=False)[0]
    return start + _whole(grammar, data[start:])


def _whole(grammar: Grammar, data: bytes) -> int:
    ends = record_ends(data, grammar.form)
    if ends is not None:
        return last_end(ends.mask, data, final=False)
    walk = Walk(grammar, data, final=False)
    for _ in walk:
        pass
    return walk.end


def _last_line_end(data: bytes, start: int) -> int:
    limit = len(data) - data.endswith(b"\r")
    feed = max(start - 1, data.rfind(b"\n", start, limit))
    return max(feed, data.rfind(b"\r", feed + 1, limit)) + 1
