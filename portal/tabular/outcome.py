"""What a conversion gives back, and where records that do not fit are kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from portal.errors import RowsDoNotFit
from portal.stores.base import ObjectInfo
from portal.tabular.options import OnReject
from portal.tabular.rows import Misfit
from portal.tabular.showing import where

_HINTS: Mapping[str, str] = {
    "fail": "Correct the file, let such rows be kept apart (on_reject=keep), or let the column take a wider type (on_reject=widen or full_scan).",
    "widen": "No wider type would hold it: correct the file, or let such rows be kept apart: on_reject=keep.",
}

RAGGED = (
    "Correct the file, or say how such lines are meant: ragged=pad fills rows that are too short, comment passes over lines that begin with "
    "a character, skip_lines over those before the header; on_reject=keep keeps them apart. Or is the delimiter another one?"
)
"""What helps with a row of another number of values: no type does."""


@dataclass(frozen=True, slots=True)
class ColumnReport:
    """What became of one column."""

    name: str
    type: str
    nulls: int
    note: str = ""
    """Why the type is what it is, and what else a reader should know."""
    checksum: str = ""
    """CRC64 over the values, as written and as read back."""


@dataclass(frozen=True, slots=True)
class PartReport:
    """One object of the result."""

    key: str
    size_bytes: int
    rows: int
    crc64: str
    """CRC64NVME of its bytes, as uploaded and as read back."""
    etag: str = ""


@dataclass(frozen=True, slots=True)
class SourceReport:
    """What became of the rows of one source."""

    key: str
    size_bytes: int
    rows_in: int
    rows_out: int
    rows_rejected: int
    rows_filtered: int
    crc64: str
    """CRC64NVME of its bytes as they were read."""
    compared: str
    """`name:value` of its stored checksum that they were compared with, '' when it stores none."""
    rows_read_twice: int = 0
    """Records that were also read without the native library, and found the same; see `portal.tabular.proving.second_opinion`."""


@dataclass(frozen=True, slots=True)
class Converted:
    """A finished conversion: rows_in = rows_out + rows_rejected + rows_filtered, and the target was read back equal."""

    rows_in: int
    rows_out: int
    rows_rejected: int
    columns: tuple[ColumnReport, ...]
    source_crc64: str
    """CRC64NVME, 16 hexadecimal digits, of the source's bytes as they were read."""
    source_bytes: int
    target: ObjectInfo
    """The result; of one in many parts the folder, with the bytes of all."""
    target_crc64: str
    """CRC64NVME of the result, as uploaded and as read back; '' when it has many parts (each has its own)."""
    read_back: bool
    warnings: tuple[str, ...] = ()
    source_checksum: str = ""
    """`name:value` of the source's stored checksum that its bytes were compared with, '' when it stores none."""
    reading: Mapping[str, Any] = field(default_factory=dict)
    """How the source was read and the evidence for it: format, encoding, delimiter, header …"""
    rows_filtered: int = 0
    """Rows that `where` left out."""
    parts: tuple[PartReport, ...] = ()
    schema: str = ""
    """The schema as it was frozen: the JSON text of `Schema.to_json`."""
    schema_key: str = ""
    """The object that holds the same beside the result; '' when none was written."""
    widened: Mapping[str, str] = field(default_factory=dict)
    """Column → 'old type → new type', of those that the samples had told narrower than the whole file is."""
    sources: tuple[SourceReport, ...] = ()
    """The objects it was made of, in their order."""

    def report(self) -> dict[str, Any]:
        """Return everything but the target as JSON values."""
        values = asdict(self)
        return {name: value for name, value in values.items() if name not in ("target", "schema")}


class Rejects:
    """Takes the records that do not fit: the first one ends the conversion, or up to `limit` are kept in a file of JSON lines."""

    def __init__(self, path: Path | None, *, policy: OnReject, limit: int) -> None:
        self._path, self._policy = path, policy
        self._limit = limit if policy == "keep" else 0
        self._file: IO[str] | None = None
        self.count = 0
        self.source = ""
        """Name of the object that the next ones come from, told with each; '' when there is only one."""
        if path:
            path.unlink(missing_ok=True)  # of an earlier try

    def add(self, misfit: Misfit) -> None:
        """Raises ConversionFailed when rows may not be rejected, or not so many."""
        if self._policy != "keep":
            raise RowsDoNotFit(self._told(misfit), hint=self._hint(misfit))
        self.count += 1
        if self._path and self.count <= self._limit:
            self._write(misfit)
        if self.count > self._limit:
            hint = "See the rejects file; is the delimiter or a type wrong? Else raise max_rejects."
            raise RowsDoNotFit(f"More than {self._limit} rows do not fit; the last: {self._told(misfit)}", hint=hint)

    def _hint(self, misfit: Misfit) -> str:
        return RAGGED if misfit.column == "" and " values, where " in misfit.reason else _HINTS[self._policy]

    def _told(self, misfit: Misfit) -> str:
        return f"{self.source}: {describe(misfit)}" if self.source else describe(misfit)

    def _write(self, misfit: Misfit) -> None:
        if self._file is None and self._path:
            self._file = self._path.open("w", encoding="utf-8")
        source = {"source": self.source} if self.source else {}
        if self._file:
            self._file.write(json.dumps({**source, **placed(misfit)}, ensure_ascii=False) + "\n")

    def close(self) -> None:
        if self._file:
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /) -> None:
        self.close()


def describe(misfit: Misfit) -> str:
    """Return where and why a record does not fit, in a sentence."""
    column = f", column {misfit.column!r}" if misfit.column else ""
    return f"{where(misfit.line, misfit.offset)}{column}: {misfit.reason}."


def placed(misfit: Misfit) -> dict[str, Any]:
    """Return a misfit as JSON values, None for a line or an offset that nobody has counted."""
    return {**asdict(misfit), "line": misfit.line if misfit.line > 0 else None, "offset": misfit.offset if misfit.offset >= 0 else None}
