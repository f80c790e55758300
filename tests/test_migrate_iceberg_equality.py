"""Tables with equality deletes, as Flink writes them, arrive whole, and all of them is proven though pyiceberg cannot read them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyiceberg.manifest import DataFileContent
from pyiceberg.table import Table

from portal.lake.iceberg.refusals import TablesDiffer
from tests import iceberg_tables
from tests.iceberg_copies import Copying
from tests.iceberg_equality import applied, upsert
from tests.iceberg_lake import Lake, between_folders
from tests.iceberg_tables import rows


@pytest.fixture
def here(home: Path) -> Iterator[Lake]:
    with between_folders(home) as found:
        yield found


def entries(table: Table, location: str) -> list[tuple[Any, ...]]:
    """What the current snapshot's manifests say, with the paths below the table's location."""
    snapshot = table.current_snapshot()
    assert snapshot
    found = []
    for manifest in snapshot.manifests(table.io):
        for entry in manifest.fetch_manifest_entry(table.io):
            file = entry.data_file
            size = 0 if file.content == DataFileContent.POSITION_DELETES else file.file_size_in_bytes
            assert file.file_path.startswith(f"{location}/")
            told = (file.content, file.file_path[len(location) :], file.record_count, size, file.equality_ids)
            found.append((manifest.sequence_number, entry.sequence_number, entry.file_sequence_number, entry.snapshot_id, *told))
    return sorted(found, key=str)


def same(here: Lake) -> None:
    source, target = here.base.load_table("sales.orders"), here.arrived()
    assert entries(target, target.location()) == entries(source, source.location())
    for snapshot in source.snapshots():
        assert applied(target, snapshot.snapshot_id) == applied(source, snapshot.snapshot_id) != []


def test_upserts_arrive_with_their_sequence_numbers_and_each_snapshot_has_the_rows_it_had(here: Lake) -> None:
    made = here.table(properties={"format-version": "2"})
    upsert(made, 5, 5)
    assert len(applied(made, made.snapshots()[-1].snapshot_id)) == 20 - 1, "five rows replaced, and the last one of those deleted"
    upsert(made, 0, 8)
    ran = here.run(check="rows")
    assert ran.code == 0, ran.error
    same(here)
    told = ran.result["report"]["tables"][0]
    assert told["rows"] is None, "nobody has counted them"
    read, unread = told["facts"]["snapshots"][:2], told["facts"]["snapshots"][2:]
    assert [one["rows_compared"] for one in read] == [10, 20]
    assert [one["files_compared"] for one in unread] == [4, 2] and all("equality deletes" in one["rows_unread"] for one in unread)
    made.append(rows(100, 5))
    upsert(made, 100, 2)
    again = here.run(check="rows")
    assert again.counts["snapshots"] == 2 and again.counts["files"] == 4, again.result
    same(here)
    assert here.run(check="rows").counts["unchanged"] == 1


@pytest.mark.parametrize("ending", ["-eq.parquet", ".parquet"])
def test_bytes_that_are_others_are_seen_where_rows_cannot_be_read(tmp_path: Path, ending: str) -> None:
    base = iceberg_tables.catalog(tmp_path, f"file://{tmp_path}/wh")
    made = iceberg_tables.table(base, "sales.orders", snapshots=1)
    upsert(made, 0, 5)
    copying = Copying(tmp_path, made.metadata_location)
    copying.run()
    assert [(one.rows, one.files) for one in copying.compare()] == [(10, 0), (None, 3)]
    path = min((tmp_path / "target").rglob(f"*{ending}"), key=lambda one: len(one.name))
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data)
    copying.compare(rows=False)
    with pytest.raises(TablesDiffer, match=rf"{path.name} is not the copy of .* from byte 0 on"):
        copying.compare()
    copying.close()
    base.engine.dispose()
