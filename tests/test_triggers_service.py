"""The service of the triggers: real processes that are killed, two workers of which one fires, and watches that fail, hang or are replaced."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import pytest

from portal import clock
from portal.errors import PortalError
from portal.settings import Settings
from portal.spool import Spool
from portal.spool.locks import is_held
from portal.triggers import book, history, kinds, service, standing, state
from portal.triggers.places import SERVICE_LOCK, TriggerFolder
from portal.triggers.rounds import Item, Rounds
from portal.triggers.starting import wanted
from portal.triggers.trigger import Trigger
from portal.triggers.watching import Watch
from tests.queues import ROOT, archived, is_running, until, worker_process
from tests.triggering import a_trigger, jobs_of, made

AGO = 3600_000


@pytest.fixture
def spool(config: Settings) -> Spool:
    return Spool(config)


@contextmanager
def service_process(home: Path, stdin: int = subprocess.PIPE) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "portal.triggers.service", "--quiet"]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PORTAL_HOME": str(home)}, stdin=stdin)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdin:
            process.stdin.close()


def since(minutes: int) -> str:
    return clock.iso(clock.now_ms() - minutes * 60_000 - 5_000)


def test_a_service_fires_what_was_missed_and_what_is_asked_for_and_ends_with_its_worker(spool: Spool, home: Path) -> None:
    made(spool, since=since(10), on={"schedule": "0 0 1 1 *"})
    made(spool, "often", since=since(10))
    with service_process(home) as process:
        until(lambda: jobs_of(spool, "often"))
        asked = time.monotonic()
        book.ask(spool.layout, "nightly", "bob")
        until(lambda: jobs_of(spool, "nightly"))
        assert time.monotonic() - asked < 5
        until(lambda: not book.is_asked(spool.layout, "nightly"))
        until(lambda: standing.service(spool.layout).pid == process.pid)
        book.save(spool.settings, a_trigger(home, "late"), "ann")
        book.ask(spool.layout, "late", "eve")
        until(lambda: jobs_of(spool, "late"))
        book.remove(spool.layout, "late")
        with service_process(home) as second:
            assert second.wait(20) == service.LOCKED_OUT
        assert process.stdin
        process.stdin.close()
        assert process.wait(10) == 0
    assert not standing.service(spool.layout).alive


def test_each_moment_has_one_job_though_the_service_is_killed_again_and_again(spool: Spool, home: Path) -> None:
    names = [f"t{number:02}" for number in range(6)]
    for name in names:
        made(spool, name, since=since(5), overlap="allow", on={"schedule": "*/5 * * * *"})
        made(spool, f"{name}-all", since=since(4), overlap="wait", on={"schedule": "* * * * *", "catch_up": "all"})
        book.ask(spool.layout, name, "bob")
    chance = random.Random(7)

    def done() -> bool:
        return all(not book.is_asked(spool.layout, name) and state.state(spool.layout, f"{name}-all").next_due for name in names)

    for number in range(6):
        with service_process(home) as process:
            until(lambda running=process: is_held(spool.layout.triggers / SERVICE_LOCK) or running.poll() is not None)
            time.sleep(chance.uniform(0.0, 0.1 + number / 20))
            process.kill()
    with service_process(home):
        until(done, 60)
    made_of = Counter((job.labels["trigger"], job.labels["event"]) for job in spool.waiting())
    assert set(made_of.values()) == {1}
    for name in names:
        happened = [item for item in history.events(spool.layout, f"{name}-all") if item.outcome == "submitted"]
        events = {event for trigger, event in made_of if trigger == f"{name}-all"}
        assert {item.event for item in happened} == events and len(events) in (4, 5, 6)
        assert sum(trigger == name and event.startswith("run-now") for trigger, event in made_of) == 1


def service_pids(home: Path) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if b"portal.triggers.service" in (entry / "cmdline").read_bytes() and f"PORTAL_HOME={home}".encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except (OSError, ValueError):
            continue
    return [pid for pid in found if is_running(pid)]


def test_workers_keep_one_service_whoever_of_them_dies(spool: Spool, home: Path) -> None:
    with (home / ".env").open("a") as file:
        file.write("PORTAL_POLL_S=0.1\n")
    with worker_process(home) as first, worker_process(home, "--name", "second") as second:
        until(lambda: len([item for item in spool.workers() if item.alive]) == 2)
        assert service_pids(home) == [], "there is nothing to serve"
        made(spool, "nightly", since=since(3), on={"schedule": "0 0 1 1 *"})
        book.ask(spool.layout, "nightly", "bob")
        until(lambda: len(archived(spool)) == 1)
        (pid,) = until(lambda: pids if len(pids := service_pids(home)) == 1 else None)  # the one that found the lock taken ends
        os.kill(pid, signal.SIGKILL)
        book.ask(spool.layout, "nightly", "bob")
        until(lambda: len(archived(spool)) == 2)
        first.kill()
        first.wait()
        book.ask(spool.layout, "nightly", "bob")
        until(lambda: len(archived(spool)) == 3)
        until(lambda: len(service_pids(home)) == 1)
        second.terminate()
        second.wait()
        until(lambda: service_pids(home) == [])
    assert [item.outcome for item in history.events(spool.layout, "nightly")] == ["submitted"] * 3


class Fake(Watch):
    """A watch that does what its trigger's name says."""

    going: ClassVar[Counter[str]] = Counter()
    looks: ClassVar[Counter[str]] = Counter()
    beside: ClassVar[list[str]] = []
    settled: ClassVar[list[str]] = []
    hold = threading.Event()

    def look(self, now_ms: int) -> float:
        name = self.trigger.name
        Fake.looks[name] += 1
        Fake.going[name] += 1
        if Fake.going[name] > 1:
            Fake.beside.append(name)
        try:
            if "hangs" in name:
                Fake.hold.wait(30)
            if "fails" in name:
                raise PortalError("The folder has gone.", hint="Bring it back.")
            if "breaks" in name:
                raise ZeroDivisionError
        finally:
            Fake.going[name] -= 1
        if asked := self.home.asked():
            self.home.answered(asked)
        return 0.05

    def settle(self) -> None:
        Fake.settled.append(self.trigger.name)
        for path in self.home.batches.iterdir():
            path.unlink()


@pytest.fixture
def serving(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., service.Service]]:
    """Services in threads of this process, on watches that do as they are told."""
    Fake.looks.clear(), Fake.beside.clear(), Fake.settled.clear(), Fake.hold.clear()
    monkeypatch.setattr(kinds, "WATCHES", {"cron": Fake, "folder": Fake, "sqs": Fake})
    monkeypatch.setattr("portal.triggers.rounds._FIRST_BACKOFF_S", 0.2)
    started: list[tuple[service.Service, threading.Thread]] = []

    def begin() -> service.Service:
        made_service = service.Service(spool.settings)
        thread = threading.Thread(target=made_service.run, name="served", daemon=True)
        thread.start()
        started.append((made_service, thread))
        return made_service

    yield begin
    Fake.hold.set()
    for made_service, thread in started:
        made_service.stop()
        thread.join(10)
        made_service.leave()


def sqs(spool: Spool, name: str) -> Trigger:
    return made(spool, name, kind="sqs", on={"queue": "q"})


def test_one_that_fails_or_breaks_is_told_and_the_others_go_on(spool: Spool, serving: Callable[..., service.Service]) -> None:
    for name in ("fails", "breaks", "well"):
        made(spool, name)
    serving()
    until(lambda: Fake.looks["well"] > 10 and Fake.looks["fails"] > 1 and Fake.looks["breaks"] > 1)
    problem = until(lambda: state.state(spool.layout, "fails").problem)
    assert problem.text == "The folder has gone.\n  what to do: Bring it back." and problem.of == "look"
    assert "ZeroDivisionError" in until(lambda: state.state(spool.layout, "breaks").problem).text
    assert state.state(spool.layout, "well").problem is None
    times = until(lambda: found if (found := state.state(spool.layout, "fails").problem) and found.times > 2 else None)
    assert times.since == problem.since
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Fake, "look", lambda self, now_ms: 0.05)
        until(lambda: state.state(spool.layout, "fails").problem is None)


def test_a_look_that_hangs_delays_no_other_kind_and_is_told(spool: Spool, serving: Callable[..., service.Service]) -> None:
    sqs(spool, "hangs")
    sqs(spool, "well")
    made(spool, "cron-well")
    made_service = serving()
    until(lambda: Fake.looks["hangs"] and Fake.looks["well"] > 5 and Fake.looks["cron-well"] > 5)
    assert Fake.looks["hangs"] == 1 and made_service.rounds.busy()["hangs"] > 0


def test_one_that_is_replaced_or_removed_during_a_look_is_never_looked_at_twice(spool: Spool, serving: Callable[..., service.Service]) -> None:
    trigger = sqs(spool, "hangs")
    made_service = serving()
    until(lambda: Fake.looks["hangs"] == 1)
    for priority in (1, 2, 3):
        book.save(spool.settings, trigger.model_copy(update={"priority": priority}), "bob")
        made_service.ring()
        time.sleep(0.2)
    batches = TriggerFolder(spool.layout, "hangs", trigger.uid).make_batches()
    (batches / "one.json").write_text("{}")
    book.remove(spool.layout, "hangs")
    until(lambda: any(name.startswith(".removed") for name in made_service.rounds.names()))
    time.sleep(0.2)
    assert Fake.settled == [] and Fake.looks["hangs"] == 1, "the look that hangs is waited for"
    Fake.hold.set()
    until(lambda: Fake.settled == ["hangs"])
    until(lambda: not any(path.is_dir() for path in spool.layout.triggers.iterdir()))
    assert Fake.beside == []


def test_one_that_is_paused_is_looked_at_only_when_somebody_asks(spool: Spool, serving: Callable[..., service.Service]) -> None:
    made(spool, "paused")
    book.pause(spool.layout, "paused", "ann")
    made(spool, "other")
    serving()
    until(lambda: Fake.looks["other"] > 5)
    assert Fake.looks["paused"] == 0
    book.ask(spool.layout, "paused", "bob")
    until(lambda: not book.is_asked(spool.layout, "paused"))
    time.sleep(0.3)
    assert Fake.looks["paused"] == 1
    book.resume(spool.layout, "paused", "ann")
    until(lambda: Fake.looks["paused"] > 3)


def test_what_is_damaged_is_left_alone_until_it_is_mended(spool: Spool, serving: Callable[..., service.Service]) -> None:
    trigger = made(spool, "mended")
    definition = spool.layout.triggers / "mended" / "trigger.json"
    definition.write_text("{")
    serving()
    time.sleep(0.3)
    assert Fake.looks["mended"] == 0
    definition.write_text(trigger.to_json())
    until(lambda: Fake.looks["mended"] > 1)


def test_a_service_without_anything_to_serve_ends(spool: Spool, serving: Callable[..., service.Service], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "_IDLE_S", 0.3)
    made(spool, "short")
    assert wanted(spool.layout)
    serving()
    until(lambda: Fake.looks["short"])
    book.remove(spool.layout, "short")
    until(lambda: not any(thread.name == "served" for thread in threading.enumerate()))
    until(lambda: not wanted(spool.layout))


def test_rounds_back_off_and_hear_descriptors() -> None:
    rung = threading.Event()
    rounds = Rounds({"cron": 1}, rung.set)
    read, write = os.pipe()
    looks: list[float] = []

    def look() -> float:
        looks.append(time.monotonic())
        if len(looks) > 1:
            os.read(read, 1)
        return 60.0

    rounds.add(Item("one", "cron", look, lambda: (read,), lambda: None))

    def turn_until(number: int) -> None:
        until(lambda: len(looks) == number and not rounds.busy(), turn=rounds.turn)

    turn_until(1)
    assert rounds.descriptors() == [read] and (rounds.turn() or 0) > 30
    os.write(write, b"!")
    rounds.hear(read)
    assert rounds.descriptors() == [], "it stays readable until the look has read from it"
    turn_until(2)
    assert rounds.descriptors() == [read]
    rounds.drop("one")
    assert rounds.descriptors() == [] and len(rounds) == 0 and rounds.turn() is None
    os.close(read), os.close(write)
