"""How soon a job runs on, or again, when its worker is killed: with another worker alive, and with one that is started anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from subprocess import Popen

from bench.queue.measuring import Taken, end_tree, middle, running, taking, until
from bench.queue.ours import Portal
from bench.queue.speed import consumers
from bench.queue.table import Figure, ms
from portal import processes

_GOAL_S = 2.0
_PATIENCE_S = 30.0


class _Scene:
    """A job that runs, its worker, and how to start another worker."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder, self.ours, self._stack = folder, Portal(folder), stack
        self.worker = self.start()
        self.job = self.ours.submit("hold")
        self.wait(lambda: len(self.begun()) == 1)

    def start(self) -> Popen[bytes]:
        commands = consumers("portal", self.folder, Portal.kinds[0], 1)
        (process,) = self._stack.enter_context(running(commands, self.folder, PORTAL_HOME=str(self.folder)))
        return process

    def start_and_wait(self) -> None:
        self.start()
        self.wait(lambda: sum(item.alive for item in self.ours.spool.workers()) == 2)

    def begun(self) -> list[str]:
        place = self.folder / "started"
        return place.read_text().splitlines() if place.exists() else []

    def wait(self, condition: Callable[[], object]) -> None:
        if not until(condition, _PATIENCE_S):
            raise RuntimeError("it never came to that:\n" + (self.folder / "output.log").read_text("utf-8", "replace")[-2000:])

    def kill_worker(self) -> None:
        """Kill the worker alone: runner and engine go on."""
        self.worker.kill()

    def kill_all(self) -> None:
        """Kill the worker, the job's runner and its engine at one blow."""
        runner = self.ours.spool.running()[0].attempts[-1].pid or 0
        end_tree(self.worker.pid, runner)

    def let_end(self) -> None:
        (self.folder / "go").touch()

    def adopted(self) -> None:
        """The job ends, and somebody archives it."""
        self.let_end()
        self.wait(self.ours.done)

    def runs_again(self) -> None:
        self.wait(lambda: len(self.begun()) == 2)


def _another_adopts(scene: _Scene) -> Callable[[], None]:
    scene.start_and_wait()

    def act() -> None:
        scene.kill_worker()
        scene.adopted()

    return act


def _another_runs(scene: _Scene) -> Callable[[], None]:
    scene.start_and_wait()

    def act() -> None:
        scene.kill_all()
        scene.runs_again()

    return act


def _restarted_adopts(scene: _Scene) -> Callable[[], None]:
    def act() -> None:
        scene.kill_worker()
        scene.let_end()
        scene.wait(lambda: not processes.is_alive({**processes.identity(int(scene.begun()[0].split()[0]))}))
        scene.start()
        scene.adopted()

    return act


def _restarted_runs(scene: _Scene) -> Callable[[], None]:
    def act() -> None:
        scene.kill_all()
        scene.start()
        scene.runs_again()

    return act


SCENES = {
    "worker killed, the job lives: ended and archived by another worker": _another_adopts,
    "worker killed, the job lives and ends: archived by a restarted worker": _restarted_adopts,
    "worker, runner and engine killed: runs again, another worker lives": _another_runs,
    "worker, runner and engine killed: runs again, by a restarted worker": _restarted_runs,
}


def figures(root: Path, rounds: int) -> Iterator[Figure]:
    """From the kill to the archive record, or to the first line of the next attempt."""
    for number, (what, prepare) in enumerate(SCENES.items()):
        found: list[Taken] = []
        for again in range(rounds):
            with ExitStack() as stack:
                act = prepare(_Scene(stack, root / f"{number}-{again}"))
                with taking() as taken:
                    act()
                found.append(taken)
        worst = max(item.wall_s for item in found)
        told = f"{ms(middle(item.wall_s for item in found))}, longest {ms(worst)}"
        whole = Taken(sum(item.wall_s for item in found), sum(item.cpu_s for item in found))
        yield Figure(what, told, f"< {_GOAL_S:.0f} s", worst / _GOAL_S, worst < _GOAL_S, whole)
