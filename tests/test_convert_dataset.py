"""Many files into one data set: one schema, all or nothing, every source in the books."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from portal.errors import StoreError, Unreachable
from portal.tabular.conversion import converting
from portal.tabular.output import data_set
from portal.transfer import dataset
from tests.transferring import Clouds, Ran, get, keys, put


def convert(clouds: Clouds, job: Any = None, **params: Any) -> Ran:
    return clouds.run("convert", job, **{"source": f"{clouds.bucket}/in/", "target": f"{clouds.lake}/orders", "dataset": True, **params})


def parts(clouds: Clouds, prefix: str = "orders/") -> dict[str, pa.Table]:
    """The files of a data set by their names in it."""
    found = [key for key in keys(clouds.adls, prefix) if key.endswith(".parquet")]
    return {key.removeprefix(prefix): pq.read_table(pa.BufferReader(get(clouds.adls, key))) for key in found}


def rows(clouds: Clouds) -> list[dict[str, Any]]:
    return [row for table in parts(clouds).values() for row in table.to_pylist()]


@pytest.fixture
def two(clouds: Clouds) -> Clouds:
    put(clouds.s3, "in/a.csv", "id,amount\n1,2\n2,3\n")
    put(clouds.s3, "in/b.csv", "id,amount\n3,4.5\n")
    return clouds


def test_all_files_become_one_data_set_of_one_schema(two: Clouds) -> None:
    put(two.s3, "in/notes.txt", "no")
    ran = convert(two)
    assert (ran.code, ran.result["outcome"]) == (0, "succeeded")
    assert sorted(rows(two), key=lambda row: row["id"]) == [{"id": 1, "amount": 2.0}, {"id": 2, "amount": 3.0}, {"id": 3, "amount": 4.5}]
    assert ran.counts == {"listed": 3, "converted": 2, "excluded": 1, "rows_in": 3, "rows_out": 3}
    told = [row for row in ran.table if row["outcome"] == "converted"]
    assert [(row["rows_in"], row["rows_out"], row["proof"]) for row in told] == [(2, 2, "converted"), (1, 1, "converted")]
    assert {row["target_key"] for row in told} == {"orders"}
    assert [output["url"] for output in ran.result["outputs"]] == [f"{two.lake}/orders"]


def test_one_file_that_does_not_fit_leaves_nothing_behind(two: Clouds) -> None:
    put(two.s3, "in/c.csv", "id,amount\n1\n")
    ran = convert(two)
    assert ran.code == 1 and ran.counts == {"listed": 3, "failed": 3}
    assert "c.csv" in ran.error["message"] and parts(two) == {}


def test_what_does_not_fit_is_kept_with_the_name_of_its_file(two: Clouds) -> None:
    put(two.s3, "in/c.csv", "id,amount\n1\n5,6\n")
    ran = convert(two, on_reject="keep")
    kept = [json.loads(line) for line in ran.job.artefact("rejects.ndjson").read_text().splitlines()]
    assert [(row["source"].rpartition("/")[2], row["line"], row["raw"]) for row in kept] == [("c.csv", 2, "1")]
    assert ran.rows["in/c.csv"]["rows_rejected"] == 1 and len(rows(two)) == 4


def test_a_folder_that_holds_something_is_not_written_into(two: Clouds) -> None:
    put(two.adls, "orders/old.parquet", "precious")
    ran = convert(two)
    assert ran.error["type"] == "AlreadyExists" and keys(two.adls) == ["orders/old.parquet"]


def test_partitions_are_folders_of_the_data_set(two: Clouds) -> None:
    convert(two, partition_by=["id"], types={"amount": "float64"})
    assert sorted(name.partition("/")[0] for name in parts(two)) == ["id=1", "id=2", "id=3"]


def test_a_cut_is_made_good_by_all_of_it(two: Clouds, monkeypatch: pytest.MonkeyPatch) -> None:
    real = converting.convert_dataset
    monkeypatch.setattr(dataset, "MAX_TRIES", 1)
    tried: list[int] = []

    def flaky(source: Any, infos: Any, *rest: Any, **options: Any) -> Any:
        tried.append(len(infos))
        if len(tried) == 1:
            raise Unreachable("gone for a moment")
        return real(source, infos, *rest, **options)

    monkeypatch.setattr(converting, "convert_dataset", flaky)
    job = two.context()
    first = convert(two, job)
    assert (first.code, first.error["retryable"]) == (1, True)
    again = two.context(job_id=job.job_id, attempt=2)
    again.folder = job.folder
    assert convert(two, again).counts == {"listed": 2, "converted": 2, "rows_in": 3, "rows_out": 3}
    assert tried == [2, 2] and len(rows(two)) == 3


def test_it_needs_a_folder_of_its_own(clouds: Clouds) -> None:
    assert "needs a folder of its own" in convert(clouds, target=f"{clouds.lake}/").error["message"]
    assert "a data set is written whole" in convert(clouds, overwrite="skip").error["message"]


def test_a_dry_run_tells_the_folder_and_writes_nothing(two: Clouds) -> None:
    told = convert(two, two.context(dry_run=True)).result["report"]["dry_run"]
    assert [line["target"] for line in told["sample"]] == ["orders", "orders"] and len(told["previews"]) == 1
    assert keys(two.adls) == []


@pytest.mark.parametrize("place", ["s3", "adls", "file"])
def test_files_that_become_folders_are_made_once_and_replaced_when_asked(two: Clouds, place: str) -> None:
    target = {"s3": f"{two.bucket}/out", "adls": f"{two.lake}/out", "file": f"file://{two.home}/data/out"}[place]
    once = {"dataset": False, "target": target, "partition_by": ["id"], "types": {"id": "int64"}}
    assert convert(two, **once).counts["converted"] == 2
    again = convert(two, **once)
    assert (again.code, again.error["type"]) == (1, "AlreadyExists")
    assert convert(two, **once, overwrite="skip").counts == {"listed": 2, "skipped": 2}
    assert convert(two, **once, overwrite="replace").counts["converted"] == 2
    store = {"s3": two.s3, "adls": two.adls, "file": two.local}[place]
    prefix = f"{two.home}/data/out/".lstrip("/") if place == "file" else "out/"
    found = [key.removeprefix(prefix).rpartition("/")[0] for key in keys(store, prefix) if key.endswith(".parquet")]
    assert sorted(found) == ["a/id=1", "a/id=2", "b/id=3"]


@pytest.fixture(params=["half done", "told nobody"])
def cut(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first conversion is cut off: before a data set is finished, or when it was and nothing of it is written down."""
    real, seen = data_set._Attempt.finish, []

    def finish(attempt: Any, done: Any) -> Any:
        seen.append(done)
        if len(seen) > 1:
            return real(attempt, done)
        monkeypatch.setattr(data_set._Attempt, "give_up", lambda _: monkeypatch.undo())
        if request.param == "told nobody":
            real(attempt, done)
        raise StoreError("cut off")

    monkeypatch.setattr(data_set._Attempt, "finish", finish)


@pytest.mark.parametrize("options", [{}, {"dataset": False, "partition_by": ["id"], "types": {"id": "int64"}}], ids=["one data set", "folders"])
def test_a_retry_replaces_what_the_job_before_it_left_and_nothing_else(two: Clouds, cut: None, options: dict[str, Any]) -> None:
    two.s3.delete("in/b.csv")
    target = f"{two.bucket}/orders"
    first = convert(two, target=target, **options)
    assert (first.code, first.error["type"]) == (1, "ConversionFailed")
    left = keys(two.s3, "orders/")
    assert [key for key in left if key.endswith(".parquet")]
    assert convert(two, target=target, **options).counts.get("converted", 0) == 0
    assert keys(two.s3, "orders/") == left
    again = convert(two, two.context(retry_of=first.job.job_id), target=target, **options)
    assert again.counts == {"listed": 1, "converted": 1, "rows_in": 2, "rows_out": 2}
    found = keys(two.s3, "orders/")
    assert len([key for key in found if key.endswith(".parquet")]) == (2 if options else 1) and not [key for key in found if "_UNFINISHED" in key]


def test_a_dry_run_looks_at_the_files_together(two: Clouds) -> None:
    ran = convert(two, two.context(dry_run=True))
    (preview,) = ran.result["report"]["dry_run"]["previews"]
    assert [(column["name"], column["type"]) for column in preview["columns"]] == [("id", "int64"), ("amount", "float64")]
    put(two.s3, "in/c.csv", "id,sum\n3,4.5\n")
    ran = convert(two, two.context(dry_run=True))
    assert ran.code == 1 and "c.csv cannot be in one data set with" in ran.error["message"]
