"""Finds where records begin in a sample from the middle of a text."""

from __future__ import annotations

import re
from itertools import islice

from portal.tabular.csv_format.records import Grammar, Walk

_STARTS = 200
_ROWS = 20
_FITTING = 0.8
_LINE_END = re.compile(rb"\r\n|[\r\n]")


def whole_records(data: bytes, grammar: Grammar, width: int, *, last: bool) -> tuple[int, int]:
    """Return where whole records of a text begin and end in a piece of it that begins anywhere; (0, 0) when that cannot be told.

    The first line is taken from which on nearly all records have the text's number of values, and none is broken up to the piece's end: within a
    quoted value with line ends that is not so for long. Where the text itself is broken, who reads it from its start tells.

    Arguments:
        last: the piece ends where the text does.
    """
    start = 0
    for _ in range(_STARTS):
        line_end = _LINE_END.search(data, start)
        if line_end is None:
            break
        start = line_end.end()
        if _fits(data, grammar, width, start, last):
            end, broken = _end(data, grammar, start, last)
            if not broken:
                return start, end
            start = end
    return 0, 0


def _fits(data: bytes, grammar: Grammar, width: int, start: int, last: bool) -> bool:
    walk = Walk(grammar, data, final=last, start=start)
    widths = [len(grammar.cells(data, span)) for span in islice(walk, _ROWS)]
    return bool(widths) and not walk.problem and widths[0] == width and widths.count(width) >= _FITTING * len(widths)


def _end(data: bytes, grammar: Grammar, start: int, last: bool) -> tuple[int, bool]:
    """Return where the whole records that begin at `start` end, and whether a broken one ends them."""
    walk = Walk(grammar, data, final=last, start=start)
    for _ in walk:
        pass
    problem = walk.problem if last else grammar.problem(data, walk.end)
    return walk.end, problem is not None and (last or problem.kind == "text")
