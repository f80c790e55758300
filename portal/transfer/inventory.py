"""An inventory of a store, streamed into Parquet; and the same as CSV or JSON lines."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from portal.stores.base import ObjectInfo, Store
from portal.stores.url import StoreURL
from portal.transfer.filters import Filters
from portal.transfer.formats import format_of
from portal.transfer.names import as_folder, below, readable
from portal.transfer.sources import objects

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
        self._formats: Counter[str] = Counter()
        self._format_bytes: Counter[str] = Counter()
        self._folders: Counter[str] = Counter()
        self._folder_bytes: Counter[str] = Counter()

    def write(self, store: Store, filters: Filters, tell: Callable[[int, int], None]) -> None:
        """List the store into the file, which appears whole. Raises NotFound when there is no such container; what `tell` raises ends it."""
        fresh = self.path.with_name(f".{self.path.name}")
        batch: list[dict[str, Any]] = []
        with pq.ParquetWriter(fresh, SCHEMA, compression="zstd") as writer:
            for row in self._rows(store, filters, lambda: tell(self.objects, self.bytes)):
                batch.append(row)
                if len(batch) == _BATCH_ROWS:
                    writer.write_table(pa.Table.from_pylist(batch, schema=SCHEMA))
                    batch.clear()
            writer.write_table(pa.Table.from_pylist(batch, schema=SCHEMA))
        fresh.replace(self.path)

    def _rows(self, store: Store, filters: Filters, check: Callable[[], None]) -> Iterator[dict[str, Any]]:
        for info in objects(store, self._source.key, check):
            name = below(info.key, self._source.key)
            if name is None or info.is_folder:
                continue
            if filters.refusal(info, name):
                self.excluded += 1
                continue
            self._count(info, name)
            key = readable(info.key)
            yield {
                "url": str(self._source.at(key)), "key": key, "name": readable(name), "size_bytes": info.size_bytes, "etag": info.etag,
                "modified": info.modified, "storage_class": info.storage_class, "format": format_of(info.key),
            }  # fmt: skip

    def _count(self, info: ObjectInfo, name: str) -> None:
        self.objects += 1
        self.bytes += info.size_bytes
        kind = format_of(info.key)
        self._formats[kind] += 1
        self._format_bytes[kind] += info.size_bytes
        folder = as_folder(readable(name.partition("/")[0])) if "/" in name else ""
        if folder not in self._folders and len(self._folders) >= _FOLDERS_SHOWN:
            folder = "…"
        self._folders[folder] += 1
        self._folder_bytes[folder] += info.size_bytes

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
