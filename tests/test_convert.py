"""The convert engine: folders of files between real stores, every file accounted for."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from portal.errors import Unreachable
from portal.tabular.conversion import converting
from portal.transfer import conversions
from tests.transferring import Clouds, Ran, get, keys, put


def convert(clouds: Clouds, job: Any = None, **params: Any) -> Ran:
    return clouds.run("convert", job, **{"source": f"{clouds.bucket}/", "target": f"{clouds.lake}/tables", **params})


def table(clouds: Clouds, key: str) -> pa.Table:
    return pq.read_table(pa.BufferReader(get(clouds.adls, key)))


def made(clouds: Clouds) -> list[str]:
    """What was written, but for the schemas beside it."""
    return [key for key in keys(clouds.adls) if not key.endswith(".schema.json")]


def test_files_become_parquet_under_their_folders(clouds: Clouds) -> None:
    put(clouds.s3, "in/a.csv", "id,zip\n1,00501\n2,10001\n")
    put(clouds.s3, "in/b/c.ndjson", '{"x":9007199254740993}\n')
    put(clouds.s3, "in/b/d.json", '[{"x":1.5}]')
    put(clouds.s3, "in/notes.txt", "no")
    put(clouds.s3, "in/e.parquet", "no")
    ran = convert(clouds, source=f"{clouds.bucket}/in/")
    assert (ran.code, ran.result["outcome"]) == (0, "succeeded")
    assert ran.counts == {"listed": 5, "converted": 3, "excluded": 2, "rows_in": 4, "rows_out": 4}
    assert made(clouds) == ["tables/a.parquet", "tables/b/c.parquet", "tables/b/d.parquet"]
    assert table(clouds, "tables/a.parquet").to_pylist() == [{"id": 1, "zip": "00501"}, {"id": 2, "zip": "10001"}]
    assert table(clouds, "tables/b/c.parquet")["x"].to_pylist() == [9007199254740993]
    row = ran.rows["in/a.csv"]
    assert (row["outcome"], row["proof"], row["rows_in"], row["rows_out"], row["rows_rejected"]) == ("converted", "converted", 2, 2, 0)


def test_what_was_decided_is_reported_by_file_and_column(clouds: Clouds) -> None:
    put(clouds.s3, "a.csv", "id,zip\n1,00501\n,10001\n")
    ran = convert(clouds)
    lines = [json.loads(line) for line in ran.job.artefact("columns.ndjson").read_text().splitlines()]
    assert [column["name"] for column in lines[0].pop("schema")["columns"]] == ["id", "zip"]
    assert lines == ran.result["report"]["files"]
    assert lines[0]["source"] == f"{clouds.bucket}/a.csv"
    assert lines[0]["target"] == f"{clouds.lake}/tables/a.parquet"
    assert [(column["name"], column["type"], column["nulls"]) for column in lines[0]["columns"]] == [("id", "int64", 1), ("zip", "string", 0)]
    assert "leading zeros" in lines[0]["columns"][1]["note"]


def test_one_bad_file_fails_alone_and_the_job_is_partial(clouds: Clouds) -> None:
    put(clouds.s3, "good.csv", "a\n1\n")
    put(clouds.s3, "ragged.csv", "a,b\n1\n")
    put(clouds.s3, "empty.csv", "")
    ran = convert(clouds)
    assert (ran.code, ran.result["outcome"]) == (3, "partial")
    assert ran.counts == {"listed": 3, "converted": 1, "failed": 2, "rows_in": 1, "rows_out": 1}
    assert "Line 2: 1 values, where the header has 2" in ran.rows["ragged.csv"]["reason"]
    assert "The file is empty" in ran.rows["empty.csv"]["reason"]
    assert made(clouds) == ["tables/good.parquet"]


def test_nothing_converted_is_a_failure_that_trying_again_does_not_mend(clouds: Clouds) -> None:
    put(clouds.s3, "ragged.csv", "a,b\n1\n")
    ran = convert(clouds)
    assert ran.code == 1
    assert "Line 2" in ran.error["message"]
    assert ran.error["retryable"] is False
    assert ran.counts == {"listed": 1, "failed": 1}


def test_rejected_rows_are_kept_in_a_file_of_the_job(clouds: Clouds) -> None:
    put(clouds.s3, "a.csv", "a,b\n1,2\n3\n4,5\n")
    ran = convert(clouds, on_reject="keep")
    assert ran.counts == {"listed": 1, "converted": 1, "rows_in": 3, "rows_out": 2, "rows_rejected": 1}
    kept = [json.loads(line) for line in ran.job.artefact("rejects-0.ndjson").read_text().splitlines()]
    assert [(row["line"], row["raw"]) for row in kept] == [(3, "3")]


def test_reading_and_types_are_parameters(clouds: Clouds) -> None:
    put(clouds.s3, "old.csv", "Größe;n\n1,5;-\n2,5;7\n".encode("cp1252"))
    ran = convert(
        clouds, encoding="cp1252", delimiter=";", null_values=["", "-"], types={"n": "int32"}, compression="snappy", row_group_rows=1,
    )  # fmt: skip
    assert ran.code == 0
    found = table(clouds, "tables/old.parquet")
    assert found.to_pylist() == [{"Größe": "1,5", "n": None}, {"Größe": "2,5", "n": 7}]
    assert found.schema.field("n").type == pa.int32()


def test_chosen_keys_are_converted_whatever_they_are_called(clouds: Clouds) -> None:
    put(clouds.s3, "data.txt", "a\tb\n1\t2\n")
    put(clouds.s3, "other.csv", "a\n1\n")
    ran = convert(clouds, keys=["data.txt"], delimiter="\\t")
    assert ran.counts == {"listed": 1, "converted": 1, "rows_in": 1, "rows_out": 1}
    assert table(clouds, "tables/data.txt.parquet").to_pylist() == [{"a": 1, "b": 2}]


def test_one_object_is_a_source_too(clouds: Clouds) -> None:
    put(clouds.s3, "in/a.csv", "a\n1\n")
    put(clouds.s3, "in/b.csv", "a\n1\n")
    convert(clouds, source=f"{clouds.bucket}/in/a.csv")
    assert made(clouds) == ["tables/a.parquet"]


def test_two_sources_of_one_target_stop_before_anything_is_written(clouds: Clouds) -> None:
    put(clouds.s3, "a.csv", "a\n1\n")
    put(clouds.s3, "a.json", '[{"a":1}]')
    ran = convert(clouds)
    assert "a.csv and a.json would both become tables/a.parquet" in ran.error["message"]
    assert made(clouds) == []


def test_existing_targets_fail_are_skipped_or_replaced(clouds: Clouds) -> None:
    put(clouds.s3, "a.csv", "a\n1\n")
    put(clouds.adls, "tables/a.parquet", "precious")
    assert convert(clouds).error["type"] == "AlreadyExists"
    assert convert(clouds, overwrite="skip").counts == {"listed": 1, "skipped": 1}
    assert get(clouds.adls, "tables/a.parquet") == b"precious"
    assert convert(clouds, overwrite="replace").counts["converted"] == 1
    assert table(clouds, "tables/a.parquet").num_rows == 1


def test_a_dry_run_shows_schema_and_rows_and_changes_nothing(clouds: Clouds, caplog: pytest.LogCaptureFixture) -> None:
    put(clouds.s3, "a.csv", "id,zip\n1,00501\n")
    with caplog.at_level("INFO"):
        ran = convert(clouds, clouds.context(dry_run=True))
    assert ran.code == 0
    assert made(clouds) == []
    (preview,) = ran.result["report"]["dry_run"]["previews"]
    assert [(column["name"], column["type"]) for column in preview["columns"]] == [("id", "int64"), ("zip", "string")]
    assert preview["rows"] == [{"id": "1", "zip": "00501"}]
    assert "zip: string (text, to keep leading zeros" in caplog.text


def test_nothing_to_convert_is_told(clouds: Clouds) -> None:
    put(clouds.s3, "a.txt", "no")
    ran = convert(clouds)
    assert ran.error["type"] == "NothingMatched"
    assert "1 objects were left out" in ran.error["message"]


def test_a_target_that_is_a_file_is_refused(clouds: Clouds) -> None:
    ran = convert(clouds, target=f"{clouds.lake}/a.parquet")
    assert ran.code == 2
    assert "target is the folder" in ran.error["message"]


def test_the_next_attempt_goes_on_where_the_first_ended(clouds: Clouds, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        put(clouds.s3, f"{name}.csv", "a\n1\n")
    real = converting.convert_object
    monkeypatch.setattr(conversions, "MAX_TRIES", 1)
    seen: list[str] = []

    def flaky(source: Any, info: Any, *rest: Any, **options: Any) -> Any:
        seen.append(info.key)
        if info.key == "b.csv" and seen.count("b.csv") == 1:
            raise Unreachable("gone for a moment")
        return real(source, info, *rest, **options)

    monkeypatch.setattr(converting, "convert_object", flaky)
    job = clouds.context()
    assert convert(clouds, job).result["outcome"] == "partial"
    again = clouds.context(job_id=job.job_id, attempt=2)
    again.folder = job.folder
    assert convert(clouds, again).counts == {"listed": 2, "converted": 2, "rows_in": 2, "rows_out": 2}
    assert sorted(seen) == ["a.csv", "b.csv", "b.csv"]
    assert len(job.artefact("columns.ndjson").read_text().splitlines()) == 2
