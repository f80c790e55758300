"""What the queue benchmark's figures rest on: its arithmetic, its tables, and that what it starts ends with it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.queue.measuring import end_tree, middle, running, share, taking, until
from bench.queue.table import Figure, figures, ms, rate, table
from portal import processes

_PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"], start_new_session=True)
open(sys.argv[1], "w").write(str(child.pid))
time.sleep(600)
"""


def test_a_share_is_the_value_that_so_many_do_not_exceed() -> None:
    values = [float(number) for number in range(200, 0, -1)]
    assert (share(values, 0.5), share(values, 0.95), share(values, 1.0), share([7.0], 0.95)) == (100.0, 190.0, 200.0, 7.0)
    assert middle([3.0, 1.0, 2.0]) == 2.0


def test_cpu_of_this_process_of_what_ended_and_of_what_lives_is_counted(tmp_path: Path) -> None:
    burn = "import sys, time\nwhile time.process_time() < 0.2: pass\nopen(sys.argv[1], 'w').close()\ntime.sleep(float(sys.argv[2]))"
    with running([[sys.executable, "-S", "-c", "import time; time.sleep(600)"]], tmp_path) as (quiet,), taking(quiet.pid) as idle:
        pass
    assert idle.cpu_s < 0.15
    with taking() as taken:
        subprocess.run([sys.executable, "-S", "-c", burn, str(tmp_path / "ended"), "0"], check=True)
    assert taken.cpu_s >= 0.19 and taken.wall_s >= 0.19
    with running([[sys.executable, "-S", "-c", burn, str(tmp_path / "alive"), "600"]], tmp_path) as (living,), taking(living.pid) as taken:
        assert until((tmp_path / "alive").exists, 20)
    assert taken.cpu_s >= 0.1


def test_what_was_started_ends_with_all_it_started(tmp_path: Path) -> None:
    place = tmp_path / "pid"
    with running([[sys.executable, "-S", "-c", _PARENT, str(place)]], tmp_path) as (parent,):
        assert until(lambda: place.exists() and place.read_text(), 20)
        child = processes.identity(int(place.read_text()))
        assert processes.is_alive(child)
    assert parent.poll() is not None and until(lambda: not processes.is_alive(child), 10)


def test_a_tree_is_killed_at_one_blow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parent, which would write down how its child ended, gets no time to."""
    send = processes.send
    code = _PARENT.replace("time.sleep(600)\n", "child.wait(); open(sys.argv[1] + '.told', 'w').close()\n")
    place = tmp_path / "pid"
    with running([[sys.executable, "-S", "-c", code, str(place)]], tmp_path) as (parent,):
        assert until(lambda: place.exists() and place.read_text(), 20)
        sent: list[tuple[set[int], int]] = []
        monkeypatch.setattr(processes, "send", lambda pids, number: (sent.append((pids, number)), send(pids, number))[1])
        end_tree(parent.pid)
        parent.wait(10)
    assert not Path(f"{place}.told").exists()
    assert sent[:2] == [({parent.pid, int(place.read_text())}, number) for number in (signal.SIGSTOP, signal.SIGKILL)]


def test_waiting_ends_when_it_comes_true_or_takes_too_long() -> None:
    began = time.monotonic()
    assert until(lambda: True, 10) and not until(lambda: False, 0.01)
    assert time.monotonic() - began < 5


def test_a_goal_that_is_missed_is_said() -> None:
    lines = figures([Figure("good", "1", "< 2", 0.5, True), Figure("bad", "3", "< 2", 1.5, False), Figure("told", "4")]).splitlines()
    assert "reached" in lines[2] and "NOT" not in lines[2] and "NOT REACHED" in lines[3] and lines[4].split() == ["told", "4"]


@pytest.mark.parametrize(("value", "told"), [(0.0123456, "12.3 ms"), (1.5, "1,500 ms"), (0.0004, "0.40 ms")])
def test_milliseconds_are_told_as_exactly_as_they_matter(value: float, told: str) -> None:
    assert ms(value) == told


def test_columns_stand_below_each_other() -> None:
    told = table(("a", "b"), [("long one", rate(1234.5)), ("x", rate(2.5))], right=(1,))
    assert [line.rindex("s") for line in told.splitlines()[2:]] == [16, 16]
