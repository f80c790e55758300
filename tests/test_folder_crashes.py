"""A watched folder whose service is killed anywhere: every file ends in exactly one job, none is lost, and none twice.

In the suite it is killed at every sixth call, with markers at those in the midst between; PORTAL_FAULTS=all kills it at every single call.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portal.errors import DiskNearlyFull
from portal.spool import records
from portal.triggers import book, history
from portal.triggers.folder import beneath
from tests.folders import STILL_S, Box, contents
from tests.queues import ROOT, dies_at, unsynced, until

EXHAUSTIVE = os.environ.get("PORTAL_FAULTS") == "all"


@contextmanager
def a_box(**on: Any) -> Iterator[Box]:
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None  # hundreds of homes: no disk has to write them
    with tempfile.TemporaryDirectory(prefix="portal-test-", dir=memory) as name, unsynced():
        box = Box(Path(name), on)
        yield box
        box.close()


def killed(box: Box, number: int, looks: int = 2) -> bool:
    """Let a service look that is killed before its `number`-th system call, renames of files and removals of folders among them."""

    def serve() -> None:
        beneath.rename_new = _counting(beneath.rename_new)
        os.rmdir = _counting(os.rmdir)
        box.watch = box.fresh_watch()
        for _ in range(looks):
            box.look(STILL_S + 1)

    return dies_at(number, serve)


def _counting(call: Callable[..., Any]) -> Callable[..., Any]:
    def counted(*arguments: Any, **named: Any) -> Any:
        with suppress(OSError):
            os.unlink("/nothing/of/this/name")
        return call(*arguments, **named)

    return counted


def assert_all_is_well(box: Box, expected: list[str]) -> None:
    """After a service has had its time: each content is in the folder of one job that is in the queue once."""
    box.watch = box.fresh_watch()
    box.settled()
    box.look(STILL_S + 700)
    jobs = {job.id: box.files(job) for job in box.jobs()}
    assert sorted(contents(box.queued).values()) == sorted(expected)
    assert sorted(jobs) == records.names(box.queued), "each folder has its job, each job its folder"
    assert all(jobs.values()), "no job without a file"
    assert not [name for name in contents(box.watched) if not name.endswith(".done")] and box.manifests() == []
    told = [item.job for item in history.events(box.spool.layout, "sales") if item.outcome == "submitted"]
    assert sorted(told) == sorted(jobs), "each event is told once"


@pytest.mark.parametrize("ready", ["still", "marker"])
def test_killed_before_any_call_every_file_ends_in_one_job(ready: str) -> None:
    step = 1 if EXHAUSTIVE else 6
    number, points = -(step // 2) if ready == "marker" else 0, 0
    while True:
        number += step
        with a_box(ready=ready, max_files=2) as box:
            for name in ("a", "in/b", "in/deep/c"):
                box.drop(name, name, done=ready == "marker")
            if not killed(box, number):
                break
            points += 1
            assert_all_is_well(box, ["a", "in/b", "in/deep/c"])
            assert contents(box.watched) == {}, "no marker is left"
    assert points > 120 / step, "a harness that counts nothing proves nothing"


Action = tuple[str, int]
actions = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["drop", "append", "replace", "remove"]), st.integers(0, 3)),
        st.tuples(st.just("kill"), st.integers(1, 120)),
        st.tuples(st.sampled_from(["look", "refuse", "write queued"]), st.integers(0, 9)),
    ),
    min_size=2, max_size=9,
)  # fmt: skip
NAMES = ("a", "b.csv", "in/c", "in/d\n" + "x" * 200)


class People:
    """What is done to the folder between the looks, and what must be there in the end."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self.count = 0

    def act(self, kind: str, number: int) -> None:
        path = self.box.watched / NAMES[number % len(NAMES)]
        if kind == "drop" and not path.exists():
            self._write(path)
        elif kind == "replace":
            self._write(self.box.home / "fresh")
            path.parent.mkdir(exist_ok=True)
            (self.box.home / "fresh").rename(path)
        elif kind == "append" and path.exists():
            path.write_text(path.read_text() + "+")
        elif kind == "remove":
            path.unlink(missing_ok=True)
        elif kind == "kill":
            killed(self.box, number)
        elif kind == "look":
            self.box.look(number)
        elif kind == "refuse":
            self._refused()
        elif kind == "write queued":
            self._write_on(number)

    def _write(self, path: Path) -> None:
        self.count += 1
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"content {self.count}")

    def _refused(self) -> None:
        def full(_: Any) -> None:
            raise DiskNearlyFull("The disk is nearly full.")

        real = self.box.spool.submit
        self.box.spool.submit = full  # type: ignore[method-assign, assignment]
        try:
            with suppress(DiskNearlyFull):
                self.box.look(STILL_S + 1)
        finally:
            self.box.spool.submit = real  # type: ignore[method-assign]

    def _write_on(self, number: int) -> None:
        """Somebody who has a file open since before it was moved writes into it while its job is not yet in the queue."""
        known = {job.id for job in self.box.jobs()}
        waiting = [name for name in sorted(contents(self.box.queued)) if name.partition("/")[0] not in known] if self.box.queued.exists() else []
        if waiting:
            with (self.box.queued / waiting[number % len(waiting)]).open("a") as file:
                file.write("*")

    def expected(self) -> list[str]:
        """What lies anywhere now is what must be in a job in the end."""
        return [*contents(self.box.watched).values(), *contents(self.box.queued).values()]


@settings(max_examples=100 if EXHAUSTIVE else 15, deadline=None, suppress_health_check=list(HealthCheck))
@given(todo=actions, max_files=st.integers(1, 3))
def test_whatever_people_and_crashes_do_every_file_ends_in_one_job(todo: list[Action], max_files: int) -> None:
    with a_box(max_files=max_files) as box:
        box.queued.mkdir()
        people = People(box)
        for kind, number in todo:
            before = sorted(people.expected())
            people.act(kind, number)
            if kind in ("look", "kill", "refuse"):
                assert sorted(people.expected()) == before, "the service changes no content, loses none and makes none"
        assert_all_is_well(box, people.expected())


def test_a_file_that_is_written_on_after_a_crash_goes_back_until_it_is_still() -> None:
    with a_box() as box:
        box.drop("a", "half")
        people = People(box)
        people.act("look", 0)
        people._refused()
        people._write_on(0)
        box.look()
        assert contents(box.watched) == {"a": "half*"} and box.jobs() == []
        assert_all_is_well(box, ["half*"])


def test_recovery_does_not_touch_what_the_engine_has_done_since() -> None:
    """The job went, moved its file away, and the same name was dropped again: the batch that was not ended is over."""
    with a_box() as box:
        number = 60  # calls before there is a job
        while True:
            with suppress(FileNotFoundError):
                box.drop("a", "first")
            if not killed(box, number):
                pytest.fail("it never died with a job in the queue and its manifest there")
            if box.jobs() and box.manifests():
                break
            box.watch = box.fresh_watch()
            box.settled()
            for job in box.jobs():
                box.end(job)
            number += 1
        (job,) = box.jobs()
        (box.queued / job.id / "a").unlink()
        box.drop("a", "second")
        box.end(job)
        box.watch = box.fresh_watch()
        box.look()
        assert box.manifests() == [] and contents(box.watched) == {"a": "second"}
        box.settled()
        assert [box.files(other) for other in box.jobs()] == [{"a": "second"}]


@contextmanager
def a_service(box: Box) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "portal.triggers.service", "--quiet"]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PORTAL_HOME": str(box.home)}, stdin=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


SLOW_WRITER = """
import pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
for number in range(int(sys.argv[2])):
    with open(folder / f"slow-{number}.csv", "w") as file:
        for part in range(4):
            file.write(f"{number}.{part}\\n"); file.flush(); time.sleep(float(sys.argv[3]))
        file.write("END\\n")
"""


def _names(folder: Path) -> list[str]:
    return [name for _, _, names in os.walk(folder) for name in names]


def test_slow_writers_and_a_service_that_is_killed_again_and_again(home: Path) -> None:
    """Real processes: a writer pauses for longer than a file has to be still, and no half of a file is ever in a job."""
    box = Box(home, {"still_s": 0.15, "max_files": 40})
    for number in range(300):
        box.drop(f"in/{number % 7}/quick-{number}.csv", f"{number}\nEND\n")
    writer = subprocess.Popen([sys.executable, "-c", SLOW_WRITER, str(box.watched), "5", "0.25"])
    chance = random.Random(20261121)
    for _ in range(5):
        with a_service(box) as service:
            time.sleep(chance.uniform(0.5, 1.6))
            service.send_signal(signal.SIGKILL)
    assert writer.wait() == 0
    with a_service(box):
        until(lambda: not _names(box.watched) and not box.manifests() and len(_names(box.queued)) == 305, seconds=30)
    jobs = {job.id: box.files(job) for job in box.jobs()}
    box.close()
    assert sorted(jobs) == records.names(box.queued)
    names = sorted(name for files in jobs.values() for name in files)
    assert len(names) == len(set(names)) == 305
    assert all(text.endswith("END\n") for files in jobs.values() for text in files.values())


def test_a_paused_trigger_that_is_asked_runs_once_in_the_real_service(home: Path) -> None:
    """A file has to be still then, too: the service looks again until the wish is done, and rests afterwards."""
    box = Box(home, {"still_s": 0.3})
    book.pause(box.spool.layout, "sales", "ann")
    box.drop("a")
    with a_service(box):
        until(lambda: (box.spool.layout.triggers / ".service.json").exists())
        assert box.jobs() == []
        book.ask(box.spool.layout, "sales", "ann")
        until(lambda: box.jobs() and not box.watch.home.asked())
        box.drop("b")
        time.sleep(0.8)
        assert [box.files(job) for job in box.jobs()] == [{"a": "x"}]
    box.close()
