"""A table that was brought over once, and then something happens: to its source, to its files at the target, to what it says of itself."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy
from pyiceberg.table import Table
from pyiceberg.transforms import IdentityTransform

from portal.lake.catalogs.sql import SqlTables
from portal.lake.migrating.stamp import is_after
from tests.iceberg_lake import Lake, between_folders
from tests.iceberg_tables import rows


@pytest.fixture
def here(home: Path) -> Iterator[Lake]:
    with between_folders(home) as found:
        yield found


def place(path: str) -> Path:
    return Path(path.removeprefix("file://"))


def files_of(table: Table) -> list[Path]:
    """The data files of the current snapshot, in order of their names."""
    return sorted(place(one.file.file_path) for one in table.scan().plan_files())


def rewritten(here: Lake, **changes: Any) -> Table:
    """Let the source have another metadata file, as another program would commit it; None takes a field away."""
    old = here.base.load_table("sales.orders").metadata_location
    told = {**json.loads(place(old).read_text()), **changes}
    fresh = place(old).with_name(f"00099-{uuid.uuid4()}.metadata.json")
    fresh.write_text(json.dumps({name: value for name, value in told.items() if value is not None}))
    with here.base.engine.begin() as base:
        base.execute(sqlalchemy.text("UPDATE iceberg_tables SET metadata_location = :new WHERE table_name = 'orders'"), {"new": fresh.as_uri()})
    return here.base.load_table("sales.orders")


def outcome(ran: Any) -> str:
    return str(ran.result["report"]["tables"][0]["outcome"])


# the source's location


@pytest.mark.parametrize("append", [False, True])
def test_a_source_that_gets_another_location_keeps_its_names_at_the_target(here: Lake, append: bool) -> None:
    made = here.table()
    os.utime(files_of(made)[0], (ahead := datetime.now(UTC).timestamp() + 3600, ahead))  # by a clock that is ahead: its copy is not taken for another
    assert here.run().code == 0
    before = {one.snapshot_id: one.manifest_list for one in here.arrived().snapshots()}
    made = rewritten(here, location=made.location() + "_moved")
    if append:
        made.append(rows(500, 7))
    ran = here.run(check="rows")
    assert ran.code == 0 and outcome(ran) == "done", ran.error
    here.equal()
    now = {one.snapshot_id: one.manifest_list for one in here.arrived().snapshots()}
    assert before.items() <= now.items()
    assert outcome(here.run(check="rows")) == "unchanged"
    made.append(rows(600, 2))
    ran = here.run(check="rows")
    assert ran.code == 0 and ran.result["report"]["tables"][0]["reason"] == "1 new snapshots"
    here.equal()
    assert outcome(here.run(check="rows")) == "unchanged"


def test_names_that_are_not_the_ones_at_the_target_are_never_committed(here: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the stamp says: snapshots that are there keep their manifest lists, or the table stays as it is."""
    made = here.table()
    assert here.run().code == 0
    rewritten(here, location=made.location() + "_moved")
    monkeypatch.setattr("portal.lake.migrating.stamp.property_of", lambda metadata, name: _without_location(metadata, name))
    ran = here.run(check="none")
    assert ran.code == 1 and "other names" in ran.error["message"], ran.error
    assert here.arrived().scan().to_arrow().num_rows == 20


def _without_location(metadata: dict[str, Any], name: str) -> str:
    return "" if name.endswith("-location") else str(metadata.get("properties", {}).get(name, ""))


# files that are not what manifests say


def test_two_files_of_a_wrong_size_whose_sum_is_right_fail_the_table(here: Lake) -> None:
    first, second = files_of(here.table())
    shorter, longer = first.read_bytes()[:-4], second.read_bytes() + b"PAR1"
    first.write_bytes(shorter)
    second.write_bytes(longer)
    ran = here.run()
    assert ran.code == 1 and f"has {len(shorter):,} bytes, and its manifest says {len(shorter) + 4:,}" in ran.error["message"], ran.error
    assert not here.files()


# files at the target


DAMAGES = [(damage, append) for damage in ("gone", "cut off", "manifest", "list") for append in (False, True)]
DAMAGES += [("of its size", False), ("of its size", True), ("manifest of its size", False), ("list of its size", True)]


@pytest.mark.parametrize(("damage", "append"), DAMAGES)
def test_what_was_lost_at_the_target_is_brought_again(here: Lake, damage: str, append: bool) -> None:
    made = here.table()
    assert here.run().code == 0
    arrived = here.arrived()
    snapshot = arrived.current_snapshot()
    assert snapshot
    if damage.startswith(("manifest", "list")):
        path = place(snapshot.manifests(arrived.io)[0].manifest_path if damage.startswith("manifest") else snapshot.manifest_list)
    else:
        path = files_of(arrived)[0]
    if damage == "cut off":
        path.write_bytes(path.read_bytes()[:-9])
    elif damage.endswith("of its size"):  # a data file's bytes are looked at by nobody, a manifest's are read
        path.write_bytes(bytes(path.stat().st_size) if damage == "of its size" else path.read_bytes())
    else:
        path.unlink()
    if append:
        made.append(rows(50, 2))
    ran = here.run()
    assert ran.code == 0 and outcome(ran) == "done", ran.error
    reason = ran.result["report"]["tables"][0]["reason"]
    assert path.name in reason and "brought again" in reason
    here.equal()
    assert outcome(here.run()) == "unchanged"


def test_seconds_that_one_store_counts_and_another_does_not_make_no_false_alarm() -> None:
    """S3's HEAD has whole seconds; a listing of MinIO's has finer ones."""
    at = datetime(2026, 1, 31, 12, 0, 5, tzinfo=UTC)
    assert not is_after(at.replace(microsecond=999_000), at) and is_after(at.replace(second=6), at)
    assert is_after(at.replace(microsecond=2), at.replace(microsecond=1)) and not is_after(at, at.replace(microsecond=1))


def test_what_was_lost_at_both_sides_is_told(here: Lake) -> None:
    made = here.table()
    assert here.run().code == 0
    for one in (files_of(here.arrived())[0], files_of(made)[0]):
        one.unlink()
    ran = here.run()
    assert ran.code == 1 and "1 of the table's files cannot be read" in ran.error["message"], ran.error
    made.append(rows(50, 2))
    assert here.run(check="none").code == 0, "who asks for no check gets none"


def test_a_file_that_goes_while_rows_are_compared_is_told_in_words(here: Lake) -> None:
    made = here.table()
    assert here.run(check="none").code == 0
    gone = files_of(made)[0]
    gone.unlink()
    made.append(rows(50, 2))
    ran = here.run(check="rows")
    assert ran.code == 1 and "not known" not in ran.error["message"] and gone.name in ran.error["message"], ran.error


# what a table says of itself


def test_an_odd_but_legal_table_arrives_and_what_is_gone_of_it_that_nobody_needs_is_left_out(here: Lake) -> None:
    """Format 1, names with dots and slashes, files under hashes, an earlier metadata file and statistics that are gone."""
    odd = pa.table({"id": pa.array([1, 2], pa.int64()), "a.b": ["x.y", None], "ä /`": [1.5, None]})
    here.base.create_namespace("sales")
    made = here.base.create_table("sales.orders", odd.schema, properties={"format-version": "1", "write.object-storage.enabled": "true"})
    with made.update_spec() as spec:
        spec.add_field("a.b", IdentityTransform(), "a.b.c")
    made.append(odd)
    made.manage_snapshots().create_branch(made.snapshots()[0].snapshot_id, "feature/x.y").commit()
    made.append(odd)
    first = place(made.metadata.metadata_log[0].metadata_file)
    snapshot = made.snapshots()[-1].snapshot_id
    sizes = {"file-size-in-bytes": 9, "file-footer-size-in-bytes": 5, "blob-metadata": []}
    gone = {"snapshot-id": snapshot, "statistics-path": f"{made.location()}/metadata/gone.stats", **sizes}
    there = {**gone, "statistics-path": f"{made.location()}/metadata/there.stats"}
    place(there["statistics-path"]).write_bytes(b"123456789")
    rewritten(here, statistics=[gone, there], **{"snapshot-log": []})
    first.unlink()
    ran = here.run(check="rows")
    assert ran.code == 0, ran.error
    here.equal()
    assert "feature/x.y" in here.arrived().metadata.refs
    assert [place(one.statistics_path).read_bytes() for one in here.arrived().metadata.statistics] == [b"123456789"]
    assert "1 statistics files are gone at the source" in ran.result["report"]["tables"][0]["facts"]["notes"][0]
    assert outcome(here.run()) == "unchanged"


@pytest.mark.parametrize("check", ["counts", "none"])
def test_a_table_without_a_uuid_is_refused(here: Lake, check: str) -> None:
    here.table(properties={"format-version": "1"})
    rewritten(here, **{"table-uuid": None})
    ran = here.run(check=check)
    assert ran.code == 1 and "has no table-uuid" in ran.error["message"], ran.error
    assert not here.files()


# somebody else at the same time


def test_who_loses_the_race_to_register_is_told_in_words(here: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    here.table()
    register = SqlTables.register

    def late(self: SqlTables, name: Any, location: str) -> str:
        with monkeypatch.context() as patch:
            patch.setattr(SqlTables, "register", register)
            assert here.run().code == 0
        return register(self, name, location)

    monkeypatch.setattr(SqlTables, "register", late)
    ran = here.run()
    assert ran.code == 1 and "was registered in the catalog" in ran.error["message"], ran.error
    assert "Integrity" not in json.dumps(ran.result)
    here.equal()


# properties


def test_properties_that_were_set_at_the_target_stay(here: Lake) -> None:
    made = here.table(properties={"owner": "etl", "retired": "soon"})
    assert here.run().code == 0
    theirs = {"theirs": "kept", "comment": "by analysts", "write.data.path": "file:///their/own"}
    with here.arrived().transaction() as change:
        change.set_properties({**theirs, "owner": "analysts"})
    with made.transaction() as change:
        change.remove_properties("retired")
        change.set_properties({"fresh": "one"})
    for number in (1, 2):
        made.append(rows(100 * number, 3))
        ran = here.run()
        assert ran.code == 0, ran.error
        found = here.arrived().properties
        assert theirs.items() <= found.items()
        assert found["owner"] == "etl" and found["fresh"] == "one" and "retired" not in found, "what the source has is the source's"
