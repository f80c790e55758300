"""The strict reference reader of CSV: one record at a time, each with the line it starts on and its raw text.

It follows RFC 4180 through Python's csv module in strict mode. The columnar reader (`csv_table`) is measured against it: this one counts
the rows, finds ragged ones and broken quotes, and tells line numbers where a value spans several lines.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from portal.errors import ConversionFailed
from portal.tabular.dialect import Dialect, arguments

_LONGEST_VALUE = 1 << 26
"""Characters in one value: a quote that is never closed must not fill the memory."""


@dataclass(slots=True)
class Record:
    """One record: `line` is where it starts, counted from 1."""

    line: int
    cells: list[str]
    raw: str


class Records:
    """Iterates over the records of a file. The same `Record` is handed out each time; blank lines are counted, not returned.

    Raises ConversionFailed at a broken quote, naming the line where it opened."""

    def __init__(self, path: Path, dialect: Dialect) -> None:
        self._path, self._dialect = path, dialect
        self._lines: list[str] = []
        self.blank_lines = self.bare_returns = 0
        """Blank lines passed over, and lines that end in a carriage return alone."""

    def __iter__(self) -> Iterator[Record]:
        csv.field_size_limit(_LONGEST_VALUE)
        options: dict[str, Any] = arguments(self._dialect.delimiter, self._dialect.quote)
        record = Record(0, [], "")
        with self._path.open(encoding="utf-8", newline="", buffering=1 << 20) as file:
            for _ in range(self._dialect.skip_lines):
                file.readline()
            before = self._dialect.skip_lines
            lines = self._lines
            reader = csv.reader(self._kept(file), **options)
            try:
                for cells in reader:
                    if cells:
                        record.line, record.cells, record.raw = before + 1, cells, lines[0] if len(lines) == 1 else "".join(lines)
                        yield record
                    else:
                        self.blank_lines += 1
                    self.bare_returns += lines[-1][-1] == "\r"
                    lines.clear()
                    before = reader.line_num + self._dialect.skip_lines
            except csv.Error as error:
                raise self._broken(before + 1, str(error)) from error

    def _kept(self, file: Any) -> Iterator[str]:
        keep = self._lines.append
        for line in file:
            keep(line)
            yield line

    def _broken(self, line: int, reason: str) -> ConversionFailed:
        quote, opened = self._dialect.quote, line + _opening_line(self._lines, self._dialect)
        if "unexpected end" in reason or "field larger" in reason:
            what = f"Line {opened}: a quote ({quote}) opens a value here and is never closed."
        elif "expected after" in reason:
            what = f"Line {line + len(self._lines) - 1}: text follows a closing quote ({quote}); the value begins in line {opened}."
        else:
            what = f"Line {line}: {reason}."
        return ConversionFailed(what, hint='Quotes inside a quoted value are doubled (""); if quotes mean nothing here, set quote to nothing.')


def _opening_line(lines: list[str], dialect: Dialect) -> int:
    """Return how many lines below the record's first the last quoted value opens."""
    opened, inside, fresh, closed = 0, False, True, False
    for number, line in enumerate(lines):
        for character in line:
            if character == dialect.quote:
                if inside:
                    inside, closed = False, True
                    continue
                if fresh:
                    opened = number
                inside, closed, fresh = inside or fresh or closed, False, False
            else:
                closed = False
                fresh = not inside and (character == dialect.delimiter or character in "\r\n")
    return opened
