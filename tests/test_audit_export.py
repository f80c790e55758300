"""The audit leaves the machine: to Snowflake and to a store, twice as once, and what was changed after an export shows."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyarrow import parquet
from pydantic import ValidationError

from engines import audit_export
from portal import catalog, seal, settings
from portal.context import JobContext, Result
from portal.errors import BadParameters, Unreachable, explain
from portal.jobs import Status
from portal.warehouse import Warehouse
from tests.archives import finished_job, put
from tests.servers import SNOWFLAKE_PASSWORD, SNOWFLAKE_USER, Server

TODAY = datetime.now(UTC).date()
Run = Callable[..., Result]


@pytest.fixture
def lake(home: Path, snowflake_server: Server) -> settings.Settings:
    """A home whose .env leads to Snowflake, with three archived jobs of today and yesterday."""
    lines = {
        "ACCOUNT": "fakesnow", "USER": SNOWFLAKE_USER, "PASSWORD": SNOWFLAKE_PASSWORD, "HOST": "127.0.0.1", "PORT": snowflake_server.port,
        "PROTOCOL": "http", "DATABASE": "PORTAL", "SCHEMA": "AUDIT", "LOGIN_TIMEOUT_S": 5,
    }  # fmt: skip
    with (home / ".env").open("a") as file:
        file.writelines(f"SNOWFLAKE_{name}={value}\n" for name, value in lines.items())
    for day in (TODAY, TODAY, TODAY - timedelta(days=1)):
        put(home / "archive", finished_job(f"{day}T00:00:01.000Z"))
    return settings.load(home)


@pytest.fixture
def export(lake: settings.Settings, unique: str) -> Run:
    """Run the engine with parameters over a table of this test's own; each run is a job of its own."""

    def run(dry_run: bool = False, **params: Any) -> Result:
        job = finished_job()
        folder = lake.logs_dir / job.id
        folder.mkdir()
        context = JobContext(job.id, folder, lake, dry_run=dry_run)
        chosen = {"table": f"jobs_{unique}", "seals_table": f"seals_{unique}"} if params.get("target", "snowflake") == "snowflake" else {}
        result = audit_export.run(audit_export.Params(**chosen, **params), context)
        assert not list(folder.glob(".export-*")), "nothing is left on the way"
        return result

    return run


def ask(config: settings.Settings, sql: str) -> list[tuple[Any, ...]]:
    from portal.connections import Connections

    with closing(Warehouse.connect(Connections.load(config).get("snowflake"))) as session:
        return session.query(sql).rows


def test_the_rows_arrive_and_are_read_back(export: Run, lake: settings.Settings, unique: str) -> None:
    result = export()
    assert result.outcome == "succeeded"
    assert dict(result.counts) == {"rows": 3, "rows_inserted": 3, "rows_read_back": 3, "rows_in_table": 3, "seals": 0}
    assert result.outputs[0]["table"] == f"PORTAL.AUDIT.JOBS_{unique.upper()}"
    assert set(result.report["query_ids"][result.outputs[0]["table"]]) == {"copy", "merge"}
    rows = ask(lake, f"select status, objects_listed, bytes, duration_s, finished_at from {result.outputs[0]['table']} order by finished_at")
    assert [row[:3] for row in rows] == [("succeeded", 7, 1234)] * 3
    assert rows[0][4].astimezone(UTC) == datetime.combine(TODAY - timedelta(days=1), datetime.min.time(), UTC) + timedelta(seconds=1)


def test_two_exports_are_one(export: Run, lake: settings.Settings) -> None:
    seal.seal_closed_days(lake)
    first = export()
    before = [ask(lake, f"select * from {output['table']} order by 1") for output in first.outputs]
    second = export()
    assert second.counts["rows_inserted"] == 0 and second.counts["rows_in_table"] == 3 and second.outcome == "succeeded"
    assert [ask(lake, f"select * from {output['table']} order by 1") for output in second.outputs] == before


def test_new_jobs_are_added(export: Run, lake: settings.Settings) -> None:
    export()
    put(lake.archive_dir, finished_job(f"{TODAY}T00:00:02.000Z", status=Status.FAILED, result=None, error="It broke."))
    assert export().counts["rows_inserted"] == 1


def test_the_head_of_the_chain_goes_along(export: Run, lake: settings.Settings) -> None:
    seal.seal_closed_days(lake, datetime.now(UTC) + timedelta(days=2))
    head = seal.head(lake)
    assert head
    result = export()
    assert result.report["chain_head"] == {"sequence": 2, "day": str(TODAY), "digest": head.digest, "key": head.key}
    rows = ask(lake, f"select sequence, day, digest, records from {result.outputs[1]['table']} order by sequence")
    assert [(row[0], row[1], row[3]) for row in rows] == [(1, str(TODAY - timedelta(days=1)), 1), (2, str(TODAY), 2)]
    assert rows[1][2] == head.digest


def test_a_record_changed_after_its_export_shows_and_the_exported_row_stays(export: Run, lake: settings.Settings) -> None:
    first = export()
    record = next(iter((lake.archive_dir / TODAY.strftime("%Y/%m/%d")).glob("*.json")))
    record.write_text(record.read_text().replace('"ana"', '"eve-was-here"'))
    result = export()
    assert result.outcome == "partial" and result.report["differing"] == [record.stem] and record.stem in result.warnings[0]
    assert ask(lake, f"select distinct submitted_by from {first.outputs[0]['table']}") == [("ana",)]


def test_a_broken_chain_is_told_and_the_rows_go_out_all_the_same(export: Run, lake: settings.Settings) -> None:
    seal.seal_closed_days(lake)
    next(lake.archive_dir.rglob("*.seal.json")).write_text("{")
    result = export()
    assert result.outcome == "partial" and "No seals" in result.warnings[0] and result.counts["rows"] == 3


def test_a_period_and_chosen_jobs(export: Run, lake: settings.Settings) -> None:
    yesterday = TODAY - timedelta(days=1)
    assert export(until=yesterday).counts["rows"] == 1
    chosen = next(iter((lake.archive_dir / TODAY.strftime("%Y/%m/%d")).glob("*.json"))).stem
    assert export(job_ids=(chosen,)).counts["rows"] == 1
    assert export(since=date(2020, 1, 1), until=date(2020, 1, 2)).counts["rows"] == 0


def test_the_default_period_is_a_week_and_ends_today() -> None:
    assert audit_export.Params().period(date(2026, 11, 21)) == (date(2026, 11, 15), date(2026, 11, 21))
    assert audit_export.Params(since=date(2026, 1, 1)).period(date(2026, 11, 21)) == (date(2026, 1, 1), date(2026, 11, 21))
    assert audit_export.Params(until=date(2026, 1, 8)).period(date(2026, 11, 21)) == (date(2026, 1, 2), date(2026, 1, 8))


@pytest.mark.parametrize("params", [{"target": "ftp://x"}, {"since": "2026-02-01", "until": "2026-01-01"}, {"job_ids": ["../x"]}, {"format": "xml"}])
def test_wrong_parameters_are_refused(params: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        audit_export.Params(**params)
    with pytest.raises(BadParameters):
        catalog.validate("audit_export", params)


def test_no_database_anywhere_says_where_to_put_it(export: Run, home: Path) -> None:
    env = home / ".env"
    env.write_text(env.read_text().replace("SNOWFLAKE_DATABASE=PORTAL\n", ""))
    with pytest.raises(BadParameters) as caught:
        export()
    assert "SNOWFLAKE_DATABASE" in explain(caught.value)


def test_snowflake_unreachable_is_worth_another_attempt(export: Run, home: Path, snowflake_server: Server) -> None:
    env = home / ".env"
    env.write_text(env.read_text().replace(f"SNOWFLAKE_PORT={snowflake_server.port}", "SNOWFLAKE_PORT=9"))
    with pytest.raises(Unreachable) as caught:
        export()
    assert caught.value.retryable


def test_a_dry_run_tells_the_plan_and_makes_nothing(export: Run, lake: settings.Settings, unique: str) -> None:
    result = export(dry_run=True)
    assert result.report["plan"]["rows"] == 3 and result.outputs == ()
    assert ask(lake, f"select count(*) from PORTAL.information_schema.tables where table_name = 'JOBS_{unique.upper()}'") == [(0,)]


def test_one_file_per_day_in_a_store_written_again_only_when_it_differs(export: Run, lake: settings.Settings) -> None:
    seal.seal_closed_days(lake)
    folder = lake.home / "data" / "audit"
    (lake.home / "data").mkdir(exist_ok=True)
    target = f"file://{folder}"
    first, again = export(target=target), export(target=target)
    days = sorted(f"day={day}.parquet" for day in (TODAY, TODAY - timedelta(days=1)))
    assert sorted(path.name for path in folder.glob("day=*")) == days
    assert (first.counts["rows"], first.counts["files_changed"], again.counts["files_changed"]) == (3, 3, 0)
    assert sum(parquet.read_metadata(folder / name).num_rows for name in days) == 3
    put(lake.archive_dir, finished_job(f"{TODAY}T00:00:02.000Z"))
    assert export(target=target).counts["files_changed"] == 1


def test_the_head_lies_beside_the_files_under_a_name_of_its_own(export: Run, lake: settings.Settings) -> None:
    seal.seal_closed_days(lake)
    head = seal.head(lake)
    assert head
    result = export(target=f"file://{lake.home}/data/audit")
    told = json.loads((lake.home / "data" / "audit" / f"seal-000001-{head.digest[:12]}.json").read_text())
    assert told == result.report["chain_head"] and seal.verify(lake, seal.Head(**told)) == []


def test_csv_in_a_store(export: Run, lake: settings.Settings) -> None:
    export(target=f"file://{lake.home}/data/audit", format="csv")
    text = (lake.home / "data" / "audit" / f"day={TODAY}.csv").read_text()
    frame = pd.read_csv(io.StringIO(text))
    assert len(frame) == 2 and set(frame["status"]) == {"succeeded"} and pd.to_datetime(frame["finished_at"]).dt.tz is not None


def test_chosen_jobs_do_not_take_the_place_of_a_days_file(export: Run, lake: settings.Settings) -> None:
    target = f"file://{lake.home}/data/audit"
    export(target=target)
    chosen = next(iter((lake.archive_dir / TODAY.strftime("%Y/%m/%d")).glob("*.json"))).stem
    export(target=target, job_ids=(chosen,))
    assert parquet.read_metadata(lake.home / "data" / "audit" / f"day={TODAY}.parquet").num_rows == 2
