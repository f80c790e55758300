"""What a CSV record is, in Python: the definition that the kernel is held to, the one that words errors, and the reader of last resort.

RFC 4180, and: records end with LF, CR LF or CR, mixed as they like; empty lines are no records; a quote means something only where a value begins,
and is doubled within a quoted value; after a closing quote comes a delimiter or the record's end, anything else is broken. An escape character
makes the next byte stand for itself, in quoted and unquoted values. A line that begins with the comment character, where a record would begin,
is none. With `trim`, spaces and tabs around unquoted values are no part of them (escaped ones are), and may stand around quoted ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

from portal.native.csv_kernel import CsvForm

_LINE_END = rb"(?:\r\n|[\r\n])"
_NEVER = b"(?!)"


class Span(NamedTuple):
    """Where a record stands in data: from `start` to before `end`; its line end, if it has one, goes up to `next`."""

    start: int
    end: int
    next: int


class Cell(NamedTuple):
    """A value, and whether it was quoted. `raw` is how an unquoted one stands in the text, when that differs: with its escapes."""

    text: bytes
    quoted: bool
    raw: bytes


@dataclass(frozen=True, slots=True)
class Problem:
    """Why no record can be told from here on."""

    kind: Literal["open", "text", "escape"]
    """A quote that is never closed; text after a closing quote; an escape character that ends the text."""
    start: int
    """Of the record."""
    opened: int
    """Of the value."""
    at: int


class Grammar:
    """The patterns of one form. Safe to use from several threads."""

    def __init__(self, form: CsvForm) -> None:
        self.form = form
        self.escape_byte = form.escape if form.escape != form.quote else b""
        delimiter, quote, escape, comment = map(re.escape, (form.delimiter, form.quote, self.escape_byte, form.comment))
        self.blanks = b" \t".replace(form.delimiter, b"") if form.trim else b""
        around = b"[" + self.blanks + b"]*+" if form.trim else b""
        opening = around + quote if quote else _NEVER
        pair = escape + b"." if escape else _NEVER
        inner, outer = b"[^" + quote + escape + b"]*+", b"[^" + delimiter + escape + rb"\r\n]*+"
        inside = inner + b"(?:(?:" + quote + quote + b"|" + pair + b")" + inner + b")*+"
        quoted = opening + b"(" + inside + b")" + quote + around if quote else _NEVER
        plain = b"(?!" + opening + b")" + outer + b"(?:" + pair + outer + b")*+"
        value = b"(?>" + quoted.replace(b"(" + inside, b"(?:" + inside) + b"|" + plain + b")"
        record = value + b"(?:" + delimiter + value + b")*+"
        passed = _LINE_END + (b"|" + comment + rb"[^\r\n]*+" + _LINE_END if comment else b"")
        last = b"|" + comment + rb"[^\r\n]*+\Z" if comment else b""
        self.passed = {final: _compiled(b"(?:" + passed + (last if final else b"") + b")*+") for final in (False, True)}
        """Blank lines and comments. By whether the text ends where the data ends."""
        self.record = {final: _compiled(record + b"(?=(" + _LINE_END + (rb"|\Z" if final else b"") + b"))") for final in (False, True)}
        self.opening, self.quoted, self.plain = map(_compiled, (opening, quoted, plain))
        self._pair = _compiled(escape + b"(.)") if escape else None
        self._special = _compiled((pair.replace(b".", b"(.)") + b"|" if escape else b"") + quote + b"(" + quote + b")") if quote else None

    def cells(self, data: bytes, span: Span) -> list[Cell]:
        """Return the values of a record."""
        raw = data[span.start : span.end]
        form = self.form
        if not (form.trim or (form.quote and form.quote in raw) or (self.escape_byte and self.escape_byte in raw)):
            return [Cell(text, False, text) for text in raw.split(form.delimiter)]
        cells: list[Cell] = []
        at = 0
        while at <= len(raw):
            cell, end = self._cell(raw, at)
            cells.append(cell)
            at = end + 1
        return cells

    def _cell(self, raw: bytes, at: int) -> tuple[Cell, int]:
        if self._special and self.opening.match(raw, at):
            value = self.quoted.match(raw, at)
            assert value is not None, "a span is a record"  # noqa: S101
            return Cell(self._special.sub(lambda pair: pair[pair.lastindex or 0], value[1]), True, b""), value.end()
        plain = self.plain.match(raw, at)
        assert plain is not None, "this matches anything"  # noqa: S101
        text = self._trimmed(plain[0])
        return Cell(self._pair.sub(rb"\1", text) if self._pair else text, False, text), plain.end()

    def _trimmed(self, text: bytes) -> bytes:
        if not self.blanks:
            return text
        text = text.lstrip(self.blanks)
        kept = max((pair.end() for pair in self._pair.finditer(text)), default=0) if self._pair else 0
        return text[:kept] + text[kept:].rstrip(self.blanks)

    def problem(self, data: bytes, start: int) -> Problem | None:
        """Return what is wrong with the record at `start`, where the data is all there is of it; None when it is one."""
        at = start
        while True:
            opening = self.opening.match(data, at)
            value = (self.quoted if opening else self.plain).match(data, at)
            if opening and not value:
                return Problem("open", start, opening.end() - 1, opening.end() - 1)
            assert value is not None, "the plain one matches anything"  # noqa: S101
            end = value.end()
            if data[end : end + 1] == self.form.delimiter:
                at = end + 1
            elif end == len(data) or data[end] in b"\r\n":
                return None
            elif opening:
                return Problem("text", start, opening.end() - 1, end)
            else:
                return Problem("escape", start, at, end)


@lru_cache(256)
def grammar_of(form: CsvForm) -> Grammar:
    """Return the grammar of a form; making one takes milliseconds."""
    return Grammar(form)


class Walk:
    """Iterates over the whole records of data that begins where one may begin. Afterwards `end` is where one could go on, and `problem` says why
    no further record can be told, if that is so. `final`: nothing follows the data; else a record counts when its line end is there, and no LF
    may follow its CR."""

    def __init__(self, grammar: Grammar, data: bytes, *, final: bool, start: int = 0) -> None:
        self._grammar, self._data, self._final = grammar, data, final
        self._limit = len(data) - (not final and data.endswith(b"\r"))
        self.end = min(start, self._limit)
        self.problem: Problem | None = None

    def __iter__(self) -> Iterator[Span]:
        data, limit = self._data, self._limit
        passed, record = self._grammar.passed[self._final].match, self._grammar.record[self._final].match
        while True:
            skipped = passed(data, self.end, limit)
            self.end = skipped.end() if skipped else self.end
            if self.end == limit:
                return
            found = record(data, self.end, limit)
            if found is None:
                self.problem = self._grammar.problem(data, self.end) if self._final else None
                return
            span = Span(self.end, found.end(), found.end(1))
            self.end = span.next
            yield span


def _compiled(pattern: bytes) -> re.Pattern[bytes]:
    return re.compile(pattern, re.DOTALL)
