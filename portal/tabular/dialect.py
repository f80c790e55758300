"""Finds out how a CSV file is written, from its beginning: delimiter and header. What is asked for is never second-guessed."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from portal.errors import ConversionFailed
from portal.tabular.options import ConvertOptions

_SAMPLE_CHARACTERS = 1 << 16
_SAMPLE_ROWS = 200
_DELIMITERS = ",;\t|"
_DATA_LIKE = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|\d{4}[-/]\d\d[-/]\d\d([T ].*)?")


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a CSV file is written. `quote` '' means that quotes mean nothing."""

    delimiter: str
    quote: str
    header: bool
    skip_lines: int = 0
    doubt: str = ""
    """What a person should look at, '' when the file speaks clearly."""


def detect(path: Path, options: ConvertOptions, key: str = "") -> Dialect:
    """Return the dialect of a UTF-8 file, judged by its first 64 Ki characters. Raises ConversionFailed when there is nothing in it."""
    for name, value in (("delimiter", options.delimiter), ("quote", options.quote)):
        if value and (not value.isascii() or value in "\r\n\0"):
            raise ConversionFailed(f"The {name} {value!r} cannot be used.", hint="It is one ASCII character, e.g. ';' or a tab.")
    with path.open(encoding="utf-8", newline="") as file:
        for _ in range(options.skip_lines):
            file.readline()
        sample = file.read(_SAMPLE_CHARACTERS)
        whole = not file.read(1)
    if not sample.strip("\r\n"):
        raise ConversionFailed("The file is empty: there are only blank lines.", hint="A CSV file needs at least a header.")
    delimiter, doubt = (options.delimiter, "") if options.delimiter else _delimiter(sample, options.quote, whole, key)
    rows = _rows(sample, delimiter, options.quote, whole)
    header = options.header == "yes" or (options.header == "auto" and _has_header(rows))
    if not header and options.header == "auto":
        doubt += " The first row looks like data, so the columns are named column_1, column_2, …; header=yes makes it the header."
    return Dialect(delimiter, options.quote, header, options.skip_lines, doubt.strip())


def _rows(sample: str, delimiter: str, quote: str, whole: bool) -> list[list[str]]:
    lines = list(io.StringIO(sample, newline=""))
    reader = csv.reader(lines if whole or len(lines) == 1 else lines[:-1], **arguments(delimiter, quote))
    rows: list[list[str]] = []
    try:
        for row in reader:
            if row:
                rows.append(row)
            if len(rows) == _SAMPLE_ROWS:
                break
    except csv.Error:
        pass  # the strict reader will say where and why
    return rows


def arguments(delimiter: str, quote: str) -> dict[str, Any]:
    """Return what makes Python's csv reader strict for a dialect."""
    quoting = {"quotechar": quote, "quoting": csv.QUOTE_MINIMAL} if quote else {"quoting": csv.QUOTE_NONE}
    return {"delimiter": delimiter, "strict": True, "doublequote": True, **quoting}


def _delimiter(sample: str, quote: str, whole: bool, key: str) -> tuple[str, str]:
    """Return the delimiter under which most rows have the same number (> 1) of cells, and a doubt when two do equally well."""
    order = "\t,;|" if ".tsv" in key.lower() else _DELIMITERS
    scores: list[tuple[float, int, str]] = []
    for delimiter in order:
        widths = Counter(len(row) for row in _rows(sample, delimiter, quote, whole))
        if not widths:
            continue
        width, rows = max(widths.items(), key=lambda item: (item[1], item[0]))
        if width > 1:
            scores.append((rows / widths.total(), width, delimiter))
    if not scores:
        return order[0], ""
    best = max(scores, key=lambda score: score[0])
    equal = [delimiter for share, _, delimiter in scores if share == best[0]]
    doubt = f"The file reads as well with the delimiters {' and '.join(map(repr, equal))}; {best[2]!r} was taken." if len(equal) > 1 else ""
    return best[2], doubt


def _has_header(rows: list[list[str]]) -> bool:
    """A first row of data shows: somewhere it is a number or date like all below it, and nowhere is it text above only such."""
    if not rows:
        return True
    first, below = rows[0], rows[1:]
    blends = False
    for place, cell in enumerate(first):
        column = [row[place] for row in below if place < len(row) and row[place]]
        data_below = bool(column) and all(_DATA_LIKE.fullmatch(value) for value in column)
        data_here = _DATA_LIKE.fullmatch(cell) is not None
        if data_below and not data_here and cell:
            return True
        blends = blends or (data_here and (data_below or not below))
    return not blends
