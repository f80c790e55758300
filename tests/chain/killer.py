"""Who kills: workers, the triggers' service, runners, engines, and processes that move objects."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter

from portal import processes
from portal.spool import Spool
from portal.spool.locks import holder
from portal.spool.records import names
from tests.war.army import Army, belonging
from tests.war.field import Field

WEIGHTS = {"service": 8, "engine": 30, "runner": 20, "mover": 20, "worker": 12}


class Killer:
    """Kills the processes of one home, one at a time, and counts them."""

    def __init__(self, field: Field, spool: Spool, army: Army, seed: int) -> None:
        self._field, self._spool, self._army = field, spool, army
        self._chance = random.Random(f"killer {seed}")
        self.kills: Counter[str] = Counter()

    def victims(self) -> dict[str, list[int]]:
        """Return the living processes by what they are."""
        found: dict[str, list[int]] = {kind: [] for kind in WEIGHTS}
        workers, parents = self._army.pids("worker"), processes.parents()
        locks = self._spool.layout.locks
        runners = {known.get("pid") for name in names(locks) if (known := holder(self._spool.layout.lock(name)))}
        for pid, command in belonging(self._field).items():
            if pid in workers:
                found["worker"].append(pid)
            elif "portal.triggers.service" in command:
                found["service"].append(pid)
            elif "portal.movers.process" in command:
                found["mover"].append(pid)
            elif pid in runners:
                found["runner"].append(pid)
            elif parents.get(pid) in runners:
                found["engine"].append(pid)
        return found

    def kill(self) -> None:
        """Kill one process, of a kind that there is."""
        found = {kind: pids for kind, pids in self.victims().items() if pids}
        if not found:
            return
        kind = self._chance.choices(list(found), [WEIGHTS[kind] for kind in found])[0]
        pid = self._chance.choice(found[kind])
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        try:
            if pid in belonging(self._field):  # and no other that got its pid meanwhile
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                self.kills[kind] += 1
        except ProcessLookupError:
            return
        finally:
            os.close(descriptor)
