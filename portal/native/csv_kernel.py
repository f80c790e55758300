"""CSV text to Arrow arrays by the kernel: canonical values only, everything else is handed back as text. See src/csv.h and src/cells.h."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa

from portal.errors import ConversionFailed
from portal.native.library import library

LARGEST = 2**31 - 2
"""Bytes that one call can take: text columns of Arrow have 32-bit offsets."""

Buffer = bytes | bytearray | memoryview

_REASONS = {
    1: "a quote opens a value here and is never closed", 2: "text follows a closing quote", 3: "an escape character is the last one of the text",
}  # fmt: skip
_TEXT, _BOOLEAN, _INTEGER, _FLOAT, _DECIMAL, _DATE, _TIMESTAMP, _UNREAD = range(8)
_NO_ZONE, _OFFSET, _UTC = range(3)
_PLACES = {"s": 0, "ms": 3, "us": 6, "ns": 9}
_OFFSET_NAME = re.compile(r"([+-])(\d\d):(\d\d)")


@dataclass(frozen=True, slots=True)
class CsvForm:
    """How the text is written; each of the first four is one ASCII byte, or empty (not the delimiter). Raises ConversionFailed.

    With an escape, quotes may also be doubled. `trim` leaves out spaces and tabs around values: outside of quotes, where there are some."""

    delimiter: bytes = b","
    quote: bytes = b'"'
    escape: bytes = b""
    comment: bytes = b""
    trim: bool = False

    def __post_init__(self) -> None:
        given = [self.delimiter, *filter(None, (self.quote, self.escape if self.escape != self.quote else b"", self.comment))]
        if any(len(mark) != 1 or mark[0] > 0x7F or mark in b"\r\n" for mark in given) or len(set(given)) < len(given):
            raise ConversionFailed(
                f"Delimiter {self.delimiter!r}, quote {self.quote!r}, escape {self.escape!r} and comment {self.comment!r} do not go together.",
                hint="Each is one ASCII character, another one than the others, and no line end.",
            )


@dataclass(frozen=True, slots=True)
class ColumnSpec:
    """What a column shall become: a type the kernel reads (see `reads`), or any other, which comes back as text.

    `null_words` mean 'no value': in unquoted values, with `typed_nulls` in quoted ones too."""

    arrow: pa.DataType
    null_words: tuple[bytes, ...] = (b"",)
    typed_nulls: bool = False


@dataclass(slots=True)
class CsvParsed:
    """The good rows of a text, column by column, and what is wrong with the others. Places are bytes of the text, from 0."""

    rows: int
    columns: list[pa.Array]
    as_text: set[int] = field(default_factory=set)
    """Columns that are text though their type is another: a value was not canonical."""
    remarks: dict[int, int] = field(default_factory=dict)
    """Column → first row in which a float has more than 17 significant digits."""
    starts: Any = None
    """Where each row starts: numpy, int64."""
    ragged: Any = field(default_factory=lambda: np.zeros((0, 3), np.int64))
    """Records with another number of values: numpy, int64, (n, 3): start, end without its line end, values. They are no rows."""
    broken: tuple[int, str] | None = None
    """Where and why no further record can be told; those before are all there."""


class _Form(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint8) for name in ("delimiter", "quote", "escape", "comment", "has_quote", "has_escape", "has_comment", "trim")]


class _Column(ctypes.Structure):
    _fields_ = [*((name, ctypes.c_int32) for name in ("kind", "a", "b", "c", "typed_nulls", "n_words")),
                ("words", ctypes.c_char_p), ("lengths", ctypes.c_void_p)]  # fmt: skip


class _ArrowArray(ctypes.Structure):
    _fields_ = [*((name, ctypes.c_int64) for name in ("length", "null_count", "offset", "n_buffers", "n_children")),
                *((name, ctypes.c_void_p) for name in ("buffers", "children", "dictionary", "release", "private_data"))]  # fmt: skip


class _Result(ctypes.Structure):
    _fields_ = [("rows", ctypes.c_int64), ("n_ragged", ctypes.c_int64), ("trouble_place", ctypes.c_int64), ("trouble", ctypes.c_int32),
                ("width", ctypes.c_int32), ("arrays", ctypes.POINTER(_ArrowArray)), ("as_text", ctypes.POINTER(ctypes.c_uint8)),
                *((name, ctypes.POINTER(ctypes.c_int64)) for name in ("long_digits", "starts", "ragged"))]  # fmt: skip


@cache
def _kernel() -> Any:
    kernel = library()
    if kernel is None:
        raise RuntimeError("there is no kernel: ask portal.native.library first")
    kernel.portal_csv_whole.restype = ctypes.c_int64
    kernel.portal_csv_whole.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.POINTER(_Form), ctypes.c_int32, ctypes.POINTER(ctypes.c_int64)]
    kernel.portal_csv_parse.restype = ctypes.POINTER(_Result)
    kernel.portal_csv_parse.argtypes = [
        ctypes.c_void_p, ctypes.c_int64, ctypes.POINTER(_Form), ctypes.POINTER(_Column), ctypes.c_int32, ctypes.c_int32,
    ]  # fmt: skip
    kernel.portal_csv_free.argtypes = [ctypes.POINTER(_Result)]
    kernel.portal_csv_free.restype = None
    return kernel


def reads(kind: pa.DataType) -> bool:
    """Tell whether the kernel reads a type's canonical texts itself."""
    return kind_of(kind)[0] != _UNREAD


def whole(data: Buffer, form: CsvForm, *, final: bool) -> tuple[int, int]:
    """Return where the last whole record ends, and the number of records up to there; blank lines and comments are none.

    Without `final` more may follow: a record is whole when its line end is there, and no `\\n` may follow its `\\r`."""
    text, end = pa.py_buffer(data), ctypes.c_int64()
    records = _kernel().portal_csv_whole(text.address, text.size, _form(form), final, ctypes.byref(end))
    return end.value, records


def parse(data: Buffer, form: CsvForm, specs: Sequence[ColumnSpec], *, pad: bool = False) -> CsvParsed:
    """Read whole records of UTF-8. `pad`: a record with too few values gets 'no value' for the others.

    Raises ConversionFailed for data beyond `LARGEST`, MemoryError."""
    text = pa.py_buffer(data)
    if text.size > LARGEST:
        raise ConversionFailed(f"{text.size} bytes are too many for one piece of CSV.", hint="Records of 2 GiB cannot be read.")
    columns, _keep = _columns(tuple(specs))
    result = _kernel().portal_csv_parse(text.address, text.size, _form(form), columns, len(specs), pad)
    if not result:
        raise MemoryError
    try:
        return _parsed(result.contents, specs)
    finally:
        _kernel().portal_csv_free(result)


def _parsed(result: _Result, specs: Sequence[ColumnSpec]) -> CsvParsed:
    as_text = {place for place in range(len(specs)) if result.as_text[place]}
    kinds = [pa.string() if place in as_text else spec.arrow for place, spec in enumerate(specs)]
    first = ctypes.addressof(result.arrays.contents)
    size = ctypes.sizeof(_ArrowArray)
    return CsvParsed(
        rows=result.rows,
        columns=[pa.Array._import_from_c(first + place * size, kind) for place, kind in enumerate(kinds)],
        as_text=as_text,
        remarks={place: result.long_digits[place] for place in range(len(specs)) if result.long_digits[place] >= 0},
        starts=_numbers(result.starts, result.rows),
        ragged=_numbers(result.ragged, 3 * result.n_ragged).reshape(-1, 3),
        broken=(result.trouble_place, _REASONS[result.trouble]) if result.trouble else None,
    )


def _numbers(start: Any, count: int) -> Any:
    return np.ctypeslib.as_array(start, (count,)).copy() if count else np.zeros(0, np.int64)


@cache
def _form(form: CsvForm) -> Any:
    escape = form.escape if form.escape != form.quote else b""
    marks = (form.delimiter, form.quote, escape, form.comment)
    return ctypes.pointer(_Form(*(mark[0] if mark else 0 for mark in marks), *(bool(mark) for mark in marks[1:]), form.trim))


@cache
def _columns(specs: tuple[ColumnSpec, ...]) -> tuple[Any, list[Any]]:
    """Return the kernel's description of the columns, and what must stay in memory with it."""
    lengths = [np.array([len(word) for word in spec.null_words], np.int32) for spec in specs]
    columns = (_Column * len(specs))()
    for column, spec, sizes in zip(columns, specs, lengths, strict=True):
        column.kind, column.a, column.b, column.c = kind_of(spec.arrow)
        column.typed_nulls, column.n_words = spec.typed_nulls, len(spec.null_words)
        column.words, column.lengths = b"".join(spec.null_words), sizes.ctypes.data
    return columns, lengths


def kind_of(kind: pa.DataType) -> tuple[int, int, int, int]:
    """Return what `portal::Type` in src/cells.h holds for a type: kind, a, b, c."""
    if pa.types.is_integer(kind):
        return _INTEGER, kind.bit_width, pa.types.is_unsigned_integer(kind), 0
    if pa.types.is_decimal128(kind) and kind.scale >= 0:
        return _DECIMAL, kind.precision, kind.scale, 0
    if pa.types.is_timestamp(kind):
        return _moment(kind)
    plain = {pa.string(): _TEXT, pa.bool_(): _BOOLEAN, pa.float64(): _FLOAT, pa.date32(): _DATE}
    return plain.get(kind, _UNREAD), 0, 0, 0


def _moment(kind: pa.TimestampType) -> tuple[int, int, int, int]:
    if kind.tz is None:
        return _TIMESTAMP, _PLACES[kind.unit], 0, _NO_ZONE
    if kind.tz == "UTC":
        return _TIMESTAMP, _PLACES[kind.unit], 0, _UTC
    if not (found := _OFFSET_NAME.fullmatch(kind.tz)):
        return _UNREAD, 0, 0, 0
    minutes = int(found[2]) * 60 + int(found[3])
    return _TIMESTAMP, _PLACES[kind.unit], -minutes if found[1] == "-" else minutes, _OFFSET
