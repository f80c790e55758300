"""`portal lake`: tables and copies of real catalogs, chains from flags and files, and what is said of what cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from portal import settings
from portal.cli import lake, main
from portal.jobs import Status
from portal.lake import chain_jobs
from portal.settings import Settings
from portal.spool import Spool
from tests.lake_chains import INGESTED, MARK, ended, first_job
from tests.test_ui_lakehouse import catalogs


@pytest.fixture
def spool(config: Settings) -> Spool:
    return Spool(config)


def told(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert main(["lake", *arguments]) == code
    out, err = capsys.readouterr()
    return out if code == 0 else err


def test_tables_and_their_lag_are_told(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    catalogs(home)
    assert told(capsys, "tables", "--catalog", "ice") == "sales\n"
    lines = told(capsys, "tables", "sales.[lo]*", "--catalog", "ice").splitlines()
    assert [line.split() for line in lines[1:]] == [["sales.lines", "Iceberg"], ["sales.orders", "Iceberg"]]
    text = told(capsys, "status", "sales.*", "--catalog", "ice", "--target-catalog", "azure")
    assert [line.split("  ")[-1].strip() for line in text.splitlines()] == ["BEHIND", "1 snapshot", "not behind", "not there"]
    found = json.loads(told(capsys, "status", "sales.lines", "--catalog", "ice", "--target-catalog", "azure", "--json"))
    assert (found[0]["there"], found[0]["behind"], found[0]["compared"]) == (True, 1, True)


@pytest.mark.parametrize(("arguments", "code", "text"), [
    (("tables", "sales.nope", "--catalog", "ice"), 2, "No table is meant by sales.nope."),
    (("tables", "nope", "--catalog", "ice"), 2, "No table is meant by nope."),
    (("tables", "--catalog", "moon"), 1, "There is no connection 'moon'."),
    (("chain", "a.b", "--from", "azure", "--to", "iceberg"), 2, "From azure to iceberg there is no way."),
    (("chain", "a.b", "--set", "migrate=azure"), 2, "--set 'migrate=azure' cannot be read."),
    (("chain", "a.b", "--set", "moon.x=1"), 2, "'moon' is no step."),
    (("chain", "a.b", "--to", "iceberg", "--set", "migrate.check=rows"), 2, "has no step migrate."),
    (("chain", "a.b", "--from", "iceberg", "--to", "azure", "--set", "migrate.chek=rows"), 2, "chek is not a parameter"),
    (("chain", "a.b", "--to", "azure", "--set", "migrate.target_catalog=moon"), 2, "Follow-up migrate_iceberg: "),
    (("chain", "--from", "iceberg", "--to", "azure"), 2, "tables is missing"),
    (("chains", "01XXXX"), 1, "There is no chain '01XXXX'."),
    ((), 2, "actions:"),
])  # fmt: skip
def test_what_cannot_be_is_said_clearly(home: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, text: str) -> None:
    catalogs(home)
    assert text in told(capsys, *arguments, code=code)
    assert not list(Spool(settings.load(home)).each_waiting())


def test_a_chain_is_started_from_flags_and_a_file(home: Path, spool: Spool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    catalogs(home)
    file = tmp_path / "chain.json"
    file.write_text(json.dumps({"ingest": {"tables": ["a.*"], "way": "ctas"}, "migrate": {"history": "current", "target_catalog": "ice"}}))
    flags = ("--set", "migrate.target-catalog=azure", "--set", "ingest.tables=b.x,b.y", "--name", "night", "--as", "ann", "--priority", "3")
    found = json.loads(told(capsys, "chain", "--to", "azure", "--catalog", "ice", "--file", str(file), *flags, "--key", "once", "--json"))
    assert (found["state"], found["name"], [step["step"] for step in found["steps"]]) == ("running", "night", ["ingest_hive", "migrate_iceberg"])
    (job,) = spool.each_waiting()
    expected: dict[str, Any] = {"catalog": "ice", "tables": ["b.x", "b.y"], "way": "ctas"}
    assert (job.id, job.params, job.submitted_by, job.priority) == (found["chain"], expected, "ann", 3)
    (then,) = job.then
    assert then.params == {"catalog": "ice", "history": "current", "target_catalog": "azure", "tables": {"$result": "/report/arrived"}}
    assert told(capsys, "chain", "c.z", "--to", "azure", "--set", "migrate.target_catalog=azure", "--key", "once").strip() == job.id


def test_chains_are_listed_shown_and_restarted(home: Path, spool: Spool, capsys: pytest.CaptureFixture[str]) -> None:
    catalogs(home)
    assert "No chains within 30 days." in told(capsys, "chains")
    ended(spool, spool.submit(first_job()), Status.FAILED, INGESTED[1:], error="None of them arrived.")
    (line,) = told(capsys, "chains").splitlines()[1:]
    assert line.split()[:3] == [MARK, "nightly", "failed"] and "Hive → Iceberg → Azure → Snowflake" in line
    text = told(capsys, "chains", MARK[:6].lower())
    assert "sales.lines   failed           not reached       not reached" in text and "sales.lines, Hive to Iceberg: The counts differ." in text
    restarted = json.loads(told(capsys, "restart", MARK, "--json"))
    assert restarted["state"] == "running" and [len(step["jobs"]) for step in restarted["steps"]] == [2, 0, 0]
    assert "has nothing to restart: it still runs" in told(capsys, "restart", MARK, code=1)


def test_two_restarts_at_once_are_one(home: Path, spool: Spool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The second has looked at the chain before the first one began."""
    catalogs(home)
    failed = ended(spool, spool.submit(first_job()), Status.FAILED, INGESTED[1:], error="None of them arrived.")
    seen = chain_jobs.one(spool, MARK)
    assert seen and seen.retryable == failed
    whole = lake._one
    for _ in range(2):
        looks = [seen]
        monkeypatch.setattr(lake, "_one", lambda spool, mark, looks=looks: looks.pop() if looks else whole(spool, mark))
        found = json.loads(told(capsys, "restart", MARK, "--json"))
        assert [len(step["jobs"]) for step in found["steps"]] == [2, 0, 0]
