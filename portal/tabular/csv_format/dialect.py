"""Finds out how a CSV text is written, from its beginning, with the evidence. What is asked for is never second-guessed."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from itertools import islice

from portal.errors import ConversionFailed
from portal.native.csv_kernel import CsvForm
from portal.tabular.csv_format.records import Cell, Walk, grammar_of
from portal.tabular.options import ConvertOptions

_SAMPLE_BYTES = 1 << 16
_SAMPLE_ROWS = 200
_USUAL, _RARE = (",", ";", "\t", "|"), ("\x01", "\x1f", "^", "~")
_NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
_DATA_LIKE = re.compile(rf"{_NUMBER}|\d{{4}}[-/]\d\d[-/]\d\d([T ].*)?|\d\d?[./]\d\d?[./]\d{{4}}([T ].*)?")
_COMMA_NUMBER = re.compile(r"[+-]?\d+,\d+")
_EXCEL = re.compile(rb'"?sep=([^\r\n"])"?(?:\r\n|[\r\n]|\Z)', re.IGNORECASE)
_LINE = re.compile(rb"[^\r\n]*+(?:\r\n|[\r\n]|\Z)")


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a CSV text is written."""

    form: CsvForm
    header: bool
    start: int
    """Where its first record may begin, in bytes: behind the lines that are to be left out."""
    evidence: str
    doubts: tuple[str, ...] = ()
    """What a person should look at; none when the text speaks clearly."""


def detect(head: bytes, options: ConvertOptions, name: str = "", *, whole: bool) -> Dialect:
    """Return the dialect of a text, judged by its first 64 KiB.

    Arguments:
        head: UTF-8, from the text's start.
        name: of the source: `.tsv` speaks for tabs.
        whole: the head is all of the text.

    Raises ConversionFailed when there is no record in it, or the options cannot be used.
    """
    _check(options)
    start = _skipped(head, options.skip_lines)
    excel = _EXCEL.match(head, start) if not options.delimiter else None
    start = excel.end() if excel else start
    sample = head[start : start + _SAMPLE_BYTES]
    final = whole and start + _SAMPLE_BYTES >= len(head)
    if not sample.strip(b"\r\n"):
        raise ConversionFailed("The file is empty: there are only blank lines.", hint="A CSV file needs at least a header.")
    if excel:
        delimiter, evidence, doubt = excel[1].decode("latin-1"), f"the first line says sep={excel[1].decode('latin-1')}", ""
    elif options.delimiter:
        delimiter, evidence, doubt = options.delimiter, "delimiter as asked for", _unused(sample, options, name, final)
    else:
        delimiter, evidence, doubt = _delimiter(sample, options, name, final)
    form = form_of(options, delimiter)
    header, why = _header(rows_of(sample, form, final), options)
    guess = "The first row looks like data, so the columns are named column_1, column_2, …; header=yes makes it the header."
    doubts = (doubt, "" if header or options.header != "auto" else guess)
    return Dialect(form, header, start, f"{evidence}; {why}", tuple(filter(None, doubts)))


def form_of(options: ConvertOptions, delimiter: str) -> CsvForm:
    """Raises ConversionFailed when the characters cannot be used together."""
    return CsvForm(delimiter.encode(), options.quote.encode(), options.escape.encode(), options.comment.encode(), options.trim)


def _check(options: ConvertOptions) -> None:
    for name in ("delimiter", "quote", "escape", "comment"):
        value = getattr(options, name)
        if value and (not value.isascii() or value in "\r\n\0"):
            raise ConversionFailed(f"The {name} {value!r} cannot be used.", hint="It is one ASCII character, e.g. ';' or a tab.")


def _skipped(head: bytes, lines: int) -> int:
    """Return where the lines after the first few begin."""
    at = 0
    for _ in range(lines):
        found = _LINE.match(head, at)
        at = found.end() if found else at
    return at


def rows_of(sample: bytes, form: CsvForm, final: bool) -> list[list[str]]:
    """Return the first records of a sample, as texts; where one is broken they end."""
    grammar = grammar_of(form)
    walk = Walk(grammar, sample, final=final)
    rows = [grammar.cells(sample, span) for span in islice(walk, _SAMPLE_ROWS)]
    if not rows and not final:
        rows = [grammar.cells(sample, span) for span in islice(Walk(grammar, sample, final=True), 1)]
    return [[_text(cell) for cell in row] for row in rows]


def _text(cell: Cell) -> str:
    return cell.text.decode("utf-8", "replace")


def _delimiter(sample: bytes, options: ConvertOptions, name: str, final: bool) -> tuple[str, str, str]:
    """Return the delimiter under which most rows have the same number (> 1) of cells, the evidence, and a doubt when two do equally well."""
    usual = sorted(_USUAL, key=lambda mark: (mark != "\t" if ".tsv" in name.lower() else mark == options.decimal_point))
    used = {options.quote, options.escape, options.comment}
    for marks in (usual, _RARE):
        scores = [score for mark in marks if mark not in used if (score := _score(sample, options, mark, final))]
        if scores:
            return _best(scores)
    return usual[0], "one column: no usual delimiter divides the rows", ""


def _unused(sample: bytes, options: ConvertOptions, name: str, final: bool) -> str:
    """Return a doubt when the delimiter that is asked for does not occur, and another one would divide the rows."""
    if options.delimiter.encode() in sample:
        return ""
    likely, evidence, _ = _delimiter(sample, options, name, final)
    return f"The delimiter {options.delimiter!r} that was asked for does not occur; {evidence}." if "gives" in evidence and likely else ""


@dataclass(frozen=True, slots=True)
class _Score:
    delimiter: str
    width: int
    agreeing: int
    rows: int

    @property
    def share(self) -> float:
        return self.agreeing / self.rows


def _score(sample: bytes, options: ConvertOptions, delimiter: str, final: bool) -> _Score | None:
    rows = rows_of(sample, form_of(options, delimiter), final)
    widths = Counter(map(len, rows))
    if not widths:
        return None
    width, agreeing = max(widths.items(), key=lambda item: (item[1], item[0]))
    return _Score(delimiter, width, agreeing, len(rows)) if width > 1 else None


def _best(scores: list[_Score]) -> tuple[str, str, str]:
    best = max(scores, key=lambda score: score.share)
    equal = [score.delimiter for score in scores if score.share == best.share]
    doubt = f"The file reads as well with the delimiters {' and '.join(map(repr, equal))}; {best.delimiter!r} was taken." if len(equal) > 1 else ""
    return best.delimiter, f"{best.delimiter!r} gives {best.width} columns in {best.agreeing} of the first {best.rows} rows", doubt


def _header(rows: list[list[str]], options: ConvertOptions) -> tuple[bool, str]:
    if options.header != "auto":
        return options.header == "yes", f"header={options.header} as asked for"
    header = _looks_like_header(rows)
    return header, "the first row is a header" if header else "the first row looks like those below it"


def _looks_like_header(rows: list[list[str]]) -> bool:
    """A first row of data shows: somewhere it is a number or date like all below it, and nowhere is it text above only such."""
    if not rows:
        return True
    first, below = rows[0], rows[1:]
    blends = False
    for place, cell in enumerate(first):
        column = [row[place] for row in below if place < len(row) and row[place]]
        data_below = bool(column) and all(map(_is_data, column))
        data_here = _is_data(cell)
        if data_below and not data_here and cell:
            return True
        blends = blends or (data_here and (data_below or not below))
    return not blends


def _is_data(text: str) -> bool:
    return bool(_DATA_LIKE.fullmatch(text) or _COMMA_NUMBER.fullmatch(text))
