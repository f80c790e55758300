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


@dataclass(frozen=True, slots=True)
class Rows:
    """Records that fit, by column, and those that do not."""

    arrays: list[Any]
    fits: list[bool]
    """One for each record."""
    misfits: list[Misfit]
    remarks: dict[str, str]


class CarefulReader:
    """Reads records one by one. `casters`: of every leaf of every column, in order."""

    def __init__(self, schema: Schema, casters: Sequence[Sequence[Casts]]) -> None:
        self._schema, self._casters = schema, casters
        self._columns = {column.name: column for column in schema.columns}
        self._texts = any(keeps_text(column.type, asked=column.asked) for column in schema.columns)

    def read(self, chunk: Chunk, spans: Sequence[tuple[int, int]]) -> Rows:
        """Return the records that stand at those places of a chunk."""
        values, reasons = self._values(chunk.data, spans)
        gathered = self._gather(values, reasons)
        if unfit := self._unfit(gathered, reasons):
            reasons |= unfit
            gathered = self._gather(values, reasons)
        arrays = [self._array(place, casters) for place, casters in zip(gathered, self._casters, strict=True)]
        misfits = [_misfit(chunk, spans[row], *reasons[row]) for row in sorted(reasons)]
        remarks = {column.name: text for column, place in zip(self._schema.columns, gathered, strict=True) if (text := remark_of(place))}
        return Rows(arrays, [row not in reasons for row in range(len(spans))], misfits, remarks)

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


def _misfit(chunk: Chunk, span: tuple[int, int], column: str, reason: str) -> Misfit:
    start, end = span
    line = chunk.line + chunk.data.count(b"\n", 0, start)
    return Misfit(line, chunk.offset + start, column, reason, chunk.data[start:end].decode("utf-8", "backslashreplace"))


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
