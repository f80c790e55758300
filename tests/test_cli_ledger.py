"""`python -m portal ledger`: which objects, in which shape, what to do about those that failed, and errors that tell."""

from __future__ import annotations

import csv
import errno
import io
import json
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from portal import submission
from portal.cli import main
from portal.cli.text import table_lines
from portal.jobs import Job, Status
from portal.ledger import export as ledger_export
from portal.settings import Settings
from portal.spool import Spool
from tests import ledgers
from tests.test_ui_search import archived


@pytest.fixture
def spool(config: Settings) -> Spool:
    return Spool(config)


@pytest.fixture
def job(spool: Spool) -> Job:
    """A job that succeeded in part, with a ledger of forty objects."""
    made = archived(spool, 77, status=Status.PARTIAL, engine="migrate")
    ledgers.give(spool, made.id, ledgers.some())
    return made


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    try:
        code = main(["ledger", *arguments])
    except SystemExit as end:  # argparse: misuse
        code = int(end.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def keys(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    code, out, err = run(capsys, *arguments, "--json")
    assert code == 0, err
    return [row["source_key"] for row in json.loads(out)]


FILTERS: list[tuple[list[str], list[int]]] = [
    (["--failed"], [*range(30, 37)]), (["--outcome", "failed"], [*range(30, 37)]), (["--failed", "--cause", "name"], [35, 36]),
    (["--outcome", "skipped", "--outcome", "excluded"], [37, 38]), (["--proof", "size"], [4]), (["--mode", "server"], [4, 6, 7, 8]),
    (["--mode", "server", "--proof", "end-to-end"], [6, 7, 8]), (["--grep", "IN/01"], [*range(10, 20)]), (["--grep", "backslash"], [36]),
    (["--failed", "--offset", "5", "--limit", "1"], [35]), (["--offset", "100"], []), (["--limit", "0"], []), (["--cause", "full"], []),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "numbers"), FILTERS, ids=[" ".join(arguments) for arguments, _ in FILTERS])
def test_filters_hold_together(job: Job, capsys: pytest.CaptureFixture[str], arguments: list[str], numbers: list[int]) -> None:
    assert keys(capsys, job.id, *arguments) == [f"in/{n:03d}.csv" for n in numbers]


def test_the_table_tells_of_each_object_and_how_to_do_the_failed_ones_again(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, job.id[-8:], "--failed", "--limit", "2")
    head, first, second = out.splitlines()
    assert code == 0 and head.split() == ["OUTCOME", "PROOF", "MODE", "BYTES", "SOURCE", "TARGET", "CAUSE", "REASON"]
    assert first.split()[:3] == ["failed", "none", "130"] and second.endswith("access-denied  The store refused the credentials.")
    assert "2 of 7 objects" in err and f"To do only the 7 that failed again: python -m portal retry {job.id}" in err


def test_groups_tell_how_many_how_large_an_example_and_what_to_do(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, job.id, "--failed", "--group")
    refused, names = out.split("\n\n")
    assert code == 0 and refused.splitlines()[0] == "failed · access-denied: 5 objects, 660 B: Access was refused"
    assert "for example in/030.csv: The store refused the credentials." in refused and "s3:GetObject" in refused
    assert f"python -m portal ledger {job.id} --outcome failed --cause name" in names and "bad_names=rename" in names
    rows = json.loads(run(capsys, job.id, "--group", "--json")[1])
    assert [(row["outcome"], row["cause"], row["objects"]) for row in rows[:2]] == [("failed", "access-denied", 5), ("failed", "name", 2)]
    assert {row["outcome"]: row["objects"] for row in rows[2:]} == {"copied": 30, "skipped": 1, "excluded": 1, "deleted": 1}
    assert {row["what_to_do"] for row in rows[2:]} == {""}


def test_what_is_printed_as_the_way_to_list_a_group_lists_it(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    for way in re.findall(r"python -m portal ledger (.*)", run(capsys, job.id, "--group")[1]):
        assert keys(capsys, *way.split())


@pytest.mark.parametrize("ending", ["csv", "json", "parquet"])
def test_a_file_gets_the_format_that_its_name_tells(job: Job, capsys: pytest.CaptureFixture[str], tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"failed.{ending}"
    code, out, err = run(capsys, job.id, "--failed", "-o", str(path))
    assert (code, out) == (0, "") and "7 objects in" in err
    read = {"csv": lambda: [*csv.DictReader(io.StringIO(path.read_text()))], "json": lambda: json.loads(path.read_text()),
            "parquet": lambda: pq.read_table(path).to_pylist()}  # fmt: skip
    assert [row["source_key"] for row in read[ending]()] == [f"in/{n:03d}.csv" for n in range(30, 37)]
    assert [name.name for name in tmp_path.iterdir() if name.name.startswith(".")] == []


def test_csv_goes_to_standard_output_too(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [*csv.DictReader(io.StringIO(run(capsys, job.id, "--proof", "read-back", "--format", "csv")[1]))]
    assert [row["source_key"] for row in rows] == ["in/005.csv"]


def test_a_ledger_of_an_earlier_version_still_shows(spool: Spool, capsys: pytest.CaptureFixture[str]) -> None:
    job = archived(spool, 5, status=Status.PARTIAL, engine="migrate")
    ledgers.give(spool, job.id, ledgers.some(), schema=ledgers.OLD_SCHEMA)
    code, out, _ = run(capsys, job.id, "--failed")
    assert code == 0 and len(out.splitlines()) == 8 and "The store refused the credentials." in out
    groups = run(capsys, job.id, "--failed", "--group")[1]
    assert groups.startswith("failed: 7 objects, 931 B: No cause is told") and "Read the reason of each" in groups
    assert keys(capsys, job.id, "--mode", "server") == []


BAD: list[tuple[list[str], str]] = [
    (["--cause", "nmae"], "there is no cause 'nmae'"), (["--outcome", "lost"], "there is no outcome 'lost'"),
    (["--proof", "verified"], "there is no proof"),
    (["--failed", "--outcome", "copied"], "exclude each other"), (["--format", "parquet"], "Name a file with -o"), (["--limit", "-1"], "0 or more"),
    (["--group", "--limit", "3"], "--group counts every object"), (["-o", "/no/such/folder/x.csv"], "/no/such/folder/x.csv cannot be written"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "said"), BAD, ids=[" ".join(arguments) for arguments, _ in BAD])
def test_misuse_ends_in_a_clear_message(job: Job, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    code, out, err = run(capsys, job.id, *arguments)
    assert (code, out) == (2, "") and said in err and "Traceback" not in err and "does not know" not in err


def test_a_job_without_a_ledger_is_told_from_one_that_still_runs(spool: Spool, config: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    ended = archived(spool, 9)
    waiting = spool.submit(submission.new_job(config, "list", {"source": "s3://b/"}, by="anna"))
    told = run(capsys, ended.id)[2]
    assert "has no ledger (list, succeeded)" in told and "when they have begun with the first" in told
    assert "has no ledger yet (list, queued)" in run(capsys, waiting.id)[2]


def test_a_damaged_ledger_is_told_and_leaves_no_file(job: Job, spool: Spool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (spool.folder(job.id) / "ledger.parquet").write_bytes(b"PAR1")
    code, out, err = run(capsys, job.id, "-o", str(tmp_path / "x.csv"))
    assert (code, out) == (1, "") and "cannot be read" in err and "portal check" in err
    assert [*tmp_path.glob("*.csv*")] == []


def test_a_file_that_could_not_be_written_whole_leaves_nothing(
    job: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(tables: object, schema: object, shape: str, file: io.BytesIO) -> int:
        file.write(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ledger_export, "write", fill)
    code, _, err = run(capsys, job.id, "-o", str(tmp_path / "x.csv"))
    assert code == 2 and "x.csv cannot be written" in err and "No space left" in err
    assert [name.name for name in tmp_path.iterdir() if "x.csv" in name.name] == []


def test_a_long_table_is_printed_as_it_is_read() -> None:
    def rows() -> object:
        for number in range(10_000):
            taken.append(number)
            yield [number, "x"]

    taken: list[int] = []
    lines = table_lines(["n", "text"], rows(), measured=10)
    assert [next(lines) for _ in range(3)] == ["N  TEXT", "0  x", "1  x"] and len(taken) == 10
    assert [*lines][-1] == "9999  x"


def test_a_retry_says_that_it_does_only_what_failed_again(job: Job, spool: Spool, capsys: pytest.CaptureFixture[str]) -> None:
    params = {"source": "s3://b/in/", "target": "abfss://c@a/out/"}
    path = spool.archive_path(job)
    counts = {"listed": 39, "copied": 30, "skipped": 1, "failed": 7, "excluded": 1}
    path.write_text(job.evolve(params=params, result={"counts": counts}).to_json())
    assert main(["retry", job.id]) == 0
    out, err = capsys.readouterr()
    assert spool.find(out.strip()) is not None
    assert "only the 7 that failed are done again; the other 32 stay as they are" in err
