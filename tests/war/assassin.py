"""Who kills, stops, cancels, retries and turns the clock, at random times."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ulid import ULID

from portal import clock, processes
from portal.errors import PortalError
from portal.jobs import Job, Status
from portal.spool import Spool
from portal.spool.locks import holder
from portal.spool.records import names, running_ids
from tests.war.army import Army, belonging
from tests.war.field import DAY_MS, Field

WEIGHTS = {"runner": 26, "engine": 26, "grandchild": 16, "worker": 14, "launcher": 10, "zygote": 3, "spare": 5, "sealer": 2}
NAME = "assassin"


class Assassin:
    """Acts on the processes and jobs of one war and counts what it did."""

    def __init__(self, field: Field, spool: Spool, army: Army, seed: int, long_stops: int) -> None:
        self.field, self.spool, self.army = field, spool, army
        self.chance = random.Random(f"assassin {seed}")
        self.kills: Counter[str] = Counter()
        self.did: Counter[str] = Counter()
        self._long_stops = long_stops
        self._stopped: list[tuple[float, int]] = []
        self._retried: set[str] = set()

    def victims(self) -> dict[str, list[int]]:
        """Return the living processes of the war by what they are."""
        found: dict[str, list[int]] = {kind: [] for kind in WEIGHTS}
        workers, launchers = self.army.pids("worker"), self.army.pids("launcher")
        runners = {known.get("pid") for name in names(self.spool.layout.locks) if (known := holder(self.spool.layout.lock(name)))}
        parents = processes.parents()
        for pid, command in belonging(self.field).items():
            if pid in workers or pid in launchers:
                kind = "worker" if pid in workers else "launcher"
            elif pid in runners or (" portal.runner " in command and parents.get(pid) in workers):
                kind = "runner"
            elif str(self.field.witnesses) in command:
                kind = "grandchild"
            elif parents.get(pid) in runners:
                kind = "engine"
            elif command.endswith(" seal "):
                kind = "sealer"
            else:
                kind = "zygote" if "zygote" in command and parents.get(pid) in workers else "spare"
            found[kind].append(pid)
        return found

    def kill(self) -> bool:
        """Kill one process, chosen at random among the kinds that there are."""
        found = {kind: pids for kind, pids in self.victims().items() if pids}
        if not found:
            return False
        kind = self.chance.choices(list(found), [WEIGHTS[kind] for kind in found])[0]
        if self._signal(self.chance.choice(found[kind]), signal.SIGKILL):
            self.kills[kind] += 1
        return True

    def _signal(self, pid: int, number: signal.Signals) -> bool:
        """Signal a process of this war and no other that got its pid meanwhile."""
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return False
        try:
            if pid not in belonging(self.field):
                return False
            signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(descriptor)
        return True

    def stop(self) -> None:
        """Stop a worker or a runner for a while; a few of them for minutes."""
        found = self.victims()
        chosen = found[self.chance.choice(["worker", "runner"])]
        if not chosen or len(self._stopped) >= 2:
            return
        pid = self.chance.choice(chosen)
        if not self._signal(pid, signal.SIGSTOP):
            return
        if self._long_stops and self.chance.random() < 0.3:
            self._long_stops -= 1
            self.did["stopped for minutes"] += 1
            seconds = self.chance.uniform(60, 120)
        else:
            self.did["stopped for a moment"] += 1
            seconds = self.chance.uniform(0.2, 3)
        self._stopped.append((time.monotonic() + seconds, pid))

    def resume(self, *, everybody: bool = False) -> None:
        """Let go on whose time has come."""
        due = [(moment, pid) for moment, pid in self._stopped if everybody or moment <= time.monotonic()]
        for item in due:
            self._signal(item[1], signal.SIGCONT)
            self._stopped.remove(item)

    def jump(self) -> None:
        """Set the wall clock of workers and launchers to yesterday, today or tomorrow."""
        self.field.set_clock(self.chance.choice([-DAY_MS, 0, DAY_MS]))
        self.did["clock jumps"] += 1

    def cancel(self) -> None:
        ids = running_ids(self.spool.layout) if self.chance.random() < 0.6 else self.spool.waiting_ids()
        if ids:
            with suppress(PortalError):
                self.spool.cancel(self.chance.choice(ids), NAME)
                self.did["cancels asked"] += 1

    def hurry(self) -> None:
        """Change the priority of a job that waits."""
        if ids := self.spool.waiting_ids():
            with suppress(PortalError, FileNotFoundError):
                self.spool.priority(self.chance.choice(ids), self.chance.randint(0, 9))
                self.did["priorities changed"] += 1

    def retry(self) -> None:
        """Submit again a job that did not succeed, once."""
        job = self._failed()
        if job is None:
            return
        self._retried.add(job.id)
        params = {name: value for name, value in job.params.items() if name not in ("fail_in", "crash_in")}
        again = Job(
            str(ULID()), job.engine, params, clock.iso(clock.now_ms()), submitted_by=NAME, priority=job.priority, timeout_s=job.timeout_s,
            max_attempts=job.max_attempts, key=f"retry-{job.id}", then=job.then, parent=job.id, retry_of=job.id, limits=job.limits,
        )  # fmt: skip
        self.field.acknowledge(NAME, f"retry-{job.id}", self.spool.submit(again).id)
        self.did["retries"] += 1

    def _failed(self) -> Job | None:
        paths = [path for path in self.spool.layout.archive.glob("*/*/*/*.json") if path.stem not in self._retried]
        for path in self.chance.sample(paths, min(10, len(paths))):
            job = Job.from_json(path.read_bytes())
            if job.status in (Status.FAILED, Status.CANCELLED) and job.retry_of is None:
                return job
        return None

    def chances(self) -> list[tuple[Callable[[], None], float]]:
        """What else happens, and how often a second."""
        return [(self.stop, 0.5), (self.jump, 0.4), (self.cancel, 0.5), (self.hurry, 0.3), (self.retry, 0.25)]


def archived(home: Path) -> int:
    """Count the archive records."""
    return sum(len(os.listdir(day)) for day in (home / "archive").glob("[0-9]*/*/*"))
