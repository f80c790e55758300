"""An engine run by hand in a folder of its own: the same command goes on with what is there, and with nothing else."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from portal import settings, work_folder
from portal.errors import BadParameters


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "work"
    made.mkdir()
    return made


def take(folder: Path, engine: str = "migrate", params: str = "p") -> work_folder.Turn:
    with work_folder.turn(folder, engine, params) as found:
        return found


def ended(folder: Path, attempt: int, outcome: str, counts: Any = None, **error: Any) -> None:
    told = {"outcome": outcome, "counts": counts or {}, "error": {"type": "NotFound", "retryable": False, **error}}
    (folder / f"result-{attempt}.json").write_text(json.dumps(told))


@pytest.mark.parametrize(
    "end",
    [
        None, ("partial", {"listed": 2, "copied": 1, "failed": 1}, {}), ("failed", {"listed": 2}, {"type": "Cancelled"}),
        ("failed", {"listed": 2}, {"retryable": True}), ("failed", {"listed": 2, "copied": 1}, {}),
    ],
    ids=["killed", "partial", "cancelled", "retryable", "cut-short"],
)  # fmt: skip
def test_what_left_something_to_do_is_gone_on_with(folder: Path, end: Any) -> None:
    first = take(folder)
    if end:
        ended(folder, 1, end[0], end[1], **end[2])
    again = take(folder)
    assert (again.job_id, again.attempt, again.goes_on) == (first.job_id, 2, True)
    assert take(folder).attempt == 3


@pytest.mark.parametrize("end", ["succeeded", "rejected", "failed"])
def test_what_is_over_is_followed_by_a_new_run_that_takes_nothing_over(folder: Path, end: str) -> None:
    first = take(folder)
    ended(folder, 1, end, {"listed": 2})
    (folder / "checkpoint.json").write_text("{}")
    again = take(folder)
    assert again.job_id != first.job_id and again.attempt == 1
    assert not list(folder.glob("result-*")) and not (folder / "checkpoint.json").exists()


def test_other_parameters_begin_anew_and_another_engine_is_refused(folder: Path) -> None:
    first = take(folder)
    assert take(folder, params="others").job_id != first.job_id
    with pytest.raises(BadParameters, match="files of a run of migrate"):
        take(folder, engine="convert")


def test_two_at_a_time_are_refused(folder: Path) -> None:
    with work_folder.turn(folder, "migrate", "p"), pytest.raises(BadParameters, match="Another run works"):
        take(folder)


def command(home: Path, work: Path, *flags: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(settings.CODE_ROOT), "PORTAL_HOME": str(home)}
    return subprocess.Popen(
        [sys.executable, "-m", "engines.migrate", "--work-dir", str(work), *flags], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment, cwd=settings.CODE_ROOT,
    )  # fmt: skip


def test_the_same_command_goes_on_after_a_cancel_which_tells_what_was_done(home: Path, folder: Path) -> None:
    source, target = home / "data" / "in", home / "data" / "out"
    source.mkdir(parents=True)
    for n in range(5):
        (source / f"{n}.csv").write_bytes(os.urandom(256 << 10))
    flags = ["--source", f"file://{source}", "--target", f"file://{target}"]
    with command(home, folder, *flags, "--max-bandwidth", str(256 << 10), "--concurrency", "1", "--processes", "1") as first:
        until = time.monotonic() + 30
        while '"end"' not in _text(folder / "journal.ndjson") and time.monotonic() < until:
            pass
        first.send_signal(signal.SIGINT)
        told = json.loads(first.communicate(timeout=30)[0])
    copied = sorted(target.glob("*.csv"))
    assert told["error"]["type"] == "Cancelled" and f"--work-dir {folder}" in told["error"]["hint"]
    assert 0 < len(copied) < 5 and told["counts"]["copied"] == len(copied) and told["report"]["proof"]
    before = {path: path.stat().st_ino for path in copied}
    with command(home, folder, *flags) as second:
        then = json.loads(second.communicate(timeout=30)[0])
    assert (then["outcome"], then["attempt"], then["counts"]["copied"]) == ("succeeded", 2, 5)
    assert {path: path.stat().st_ino for path in copied} == before, "what was done is not touched"


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def test_a_service_that_says_nothing_does_not_hold_up_a_cancel(home: Path, folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with (home / ".env").open("a") as file:
            file.write(f"AWS_ENDPOINT_URL=http://127.0.0.1:{silent.getsockname()[1]}\nAWS_ACCESS_KEY_ID=x\nAWS_SECRET_ACCESS_KEY=yyyyyyyy\n")
        with command(home, folder, "--source", "s3://bucket/", "--target", f"file://{home}/data/out") as process:
            silent.settimeout(30)
            asked, _ = silent.accept()
            with asked:
                asked.recv(1)
                process.send_signal(signal.SIGINT)
                out, _ = process.communicate(timeout=20)
    assert process.returncode == 1 and json.loads(out)["error"]["type"] == "Cancelled"
