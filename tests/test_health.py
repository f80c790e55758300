"""Whether the queue is served: what makes it unwell, what only deserves a note, and that asking is cheap and changes nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from portal import clock, health, processes, settings, version
from portal.cli import main
from portal.settings import CODE_ROOT, Settings
from portal.spool import Spool, claiming, workers
from portal.spool.workers import Registration
from tests.queues import a_job, soon, until, worker_process
from tests.test_cost import Calls

LATER_S = 3600


@pytest.fixture(autouse=True)
def room_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """How full the disk of the machine is that runs the tests is not what they are about: "nearly full" is left to the test that sets it."""
    monkeypatch.setattr(health, "_NEARLY_FULL_SHARE", 0)


@pytest.fixture
def spool(config: Settings) -> Spool:
    return Spool(config)


@pytest.fixture
def enter(spool: Spool) -> Iterator[Callable[..., Registration]]:
    """Enter workers that do nothing."""
    made: list[Registration] = []

    def registered(slots: int = 2, name: str | None = None) -> Registration:
        made.append(workers.register(spool.layout, slots, name))
        return made[-1]

    yield registered
    for registration in made:
        registration.leave()


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let an hour pass on the wall clock; hearts beat by another one."""

    def pass_by() -> None:
        now = clock.now_ms()
        monkeypatch.setattr(clock, "now_ms", lambda: now + LATER_S * 1000)

    return pass_by


def problems(spool: Spool) -> list[str]:
    return [item.kind for item in health.look(spool.settings).problems]


def notes(spool: Spool) -> list[str]:
    return [item.kind for item in health.look(spool.settings).notes]


def test_a_queue_that_is_not_there(config: Settings) -> None:
    config.queue_dir.rmdir()
    found = health.look(config)
    assert [item.kind for item in found.problems] == ["missing"] and not found.well
    assert not config.queue_dir.exists(), "looking makes nothing"


def test_without_a_worker_it_is_not_well(spool: Spool, enter: Callable[..., Registration]) -> None:
    assert problems(spool) == ["no-worker"]
    enter()
    found = health.look(spool.settings)
    assert found.well and found.problems == () and found.counts["queued"] == 0 and [item.name for item in found.workers]


def test_a_worker_that_died_is_a_note_when_another_lives(spool: Spool, enter: Callable[..., Registration]) -> None:
    enter(name="w1").lock.release()
    assert (problems(spool), notes(spool)) == (["no-worker"], ["worker-dead"])
    enter(name="w2")
    assert (problems(spool), notes(spool)) == ([], ["worker-dead"])


def test_a_worker_that_lives_and_does_not_go_round_hangs(spool: Spool, enter: Callable[..., Registration]) -> None:
    enter(name="w1")
    beat = spool.layout.workers / "w1.beat"
    limit_s = 30 + 3 * spool.settings.poll_s
    for age_s, expected in ((0, []), (limit_s - 5, []), (limit_s + 1, ["worker-hanging"])):
        beat.write_text(f"{time.monotonic_ns() - int(age_s * 1e9):020d}\n")
        assert problems(spool) == expected
    assert "w1" in health.look(spool.settings).problems[0].text
    for nonsense in ("", "soon", f"{time.monotonic_ns() + 10**15}"):
        beat.write_text(nonsense)
        assert problems(spool) == [], "a heartbeat that nobody can read proves nothing"
    beat.unlink()
    assert problems(spool) == []


def test_a_jump_of_the_clock_makes_no_worker_hang(spool: Spool, enter: Callable[..., Registration], later: Callable[[], None]) -> None:
    enter()
    later()
    assert problems(spool) == []


def test_the_heart_of_a_real_worker_beats_and_a_stopped_one_is_found(config: Settings, spool: Spool) -> None:
    with worker_process(config.home, "--name", "w1") as process:
        until(lambda: health.look(config).well)
        first = (spool.layout.workers / "w1.beat").read_text()
        until(lambda: (spool.layout.workers / "w1.beat").read_text() > first)
        process.send_signal(signal.SIGSTOP)
        until(lambda: problems(spool) == ["worker-stopped"])
        assert f"kill -CONT {process.pid}" in health.look(config).problems[0].hint
        process.send_signal(signal.SIGCONT)
        until(lambda: health.look(config).well)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert problems(spool) == ["no-worker"] and os.listdir(spool.layout.workers) == []


def test_beating_costs_nothing_when_it_just_beat(spool: Spool, enter: Callable[..., Registration], monkeypatch: pytest.MonkeyPatch) -> None:
    registration, written = enter(), []
    monkeypatch.setattr(workers, "_write_beat", written.append)
    for _ in range(1000):
        registration.beat()
    assert written == []
    registration._beat_at -= 2
    registration.beat()
    assert len(written) == 1


def test_a_disk_that_takes_no_heartbeat_stops_no_worker(spool: Spool, enter: Callable[..., Registration], monkeypatch: pytest.MonkeyPatch) -> None:
    registration = enter()

    def full(_: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(workers, "_write_beat", full)
    registration._beat_at -= 2
    registration.beat()


# Overdue


def test_a_job_that_could_have_started_long_ago_is_overdue(spool: Spool, enter: Callable[..., Registration], later: Callable[[], None]) -> None:
    enter(slots=1)
    first, _ = spool.submit(a_job()), spool.submit(a_job())
    assert problems(spool) == []
    later()
    assert problems(spool) == ["overdue"]
    text = health.look(spool.settings).problems[0].text
    assert first.id in text and text.startswith("1 job could"), "one slot is free, so one job could have been started"


@pytest.mark.parametrize("held_by", ["nothing free", "pause", "engine pause", "limit", "cancel", "drain"])
def test_a_job_that_something_holds_back_is_not_overdue(
    spool: Spool, enter: Callable[..., Registration], later: Callable[[], None], held_by: str
) -> None:
    registration = enter(slots=2, name="w1")
    if held_by == "limit":
        spool.submit(a_job(limits=("one",)))
        claim = next(claiming.claims(spool.layout))
        spool.layout.lock(claim.job.id).write_text(json.dumps({**processes.identity(), "attempt": 1}))
    job = spool.submit(a_job(limits=("one",)))
    if held_by == "nothing free":
        registration.tell(2)
    elif held_by == "pause":
        spool.pause(by="ann")
    elif held_by == "engine pause":
        spool.pause("act", by="ann")
    elif held_by == "cancel":
        spool.cancel(job.id, "ann")
    elif held_by == "drain":
        spool.drain("w1", by="ann")
    later()
    assert [kind for kind in problems(spool) if kind != "cancel"] == []


@pytest.mark.parametrize("event", ["resume", "an end", "a start", "a submit"])
def test_what_became_free_a_moment_ago_is_not_overdue(
    spool: Spool, enter: Callable[..., Registration], monkeypatch: pytest.MonkeyPatch, event: str
) -> None:
    registration = enter()
    for _ in range(3):
        spool.submit(a_job())
    real = clock.now_ms
    aged: dict[Path, int] = {}
    changed = health._changed_ms
    monkeypatch.setattr(health, "_changed_ms", lambda path: aged.get(path, changed(path)))
    monkeypatch.setattr(clock, "now_ms", lambda: real() + LATER_S * 1000)
    assert problems(spool) == ["overdue"]
    touched = {"resume": spool.layout.paused, "an end": spool.layout.running, "a start": spool.layout.workers / f"{registration.info.name}.json"}
    for path in [touched[event]] if event in touched else spool.layout.queue.glob("*.json"):
        aged[path] = clock.now_ms() - 1000
    assert problems(spool) == []


def test_a_delayed_job_that_nobody_made_ready_is_overdue(spool: Spool, enter: Callable[..., Registration], later: Callable[[], None]) -> None:
    enter()
    due, _ = spool.submit(a_job(not_before=soon(60))), spool.submit(a_job(not_before=soon(2 * LATER_S)))
    assert problems(spool) == []
    later()
    assert problems(spool) == ["overdue"] and due.id in health.look(spool.settings).problems[0].text


def test_a_job_whose_runner_is_gone_and_that_nobody_settles_is_told(
    spool: Spool, enter: Callable[..., Registration], later: Callable[[], None]
) -> None:
    enter()
    spool.submit(a_job())
    next(claiming.claims(spool.layout)).let_go()
    assert problems(spool) == []
    later()
    assert problems(spool) == ["unsettled"]


def test_a_cancel_that_ends_nothing_is_told(spool: Spool, enter: Callable[..., Registration], later: Callable[[], None]) -> None:
    enter()
    spool.cancel(spool.submit(a_job(not_before=soon(2 * LATER_S))).id, "ann")
    assert problems(spool) == []
    later()
    assert problems(spool) == ["cancel"]


def test_without_a_worker_that_works_only_that_is_told(spool: Spool, later: Callable[[], None]) -> None:
    spool.submit(a_job())
    later()
    assert problems(spool) == ["no-worker"]


# Disks, and what is only told


def test_a_full_disk_is_a_problem_and_one_that_fills_a_note(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(settings.load(home))
    registration = workers.register(spool.layout, 1)
    (disk,) = health.look(spool.settings).disks
    assert [folder.name for folder in disk.folders] == ["queue", "logs", "archive"]
    for needed_mb, told in ((disk.free_bytes >> 19, (["disk"], [])), (disk.free_bytes * 3 // 4 >> 20, ([], ["disk"]))):
        monkeypatch.setenv("PORTAL_MIN_FREE_MB", str(needed_mb))
        found = health.look(settings.load(home))
        assert ([item.kind for item in found.problems], [item.kind for item in found.notes]) == told
    monkeypatch.delenv("PORTAL_MIN_FREE_MB")
    monkeypatch.setenv("PORTAL_MIN_FREE_INODES", str((disk.free_files or 0) * 2))
    assert disk.free_files is None or [item.kind for item in health.look(settings.load(home)).problems] == ["disk"]
    registration.leave()


def test_pauses_drains_and_files_set_aside_are_told_and_leave_it_well(spool: Spool, enter: Callable[..., Registration]) -> None:
    enter(name="w1")
    spool.pause(by="ann", why="repair")
    spool.pause("list", by="ann")
    spool.drain("w1", by="ann")
    (spool.layout.corrupt / "5-x.json").write_text("{")
    (spool.layout.reserve / "space").unlink()
    found = health.look(spool.settings)
    assert found.well
    assert [item.kind for item in found.notes] == ["paused", "paused", "draining", "corrupt", "reserve"]
    assert "repair" in found.notes[0].text and found.notes[1].hint == "`python -m portal resume --engine list` starts its jobs again."


def test_a_worker_of_older_code_is_told(spool: Spool, enter: Callable[..., Registration], monkeypatch: pytest.MonkeyPatch) -> None:
    enter()
    assert notes(spool) == []
    monkeypatch.setattr(health, "version", lambda: "0.2.0+00000000")
    assert notes(spool) == ["old-code"]


def test_the_version_changes_with_the_code(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("1")
    first = version.version(tmp_path)
    assert first.startswith(f"{version.RELEASE}+") and version.version(tmp_path) == first
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.py").write_text("2")
    (tmp_path / "notes.txt").write_text("2")
    assert version.version(tmp_path) == first
    (tmp_path / "b.py").write_text("")
    assert version.version(tmp_path) != first


def test_the_release_is_that_of_the_project() -> None:
    assert f'version = "{version.RELEASE}"' in (CODE_ROOT / "pyproject.toml").read_text("utf-8")


# What it costs, and the command


def test_looking_reads_no_waiting_jobs_and_writes_nothing(
    spool: Spool, enter: Callable[..., Registration], monkeypatch: pytest.MonkeyPatch, later: Callable[[], None]
) -> None:
    enter(slots=2)
    for _ in range(200):
        job = a_job()
        (spool.layout.queue / f"5-{job.id}.json").write_text(job.to_json())
    later()
    calls = Calls(monkeypatch)
    before = sorted((str(path), path.stat().st_mtime_ns) for path in spool.settings.home.rglob("*"))
    assert problems(spool) == ["overdue"]
    assert calls.jobs_in(spool.layout.queue) - calls.jobs_in(spool.layout.workers) <= 2
    assert not [path for path in calls.listed if path.is_relative_to(spool.layout.archive)]
    assert sorted((str(path), path.stat().st_mtime_ns) for path in spool.settings.home.rglob("*")) == before


def test_the_command_tells_by_its_exit_status(spool: Spool, enter: Callable[..., Registration], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["health"]) == 1
    text = capsys.readouterr().out
    assert text.startswith("NOT WELL: 0 workers, 0 of 0 slots busy; 0 queued, 0 delayed, 0 running\nproblem: No worker is running.\n  what to do: ")
    enter(slots=3).tell(1)
    spool.pause(by="ann")
    assert main(["health"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("well: 1 worker, 1 of 3 slots busy; ") and "\nnote: Paused is the queue, by ann" in text
    assert main(["health", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["well"], told["problems"], told["notes"][0]["kind"], told["workers"][0]["slots"]) == (True, [], "paused", 3)
    assert set(told["disks"][0]) == {"folders", "free_bytes", "size_bytes", "free_files"}


def test_a_monitor_that_may_not_look_is_told(spool: Spool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(health, "workers", refused)
    assert main(["health"]) == 1
    assert "add it to its group" in capsys.readouterr().err


def test_asking_imports_nothing_heavy() -> None:
    heavy = ["boto3", "azure", "pyarrow", "pandas", "numpy", "snowflake", "streamlit", "prometheus_client", "watchfiles", "nacl", "cryptography"]
    code = (
        "import sys, portal.cli.health, portal.cli.control, portal.cli.workers, portal.cli.jobs;"
        f"found = [name for name in {heavy} if name in sys.modules]; sys.exit(f'imported: {{found}}' if found else 0)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=CODE_ROOT, check=True)
