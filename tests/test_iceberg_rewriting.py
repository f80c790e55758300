"""A table that is walked, moved and written for another place is the same table: every snapshot, every row, whatever happened on the way."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.table import StaticTable
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import StringType

from portal.errors import Unreachable
from portal.lake.iceberg import walk as walking
from portal.lake.iceberg.comparing import Side, compare
from portal.lake.iceberg.containers import Container, Record
from portal.lake.iceberg.files import Files, Fresh
from portal.lake.iceberg.history import History
from portal.lake.iceberg.inventory import Inventory
from portal.lake.iceberg.metadata import metadata_at
from portal.lake.iceberg.paths import Paths, read_path
from portal.lake.iceberg.reading import parsed
from portal.lake.iceberg.refusals import TableBroken, TableRefused, TablesDiffer, TargetIncomplete
from portal.stores.url import StoreURL
from tests.iceberg_copies import Copying, file_io, local_files, quiet, values
from tests.iceberg_tables import catalog, rows
from tests.iceberg_tables import table as new_table

ATTRIBUTES = pa.schema([("id", pa.int64()), ("name", pa.string()), ("day", pa.date32())])


@pytest.fixture
def base(tmp_path: Path) -> Any:
    return catalog(tmp_path, f"file://{tmp_path}/warehouse")


def evolved(base: Any) -> Any:
    """Six snapshots: another column, another partitioning, deletes by copy-on-write, a tag, a branch."""
    table = new_table(base, "sales.orders", snapshots=2)
    with table.update_schema() as schema:
        schema.add_column("note", StringType())
    with table.update_spec() as spec:
        spec.add_field("note", IdentityTransform(), "kind")
    table.append(rows(20, 10).append_column("note", pa.array(["x"] * 10)))
    table.delete("id < 5")
    table.overwrite(rows(100, 5).append_column("note", pa.array(["y"] * 5)), overwrite_filter="id > 24")
    first, second, *_ = table.snapshots()
    table.manage_snapshots().create_tag(first.snapshot_id, "v1").create_branch(second.snapshot_id, "audit").commit()
    return base.load_table("sales.orders")


@pytest.fixture
def orders(base: Any) -> Any:
    return evolved(base)


@pytest.fixture
def copying(tmp_path: Path, orders: Any) -> Iterator[Copying]:
    made = Copying(tmp_path, orders.metadata_location)
    yield made
    made.close()


def metadata_files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.suffix in (".avro", ".json"))


def texts(path: Path) -> bytes:
    """Everything that a metadata file says, unpacked."""
    if path.suffix == ".json":
        return path.read_bytes()
    with path.open("rb") as stream:
        return repr(list(Container(stream, path.name).records())).encode()


def test_every_snapshot_is_the_same_and_nothing_leads_back_to_the_source(tmp_path: Path, orders: Any, copying: Copying) -> None:
    target = copying.run()
    compared = copying.compare()
    expected = {snapshot.snapshot_id: values(orders, snapshot.snapshot_id) for snapshot in orders.snapshots()}
    assert [one.snapshot_id for one in compared] == list(expected) and [one.rows for one in compared] == [len(one) for one in expected.values()]
    for path in metadata_files(tmp_path / "target"):
        assert b"/warehouse/" not in texts(path), path
    shutil.rmtree(tmp_path / "warehouse")
    for snapshot_id, table in expected.items():
        assert values(target, snapshot_id).equals(table)
    assert target.refs().keys() == {"main", "v1", "audit"} and target.metadata.refs == orders.metadata.refs
    assert target.specs() == orders.specs() and target.schemas() == orders.schemas() and target.metadata.snapshot_log == orders.metadata.snapshot_log
    assert copying.told[-1][0] == copying.told[-1][1] == len(copying.told)


def test_the_target_goes_on_living(base: Any, copying: Copying) -> None:
    copying.run()
    table = base.register_table("sales.copied", copying.written.metadata_location)
    table.append(rows(900, 7).append_column("note", pa.array(["n"] * 7)))
    table.delete("id < 10")
    assert sorted(table.scan().to_arrow()["id"].to_pylist())[:1] == [10] and len(table.scan().to_arrow()) == 27
    assert table.location() == f"file://{copying.root}/target"


def test_the_same_again_finds_the_same_metadata_file(tmp_path: Path, copying: Copying, orders: Any) -> None:
    copying.run()
    names = {path: path.read_bytes() for path in metadata_files(tmp_path / "target")}
    again = Copying(tmp_path, orders.metadata_location, job="again")
    again.run()
    again.close()
    assert {path: path.read_bytes() for path in metadata_files(tmp_path / "target")} == names


@pytest.mark.parametrize(("history", "snapshots", "refs"), [("current", 1, {"main"}), ("since {1}", 5, {"main", "audit"})])
def test_less_history_moves_fewer_files_and_is_still_a_table(copying: Copying, orders: Any, history: str, snapshots: int, refs: set[str]) -> None:
    known = orders.snapshots()
    target = copying.run(history.format(*(snapshot.snapshot_id for snapshot in known)))
    assert [one.snapshot_id for one in copying.compare()] == [one.snapshot_id for one in known[-snapshots:]]
    assert target.refs().keys() == refs and values(target).equals(values(orders))
    alive = {file["file_path"] for file in orders.inspect.all_data_files().to_pylist()}
    moved = {file.path for file in copying.walked.moved()}
    assert moved == {task.file.file_path for one in known[-snapshots:] for task in orders.scan(snapshot_id=one.snapshot_id).plan_files()}
    assert moved <= alive and (moved < alive) == (history == "current") and copying.walked.notes


def test_a_second_run_brings_only_what_is_new_and_touches_nothing_that_is_there(tmp_path: Path, copying: Copying, orders: Any) -> None:
    copying.run()
    before = {path: path.stat().st_ino for path in (tmp_path / "target").rglob("*") if path.is_file()}
    known = [snapshot.snapshot_id for snapshot in orders.snapshots()]
    orders.append(rows(500, 3).append_column("note", pa.array(["z"] * 3)))
    orders.delete("id < 15")
    again = Copying(tmp_path, orders.metadata_location, job="again")
    target = again.run(known=known)
    assert [snapshot["snapshot-id"] for snapshot in again.walked.snapshots] == [one.snapshot_id for one in orders.snapshots()][len(known) :]
    assert len(again.walked.snapshots) == again.written.lists and len(list(again.walked.moved())) == 2
    assert {path: path.stat().st_ino for path in before} == before
    new = [snapshot["snapshot-id"] for snapshot in again.walked.snapshots]
    assert [one.snapshot_id for one in again.compare(snapshots=new)] == new and len(again.compare()) == len(orders.snapshots())
    assert values(target).equals(values(orders))
    again.close()


def test_a_second_run_that_died_before_its_commit_is_done_again_without_writing_over(tmp_path: Path, copying: Copying, orders: Any) -> None:
    copying.run()
    known = [snapshot.snapshot_id for snapshot in orders.snapshots()]
    orders.append(rows(500, 3).append_column("note", pa.array(["z"] * 3)))
    for job in ("second", "third"):
        again = Copying(tmp_path, orders.metadata_location, job=job)
        again.run(known=known)
        again.close()
        files = {path: path.stat().st_ino for path in (tmp_path / "target" / "metadata").glob("*.avro")}
        if job == "second":
            written = files
    assert files == written


def test_manifests_that_were_merged_name_old_files_which_do_not_go_over_again(tmp_path: Path, copying: Copying, orders: Any) -> None:
    copying.run()
    known = [snapshot.snapshot_id for snapshot in orders.snapshots()]
    with orders.transaction() as change:
        change.set_properties({"commit.manifest-merge.enabled": "true", "commit.manifest.min-count-to-merge": "1"})
    orders.append(rows(500, 3).append_column("note", pa.array(["z"] * 3)))
    statuses = {entry["status"] for manifest in manifests_of(orders) for entry in Container(io.BytesIO(manifest.read_bytes()), "m").records()}
    assert statuses >= {0, 1}, "one that is carried along, and a new one"
    again = Copying(tmp_path, orders.metadata_location, job="again")
    target = again.run(known=known)
    assert len(list(again.walked.moved())) == 1
    again.compare()
    assert values(target).equals(values(orders))
    again.close()


def test_what_an_earlier_run_brought_and_somebody_removed_is_told(tmp_path: Path, copying: Copying, orders: Any) -> None:
    copying.run()
    known = [snapshot.snapshot_id for snapshot in orders.snapshots()]
    orders.append(rows(500, 3).append_column("note", pa.array(["z"] * 3)))
    for path in (tmp_path / "target" / "metadata").glob("*-m*.avro"):
        path.unlink()
    again = Copying(tmp_path, orders.metadata_location, job="again")
    with pytest.raises(TargetIncomplete, match="is gone, which an earlier run brought"):
        again.run(known=known)
    again.close()


class Dying(Files):
    """Files of which only so many more can be written."""

    def __init__(self, root: Path, writes: int) -> None:
        super().__init__(local_files(root).store)
        self.left = writes

    def create(self, url: StoreURL, size_bytes: int | None = None) -> AbstractContextManager[Fresh]:
        return self._one(url, size_bytes)

    @contextmanager
    def _one(self, url: StoreURL, size_bytes: int | None) -> Iterator[Fresh]:
        if self.left == 0:
            raise Unreachable("The store does not answer.")
        self.left -= 1
        with super().create(url, size_bytes) as writer:
            yield writer


def test_wherever_it_dies_it_goes_on_and_ends_with_the_same_bytes(tmp_path: Path, orders: Any) -> None:
    whole = Copying(tmp_path, orders.metadata_location, target="whole")
    whole.run()
    steps = whole.told[-1][1]
    for writes in range(steps + 1):
        dying = Copying(tmp_path, orders.metadata_location, target=f"dying-{writes}", job=f"job-{writes}")
        dying.target_files = Dying(tmp_path, writes)
        with pytest.raises(Unreachable):
            dying.run()
        assert not list((tmp_path / f"dying-{writes}").rglob("*.metadata.json")), "the metadata file comes last"
        dying.close()
        again = Copying(tmp_path, orders.metadata_location, target=f"dying-{writes}", job=f"job-{writes}")
        again.run()
        assert again.told[-1][0] == steps - writes if writes < steps else not again.told
        again.compare(rows=False)
        again.close()
        assert names_below(tmp_path / f"dying-{writes}") == names_below(tmp_path / "whole")
    whole.close()


def names_below(folder: Path) -> list[str]:
    """The UUID of a metadata file is that of what is in it, and that names the folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.suffix != ".json")


def test_a_cancelled_walk_leaves_nothing_that_is_taken_for_whole(tmp_path: Path, orders: Any) -> None:
    calls = iter(range(100))

    def check() -> None:
        if next(calls) == 5:
            raise KeyboardInterrupt

    folder = tmp_path / "job"
    folder.mkdir()
    with pytest.raises(KeyboardInterrupt):
        walking.walk(local_files(tmp_path), orders.metadata_location, History(), folder, check, workers=2)
    with walking.walk(local_files(tmp_path), orders.metadata_location, History(), folder, quiet, workers=2) as walked:
        assert {file.path for file in walked.moved()} == {file["file_path"] for file in orders.inspect.all_data_files().to_pylist()}


def test_another_target_or_another_question_begins_anew(tmp_path: Path, copying: Copying, orders: Any) -> None:
    copying.run()
    other = Copying(tmp_path, orders.metadata_location, target="other")
    assert values(other.run()).equals(values(orders)), "what was written for the first target does not count"
    other.walk("current")
    assert other.walked.inventory.count("lists") == 1
    other.close()


def test_files_elsewhere_come_along(tmp_path: Path, base: Any) -> None:
    """As after add_files of a Hive table, or with write.data.path."""
    properties = {"write.data.path": f"file://{tmp_path}/fast/data", "write.metadata.path": f"file://{tmp_path}/warehouse/sales.db/t/metadata"}
    base.create_namespace("sales")
    table = base.create_table("sales.t", schema=ATTRIBUTES, location=f"file://{tmp_path}/warehouse/sales.db/t", properties=properties)
    table.append(rows(0, 10))
    copying = Copying(tmp_path, base.load_table("sales.t").metadata_location)
    target = copying.run()
    copying.compare()
    folder = f"{target.location()}/elsewhere/file{tmp_path}/fast/data"
    assert [task.file.file_path.rpartition("/")[0] for task in target.scan().plan_files()] == [folder]
    assert target.properties["write.data.path"] == folder and target.properties["write.metadata.path"] == f"{target.location()}/metadata"
    copying.close()


def test_statistics_come_along_and_lead_to_the_target(copying: Copying, orders: Any, tmp_path: Path) -> None:
    metadata = json.loads(Path(orders.metadata_location.removeprefix("file://")).read_text())
    place = Path(orders.location().removeprefix("file://")) / "metadata" / "a.stats"
    place.write_bytes(b"PFA1 statistics")
    one = {"snapshot-id": metadata["current-snapshot-id"], "statistics-path": place.as_uri(), "file-size-in-bytes": 15}
    metadata["statistics"] = [{**one, "file-footer-size-in-bytes": 1, "blob-metadata": []}]
    metadata["partition-statistics"] = [one]
    copying.metadata_path = rewritten_metadata(tmp_path, metadata)
    target = copying.run()
    assert target.metadata.statistics[0].statistics_path == f"file://{tmp_path}/target/metadata/a.stats"
    assert (tmp_path / "target" / "metadata" / "a.stats").read_bytes() == b"PFA1 statistics"
    assert [file.kind for file in copying.walked.moved()].count("statistics") == 1


def rewritten_metadata(folder: Path, metadata: dict[str, Any]) -> str:
    path = folder / "00009-other.metadata.json"
    path.write_text(json.dumps(metadata))
    return path.as_uri()


# what is damaged or cannot be brought over


def manifests_of(table: Any) -> list[Path]:
    return [Path(one.manifest_path.removeprefix("file://")) for one in table.current_snapshot().manifests(table.io)]


def change(path: Path, record: Callable[[Record], Record]) -> None:
    """Change a manifest or list in its place, by the same code that is under test: it is the reading that is tested then."""
    changed = io.BytesIO()
    with path.open("rb") as stream:
        Container(stream, path.name).copy(changed, record)
    path.write_bytes(changed.getvalue())


def lengths_of(table: Any, **counts: int) -> None:
    """Let the current list say what its manifests are by now."""
    path = Path(table.current_snapshot().manifest_list.removeprefix("file://"))
    change(path, lambda record: {**record, "manifest_length": Path(record["manifest_path"].removeprefix("file://")).stat().st_size, **counts})


def test_a_manifest_that_is_cut_off_is_told(copying: Copying, orders: Any) -> None:
    path = manifests_of(orders)[0]
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(TableBroken, match=r"its list says .*it is cut off or was written over"):
        copying.walk()
    lengths_of(orders)
    with pytest.raises(TableBroken, match="cannot be read as Avro"):
        copying.walk("current")


def test_a_manifest_with_fewer_entries_than_told_is_told(copying: Copying, orders: Any) -> None:
    lengths_of(orders, added_files_count=77)
    with pytest.raises(TableBroken, match="entries, and its list says"):
        copying.walk("current")


@pytest.mark.parametrize("what", ["metadata", "snapshot", "manifest", "file"])
def test_encrypted_tables_are_refused(tmp_path: Path, copying: Copying, orders: Any, what: str) -> None:
    metadata = json.loads(Path(orders.metadata_location.removeprefix("file://")).read_text())
    if what == "metadata":
        metadata["encryption-keys"] = [{"key-id": "k", "encrypted-key-metadata": "AA=="}]
    elif what == "snapshot":
        metadata["snapshots"][-1]["key-id"] = "k"
    elif what == "manifest":
        change(Path(orders.current_snapshot().manifest_list.removeprefix("file://")), lambda record: {**record, "key_metadata": b"k"})
    else:
        manifest = manifests_of(orders)[0]
        change(manifest, lambda record: {**record, "data_file": {**record["data_file"], "key_metadata": b"k"}})
        lengths_of(orders)
    copying.metadata_path = rewritten_metadata(tmp_path, metadata)
    with pytest.raises(TableRefused, match="is encrypted"):
        copying.walk("current")


@pytest.mark.parametrize(("data", "why"), [
    (b"{", "it is no JSON"), (b"[]", "it is no object"), (b'{"location": "s3://b/t"}', "it has no format-version"), (b"\x1f\x8bzip", "it is no JSON"),
])  # fmt: skip
def test_other_files_are_no_metadata(data: bytes, why: str) -> None:
    with pytest.raises(TableBroken, match=why):
        parsed(data, "file:///x.metadata.json")


def test_a_newer_format_is_refused() -> None:
    text = b'{"format-version": 4, "location": "s3://b/t", "last-updated-ms": 1, "last-column-id": 1}'
    with pytest.raises(TableRefused, match="formats 1 to 3"):
        parsed(text, "file:///x.metadata.json")


def test_a_property_that_leads_nowhere_is_named() -> None:
    metadata = {"location": "s3://b/t", "properties": {"write.data.path": "hdfs://nn/x"}}
    with pytest.raises(TableRefused, match=r"property write\.data\.path is hdfs://nn/x"):
        metadata_at(metadata, Paths("s3://b/t", StoreURL.parse("s3://c/t")))


def test_format_1_with_manifests_in_the_metadata_is_refused(tmp_path: Path, copying: Copying, orders: Any) -> None:
    metadata = json.loads(Path(orders.metadata_location.removeprefix("file://")).read_text())
    del metadata["snapshots"][-1]["manifest-list"]
    copying.metadata_path = rewritten_metadata(tmp_path, metadata)
    with pytest.raises(TableRefused, match="names its manifests in the metadata itself"):
        copying.walk()


# what the comparison sees


DAMAGES: dict[str, Callable[[Record], Record]] = {
    "path": lambda file: {**file, "file_path": file["file_path"] + "x"},
    "record_count": lambda file: {**file, "record_count": file["record_count"] + 1},
    "file_size_in_bytes": lambda file: {**file, "file_size_in_bytes": 1},
    "partition": lambda file: {**file, "partition": {"kind": "other"}},
    "lower_bounds": lambda file: {**file, "lower_bounds": []},
}


@pytest.mark.parametrize("what", DAMAGES)
def test_a_comparison_sees_what_differs(tmp_path: Path, copying: Copying, what: str) -> None:
    target = copying.run()
    path = next(one for one in manifests_of(target) if b"'partition': {'kind'" in texts(one))
    change(path, lambda record: {**record, "data_file": DAMAGES[what](record["data_file"])})
    lengths_of(target)
    with pytest.raises(TablesDiffer, match=what):
        copying.compare(rows=False)


def test_a_comparison_sees_an_entry_that_is_missing_and_a_length_that_is_wrong(copying: Copying) -> None:
    target = copying.run()
    path = manifests_of(target)[0]
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(TablesDiffer, match="The length of"):
        copying.compare(rows=False)
    Path(target.metadata_location.removeprefix("file://")).write_text(json.dumps({**copying.written.metadata, "refs": {}}))
    with pytest.raises(TablesDiffer, match="branches and tags"):
        copying.compare(rows=False)


def test_a_comparison_sees_what_a_later_list_says_of_a_manifest_that_an_earlier_one_has(copying: Copying, orders: Any) -> None:
    target = copying.run()
    old = target.snapshots()[0].manifests(file_io())[0].manifest_path
    change(Path(target.snapshots()[1].manifest_list.removeprefix("file://")),
           lambda entry: {**entry, "added_rows_count": 3} if entry["manifest_path"] == old else entry)  # fmt: skip
    with pytest.raises(TablesDiffer, match=f"Snapshot {orders.snapshots()[1].snapshot_id}: added_rows_count"):
        copying.compare(rows=False)


def test_lists_are_compared_several_at_a_time(copying: Copying, orders: Any) -> None:
    """A table of thousands of snapshots has a list for each, and each is a request or two."""
    copying.run()
    together, io = threading.Barrier(2), file_io()

    class Waiting(type(io)):  # type: ignore[misc]
        def new_input(self, location: str) -> Any:
            if "/snap-" in location:
                together.wait(20)
            return super().new_input(location)

    source = Side(copying.metadata_path, Waiting())
    compared = compare(source, Side(copying.written.metadata_location, io), copying.paths, snapshots=None, rows=False, check=quiet,
                       tell=lambda done, total: None, workers=2)  # fmt: skip
    assert [one.snapshot_id for one in compared] == [one.snapshot_id for one in orders.snapshots()]


@pytest.mark.parametrize("name", ["00009-x.gz.metadata.json", "v9.metadata.json.gz", "v9.metadata.json"])
def test_packed_metadata_is_read_whatever_it_is_called(tmp_path: Path, orders: Any, name: str) -> None:
    place = Path(orders.metadata_location.removeprefix("file://"))
    packed = place.with_name(name)
    packed.write_bytes(gzip.compress(place.read_bytes()))
    copying = Copying(tmp_path, packed.as_uri())
    target = copying.run()
    assert len(copying.compare()) == len(orders.snapshots()) and target.metadata_location.endswith(".metadata.json")
    copying.close()


def test_metadata_that_unpacks_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portal.lake.iceberg.reading._MOST_BYTES", 1000)
    with pytest.raises(TableBroken, match="is not Iceberg metadata"):
        parsed(gzip.compress(bytes(2000)), "here")
    with pytest.raises(TableBroken, match="is not Iceberg metadata"):
        parsed(b'{"a":' * 100_000, "here")


def test_a_comparison_of_rows_sees_another_value(copying: Copying, orders: Any) -> None:
    target = copying.run()
    file = next(iter(target.scan().plan_files())).file.file_path.removeprefix("file://")
    other = Path(next(iter(target.scan(snapshot_id=orders.snapshots()[0].snapshot_id).plan_files())).file.file_path.removeprefix("file://"))
    copying.compare()
    shutil.copy(other, file)
    with pytest.raises(TablesDiffer, match=r"other values at the target|can be read at the source and not"):
        copying.compare()
    copying.compare(rows=False)


# size


def enlarged(table: Any, count: int) -> None:
    """Let the table's one manifest have so many entries, each of a file of its own."""
    path, = manifests_of(table)
    with path.open("rb") as stream:
        source = Container(stream, path.name)
        one, = source.records()
        entries = ({**one, "data_file": {**one["data_file"], "file_path": f"{table.location()}/data/{n:06}.parquet"}} for n in range(count))
        made = io.BytesIO()
        source.records = lambda: entries  # type: ignore[method-assign]
        source.copy(made, lambda record: record)
    path.write_bytes(made.getvalue())
    lengths_of(table, added_files_count=count)


def test_memory_stays_flat_at_any_number_of_files(tmp_path: Path, base: Any) -> None:
    table = new_table(base, "sales.many", snapshots=1, per_snapshot=1)
    enlarged(table, 6_000)
    copying = Copying(tmp_path, table.metadata_location)
    tracemalloc.start()
    copying.walk()
    copying.rewrite()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert copying.walked.inventory.totals()["data"][0] == 6_000
    assert peak < 14 << 20, f"{peak:,} bytes"
    found = StaticTable.from_metadata(copying.written.metadata_location)
    manifest, = found.current_snapshot().manifests(file_io())  # type: ignore[union-attr]
    assert manifest.added_files_count == 6_000
    copying.close()


def test_files_are_paged_by_container(tmp_path: Path) -> None:
    with Inventory(tmp_path / "table.sqlite", {}) as inventory:
        for root in ("s3://a/", "s3://b/"):
            urls = [f"{root}{n:05}" for n in range(2500)]
            inventory.add_files(walking._file(url, "data", "parquet", 1, 1) for url in urls)
            assert [file.url for file in inventory.files("data", root=root)] == urls
        assert inventory.roots() == ["s3://a/", "s3://b/"] and inventory.totals() == {"data": (5000, 5000, 5000)}


def test_one_file_by_two_ways_to_write_its_path_is_one() -> None:
    first, second = (walking._file(path, "data", "PARQUET", 1, 1) for path in ("s3://b/a", "s3a://b/a"))
    assert first.url == second.url and read_path(first.path) == read_path(second.path)
