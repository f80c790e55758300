"""Audit rows: a pure function of the records, compacted by day, never stale, never leaving a record out."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from ulid import ULID

from portal import audit, audit_days, audit_row
from portal.jobs import Status
from portal.settings import Settings
from tests.archives import finished_job, put

DAY = date(2026, 11, 20)
KEYS = st.sampled_from(["counts", "bytes", "outputs", "report", "proof", "url", "rows"])
FIELDS = ("result", "error", "labels", "params", "finished_at", "submitted_by", "attempts")
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=()), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)


def compacted(config: Settings, day: date = DAY) -> Path:
    return config.archive_dir / f"{day:%Y/%m/%d}.audit.parquet"


def test_a_row_tells_what_the_record_tells(config: Settings) -> None:
    job = finished_job()
    record = job.to_json().encode()
    row = audit_row.row(record, job.id)
    expected = {
        "job_id": job.id, "name": "nightly", "engine": "migrate", "status": "succeeded", "submitted_by": "ana", "wait_s": 1.5, "duration_s": 7.5,
        "attempts": 1, "objects_listed": 7, "objects_copied": 3, "objects_converted": 2, "objects_skipped": 1, "objects_failed": 0,
        "objects_excluded": 1, "bytes": 1234, "rows_in": 10, "rows_out": 9, "rows_rejected": 1, "proof_read_back": 3, "proof_converted": 2,
        "proof_size": None, "source": "s3://demo/raw", "target": "abfss://lake@acct/raw", "worker": "w1", "host": "host1", "cpu_s": 1.5,
        "peak_memory_bytes": 5000, "warnings": 1, "outputs": 1, "labels": '{"name": "nightly"}', "record_sha256": hashlib.sha256(record).hexdigest(),
        "started_at": datetime(2026, 11, 20, 10, 0, 1, 500_000, UTC), "error": None, "retry_of": None,
    }  # fmt: skip
    assert {name: row[name] for name in expected} == expected
    assert list(row) == [column.name for column in audit.COLUMNS]


def test_a_row_tells_the_rows_that_a_filter_left_out() -> None:
    job = finished_job(result={"counts": {"listed": 1, "converted": 1, "rows_in": 9, "rows_out": 5, "rows_rejected": 1, "rows_filtered": 3}})
    row = audit_row.row(job.to_json().encode(), job.id)
    assert [row[name] for name in ("rows_in", "rows_out", "rows_rejected", "rows_filtered")] == [9, 5, 1, 3]


def test_waiting_counts_from_when_the_job_was_due() -> None:
    job = finished_job(not_before="2026-11-20T10:00:01.000Z")
    assert audit_row.row(job.to_json().encode(), job.id)["wait_s"] == 0.5


@hypothesis_settings(max_examples=150, deadline=None)
@given(changes=st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, ANYTHING)))
def test_whatever_a_record_holds_there_is_one_row_that_fits_the_columns_and_is_always_the_same(changes: dict[str, Any]) -> None:
    data = {**finished_job().asdict(), **changes}
    record = json.dumps(data, default=str).encode()
    first = audit_row.row(record, data["id"])
    assert audit_row.row(record, data["id"]) == first
    assert set(first) == {column.name for column in audit.COLUMNS}
    table = pa.Table.from_pylist([first], schema=audit_days.schema())
    assert table.num_rows == 1


@hypothesis_settings(max_examples=60, deadline=None)
@given(record=st.binary(max_size=60))
def test_bytes_that_are_no_record_are_shown_as_unreadable(record: bytes) -> None:
    job_id = str(ULID())
    row = audit_row.row(record, job_id)
    assert (row["job_id"], row["status"]) == (job_id, audit_row.UNREADABLE) and row["error"]
    assert row["record_sha256"] == hashlib.sha256(record).hexdigest()


def test_a_record_under_another_jobs_name_is_unreadable() -> None:
    row = audit_row.row(finished_job().to_json().encode(), str(ULID()))
    assert row["status"] == audit_row.UNREADABLE and "another job" in row["error"]


def test_a_secret_in_an_error_does_not_reach_the_report() -> None:
    job = finished_job(error="GET https://acct.blob/x?sig=AbCdEf123456%3D&se=1 failed")
    assert "AbCdEf123456" not in audit_row.row(job.to_json().encode(), job.id)["error"]


def test_rows_are_those_of_the_period_newest_first_in_utc(config: Settings) -> None:
    jobs = [put(config.archive_dir, finished_job(f"2026-11-{day}T10:00:09.000Z")).stem for day in (18, 19, 20, 21)]
    frame = audit.rows(config, date(2026, 11, 19), date(2026, 11, 20))
    assert list(frame["job_id"]) == [jobs[2], jobs[1]]
    assert str(frame["finished_at"].dtype) == "datetime64[ms, UTC]" and str(frame["objects_listed"].dtype) == "Int64"
    assert len(audit.rows(config, None, None)) == 4


def test_an_empty_period_has_the_columns_and_no_rows(config: Settings) -> None:
    frame = audit.rows(config, DAY, DAY)
    assert len(frame) == 0 and list(frame.columns) == [column.name for column in audit.COLUMNS]
    assert audit.summary(frame)["jobs"] == 0 and audit.summary(frame)["success_rate"] is None


def test_a_closed_day_is_compacted_and_read_from_there(config: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        put(config.archive_dir, finished_job())
    first = audit.rows(config, DAY, DAY)
    assert compacted(config).exists()
    monkeypatch.setattr(audit_row, "row", lambda *_: pytest.fail("a record was read again"))
    pd.testing.assert_frame_equal(audit.rows(config, DAY, DAY), first)


def test_a_record_added_to_or_removed_from_a_closed_day_shows(config: Settings) -> None:
    first, second = put(config.archive_dir, finished_job()), put(config.archive_dir, finished_job())
    assert len(audit.rows(config, DAY, DAY)) == 2
    third = put(config.archive_dir, finished_job())
    assert len(audit.rows(config, DAY, DAY)) == 3
    first.unlink()
    assert set(audit.rows(config, DAY, DAY)["job_id"]) == {second.stem, third.stem}


def test_only_the_new_record_is_read(config: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(4):
        put(config.archive_dir, finished_job())
    audit.rows(config, DAY, DAY)
    fresh, read, whole = put(config.archive_dir, finished_job()).stem, [], audit_row.row
    monkeypatch.setattr(audit_row, "row", lambda record, job_id: read.append(job_id) or whole(record, job_id))
    assert len(audit.rows(config, DAY, DAY)) == 5
    assert read == [fresh]


def test_a_changed_record_shows(config: Settings) -> None:
    job = finished_job()
    path = put(config.archive_dir, job)
    audit.rows(config, DAY, DAY)
    path.write_text(job.evolve(submitted_by="eve").to_json())
    os.utime(path, ns=(1, 1))
    assert list(audit.rows(config, DAY, DAY)["submitted_by"]) == ["eve"]


@pytest.mark.parametrize("content", [b"", b"PAR1 cut off", None])
def test_a_damaged_compaction_is_made_again(config: Settings, content: bytes | None) -> None:
    put(config.archive_dir, finished_job())
    first = audit.rows(config, DAY, DAY)
    compacted(config).write_bytes(compacted(config).read_bytes()[:-20] if content is None else content)
    pd.testing.assert_frame_equal(audit.rows(config, DAY, DAY), first)


def test_a_compaction_of_an_earlier_version_is_made_again(config: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    put(config.archive_dir, finished_job())
    monkeypatch.setattr(audit_row, "VERSION", 0)
    audit.rows(config, DAY, DAY)
    monkeypatch.undo()
    assert audit_days._read(compacted(config)) is None


def test_today_is_not_written_for_a_few_records(config: Settings) -> None:
    put(config.archive_dir, finished_job())
    assert audit_days.table(config.archive_dir, DAY, today=DAY).num_rows == 1
    assert not compacted(config).exists()


def test_files_that_are_no_records_are_left_alone(config: Settings) -> None:
    folder = put(config.archive_dir, finished_job()).parent
    (folder / ".tmp123").write_text("{")
    (folder / "notes.json").write_text("{}")
    (config.archive_dir / "2026" / "13").mkdir()
    (config.archive_dir / "2026" / "11" / "31").mkdir()
    assert len(audit.rows(config)) == 1


def test_only_the_days_of_the_period_are_looked_at(config: Settings) -> None:
    put(config.archive_dir, finished_job())
    put(config.archive_dir, finished_job("2025-01-01T00:00:00.000Z"))
    audit.rows(config, DAY, DAY)
    assert not compacted(config, date(2025, 1, 1)).exists()


def test_figures_of_a_period(config: Settings) -> None:
    for status, engine in (("succeeded", "migrate"), ("succeeded", "migrate"), ("failed", "convert")):
        put(config.archive_dir, finished_job(status=Status(status), engine=engine))
    told = audit.summary(audit.rows(config, DAY, DAY))
    assert (told["jobs"], told["by_status"], told["by_user"]) == (3, {"succeeded": 2, "failed": 1}, {"ana": 3})
    assert told["success_rate"] == pytest.approx(2 / 3) and told["bytes"] == 3 * 1234 and told["proof"]["read-back"] == 9
    assert told["duration_s"] == {"median": 7.5, "p95": 7.5}
    assert [(item["engine"], item["jobs"]) for item in told["by_engine"]] == [("convert", 1), ("migrate", 2)]
    assert told["by_day"] == [{"day": "2026-11-20", "jobs": 3, "succeeded": 2, "failed": 1, "bytes": 3702, "rows_out": 27, "duration_s": 22.5}]


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "a\r=1"])
def test_no_name_of_a_job_is_a_formula_in_a_spreadsheet(config: Settings, name: str) -> None:
    put(config.archive_dir, finished_job(labels={"name": name}))
    put(config.archive_dir, finished_job(labels={"name": "a=b"}, result=None))
    frame = audit.rows(config)
    read = list(csv.DictReader(io.StringIO(audit.csv(frame), newline="")))
    shown = name.replace("\r", "\n")
    assert sorted(row["name"] for row in read) == sorted([shown if name.startswith("a") else f"'{shown}", "a=b"])
    assert sorted(row["bytes"] for row in read) == ["", "1234"] and list(read[0]) == list(frame)
