"""A source catalog, a target catalog and what moves tables from one to the other, for the tests of that."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.table import Table

from engines import migrate_iceberg
from portal import settings
from portal.connections import Connections
from portal.context import JobContext
from portal.engine import execute
from portal.lake.iceberg.paths import read_path
from portal.redact import Redactor
from portal.stores.base import Store
from portal.stores.opening import open_store
from portal.stores.url import StoreURL
from tests import iceberg_tables
from tests.transferring import Ran, keys


@dataclass
class Lake:
    """A source catalog and a target catalog, both made by pyiceberg itself, and a home that leads to them."""

    home: Path
    base: SqlCatalog
    target: Any
    warehouse: str
    source: Store
    store: Store
    """Where the target's files are."""
    runs: int = 0

    def table(self, name: str = "sales.orders", **options: Any) -> Table:
        made: Table = iceberg_tables.table(self.base, name, **options)
        return made

    def context(self, **options: Any) -> JobContext:
        self.runs += 1
        folder = self.home / "logs" / f"run-{self.runs}"
        folder.mkdir()
        return JobContext(f"run-{self.runs}", folder, settings.load(self.home), **options)

    def run(self, *tables: str, job: JobContext | None = None, **params: Any) -> Ran:
        given = {"catalog": "old", "target_catalog": "lake", "tables": list(tables or ["sales.*"]), "processes": 1, **params}
        job = job or self.context()
        code = execute(migrate_iceberg.Params, migrate_iceberg.run, given, job, Redactor(["testing-secret"]))
        return Ran(code, json.loads((job.folder / f"result-{job.attempt}.json").read_text()), job)

    def files(self, below: str = "") -> list[str]:
        """Keys of the target's files."""
        return keys(self.store, f"{read_path(self.warehouse).key}/{below}")

    def arrived(self, name: str = "sales.orders") -> Table:
        """The table as pyiceberg reads it at the target, without anything of ours."""
        return self.target.load_table(name)

    def equal(self, name: str = "sales.orders") -> None:
        """Every snapshot has the same rows on both sides."""
        source, target = self.base.load_table(name), self.arrived(name)
        assert [one.snapshot_id for one in target.snapshots()] == [one.snapshot_id for one in source.snapshots()]
        assert target.metadata.refs == source.metadata.refs
        for snapshot in source.snapshots():
            ours, theirs = (one.scan(snapshot_id=snapshot.snapshot_id).to_arrow().sort_by("id") for one in (target, source))
            assert ours.equals(theirs)
            assert all(file.file.file_path.startswith(target.location()) for file in target.scan(snapshot_id=snapshot.snapshot_id).plan_files())


@contextmanager
def between_folders(home: Path) -> Iterator[Lake]:
    """From folder to folder: for what has nothing to do with stores."""
    warehouse = (home / "data" / "lake").as_uri()
    iceberg_tables.two_catalogs(home, warehouse)
    base, target = iceberg_tables.catalog(home / "old", (home / "data" / "old").as_uri()), iceberg_tables.catalog(home / "lake", "")
    store = open_store(StoreURL("file", ""), Connections.load(settings.load(home)).get("local"))
    yield Lake(home, base, target, warehouse, store, store)
    base.engine.dispose()
    target.engine.dispose()
