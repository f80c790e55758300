"""The convert engine: folders of files between real stores, every file accounted for."""

from __future__ import annotations

import json
from datetime import UTC, datetime
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
    assert ran.result["warnings"] == ["a.csv: 1 of 3 rows do not fit and are not in the result: see rejects-0.ndjson."]
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


def parquet(**columns: Any) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue().to_pybytes()


def test_parquet_is_filtered_cast_and_saved_again(clouds: Clouds) -> None:
    put(clouds.adls, "in/a.parquet", parquet(id=[1, 2, 3], amount=[5.0, 15.0, 25.0], note=["x", "y", "z"]))
    ran = convert(
        clouds, source=f"{clouds.lake}/in/", formats=["parquet"], where="amount > 10", columns=["id", "amount"], types={"amount": "int64"},
        rename={"id": "number"}, constants={"file": "{source_name}"},
    )  # fmt: skip
    assert table(clouds, "tables/a.parquet").to_pylist() == [
        {"number": 2, "amount": 15, "file": "a.parquet"}, {"number": 3, "amount": 25, "file": "a.parquet"},
    ]  # fmt: skip
    assert ran.counts == {"listed": 1, "converted": 1, "rows_in": 3, "rows_out": 2, "rows_filtered": 1}
    assert ran.rows["in/a.parquet"]["rows_filtered"] == 1
    assert ran.result["report"]["files"][0]["rows_filtered"] == 1


def test_a_cast_that_would_change_a_value_is_no_cast(clouds: Clouds) -> None:
    put(clouds.adls, "in/a.parquet", parquet(amount=[5.0, 15.5]))
    ran = convert(clouds, source=f"{clouds.lake}/in/", formats=["parquet"], types={"amount": "int64"})
    assert ran.code == 1 and "15.5" in ran.error["message"] and made(clouds) == ["in/a.parquet"]


@pytest.mark.parametrize("output", ["csv", "ndjson"])
def test_the_way_back_is_text_that_reads_the_same(clouds: Clouds, output: str) -> None:
    rows = [{"id": 1, "zip": "00501", "at": datetime(2026, 1, 2, tzinfo=UTC)}, {"id": None, "zip": "", "at": None}]
    put(clouds.adls, "in/a.parquet", parquet(**{name: [row[name] for row in rows] for name in rows[0]}))
    convert(clouds, source=f"{clouds.lake}/in/", formats=["parquet"], output=output)
    convert(clouds, source=f"{clouds.lake}/tables/", target=f"{clouds.lake}/again")
    assert table(clouds, "again/a.parquet").to_pylist() == rows


def test_a_schema_is_taken_from_an_earlier_conversion(clouds: Clouds) -> None:
    put(clouds.s3, "in/a.csv", "id,zip\n1,501\n")
    convert(clouds, source=f"{clouds.bucket}/in/", types={"zip": "string"})
    (document,) = [key for key in keys(clouds.adls) if key.endswith(".schema.json")]
    convert(clouds, source=f"{clouds.bucket}/in/", target=f"{clouds.lake}/again", schema_from=f"{clouds.lake}/{document}")
    assert table(clouds, "again/a.parquet").to_pylist() == [{"id": 1, "zip": "501"}]


def test_a_schema_is_taken_from_a_parquet_file(clouds: Clouds) -> None:
    put(clouds.s3, "in/a.csv", "id,zip\n1,501\n")
    put(clouds.s3, "like.parquet", parquet(id=pa.array([1], pa.int32()), zip=["x"]))
    convert(clouds, source=f"{clouds.bucket}/in/", schema_from=f"{clouds.bucket}/like.parquet")
    assert table(clouds, "tables/a.parquet").schema.types == [pa.int32(), pa.string()]


def test_a_schema_that_is_none_is_refused_before_anything_is_read(clouds: Clouds) -> None:
    put(clouds.s3, "in/a.csv", "id\n1\n")
    ran = convert(clouds, source=f"{clouds.bucket}/in/", schema_from=f"{clouds.bucket}/in/a.csv")
    assert ran.code == 2 and "gives no schema" in ran.error["message"]
    assert convert(clouds, types={"id": "integre"}).code == 2


def test_schemas_beside_results_are_no_sources(clouds: Clouds) -> None:
    put(clouds.s3, "in/a.csv", "id\n1\n")
    for _ in range(2):
        ran = convert(clouds, source=f"{clouds.bucket}/in/", target=f"{clouds.bucket}/in", overwrite="replace")
    assert ran.counts["converted"] == 1 and sorted(keys(clouds.s3)) == ["in/_a.parquet.schema.json", "in/a.csv", "in/a.parquet"]


def test_a_source_is_not_replaced_by_what_is_made_of_it(clouds: Clouds) -> None:
    put(clouds.adls, "in/a.parquet", parquet(id=[1, 2]))
    ran = convert(clouds, source=f"{clouds.lake}/in/", target=f"{clouds.lake}/in", formats=["parquet"], where="id > 1", overwrite="replace")
    assert "would be replaced by what is made of it" in ran.error["message"]
    assert table(clouds, "in/a.parquet").num_rows == 2


def test_a_dry_run_tells_what_would_not_fit_and_what_could_not_be_read(clouds: Clouds) -> None:
    put(clouds.s3, "a.csv", "a,b\n1,2\n3\n")
    put(clouds.s3, "b.csv", "")
    told = convert(clouds, clouds.context(dry_run=True)).result["report"]["dry_run"]
    first, second = told["previews"]
    assert [(row["line"], row["raw"]) for row in first["misfits"]] == [(3, "3")] and first["reading"]["delimiter"] == ","
    assert second["error"] == "The file is empty." and told["actions"] == {"convert": {"objects": 2, "bytes": 10}}
    assert keys(clouds.adls) == []


def test_widening_is_told(clouds: Clouds) -> None:
    put(clouds.s3, "a.csv", "a\n" + "1\n" * 3000 + "x\n" + "1\n" * 6000)
    ran = convert(clouds, on_reject="widen", sample_bytes=1024)
    assert ran.result["report"]["files"][0]["widened"] == {"a": "int64 → string"} and any("wider" in note for note in ran.result["warnings"])
    assert convert(clouds, target=f"{clouds.lake}/b", sample_bytes=1024).code == 1


def test_migrate_converts_with_the_same_options(clouds: Clouds) -> None:
    put(clouds.s3, "a.csv", "id;amount\n1;2,5\n2;3,5\n")
    ran = clouds.migrate(convert="parquet", decimal_point=",", where="amount > 3", columns=["amount"])
    assert table(clouds, "a.parquet").to_pylist() == [{"amount": 3.5}] and keys(clouds.adls) == ["a.parquet"]
    assert ran.result["report"]["files"][0]["rows_filtered"] == 1
    assert clouds.migrate(clouds.context(dry_run=True), convert="parquet", overwrite="replace").result["report"]["dry_run"]["previews"]


HOPELESS = [
    ({"partition_by": ["contry"]}, "no column 'contry'"), ({"partition_by": ["x"]}, "no folders can be made"),
    ({"sort_by": ["foo"]}, "no column 'foo'"),
    ({"bloom_filters": ["foo"]}, "no column 'foo'"), ({"output": "ndjson", "columns": ["foo"]}, "no column 'foo'"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "why"), HOPELESS)
def test_a_dry_run_tells_what_cannot_be_written(clouds: Clouds, options: dict[str, Any], why: str) -> None:
    put(clouds.s3, "a.csv", "id,x\n1,0.5\n")
    ran = convert(clouds, clouds.context(dry_run=True), **options)
    (preview,) = ran.result["report"]["dry_run"]["previews"]
    assert ran.code == 1 and why in ran.error["message"] and why in preview["error"]


def test_a_dry_run_tells_a_source_that_is_its_own_target(clouds: Clouds) -> None:
    put(clouds.s3, "a.csv", "id\n1\n")
    ran = convert(clouds, clouds.context(dry_run=True), target=f"{clouds.bucket}/", output="csv", overwrite="replace")
    assert ran.code == 1 and "would be replaced by what is made of it" in ran.error["message"]


def test_a_dry_run_in_which_one_file_could_be_converted_succeeds(clouds: Clouds) -> None:
    put(clouds.s3, "a.csv", "id\n1\n")
    put(clouds.s3, "b.csv", "")
    assert convert(clouds, clouds.context(dry_run=True)).code == 0


@pytest.mark.parametrize("options", [{"partition_by": ["id"]}, {"split_bytes": 1000}])
def test_a_dry_run_names_the_folder_that_is_made(clouds: Clouds, options: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    put(clouds.s3, "a.csv", "id,x\n1,2\n")
    with caplog.at_level("INFO"):
        ran = convert(clouds, clouds.context(dry_run=True), **options)
    (preview,) = ran.result["report"]["dry_run"]["previews"]
    assert preview["target"] == "tables/a/" and "_SUCCESS" not in caplog.text


def test_hints_name_what_a_conversion_has(clouds: Clouds) -> None:
    assert "There is nothing at" in convert(clouds, source=f"{clouds.bucket}/none/").error["message"]
    put(clouds.s3, "a.csv", "a\n1\n")
    put(clouds.adls, "tables/a.parquet", "precious")
    assert convert(clouds).error["hint"] == "Choose another target folder, or overwrite=skip or replace."
    put(clouds.s3, "a.json", '[{"a":1}]')
    assert "twins" not in convert(clouds).error["hint"]


def test_a_parquet_file_of_another_name_is_recognised(clouds: Clouds) -> None:
    file = pa.BufferOutputStream()
    pq.write_table(pa.table({"a": list(range(1000))}), file)
    put(clouds.s3, "a.csv", file.getvalue().to_pybytes())
    error = convert(clouds).error
    assert "is a Parquet file by its first bytes" in error["message"] and "format=parquet" in error["message"]
    assert convert(clouds, format="parquet").code == 0


NO_SCHEMAS = [("s.json", "{}", "'columns' is missing"), ("s.json", b"\xff\xfe\x00", "no text"), ("s.parquet", "no", "no Parquet")]


@pytest.mark.parametrize(("name", "content", "why"), NO_SCHEMAS)
def test_a_schema_that_is_none_is_told_in_words(clouds: Clouds, name: str, content: Any, why: str) -> None:
    put(clouds.s3, "a.csv", "a\n1\n")
    put(clouds.s3, f"schemas/{name}", content)
    assert why in convert(clouds, source=f"{clouds.bucket}/a.csv", schema_from=f"{clouds.bucket}/schemas/{name}").error["message"]


def test_a_text_without_quotes_and_types_are_told_in_our_words(clouds: Clouds) -> None:
    put(clouds.s3, "a.csv", "country,x\nDE,0.5\n")
    assert "'DE'" in convert(clouds, where="country = DE").error["message"]
    told = convert(clouds, where="country > x").error["message"]
    assert "string and float64 cannot be compared" in told


@pytest.mark.parametrize("options", [{}, {"partition_by": ["a"]}, {"dataset": True}])
def test_the_output_tells_the_bytes_that_were_written(clouds: Clouds, options: dict[str, Any]) -> None:
    put(clouds.s3, "a.csv", "a,b\n1,2\n2,3\n")
    output = convert(clouds, **options).result["outputs"][0]
    assert output["bytes"] == sum(clouds.adls.stat(key).size_bytes for key in made(clouds) if key.endswith(".parquet"))
