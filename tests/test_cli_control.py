"""Pausing, priorities, limits, draining and the reasons of waiting jobs, as a person or a script meets them on the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from portal import clock
from portal.cli import main
from portal.cli import workers as command
from portal.errors import QueueRefused
from portal.jobs import Job
from portal.settings import Settings
from portal.spool import Spool, claiming, workers
from portal.spool.workers import Registration
from tests.queues import a_job


@pytest.fixture
def spool(config: Settings) -> Spool:
    return Spool(config)


@pytest.fixture
def worker(spool: Spool) -> Iterator[Registration]:
    """A worker that does nothing."""
    registered = workers.register(spool.layout, 2, "w1")
    yield registered
    registered.leave()


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    try:
        code = main(list(arguments))
    except SystemExit as end:
        code = int(end.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    code, out, err = run(capsys, *arguments, "--json")
    assert (code, err) == (0, "") or arguments[0] in ("workers", "jobs", "show"), err
    return json.loads(out)


def ready(spool: Spool, engine: str = "list", **changes: Any) -> Job:
    return spool.submit(a_job(engine, **changes))


def test_the_queue_is_paused_and_resumed(spool: Spool, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "pause", "--why", "a new disk", "--as", "ann")
    assert code == 0
    assert out.startswith("Paused: the queue, by ann since 20") and out.endswith("UTC: a new disk.\nTo go on: python -m portal resume\n")
    assert run(capsys, "pause", "--as", "bob")[1].startswith("Paused already: the queue, by ann")
    assert run(capsys, "pause", "--why", "an upgrade", "--as", "bob")[1].startswith("Paused: the queue, by bob")
    code, out, _ = run(capsys, "resume")
    assert (code, out.startswith("Resumed: the queue, by bob")) == (0, True)
    assert run(capsys, "resume")[:2] == (0, "The queue was not paused.\n")
    assert spool.pauses() == []


def test_one_engine_is_paused_and_everything_resumed(spool: Spool, capsys: pytest.CaptureFixture[str]) -> None:
    assert "portal resume --engine list" in run(capsys, "pause", "--engine", "list")[1]
    run(capsys, "pause", "--engine", "migrate")
    code, out, _ = run(capsys, "resume")
    assert code == 0 and out.count("Still paused: the engine ") == 2
    assert "Resumed: the engine list" in run(capsys, "resume", "--engine", "list")[1]
    assert "The engine list was not paused." in run(capsys, "resume", "--engine", "list")[1]
    assert [item["engine"] for item in told(capsys, "pause", "--as", "ann")] == [None, "migrate"]
    answer = told(capsys, "resume", "--all")
    assert ([item["engine"] for item in answer["resumed"]], answer["paused"]) == ([None, "migrate"], [])
    assert run(capsys, "resume", "--all")[1] == "Nothing was paused.\n"


@pytest.mark.parametrize(("arguments", "code", "said"), [
    (["pause", "--engine", "no_such"], 2, "There is no engine 'no_such'"),
    (["resume", "--engine", "../x"], 1, "'../x' cannot be paused"),
    (["resume", "--engine", "list", "--all"], 2, "not allowed with"),
    (["priority"], 2, "ID"),
    (["priority", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "3"], 1, "There is no job"),
    (["priority", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "10"], 2, "0-9"),
    (["priority", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "high"], 2, "0-9"),
    (["workers", "--drain", "nobody"], 1, "No worker called 'nobody' is running"),
    (["workers", "--drain", "../x"], 1, "cannot be the name of a worker"),
    (["workers", "--undrain", "../x"], 1, "cannot be the name of a worker"),
    (["workers", "--drain", "a", "--undrain", "b"], 2, "not allowed with"),
    (["metrics", "--listen", "1", "--textfile", "x.prom"], 2, "not allowed with"),
])  # fmt: skip
def test_misuse_ends_in_a_clear_message(home: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str) -> None:
    found, out, err = run(capsys, *arguments)
    assert (found, said in err, out) == (code, True, ""), err
    assert "Traceback" not in err and "does not know" not in err


def test_an_engine_that_is_gone_can_still_be_resumed(spool: Spool, capsys: pytest.CaptureFixture[str]) -> None:
    spool.pause("no_such", by="ann")
    assert "Resumed: the engine no_such" in run(capsys, "resume", "--engine", "no_such")[1]


def test_a_priority_is_changed_by_a_short_id(spool: Spool, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = ready(spool), ready(spool)
    assert run(capsys, "priority", second.id[-6:], "1") == (0, f"{second.id}  priority 1\n", "")
    assert told(capsys, "priority", first.id, "2") == {"id": first.id, "priority": 2}
    assert [job.id for job in spool.waiting()] == [second.id, first.id]
    later = ready(spool, not_before=clock.iso(clock.now_ms() + 60_000))
    assert run(capsys, "priority", later.id, "0")[0] == 0
    next(claiming.claims(spool.layout)).let_go()
    code, out, err = run(capsys, "priority", second.id, "5")
    assert (code, out) == (1, "") and "is running already" in err


def test_jobs_and_show_tell_why_a_job_waits(spool: Spool, worker: Registration, capsys: pytest.CaptureFixture[str]) -> None:
    job, later = ready(spool), ready(spool, not_before=clock.iso(clock.now_ms() + 60_000))
    assert [(item["id"], item["waits"]["kind"]) for item in told(capsys, "jobs")] == [(job.id, "next"), (later.id, "delay")]
    worker.tell(2)
    line = next(line for line in run(capsys, "jobs")[1].splitlines() if job.id in line)
    assert line.endswith("All 2 slots are busy; it is the first in the queue.")
    shown = run(capsys, "show", later.id)[1]
    assert f"waits        It starts not before {(later.not_before or '')[:19].replace('T', ' ')} UTC." in shown
    spool.pause(by="ann", why="repair")
    assert told(capsys, "show", job.id)["waits"] == {"kind": "paused", "text": f"Paused is {spool.pauses()[0].told}."}
    claim = next(claiming.claims(spool.layout))
    assert told(capsys, "show", job.id)["waits"] is None
    assert "waits " not in run(capsys, "show", job.id)[1]
    claim.let_go()


def test_who_submits_into_a_pause_is_told(spool: Spool, worker: Registration, capsys: pytest.CaptureFixture[str]) -> None:
    order = ("submit", "list", "--source", "s3://bucket/")
    assert len(run(capsys, *order)[2].splitlines()) == 1
    spool.pause("list", by="ann", why="repair")
    assert "Paused is the engine list, by ann" in run(capsys, *order)[2]


def test_without_a_worker_the_table_and_a_warning_say_so(spool: Spool, capsys: pytest.CaptureFixture[str]) -> None:
    ready(spool)
    _, out, err = run(capsys, "jobs")
    assert out.count("No worker is running on this queue") == 1 and err.count("No worker is running on this queue") == 1


def test_limits_are_listed(home: Path, spool: Spool, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "limits")[:2] == (0, "No limit is configured, and no job names one.\n")
    with (home / ".env").open("a") as file:
        file.write('PORTAL_LIMITS={"engine:list": 2}\n')
    first, *_ = (ready(spool, limits=("table:x",)) for _ in range(3))
    next(claiming.claims(spool.layout)).let_go()
    lines = [line.split() for line in run(capsys, "limits")[1].splitlines()]
    assert lines == [
        ["LIMIT", "PLACES", "HELD", "WAITING", "HELD", "BY"], ["engine:list", "2", "1", "2", first.id], ["table:x", "1", "1", "2", first.id],
    ]  # fmt: skip
    assert told(capsys, "limits")[1] == {"name": "table:x", "places": 1, "held_by": [first.id], "waiting": 2, "all_counted": True}


def test_a_worker_is_drained_and_taken_back(spool: Spool, worker: Registration, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "workers")
    assert code == 0
    assert out.splitlines()[0].split() == ["NAME", "STATE", "SLOTS", "RUNNING", "HEARTBEAT", "HOST", "PID", "STARTED", "(UTC)", "VERSION"]
    assert out.splitlines()[1].split()[:4] == ["w1", "alive", "2", "0"] and " ago " in out
    code, out, _ = run(capsys, "workers", "--drain", "w1", "--as", "ann")
    assert (code, out.splitlines()[1].split()[:2]) == (0, ["w1", "draining"])
    assert json.loads((spool.layout.workers / "w1.drain").read_text())["by"] == "ann"
    assert (told(capsys, "workers")[0]["state"], worker.draining) == ("draining", True)
    assert run(capsys, "workers", "--undrain", "w1")[1].startswith("w1 takes jobs again.\nNAME")
    assert run(capsys, "workers", "--undrain", "w1")[1].startswith("w1 was not being drained.")
    assert not worker.draining


def test_a_worker_of_older_code_or_none_is_told(spool: Spool, worker: Registration, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(capsys, "workers")[0]["old_code"] is False
    monkeypatch.setattr(command, "version", lambda: "0.2.0+00000000")
    assert told(capsys, "workers")[0]["old_code"] is True and "not the code on the disk" in run(capsys, "workers")[1]
    worker.lock.release()
    code, out, _ = run(capsys, "workers")
    assert (code, out.splitlines()[1].split()[:2]) == (1, ["w1", "dead"])


@pytest.mark.parametrize("changes", [
    {"name": "../../x"}, {"name": "w2"}, {"name": 5}, {"slots": "many"}, {"running": None}, {"pid": -1}, {"started_at": 5}, {"host": "h\x1b[2J"},
])  # fmt: skip
def test_an_entry_that_no_worker_wrote_stops_nobody(spool: Spool, worker: Registration, capsys: Any, changes: dict[str, Any]) -> None:
    path = spool.layout.workers / "dead.json"
    data = json.loads((spool.layout.workers / "w1.json").read_text())
    path.write_text(json.dumps({**data, "name": "dead", **changes}))
    assert [item["name"] for item in told(capsys, "workers")] == ["w1"]
    assert run(capsys, "workers")[0] == 0 and run(capsys, "health")[0] == 0
    workers.forget_dead(spool.layout, clock.now_ms() + 90_000_000)


@pytest.mark.parametrize("name", ["../x", ".x", "", "a\nb", "\x1b[31m", "\udcff", "\0", "é" * 101])
def test_a_name_that_would_be_no_file_or_drive_a_terminal_is_no_name(spool: Spool, name: str) -> None:
    with pytest.raises(QueueRefused, match="cannot be the name of a worker"):
        workers.register(spool.layout, 1, name)
    for act in (lambda: spool.drain(name, "ann"), lambda: spool.undrain(name)):
        with pytest.raises(QueueRefused):
            act()


def test_who_pauses_and_why_drives_no_terminal(spool: Spool, worker: Registration, capsys: pytest.CaptureFixture[str]) -> None:
    said = run(capsys, "pause", "--why", "disk\x1b[31m\nfull\udcff", "--as", "a\nb")[1]
    assert "by a b since" in said and "disk�[31m full�" in said
    assert len(run(capsys, "pause", "--why", "x" * 100_000)[1]) < 500
    (spool.layout.paused / "queue.json").write_text(json.dumps({"by": "\x1b[2J", "why": "x\ny"}))
    for name in ("health", "pause", "resume"):
        assert "\x1b" not in run(capsys, name)[1]


def test_another_user_is_told_so(spool: Spool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "/srv/portal/queue")

    monkeypatch.setattr("portal.check.inspect", refused)
    code, _, said = run(capsys, "check")
    assert code == 1 and "This user may not use /srv/portal/queue" in said and "traceback" not in said


def test_a_surprise_on_a_full_disk_ends_in_words_too(spool: Spool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("portal.check.inspect", full)
    monkeypatch.setattr("tempfile.NamedTemporaryFile", full)
    code, _, said = run(capsys, "check")
    assert code == 1 and "could not be kept" in said and "No space left" in said


def test_an_entry_that_other_code_wrote_is_read_as_far_as_it_goes(spool: Spool, worker: Registration) -> None:
    path = spool.layout.workers / "w1.json"
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, "colour": "green"}))
    assert [item.name for item in spool.workers()] == ["w1"]
    path.write_text(json.dumps({name: value for name, value in data.items() if name != "version"}))
    assert [item.version for item in spool.workers()] == [""]
