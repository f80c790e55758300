"""What the kernel's CSV is measured against: one character at a time, and Python's own numbers, decimals and dates."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa

from portal.native.csv_kernel import ColumnSpec, CsvForm

_ENDS = "\r\n"


@dataclass
class Value:
    """One value of a record: `raw` is what stands there, without quotes."""

    text: str = ""
    raw: str = ""
    quoted: bool = False


@dataclass
class Read:
    """A whole text: its records with the places where they start and end, and whether it breaks."""

    records: list[list[Value]] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    broken: int | None = None


class Broken(Exception):
    """No further record can be told from here on."""


class Machine:
    """Reads ASCII text under a form."""

    def __init__(self, text: str, form: CsvForm) -> None:
        self._text, self._at = text, 0
        self._delimiter, self._quote, self._comment = (mark.decode() for mark in (form.delimiter, form.quote, form.comment))
        self._escape = form.escape.decode() if form.escape != form.quote else ""
        self._blanks = "".join({" ", "\t"} - {self._delimiter}) if form.trim else ""

    def read(self) -> Read:
        found = Read()
        try:
            for start, values, end in self._records():
                found.starts.append(start)
                found.records.append(values)
                found.ends.append(end)
        except Broken as error:
            found.broken = error.args[0]
        return found

    def _records(self) -> Iterator[tuple[int, list[Value], int]]:
        while self._at < len(self._text):
            if self._here() in _ENDS:
                self._at += 1
            elif self._comment and self._here() == self._comment:
                while self._at < len(self._text) and self._here() not in _ENDS:
                    self._at += 1
            else:
                start, values = self._at, [self._value()]
                while self._here() and self._here() == self._delimiter:
                    self._at += 1
                    values.append(self._value())
                yield start, values, self._at
                self._at += 2 if self._text[self._at : self._at + 2] == "\r\n" else 1

    def _here(self) -> str:
        return self._text[self._at : self._at + 1]

    def _at_end(self) -> bool:
        return not self._here() or self._here() in self._delimiter + _ENDS

    def _skip(self) -> None:
        while self._here() and self._here() in self._blanks:
            self._at += 1

    def _escaped(self) -> str:
        self._at += 1
        return self._here()

    def _value(self) -> Value:
        self._skip()
        if self._quote and self._here() == self._quote:
            return self._quoted()
        value, kept, start = Value(), 0, self._at
        kept_at = start
        while not self._at_end():
            character = self._here()
            if self._escape and character == self._escape:
                character = self._escaped()
                if not character:
                    raise Broken(self._at - 1)
                kept, kept_at = len(value.text) + 1, self._at + 1
            value.text += character
            self._at += 1
        value.text = value.text[:kept] + value.text[kept:].rstrip(self._blanks)
        value.raw = self._text[start:kept_at] + self._text[kept_at : self._at].rstrip(self._blanks)
        return value

    def _quoted(self) -> Value:
        opened, value = self._at, Value(quoted=True)
        self._at += 1
        while True:
            character = self._here()
            if character and character == self._escape:
                character = self._escaped()
                if not character:
                    raise Broken(opened)
            elif character == self._quote:
                self._at += 1
                if self._here() != self._quote:
                    break
            if not character:
                raise Broken(opened)
            value.text += character
            self._at += 1
        self._skip()
        if not self._at_end():
            raise Broken(self._at)
        return value


def is_null(value: Value, spec: ColumnSpec) -> bool:
    words = [word.decode() for word in spec.null_words]
    if value.quoted:
        return spec.typed_nulls and value.text in words
    return value.text in words or value.raw in words


FLOAT = re.compile(r"-?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)
INTEGER = re.compile(r"0|-?[1-9][0-9]*", re.ASCII)
_DECIMAL = re.compile(r"-?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_STAMP = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(Z|[+-]\d\d:?\d\d)?", re.ASCII)
_UNITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}


def canonical(text: str, kind: pa.DataType) -> Any:
    """Return the value of a canonical text (dates and timestamps as the number Arrow stores), None when it is none."""
    if pa.types.is_boolean(kind):
        return {"true": True, "false": False}.get(text.lower()) if text in {"true", "True", "TRUE", "false", "False", "FALSE"} else None
    if pa.types.is_integer(kind):
        return _integer(text, kind)
    if pa.types.is_float64(kind):
        return _float(text)
    if pa.types.is_decimal(kind):
        return _decimal(text, kind)
    if pa.types.is_date32(kind):
        return _day(text) if _DATE.fullmatch(text) else None
    return _moment(text, kind)


def _integer(text: str, kind: pa.DataType) -> int | None:
    if not INTEGER.fullmatch(text):
        return None
    low, high = (0, 2**kind.bit_width) if pa.types.is_unsigned_integer(kind) else (-(2 ** (kind.bit_width - 1)), 2 ** (kind.bit_width - 1))
    return int(text) if low <= int(text) < high else None


def _float(text: str) -> float | None:
    if text in {"NaN", "nan", "inf", "-inf", "Infinity", "-Infinity"}:
        return float(text)
    if not FLOAT.fullmatch(text):
        return None
    value = float(text)
    vanished = value == 0 and re.search("[1-9]", re.split("[eE]", text)[0])
    if math.isinf(value) or vanished or (re.fullmatch("-?[0-9]+", text) and int(value) != int(text)):
        return None
    return value


def _decimal(text: str, kind: pa.DataType) -> Decimal | None:
    if not _DECIMAL.fullmatch(text) or len(text.partition(".")[2]) > kind.scale:
        return None
    value = Decimal(text)
    whole = abs(int(value.scaleb(kind.scale))) if abs(value) < 10**40 else 10**40
    return None if whole >= 10**kind.precision else value


def _day(text: str) -> int | None:
    try:
        return (date.fromisoformat(text) - date(1970, 1, 1)).days
    except ValueError:
        return None


def _moment(text: str, kind: pa.TimestampType) -> int | None:
    places = _UNITS[kind.unit]
    if not (found := _STAMP.fullmatch(text)) or len(found[5] or "") > places:
        return None
    zones = {None: [None], "UTC": ["Z", "+00:00", "+0000"]}.get(kind.tz, [kind.tz, str(kind.tz).replace(":", "")])
    if found[6] not in zones:
        return None
    offset = timedelta()
    if found[6] not in (None, "Z"):
        offset = timedelta(hours=int(found[6][1:3]), minutes=int(found[6][-2:])) * (-1 if found[6][0] == "-" else 1)
    try:
        whole = datetime.fromisoformat(f"{found[1]}T{found[2]}:{found[3]}:{found[4] or '00'}") - datetime(1970, 1, 1) - offset
    except ValueError:
        return None
    value = (whole.days * 86400 + whole.seconds) * 10**places + int((found[5] or "").ljust(places, "0") or 0)
    return value if -(2**63) <= value < 2**63 else None
