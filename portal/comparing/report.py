"""What a comparison leaves behind: `combined.parquet`, a row an object, and `combined.txt`, a line an object as `rclone check --combined` has it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import pyarrow as pa
import pyarrow.parquet as pq

from portal.comparing.evidence import LEVELS, SIGNS, Compared
from portal.errors import BooksDoNotBalance
from portal.ledger.arrays import filled

TABLE_FILE = "combined.parquet"
TEXT_FILE = "combined.txt"
SCHEMA = pa.schema(
    [
        ("class", pa.string()), ("name", pa.string()), ("source_key", pa.string()), ("target_key", pa.string()), ("source_size", pa.int64()),
        ("target_size", pa.int64()), ("source_etag", pa.string()), ("target_etag", pa.string()), ("level", pa.string()), ("compared", pa.string()),
        ("reason", pa.string()),
    ]
)  # fmt: skip
SHOWN = 20
_BATCH_ROWS = 10_000


class Line(NamedTuple):
    """One object of either side; keys and sizes None where it is not."""

    name: str
    """Below the source, or below the target for what is only there."""
    source_key: str | None
    target_key: str | None
    source_size: int | None
    target_size: int | None
    source_etag: str | None
    target_etag: str | None
    compared: Compared


class Report:
    """Writes both files, which appear whole when the context is left without an error, and sums."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.classes: Counter[str] = Counter()
        self.levels: Counter[str] = Counter()
        """Of equal objects, how many reached which level."""
        self.different: Counter[str] = Counter()
        """Of different objects, by the level that told it."""
        self.source_bytes = 0
        """Of the objects that are equal."""
        self.shown: list[dict[str, str]] = []
        self.ignored = 0
        """Only at the target, and left out by the filters."""
        self.beside = 0
        """Only at the target, and put there by a conversion beside a result that has a source: schemas, parts of a folder."""
        self.excluded = 0
        self.paired_targets = 0
        """Targets that have a source, even one that is excluded."""
        self._rows: list[Line] = []

    def __enter__(self) -> Self:
        self._text = self._fresh(TEXT_FILE).open("w", encoding="utf-8")
        self._table = pq.ParquetWriter(self._fresh(TABLE_FILE), SCHEMA, compression="zstd")
        return self

    def _fresh(self, name: str) -> Path:
        return self._folder / f".{name}"

    def add(self, line: Line) -> None:
        kind, level, _, reason = line.compared
        self.classes[kind] += 1
        if kind == "equal":
            self.levels[level] += 1
            self.source_bytes += line.source_size or 0
        elif kind == "different":
            self.different[level] += 1
        if kind != "equal" and len(self.shown) < SHOWN:
            self.shown.append({"sign": SIGNS[kind], "name": line.name, "reason": reason})
        self._text.write(f"{SIGNS[kind]} {line.name.translate(_ONE_LINE)}\n")
        self._rows.append(line)
        if len(self._rows) == _BATCH_ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            columns: list[list[Any]] = [[line.compared.kind for line in self._rows]]
            columns += [[line[place] for line in self._rows] for place in range(len(Line._fields) - 1)]
            columns += [[line.compared[place] for line in self._rows] for place in (1, 2, 3)]
            arrays = [filled(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
            self._table.write_table(pa.Table.from_arrays(arrays, schema=SCHEMA))
            self._rows.clear()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /) -> None:
        if kind is None:
            self._flush()
        self._text.close()
        self._table.close()
        for name in (TEXT_FILE, TABLE_FILE):
            if kind is None:
                self._fresh(name).replace(self._folder / name)
            else:
                self._fresh(name).unlink(missing_ok=True)

    def counts(self, listed: int) -> dict[str, int]:
        return {
            "listed": listed, "equal": self.classes["equal"], "different": self.classes["different"], "only_source": self.classes["only-source"],
            "only_target": self.classes["only-target"], "errors": self.classes["error"], "excluded": self.excluded, "ignored": self.ignored,
        }  # fmt: skip

    def proofs(self) -> dict[str, int]:
        return {level: self.levels[level] for level in LEVELS if self.levels[level]}

    def refuse_imbalance(self, listed: int, targets: int) -> None:
        """Raises BooksDoNotBalance when an object of a listing has no class, or one too many."""
        told = sum(self.classes.values()) - self.classes["only-target"] + self.excluded
        if told != listed:
            raise BooksDoNotBalance(f"{listed} objects were listed at the source, but {told} have a class.", hint="Report it.")
        told = self.paired_targets + self.classes["only-target"] + self.ignored + self.beside
        if told != targets:
            raise BooksDoNotBalance(f"{targets} objects were listed at the target, but {told} are accounted for.", hint="Report it.")


_ONE_LINE = {ord("\n"): "\\n", ord("\r"): "\\r"}
