"""The frame: parameters in, one result out, every error clear, nothing secret written."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from portal import engine, settings
from portal.engine import EngineParams, JobContext, Result, param
from portal.errors import BadParameters, Cancelled, NotFound
from portal.progress import Progress
from portal.redact import Redactor

SECRET = "s3cr3t-value-of-a-key"

SAMPLE = """
'''Try the frame.

At length.'''
import re
import socket
import time
from portal import engine
from portal.engine import EngineParams, JobContext, Result, param

class Params(EngineParams):
    rows: int = param(3, help="Rows", ge=1)

def in_a_silent_connection(job):
    one, other = socket.socketpair()
    one.recv(1)

def in_an_expression_without_end(job):
    re.search("^(a+)+$", "a" * 64 + "b")

def among_threads_that_wait(job):
    from portal.planning.looking import each
    pairs = [socket.socketpair() for _ in range(8)]
    list(each(pairs, lambda pair: pair[0].recv(1), 8))

WAITS = {998: in_a_silent_connection, 997: in_an_expression_without_end, 996: among_threads_that_wait}

def run(params, job):
    job.log.info("key %s", "s3cr3t-value-of-a-key")
    seen = job.load_checkpoint()
    job.save_checkpoint({"rows": params.rows})
    while params.rows == 999:
        job.progress(1, 2)
    if params.rows in WAITS:
        with job.interruptible():
            WAITS[params.rows](job)
    while params.rows == 994:
        time.sleep(0.01)
    return Result(counts={"rows": params.rows}, report={"dry": job.dry_run, "seen": seen, "key": "s3cr3t-value-of-a-key"})

if __name__ == "__main__":
    engine.command(Params, run)
"""


class Params(EngineParams):
    rows: int = param(3, help="Rows", ge=1)


@pytest.fixture
def job(config: settings.Settings, tmp_path: Path) -> JobContext:
    folder = tmp_path / "job"
    folder.mkdir()
    return JobContext("01ARZ3NDEKTSV4RRFFQ69G5FAV", folder, config)


def outcome(job: JobContext) -> Any:
    return json.loads((job.folder / "result-1.json").read_text())


def test_a_result_is_recorded_with_job_and_attempt(job: JobContext) -> None:
    code = engine.execute(Params, lambda params, job: Result(counts={"rows": params.rows}), {"rows": 5}, job, Redactor())
    assert code == 0
    assert outcome(job) | {"timings": {}} == {
        "job": job.job_id, "attempt": 1, "outcome": "succeeded", "counts": {"rows": 5}, "bytes": 0, "timings": {}, "outputs": [], "warnings": [],
        "report": {}, "error": None,
    }  # fmt: skip


@pytest.mark.parametrize(("kind", "code"), [("succeeded", 0), ("partial", 3), ("failed", 1)])
def test_the_exit_code_tells_the_outcome(job: JobContext, kind: Any, code: int) -> None:
    assert engine.execute(Params, lambda params, job: Result(outcome=kind), {}, job, Redactor()) == code


def test_wrong_parameters_are_rejected_before_anything_runs(job: JobContext) -> None:
    def run(params: Params, job: JobContext) -> Result:
        raise AssertionError("must not run")

    assert engine.execute(Params, run, {"rows": 0}, job, Redactor()) == 2
    assert outcome(job)["outcome"] == "rejected"


def test_an_error_keeps_its_cause_its_hint_and_whether_to_try_again(job: JobContext) -> None:
    def run(params: Params, job: JobContext) -> Result:
        try:
            raise OSError("connection reset")
        except OSError as error:
            raise NotFound("There is no bucket 'x'.", hint="Create it.") from error

    assert engine.execute(Params, run, {}, job, Redactor()) == 1
    assert outcome(job)["error"] == {
        "type": "NotFound", "message": "There is no bucket 'x'.", "causes": ["connection reset"], "hint": "Create it.", "retryable": False,
    }  # fmt: skip


def test_a_surprise_becomes_a_clear_error_and_its_traceback_a_file(job: JobContext) -> None:
    def run(params: Params, job: JobContext) -> Result:
        raise ZeroDivisionError(f"with {SECRET}")

    assert engine.execute(Params, run, {}, job, Redactor([SECRET])) == 1
    error = outcome(job)["error"]
    assert error["retryable"] is True and "traceback-1.txt" in error["hint"]
    trace = (job.folder / "traceback-1.txt").read_text()
    assert "ZeroDivisionError" in trace and SECRET not in trace and SECRET not in json.dumps(error)


def test_progress_tells_rate_and_is_readable_by_others(job: JobContext) -> None:
    job.progress(10, 100, "objects", "copying", done_bytes=1000)
    seen = Progress.from_json((job.folder / "progress.json").read_text())
    assert seen and (seen.done, seen.total, seen.unit, seen.note, seen.done_bytes, seen.fraction) == (10, 100, "objects", "copying", 1000, 0.1)


def test_progress_is_told_in_the_log_now_and_then_if_asked_for(
    job: JobContext, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = time.monotonic()
    monkeypatch.setattr("time.monotonic", lambda: now)
    caplog.set_level("INFO", "portal.engine")
    for later, tells in [(10, False), (20, True), (21, True)]:
        monkeypatch.setattr("time.monotonic", lambda at=later: now + at)
        job.tells = tells
        job.progress(10 * later, 1000, "objects", "copying", later << 20)
    assert caplog.messages == ["200 of 1,000 objects, 1.0 MiB/s, 80 s to go, copying"]


def test_a_cancelled_job_stops_at_its_next_progress(job: JobContext) -> None:
    job.cancel()
    with pytest.raises(Cancelled):
        job.progress(1)


def test_an_artefact_stays_in_the_jobs_folder(job: JobContext) -> None:
    for name in ("../x", "a/b", "", ".hidden"):
        with pytest.raises(ValueError):
            job.artefact(name)


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    path = tmp_path / "sample.py"
    path.write_text(SAMPLE)
    return path


def command(sample: Path, *flags: str, **options: Any) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(settings.CODE_ROOT), "TMPDIR": str(sample.parent)}
    return subprocess.run([sys.executable, str(sample), *flags], capture_output=True, text=True, env=environment, timeout=60, check=False, **options)


def test_the_same_file_is_a_command(sample: Path, home: Path) -> None:
    done = command(sample, "--rows", "4", "--dry-run")
    assert done.returncode == 0
    assert json.loads(done.stdout)["counts"] == {"rows": 4} and json.loads(done.stdout)["report"]["dry"] is True


def test_a_command_takes_its_parameters_from_a_file_and_flags_win(sample: Path, home: Path, tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('{"rows": 8}')
    assert json.loads(command(sample, "--params", str(tmp_path / "p.json")).stdout)["counts"] == {"rows": 8}
    assert json.loads(command(sample, "--params", str(tmp_path / "p.json"), "--rows", "9").stdout)["counts"] == {"rows": 9}


def test_help_tells_where_credentials_come_from_and_where_files_go(sample: Path, home: Path) -> None:
    told = command(sample, "--help").stdout
    assert all(word in told for word in (".env.example", "AWS_ACCESS_KEY_ID", "conflicts.csv", "--work-dir", "portal show ID"))


@pytest.mark.parametrize("flags", [["--rows", "none"], ["--params", "/no/such/file"], ["--no-such-flag"]])
def test_a_wrong_command_says_so_without_a_traceback(sample: Path, home: Path, flags: list[str]) -> None:
    done = command(sample, *flags)
    assert done.returncode == 2 and done.stderr and "Traceback" not in done.stderr


def test_a_job_arrives_over_a_descriptor_and_its_secrets_stay_out(sample: Path, home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "job"
    folder.mkdir()
    (folder / "checkpoint.json").write_text('{"rows": 1}')
    job = {"id": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "params": {"rows": 6}}
    order = {"job": job, "attempt": 2, "folder": str(folder), "connections": {}, "redact": [SECRET]}
    reading, writing = os.pipe()
    os.write(writing, json.dumps(order).encode())
    os.close(writing)
    done = command(sample, "--job-fd", str(reading), pass_fds=[reading])
    os.close(reading)
    text = (folder / "result-2.json").read_text()
    assert done.returncode == 0 and json.loads(text)["counts"] == {"rows": 6} and json.loads(text)["report"]["seen"] == {"rows": 1}
    assert SECRET not in text and SECRET not in done.stderr and "key •••" in done.stderr


def started(sample: Path, rows: int, folder: Path) -> subprocess.Popen[str]:
    """Start it as a command, and return when it runs."""
    process = subprocess.Popen(
        [sys.executable, str(sample), "--rows", str(rows), "--work-dir", str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(settings.CODE_ROOT)},
    )  # fmt: skip
    assert process.stderr
    process.stderr.readline()
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("rows", [999, 998, 997, 996], ids=["working", "silent-connection", "regex", "threads"])
def test_a_terminated_engine_ends_by_itself_and_says_why(sample: Path, home: Path, tmp_path: Path, rows: int, number: signal.Signals) -> None:
    folder = tmp_path / "work"
    with started(sample, rows, folder) as process:
        process.send_signal(number)
        out, told = process.communicate(timeout=20)
    assert process.returncode == 1 and json.loads(out)["error"]["type"] == "Cancelled"
    assert f"--work-dir {folder}" in json.loads(out)["error"]["hint"] and "Traceback" not in told


def test_another_signal_ends_what_does_not_end_by_itself(sample: Path, home: Path, tmp_path: Path) -> None:
    with started(sample, 994, tmp_path / "work") as process:
        while process.poll() is None:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.1)
        process.communicate(timeout=20)
    assert process.returncode == -signal.SIGTERM


def test_signals_that_come_together_are_one(sample: Path, home: Path, tmp_path: Path) -> None:
    with started(sample, 998, tmp_path / "work") as process:
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=20)
    assert process.returncode == 1 and json.loads(out)["error"]["type"] == "Cancelled"


def test_no_name_drives_the_terminal_or_forges_a_line_of_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    engine.log_to_stderr(Redactor())
    name = "\x1b[31mred\x9b2J\r\n2026-01-01T00:00:00.000Z INFO  all is well"
    job_log = logging.getLogger("portal.engine")
    job_log.warning("column %s: odd", name)
    job_log.error("%s", "It failed.\n  because: of this\n  what to do: that")
    first, forged, *ours = capsys.readouterr().err.splitlines()
    assert first.endswith(r"WARN  column \x1b[31mred\x9b2J\r")
    assert forged.split("WARN  ")[1].startswith("  2026-01-01"), "it is told for a part of the message before it"
    assert [line[25:] for line in ours] == ["ERROR It failed.", "ERROR   because: of this", "ERROR   what to do: that"]


def test_a_work_folder_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadParameters, match="cannot be the work folder: it is a file"):
        engine._work_folder(argparse.Namespace(work_dir=str(tmp_path / "file")), None)  # type: ignore[arg-type]
