"""What a conversion gives back, and where rows that do not fit are kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from portal.errors import ConversionFailed
from portal.stores.base import ObjectInfo

_SHOWN = 120


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that does not fit. `line` is where the row starts (1 is the first line of the file), `column` '' when it is the whole row."""

    line: int
    column: str
    reason: str
    raw: str


@dataclass(frozen=True, slots=True)
class ColumnReport:
    """What became of one column."""

    name: str
    type: str
    nulls: int
    note: str = ""
    """Why the type is what it is, and what else a reader should know."""
    checksum: str = ""
    """CRC64 over the values in order, as written and as read back."""


@dataclass(frozen=True, slots=True)
class Converted:
    """A finished conversion: rows_in = rows_out + rows_rejected, and the target was read back equal."""

    rows_in: int
    rows_out: int
    rows_rejected: int
    columns: tuple[ColumnReport, ...]
    source_crc64: str
    """CRC64NVME, 16 hexadecimal digits, of the source's bytes as they were read."""
    source_bytes: int
    target: ObjectInfo
    target_crc64: str
    """The same of the Parquet file, as uploaded and as read back."""
    read_back: bool
    warnings: tuple[str, ...] = ()
    source_checksum: str = ""
    """`name:value` of the source's stored checksum that its bytes were compared with, '' when it stores none."""
    reading: Mapping[str, Any] = field(default_factory=dict)
    """How the source was read: format, encoding, delimiter, header …"""

    def report(self) -> dict[str, Any]:
        """Return everything but the target as JSON values."""
        values = asdict(self)
        return {name: value for name, value in values.items() if name != "target"}


class Rejects:
    """Collects the rows that do not fit: the first one ends the conversion, or up to `limit` are kept in a file of JSON lines."""

    def __init__(self, path: Path | None, *, keep: bool, limit: int) -> None:
        self._path, self._limit = path, limit if keep else 0
        self._keep = keep
        self.count = 0
        if path:
            path.unlink(missing_ok=True)  # of an earlier try

    def add(self, row: Rejected) -> None:
        """Raises ConversionFailed when rows may not be rejected, or not so many."""
        if not self._keep:
            raise ConversionFailed(describe(row), hint="Correct the file, or let such rows be kept apart: on_reject=keep.")
        self.count += 1
        if self.count > self._limit:
            hint = "See the rejects file; is the delimiter or a type wrong? Else raise max_rejects."
            raise ConversionFailed(f"More than {self._limit} rows do not fit; the last: {describe(row)}", hint=hint)
        if self._path:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")


def describe(row: Rejected) -> str:
    """Return where and why a row does not fit, in a sentence."""
    column = f", column {row.column!r}" if row.column else ""
    return f"Line {row.line}{column}: {row.reason}."


def shown(value: str) -> str:
    """Return a value for a message: quoted, and cut when it is long."""
    return repr(value if len(value) <= _SHOWN else value[:_SHOWN] + "…")
