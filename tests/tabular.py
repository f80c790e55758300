"""What the tests of the converter share: a local store, and a file written, converted and read back by an independent path."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from portal.connections import LocalConnection
from portal.stores.base import Store
from portal.stores.opening import open_store
from portal.stores.url import StoreURL
from portal.tabular.conversion.converting import convert_object
from portal.tabular.options import ConvertOptions, target_name
from portal.tabular.outcome import Converted


def peak_memory_mib() -> int:
    """Peak of this process by the kernel's own account: ru_maxrss would begin with that of the process that started it."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) // 1024


@dataclass(frozen=True)
class Conversion:
    """A finished conversion and the Parquet file as pyarrow reads it from the disk."""

    done: Converted
    table: pa.Table

    @property
    def types(self) -> dict[str, str]:
        return {item.name: str(item.type) for item in self.table.schema}

    @property
    def rows(self) -> list[dict[str, Any]]:
        return self.table.to_pylist()

    def note(self, column: str) -> str:
        return next(item.note for item in self.done.columns if item.name == column)


def local_store(folder: Path) -> Store:
    return open_store(StoreURL.parse(f"file://{folder}/"), LocalConnection(roots=(str(folder),)))


def key_of(path: Path) -> str:
    return str(path).lstrip("/")


def convert(folder: Path, content: bytes | str, name: str = "file.csv", *, rejects: Path | None = None, **options: Any) -> Conversion:
    """Write a file below `folder`, convert it in place and read the result."""
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return convert_file(path, folder, rejects=rejects, **options)


def convert_file(path: Path, folder: Path, *, rejects: Path | None = None, **options: Any) -> Conversion:
    store = local_store(folder)
    target = folder / Path(target_name(path.name)).name
    info = store.stat(key_of(path))
    done = convert_object(store, info, store, key_of(target), ConvertOptions(**options), overwrite=True, rejects=rejects)
    return Conversion(done, pq.read_table(target))
