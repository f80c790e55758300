"""One war: jobs, several workers, launchers, an assassin, and the accounts in the end."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from portal import settings
from portal.jobs import Job
from portal.spool import Spool
from tests.war import accounts, plan
from tests.war.army import Army, belonging, nobody_left
from tests.war.assassin import Assassin, archived
from tests.war.field import DAY_MS, Field

_STEP_S = 0.02
SETTINGS = {
    "PORTAL_MIN_FREE_MB": "1", "PORTAL_MIN_FREE_INODES": "1", "PORTAL_RETRY_BASE_S": "0.05", "PORTAL_RETRY_MAX_S": "0.5",
    "PORTAL_KILL_AFTER_S": "0.3", "PORTAL_POLL_S": "0.3", "PORTAL_LOG_MAX_MB": "1", "PORTAL_LIMITS": json.dumps(plan.LIMITS),
    "PORTAL_MAX_INTERRUPTIONS": "20",
}  # fmt: skip


@dataclass(frozen=True)
class Orders:
    """How a war is fought. The same seed makes the same plan of jobs; when what happens is up to the machine."""

    jobs: int
    kills: int
    seed: int
    workers: int = 3
    slots: int = 3
    launchers: int = 2
    long_stops: int = 0
    limit_s: float = 900.0
    """After so long it is over, and lost."""


@dataclass(frozen=True)
class Report:
    """What happened, for people, and what is wrong."""

    figures: dict[str, str]
    wrong: list[str]


def fight(base: Path, orders: Orders) -> Report:
    """Fight a war in a folder of its own. Raises TimeoutError when it takes too long."""
    field = Field(base / "home")
    field.make()
    (field.home / ".env").write_text("".join(f"{name}='{value}'\n" for name, value in SETTINGS.items()) + f"PORTAL_SLOTS={orders.slots}\n")
    spool = Spool(settings.load(field.home))
    flags = ["--seed", str(orders.seed), "--jobs", str(orders.jobs), "--home", str(field.home), "--of", str(orders.launchers)]
    army = Army(field, orders.workers, [[*flags, "--number", str(number)] for number in range(orders.launchers)])
    assassin = Assassin(field, spool, army, orders.seed, orders.long_stops)
    begun = time.monotonic()
    with nobody_left(field):
        _battle(orders, army, assassin, begun)
        _peace(orders, army, assassin, begun)
        found = accounts.settle(field, spool, orders.jobs)
    return Report(_figures(orders, assassin, found, army, time.monotonic() - begun), found.wrong)


def _battle(orders: Orders, army: Army, assassin: Assassin, begun: float) -> None:
    """Kill until there were enough kills and every job is submitted. Kills keep pace with the jobs, so that they meet work."""
    chance = random.Random(f"war {orders.seed}")
    last = time.monotonic()
    done = 0.0
    while not army.submitted or sum(assassin.kills.values()) < orders.kills:
        _in_time(orders, begun)
        army.muster()
        assassin.resume()
        now = time.monotonic()
        for act, often in assassin.chances():
            if chance.random() < often * (now - last):
                act()
        last = now
        done = min(1.0, archived(assassin.field.home) / orders.jobs)
        if sum(assassin.kills.values()) < orders.kills * min(1.0, 1.15 * done + 0.02) and chance.random() < 0.5:
            assassin.kill()
        time.sleep(_STEP_S * chance.random())


def _peace(orders: Orders, army: Army, assassin: Assassin, begun: float) -> None:
    """Let everything come to its end: the delayed jobs too, whatever the clock was when they were delayed."""
    assassin.resume(everybody=True)
    assassin.field.set_clock(2 * DAY_MS)
    while any(assassin.spool.counts().values()):
        _in_time(orders, begun)
        army.muster()
        time.sleep(0.1)
    if not army.stand_down(20):
        raise TimeoutError("a worker did not end when it was told to")
    last = army.start(Army.worker_command("last", "--drain"), "last")  # its first turn clears up after those that were killed
    last.wait(60)
    until = time.monotonic() + 60  # what was asked to end by itself: the sealing of closed days, and spares
    while belonging(assassin.field) and time.monotonic() < until:
        time.sleep(0.1)


def _in_time(orders: Orders, begun: float) -> None:
    if time.monotonic() - begun > orders.limit_s:
        raise TimeoutError(f"the war was not over after {orders.limit_s:g} s")


def _figures(orders: Orders, assassin: Assassin, found: accounts.Accounts, army: Army, seconds: float) -> dict[str, str]:
    jobs: list[Job] = found.jobs
    outcomes = Counter(attempt.outcome for job in jobs for attempt in job.attempts)
    by_victim = ", ".join(f"{kind} {count}" for kind, count in assassin.kills.most_common())
    return {
        "jobs": f"{len(jobs)} ({orders.jobs} planned, {assassin.did['retries']} retries, the others follow-ups)",
        "ended": ", ".join(f"{status} {count}" for status, count in Counter(job.status.value for job in jobs).most_common()),
        "kills": f"{sum(assassin.kills.values())} ({by_victim})",
        "attempts": f"{sum(outcomes.values())} ({', '.join(f'{outcome} {count}' for outcome, count in outcomes.most_common())})",
        "interruptions": str(sum(job.interruptions for job in jobs)),
        "besides": ", ".join(f"{what} {count}" for what, count in assassin.did.most_common() if what != "retries"),
        "processes started again": str(army.restarts),
        "duration": f"{seconds:.0f} s",
        "lost": str(len(found.lost)),
        "doubled": str(len(found.doubled)),
        "seed": f"{orders.seed} (fixes the jobs; when what happens is up to the machine)",
    }
