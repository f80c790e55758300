"""One chain under fire, from the first file that is dropped to the accounts."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass

from portal.spool import Spool
from tests.chain import accounts, drops
from tests.chain.killer import Killer
from tests.chain.places import Places, files_below
from tests.queues import ROOT
from tests.war.army import Army, nobody_left

_STEP_S = 0.05
_LAST_S = 60.0


@dataclass(frozen=True)
class Orders:
    """How it is fought. The same seed drops the same files; who is killed when is up to the machine."""

    files: int
    kills: int
    seed: int
    dropped_in_s: float
    workers: int = 2
    slots: int = 2
    batch: int = 300
    versions: bool = True
    limit_s: float = 110.0


@dataclass(frozen=True)
class Report:
    """What happened, for people, and what is wrong."""

    figures: dict[str, str]
    wrong: list[str]


class Workers(Army):
    """Real workers, with the engines of the portal."""

    @staticmethod
    def worker_command(name: str, *flags: str) -> list[str]:
        return [sys.executable, str(ROOT / "worker.py"), "--quiet", "--name", name, *flags]


def fight(places: Places, orders: Orders) -> Report:
    """Raises TimeoutError when it takes too long."""
    places.make(orders.batch)
    with (places.field.home / ".env").open("a") as file:
        file.write(f"PORTAL_SLOTS={orders.slots}\n")
    spool = Spool(places.settings)
    army = Workers(places.field, orders.workers, [])
    killer = Killer(places.field, spool, army, orders.seed)
    begun = time.monotonic()
    given = [str(places.watched), str(orders.files), str(orders.seed), str(orders.dropped_in_s)]
    with nobody_left(places.field), subprocess.Popen([sys.executable, "-m", "tests.chain.drops", *given], cwd=ROOT) as dropper:
        try:
            _battle(places, orders, army, killer, dropper, begun)
            _peace(places, orders, army, spool, begun)
        finally:
            dropper.kill()
        done_s = time.monotonic() - begun
        if not army.stand_down(20):
            raise TimeoutError("a worker did not end when it was told to")
        army.start(army.worker_command("last", "--drain"), "last").wait(_LAST_S)  # its first turn clears up after those that were killed
        found = accounts.settle(places, spool, orders.files, versions=orders.versions)
    return Report(_figures(orders.files, found, killer, army, done_s), found.wrong)


def _battle(
    places: Places, orders: Orders, army: Army, killer: Killer, dropper: subprocess.Popen[bytes], begun: float
) -> None:
    """Kill until there were enough kills and all is dropped. Kills keep pace with what arrives at the end of the chain, so that they meet work."""
    chance = random.Random(f"chain {orders.seed}")
    looked, share = 0.0, 0.0
    while dropper.poll() is None or sum(killer.kills.values()) < orders.kills:
        _in_time(places, orders, begun)
        army.muster()
        if time.monotonic() - looked > 0.5:
            looked, share = time.monotonic(), len(files_below(places.fetched)) / orders.files
        if sum(killer.kills.values()) < orders.kills * min(1.0, share + 0.3) and chance.random() < 0.25:
            killer.kill()
        time.sleep(_STEP_S * (0.5 + chance.random()))
    if dropper.returncode:
        raise RuntimeError(f"who drops the files ended with {dropper.returncode}")


def _peace(places: Places, orders: Orders, army: Army, spool: Spool, begun: float) -> None:
    """Let everything come to its end."""
    while len(files_below(places.fetched)) < orders.files or any(spool.counts().values()) or places.waiting():
        _in_time(places, orders, begun)
        army.muster()
        time.sleep(0.2)


def _in_time(places: Places, orders: Orders, begun: float) -> None:
    if time.monotonic() - begun > orders.limit_s:
        folders = (places.watched, places.queued, places.uploaded, places.fetched)
        there = ", ".join(f"{folder.name} {len(files_below(folder))}" for folder in folders)
        raise TimeoutError(f"the chain of {orders.files} files did not end in {orders.limit_s:g} s: {there}, {places.waiting()} messages wait")


def _figures(files: int, found: accounts.Accounts, killer: Killer, army: Army, seconds: float) -> dict[str, str]:
    outcomes = Counter(f"{job.engine} {attempt.outcome}" for job in found.jobs for attempt in job.attempts)
    return {
        "jobs": ", ".join(f"{name} {count}" for name, count in Counter(job.engine for job in found.jobs).most_common()),
        "kills": f"{sum(killer.kills.values())} ({', '.join(f'{kind} {count}' for kind, count in killer.kills.most_common())})",
        "attempts": ", ".join(f"{name} {count}" for name, count in outcomes.most_common()),
        "restarts of workers": str(army.restarts),
        "seconds": f"{seconds:.0f}",
        "slow files": str(sum(map(drops.is_slow, range(files)))),
    }
