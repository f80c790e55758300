"""Bringing an Iceberg table over as the engine does it, for the tests of its parts: files on this machine, each step by hand."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

from pyiceberg.io import FileIO, load_file_io
from pyiceberg.table import StaticTable

from portal.connections import LocalConnection
from portal.lake.iceberg.comparing import Side, SnapshotCompared, compare
from portal.lake.iceberg.files import Files
from portal.lake.iceberg.history import History
from portal.lake.iceberg.paths import Paths, read_path
from portal.lake.iceberg.rewriting import Rewriting, Rewritten
from portal.lake.iceberg.walk import Walked, walk
from portal.stores.opening import open_store
from portal.stores.url import StoreURL


def quiet() -> None:
    """Nobody cancels."""


def local_files(root: Path) -> Files:
    return Files(lambda url: open_store(url, LocalConnection(roots=(str(root),))))


def file_io() -> FileIO:
    """pyiceberg's own, of this machine."""
    return load_file_io({}, "file:///")


class Copying:
    """One table's way from its metadata file to a folder below `root`."""

    def __init__(self, root: Path, metadata_path: str, *, target: str = "target", job: str = "job") -> None:
        self.root, self.metadata_path = root, metadata_path
        self.folder = root / job
        self.folder.mkdir(exist_ok=True)
        self.target = StoreURL.parse(f"file://{root}/{target}")
        self.source_files, self.target_files = local_files(root), local_files(root)
        self.told: list[tuple[int, int]] = []
        self.opened: list[Walked] = []

    def walk(self, history: str = "all", known: Collection[int] = ()) -> Walked:
        self.walked = walk(self.source_files, self.metadata_path, History.parse(history), self.folder, quiet, known=known, workers=2)
        self.opened.append(self.walked)
        self.paths = Paths(self.walked.metadata["location"], self.target)
        return self.walked

    def move(self) -> list[str]:
        """What the transfer code does; returns the names below the target."""
        names = []
        for file in self.walked.moved():
            place = Path("/" + self.paths.url(file.path).key)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy("/" + read_path(file.path).key, place)
            names.append(self.paths.name(file.path))
        return names

    def rewrite(self) -> Rewritten:
        tell = lambda done, total: self.told.append((done, total))  # noqa: E731
        files = (self.source_files, self.target_files)
        self.written = Rewriting(self.walked, *files, self.paths, self.folder, quiet, tell, workers=2).run()
        return self.written

    def compare(self, *, rows: bool = True, snapshots: Collection[int] | None = None) -> list[SnapshotCompared]:
        io = file_io()
        source, target = Side(self.metadata_path, io), Side(self.written.metadata_location, io)
        return compare(source, target, self.paths, snapshots=snapshots, rows=rows, check=quiet, tell=lambda done, total: None)

    def run(self, history: str = "all", known: Collection[int] = ()) -> StaticTable:
        """All of it; returns the target as pyiceberg sees it."""
        self.walk(history, known)
        self.move()
        self.rewrite()
        return StaticTable.from_metadata(self.written.metadata_location)

    def close(self) -> None:
        for walked in self.opened:
            walked.close()


def values(table: Any, snapshot_id: int | None = None) -> Any:
    """All rows, by their ids."""
    return table.scan(snapshot_id=snapshot_id).to_arrow().sort_by("id")
