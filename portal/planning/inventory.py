"""An inventory of a store, streamed into Parquet; and the same as CSV or JSON lines."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from portal.planning.formats import format_of
from portal.planning.names import as_folder
from portal.planning.plan import UNSEEN, Page, picked
from portal.planning.planning import FOLDER_MARKER
from portal.stores.url import StoreURL

SCHEMA = pa.schema(
    [
        ("url", pa.string()), ("key", pa.string()), ("name", pa.string()), ("size_bytes", pa.int64()), ("etag", pa.string()),
        ("modified", pa.timestamp("ms", tz="UTC")), ("storage_class", pa.string()), ("format", pa.string()),
    ]
)  # fmt: skip
_BATCH_ROWS = 5_000
_FOLDERS_SHOWN = 100


class Inventory:
    """The inventory of everything at or below a URL. Counts are there once `write` has returned."""

    def __init__(self, path: Path, source: StoreURL) -> None:
        self.path, self._source = path, source
        self.objects = self.excluded = self.bytes = 0
        self.unseen: list[str] = []
        """What is there and could not be looked at."""
        self._formats: Counter[str] = Counter()
        self._format_bytes: Counter[str] = Counter()
        self._folders: Counter[str] = Counter()
        self._folder_bytes: Counter[str] = Counter()

    def write(self, pages: Iterable[Page], tell: Callable[[int, int], None]) -> None:
        """Write what is listed into the file, which appears whole. Raises what listing does; what `tell` raises ends it."""
        fresh = self.path.with_name(f".{self.path.name}")
        with pq.ParquetWriter(fresh, SCHEMA, compression="zstd") as writer:
            for page in pages:
                self.unseen += [reason for reason in page.reasons if reason.startswith(UNSEEN)]
                there = [action != "exclude" and not reason.startswith(UNSEEN) for action, reason in zip(page.actions, page.reasons, strict=True)]
                kept = picked(page, [n for n, is_there in enumerate(there) if is_there])
                self.excluded += len(page) - len(kept) - page.reasons.count(FOLDER_MARKER)
                self._count(kept)
                writer.write_table(self._table(kept))
                tell(self.objects, self.bytes)
        fresh.replace(self.path)

    def _table(self, page: Page) -> pa.Table:
        moments = [datetime.fromisoformat(moment) if moment else None for moment in page.modified]
        base = str(self._source.root)
        columns = [
            [base + key for key in page.keys], page.keys, page.targets, page.sizes, page.etags, moments, page.classes,
            [format_of(key) for key in page.keys],
        ]  # fmt: skip
        return pa.Table.from_arrays([pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)], schema=SCHEMA)

    def _count(self, page: Page) -> None:
        self.objects += len(page)
        self.bytes += sum(page.sizes)
        for name, size in zip(page.targets, page.sizes, strict=True):
            kind = format_of(name)
            self._formats[kind] += 1
            self._format_bytes[kind] += size
            folder = as_folder(name.partition("/")[0]) if "/" in name else ""
            if folder not in self._folders and len(self._folders) >= _FOLDERS_SHOWN:
                folder = "…"
            self._folders[folder] += 1
            self._folder_bytes[folder] += size

    def report(self) -> dict[str, Any]:
        """Bytes in all; objects and bytes by format and by folder directly below the source ('' the source itself, '…' beyond the first 100)."""
        return {
            "bytes": self.bytes,
            "formats": {name: {"objects": count, "bytes": self._format_bytes[name]} for name, count in sorted(self._formats.items())},
            "folders": {name: {"objects": count, "bytes": self._folder_bytes[name]} for name, count in sorted(self._folders.items())},
        }

    def as_format(self, kind: str, path: Path) -> Path:
        """Return the file in a format (parquet, csv, json: an object a line), made at `path` unless it is the inventory itself."""
        if kind == "parquet":
            return self.path
        with pq.ParquetFile(self.path) as file:
            if kind == "csv":
                with pa_csv.CSVWriter(path, SCHEMA) as writer:
                    for batch in file.iter_batches(_BATCH_ROWS):
                        writer.write_batch(batch)
            else:
                with path.open("w", encoding="utf-8") as lines:
                    for batch in file.iter_batches(_BATCH_ROWS):
                        lines.writelines(_json_line(row) for row in batch.to_pylist())
        return path


def _json_line(row: dict[str, Any]) -> str:
    modified = row["modified"]
    return json.dumps({**row, "modified": modified.isoformat() if modified else None}, ensure_ascii=False) + "\n"
