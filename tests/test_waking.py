"""What wakes a worker, and what it is told by it."""

from __future__ import annotations

import fcntl
import os
import resource
import select
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import pytest

from portal import waking
from portal.inotify import Inotify
from portal.waking import Alarm

linux = pytest.mark.skipif(sys.platform != "linux", reason="inotify is of Linux")


class Ears:
    """What was heard, in the order of hearing."""

    def __init__(self) -> None:
        self.heard: list[list[str] | None] = []

    def __call__(self, names: Collection[str] | None) -> None:
        self.heard.append(None if names is None else list(names))


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("first", "second", "tmp"):
        (tmp_path / name).mkdir()
    return tmp_path / "first", tmp_path / "second"


@pytest.fixture
def an_alarm(folders: tuple[Path, Path]) -> Iterator[Callable[[Ears], Alarm]]:
    made: list[Alarm] = []

    def make(ears: Ears) -> Alarm:
        made.append(Alarm(*folders, hear=ears))
        return made[-1]

    yield make
    for alarm in made:
        alarm.stop()


def took(action: Callable[[], object]) -> float:
    begun = time.monotonic()
    action()
    return time.monotonic() - begun


@linux
def test_files_that_come_wake_at_once_and_are_told_by_name(folders: tuple[Path, Path], an_alarm: Callable[[Ears], Alarm]) -> None:
    first, second = folders
    ears = Ears()
    alarm = an_alarm(ears)
    assert ears.heard == [[]], "events work from the beginning on"
    source = first.parent / "tmp" / "x"
    source.touch()
    os.link(source, first / "linked")
    source.rename(first / "renamed")
    (first / "made").touch()
    assert took(lambda: alarm.wait(30)) < 15
    assert sorted(ears.heard[-1] or ()) == ["linked", "made", "renamed"]
    (second / "elsewhere").touch()
    assert took(lambda: alarm.wait(30)) < 15
    (first / "linked").unlink()
    (first / "renamed").rename(second / "renamed")
    alarm.wait(30)
    assert len(ears.heard) == 2, "only names of the first folder are told, and what goes is not"
    assert took(lambda: alarm.wait(0.05)) >= 0.04, "nothing rings any more"


@linux
def test_lost_events_are_told(folders: tuple[Path, Path]) -> None:
    room = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if room > 100_000:
        pytest.skip("this machine keeps very many events")
    events = Inotify(folders[0])
    try:
        source = folders[1] / "x"
        source.touch()
        for number in range(room // 2 + 100):  # two names in turn, so that the kernel cannot merge them
            for name in ("a", "b"):
                os.link(source, folders[0] / name)
                os.unlink(folders[0] / name)
            if number % 1000 == 0 and not select.select([events.descriptor], (), (), 0)[0]:
                break
        assert events.read() is None
        (folders[0] / "later").touch()
        assert events.read() == {folders[0]: ["later"]}
    finally:
        events.close()


@linux
def test_a_folder_that_goes_is_told_as_a_loss(folders: tuple[Path, Path], an_alarm: Callable[[Ears], Alarm]) -> None:
    ears = Ears()
    alarm = an_alarm(ears)
    folders[0].rename(folders[0].with_name("moved"))
    alarm.wait(30)
    assert ears.heard == [[], None]


def test_where_the_kernel_tells_nothing_a_thread_does(
    folders: tuple[Path, Path], an_alarm: Callable[[Ears], Alarm], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Path) -> None:
        raise OSError("none here")

    monkeypatch.setattr(waking, "Inotify", refuse)
    ears = Ears()
    alarm = an_alarm(ears)
    assert took(lambda: alarm.wait(30)) < 15, "short sleeps while the events may not have begun"
    assert ears.heard[-1] is None, "until then nobody may rely on them"
    alarm._events._surely_watching = 0.0  # type: ignore[union-attr]
    for number in range(100):
        (folders[0] / f"{number}").touch()
        alarm.wait(1)
        if any(ears.heard):
            break
    told = [name for names in ears.heard for name in names or ()]
    assert told and set(told) <= set(os.listdir(folders[0]))


def test_other_descriptors_and_ending_children_wake_too(an_alarm: Callable[[Ears], Alarm]) -> None:
    alarm = an_alarm(Ears())
    read, write = os.pipe()
    try:
        os.write(write, b"x")
        assert took(lambda: alarm.wait(30, [read])) < 15
    finally:
        os.close(read)
        os.close(write)
    child = subprocess.Popen([sys.executable, "-S", "-c", ""])
    assert took(lambda: alarm.wait(30)) < 15
    assert child.wait() == 0


def test_a_worker_may_have_more_descriptors_open_than_select_can_count(an_alarm: Callable[[Ears], Alarm]) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    read, write = os.pipe()
    high = -1
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
        high = fcntl.fcntl(read, fcntl.F_DUPFD_CLOEXEC, 2000)
        alarm = an_alarm(Ears())
        os.write(write, b"x")
        assert took(lambda: alarm.wait(30, [high])) < 15
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in (read, write, high):
            if descriptor >= 0:
                os.close(descriptor)
