"""Reads chunks of JSON records under a frozen schema in Python: what every record means, and why one does not fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from portal.tabular.columns.column_types import ColumnType
from portal.tabular.columns.schema import Schema
from portal.tabular.columns.significance import MOST_DIGITS, rounded
from portal.tabular.json_format.decoding import decode
from portal.tabular.json_format.gathering import Casts, Gathered, misfit
from portal.tabular.json_format.reading import keeps_text, with_texts
from portal.tabular.rows import Chunk, Misfit
from portal.tabular.showing import shown

_AT_ONCE = 8192
"""Records: more of them are not in memory as Python's values at a time."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Records that fit, by column, and those that do not."""

    arrays: list[Any]
    fits: list[bool]
    """One for each record that was read."""
    misfits: list[Misfit]
    remarks: dict[str, str]


class CarefulReader:
    """Reads records one by one. `casters`: of every leaf of every column, in order; `most`: misfits that can be of use."""

    def __init__(self, schema: Schema, casters: Sequence[Sequence[Casts]], most: int) -> None:
        self._schema, self._casters, self._most = schema, casters, most
        self._columns = {column.name: column for column in schema.columns}
        self._texts = any(keeps_text(column.type, asked=column.asked) for column in schema.columns)

    def read(self, chunk: Chunk, spans: Any) -> Rows:
        """Return the records that stand at those places of a chunk (numpy, int64, (n, 2)), up to the last of `most` misfits."""
        pieces: list[list[Any]] = [[] for _ in self._casters]
        found = Rows([], [], [], {})
        place = _Place(chunk)
        for start in range(0, max(1, len(spans)), _AT_ONCE):
            rows = self._read(place, spans[start : start + _AT_ONCE].tolist(), self._most - len(found.misfits))
            for arrays, array in zip(pieces, rows.arrays, strict=True):
                arrays.append(array)
            found.fits.extend(rows.fits)
            found.misfits.extend(rows.misfits)
            found.remarks.update({name: text for name, text in rows.remarks.items() if name not in found.remarks})
            if len(found.misfits) == self._most:
                break
        found.arrays.extend(arrays[0] if len(arrays) == 1 else pa.concat_arrays(arrays) for arrays in pieces)
        return found

    def _read(self, place: _Place, spans: Sequence[tuple[int, int]], most: int) -> Rows:
        values, reasons = self._values(place.chunk.data, spans)
        gathered = self._gather(values, reasons)
        if unfit := self._unfit(gathered, reasons):
            reasons |= unfit
        wrong = sorted(reasons)[:most]
        count = wrong[-1] + 1 if len(wrong) == most else len(spans)
        if unfit or count < len(spans):
            gathered = self._gather(values[:count], reasons)
        arrays = [self._array(item, casters) for item, casters in zip(gathered, self._casters, strict=True)]
        remarks = {column.name: text for column, item in zip(self._schema.columns, gathered, strict=True) if (text := remark_of(item))}
        return Rows(arrays, [row not in reasons for row in range(count)], [place.misfit(*spans[row], *reasons[row]) for row in wrong], remarks)

    def _values(self, data: bytes, spans: Sequence[tuple[int, int]]) -> tuple[list[Any], dict[int, tuple[str, str]]]:
        values: list[Any] = []
        reasons = {}
        for row, (start, end) in enumerate(spans):
            text = data[start:end].decode("utf-8", "surrogateescape")
            value, reason = decode(text)
            if not reason and self._texts:
                value = with_texts(text, self._columns)
            column = ""
            if not reason:
                column, reason = self._kinds(value)
            if reason:
                reasons[row] = (column, reason)
            values.append(value)
        return values, reasons

    def _kinds(self, value: dict[str, Any]) -> tuple[str, str]:
        for name, item in value.items():
            if name not in self._columns and item is not None:
                return name, "the schema has no such column"
        for name, column in self._columns.items():
            if reason := misfit(value.get(name), column.type, "", asked=column.asked):
                return name, reason
        return "", ""

    def _gather(self, values: list[Any], reasons: dict[int, tuple[str, str]]) -> list[Gathered]:
        places = [Gathered.of(column.type) for column in self._schema.columns]
        for row, value in enumerate(values):
            if row not in reasons:
                for place, column in zip(places, self._schema.columns, strict=True):
                    place.add(value.get(column.name), row)
        return places

    def _unfit(self, gathered: list[Gathered], known: dict[int, tuple[str, str]]) -> dict[int, tuple[str, str]]:
        """Return the rows with a text that its caster refuses: the first of each."""
        unfit: dict[int, tuple[str, str]] = {}
        for column, place, casters in zip(self._schema.columns, gathered, self._casters, strict=True):
            for leaf, caster in zip(place.leaves(), casters, strict=True):
                for at, reason in _problems(leaf, caster):
                    path = leaf.path.lstrip(".")
                    unfit.setdefault(leaf.rows[at], (column.name, f"{path}: {reason}" if path else reason))
        return {row: reason for row, reason in unfit.items() if row not in known}

    def _array(self, place: Gathered, casters: Sequence[Casts]) -> Any:
        return place.array(iter([caster.cast(_text_array(leaf)) for leaf, caster in zip(place.leaves(), casters, strict=True)]))


def _text_array(leaf: Gathered) -> Any:
    return pa.array(leaf.texts, pa.string())


def _problems(leaf: Gathered, caster: Casts) -> Any:
    if leaf.kind.is_text:
        return ()
    texts = _text_array(leaf)
    try:
        caster.cast(texts)
    except pa.ArrowInvalid:
        return caster.problems(texts)
    return ()


@dataclass(slots=True)
class _Place:
    """How far the lines of a chunk are counted."""

    chunk: Chunk
    _at: int = 0
    _lines: int = 0

    def misfit(self, start: int, end: int, column: str, reason: str) -> Misfit:
        """Return a misfit that stands behind those before it."""
        data = self.chunk.data
        self._lines, self._at = self._lines + data.count(b"\n", self._at, start), start
        raw = data[start:end].decode("utf-8", "backslashreplace")
        return Misfit(self.chunk.line + self._lines, self.chunk.offset + start, column, reason, raw)


def remark_of(place: Gathered) -> str:
    """Return what to tell of digits that a column of floats cannot keep, '' for nothing."""
    for leaf in place.leaves():
        if leaf.kind.kind == "float":
            for text in leaf.texts:
                if text and len(text) > MOST_DIGITS and (remark := long_digits(text, leaf.kind)):
                    return remark
    return ""


def long_digits(text: str, kind: ColumnType) -> str:
    """Say that a number has more digits than a float holds, '' when it has not: the nearest float is stored."""
    digits = text.lower().partition("e")[0].replace(".", "").lstrip("-0").rstrip("0")
    if len(digits) <= MOST_DIGITS or not digits.isdigit() or not rounded(text):
        return ""
    return f"correctly rounded: {shown(text)} has more digits than a {kind.arrow} keeps"
