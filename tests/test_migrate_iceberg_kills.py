"""Whatever ends a migration of Iceberg tables, and wherever: readers see the state before or the state after, and the next attempt goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.manifest import DataFile

from embedded import processes
from engines import migrate_iceberg
from portal import settings
from portal.context import JobContext
from portal.engine import execute
from portal.lake.catalogs.sql import SqlTables
from portal.lake.iceberg.inventory import Inventory
from portal.lake.iceberg.rewriting import Rewriting
from portal.lake.migrating.table import TableMigration
from portal.lake.migrating.tables import Tables
from portal.ledger.journal import Journal
from portal.redact import Redactor
from portal.stores.local import LocalWriter
from portal.transfer.migration import Migration
from tests import iceberg_tables
from tests.iceberg_tables import rows


class Died(BaseException):
    """The process ended here, for all that the code knows."""


def dying(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, *, at: int = 1, after: bool = False) -> None:
    """Let the process die at a call of a function, before or after it did its work."""
    original: Callable[..., Any] = getattr(owner, name)
    calls = iter(range(1, 1_000_000))

    def call(*arguments: Any, **options: Any) -> Any:
        mine = next(calls) == at
        if mine and not after:
            raise Died
        found = original(*arguments, **options)
        if mine:
            raise Died
        return found

    monkeypatch.setattr(owner, name, call)


def dying_in_the_metadatas_upload(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it is sent, and it has no name yet."""
    commit = LocalWriter.commit

    def call(self: LocalWriter, **options: Any) -> Any:
        if self._key.endswith(".metadata.json"):
            raise Died
        return commit(self, **options)

    monkeypatch.setattr(LocalWriter, "commit", call)


DEATHS = {
    "while the table is walked": partial(dying, owner=Inventory, name="add_files", at=2),
    "before the files are moved": partial(dying, owner=Migration, name="move"),
    "while the files are moved": partial(dying, owner=Journal, name="begin", after=True),
    "after the files were moved": partial(dying, owner=Migration, name="move", after=True),
    "while manifests are written": partial(dying, owner=Rewriting, name="_copy_manifest", after=True),
    "before the manifest list": partial(dying, owner=Rewriting, name="_copy_list"),
    "in the metadata's upload": dying_in_the_metadatas_upload,
    "with the metadata written": partial(dying, owner=Rewriting, name="run", after=True),
    "before the commit": partial(dying, owner=TableMigration, name="_committed"),
    "in the commit": partial(dying, owner=SqlTables, name="replace"),
    "after the commit": partial(dying, owner=SqlTables, name="replace", after=True),
}


@pytest.fixture
def local(home: Path) -> Iterator[tuple[SqlCatalog, SqlCatalog]]:
    """A source and a target on this machine, and a home that leads to both."""
    data = home / "data"
    iceberg_tables.two_catalogs(home, (data / "lake" / "wh").as_uri())
    source, target = (iceberg_tables.catalog(home / name, (data / name / "wh").as_uri()) for name in ("old", "lake"))
    yield source, target
    source.engine.dispose()
    target.engine.dispose()


def ids(catalog: SqlCatalog, name: str = "sales.orders") -> list[int]:
    """The rows that readers see, all of them read."""
    return sorted(catalog.load_table(name).scan().to_arrow()["id"].to_pylist())


def run(home: Path, job_id: str, attempt: int = 1, tables: str = "sales.orders") -> int:
    """Run the engine in this process, as an attempt at a job."""
    folder = home / "logs" / job_id
    folder.mkdir(exist_ok=True)
    job = JobContext(job_id, folder, settings.load(home), attempt=attempt)
    params = {"catalog": "old", "target_catalog": "lake", "tables": [tables], "processes": 1}
    return execute(migrate_iceberg.Params, migrate_iceberg.run, params, job, Redactor())


def test_a_death_at_any_step_leaves_the_state_before_and_the_next_attempt_goes_on(
    home: Path, local: tuple[SqlCatalog, SqlCatalog], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = local
    made = iceberg_tables.table(source, "sales.orders")
    assert run(home, "first") == 0
    seen = ids(target)
    for number, (when, die) in enumerate(DEATHS.items()):
        made.append(rows(1000 + number * 10, 3))
        with monkeypatch.context() as patch:
            die(patch)
            with pytest.raises(Died):
                run(home, f"job{number}")
        assert ids(target) == (ids(source) if when == "after the commit" else seen), when
        assert run(home, f"job{number}", attempt=2) == 0, when
        seen = ids(target)
        assert seen == ids(source), when
    assert [one.snapshot_id for one in target.load_table("sales.orders").snapshots()] == [one.snapshot_id for one in made.snapshots()]


@pytest.mark.parametrize(("die", "arrived"), [
    (partial(dying, owner=SqlTables, name="register"), []),
    (partial(dying, owner=SqlTables, name="register", after=True), ["a"]),
    (partial(dying, owner=Tables, name="_one", after=True), ["a"]),
    (partial(dying, owner=SqlTables, name="create_namespace", at=2), ["a"]),
])  # fmt: skip
def test_a_death_between_tables_leaves_those_that_were_whole(
    home: Path, local: tuple[SqlCatalog, SqlCatalog], monkeypatch: pytest.MonkeyPatch, die: Callable[..., None], arrived: list[str]
) -> None:
    source, target = local
    for name in ("a", "b"):
        iceberg_tables.table(source, f"sales.{name}", snapshots=1)
    with monkeypatch.context() as patch:
        die(patch)
        with pytest.raises(Died):
            run(home, "job", tables="sales.*")
    assert [name for _, name in target.list_tables("sales")] == arrived
    for job, attempt in (("job", 2), ("another job", 1)):
        assert run(home, job, attempt, "sales.*") == 0
        told = json.loads((home / "logs" / job / f"result-{attempt}.json").read_text())
        assert told["report"]["arrived"] == ["sales.a", "sales.b"]
        assert [ids(target, name) for name in ("sales.a", "sales.b")] == [ids(source, name) for name in ("sales.a", "sales.b")]
    assert told["counts"]["unchanged"] == 2


def test_a_death_while_what_was_lost_is_brought_again_leaves_it_to_the_next(
    home: Path, local: tuple[SqlCatalog, SqlCatalog], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = local
    iceberg_tables.table(source, "sales.orders")
    assert run(home, "first") == 0
    for number, (owner, name) in enumerate(((Migration, "move"), (Rewriting, "_copy_manifest"), (SqlTables, "replace"))):
        path = Path(next(iter(target.load_table("sales.orders").scan().plan_files())).file.file_path.removeprefix("file://"))
        path.write_bytes(bytes(path.stat().st_size))
        with monkeypatch.context() as patch:
            dying(patch, owner, name, after=owner is not SqlTables)
            with pytest.raises(Died):
                run(home, f"job{number}")
        for job in (f"job{number}", f"next{number}"):
            assert run(home, job, attempt=2) == 0
        told = json.loads((home / "logs" / f"next{number}" / "result-2.json").read_text())
        assert told["counts"]["unchanged"] == 1, "it was brought again by the attempt, and is whole"
        assert ids(target) == ids(source)


def many_files(source: SqlCatalog, folder: Path, count: int, manifests: int) -> None:
    """Make `sales.orders` of so many small files, written as many manifests, without writing each file with pyiceberg."""
    made = iceberg_tables.table(source, "sales.orders", snapshots=1)
    template: DataFile = next(iter(made.scan().plan_files())).file
    first = Path(template.file_path.removeprefix("file://"))
    folder.mkdir(parents=True)
    for part in range(manifests):
        with made.transaction() as transaction, transaction.update_snapshot().fast_append() as append:
            for number in range(part, count, manifests):
                place = folder / f"{number:06}.parquet"
                os.link(first, place)
                append.append_data_file(another(template, place.as_uri()))


def another(template: DataFile, path: str) -> DataFile:
    """The same file under another path."""
    fields = {name: getattr(template, name) for name in (
        "content", "file_format", "partition", "record_count", "file_size_in_bytes", "column_sizes", "value_counts", "null_value_counts",
        "lower_bounds", "upper_bounds", "split_offsets", "sort_order_id",
    )}  # fmt: skip
    found = DataFile.from_args(file_path=path, nan_value_counts={}, equality_ids=None, key_metadata=None, **fields)
    found.spec_id = template.spec_id
    return found


def started(home: Path, job_id: str) -> subprocess.Popen[bytes]:
    """Begin a job in a process of its own."""
    code = f"import sys, pathlib; from tests.test_migrate_iceberg_kills import run; sys.exit(run(pathlib.Path({str(home)!r}), {job_id!r}))"
    environment = processes.clean_environment(PORTAL_HOME=str(home))
    with (home / "killed.log").open("wb") as log:
        return subprocess.Popen([sys.executable, "-c", code], cwd=processes.ROOT, env=environment, stdout=log, stderr=log, start_new_session=True)


def memory_kib(what: str) -> int:
    """`VmRSS` is what this process has, `VmHWM` the most that it had since `forget_peak`."""
    found = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(what))
    return int(found.split()[1])


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def test_ten_thousand_files_go_over_in_flat_memory_and_a_kill_in_between_costs_nothing(
    home: Path, local: tuple[SqlCatalog, SqlCatalog]
) -> None:
    source, target = local
    many_files(source, home / "data" / "many", 10_000, 5)
    arrived = home / "data" / "lake" / "wh" / "sales" / "orders" / "elsewhere" / "file"
    killed = started(home, "many")
    while killed.poll() is None and not any(arrived.rglob("00010*.parquet")):
        time.sleep(0.05)
    os.killpg(killed.pid, signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert not target.namespace_exists("sales")
    before = memory_kib("VmRSS")
    forget_peak()
    assert run(home, "many", attempt=2) == 0
    grown_mib = (memory_kib("VmHWM") - before) / 1024
    assert len(list(arrived.rglob("*.parquet"))) == 10_000
    found = pq.ParquetFile(home / "logs" / "many" / "ledger.parquet").read(["source_key"])["source_key"].to_pylist()
    assert len(found) == len(set(found)) == 10_001
    assert target.load_table("sales.orders").current_snapshot().summary["total-records"] == "100010"
    assert grown_mib < 150, f"{grown_mib:.0f} MiB for ten thousand files"
