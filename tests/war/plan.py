"""What a war's jobs do: the same plan for the same seed."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ulid import ULID

from portal import clock
from portal.jobs import Followup, Job, When

ENGINE = "witness"
LIMITS = {"narrow": 1, "wide": 2}

Maker = Callable[[random.Random], dict[str, Any]]


def _quick(chance: random.Random) -> dict[str, Any]:
    return {"work_s": chance.uniform(0, 0.05)}


def _slow(chance: random.Random) -> dict[str, Any]:
    return {"work_s": chance.uniform(0.3, 1.5)}


def _family(chance: random.Random) -> dict[str, Any]:
    """Children that it waits for, some in sessions of their own."""
    return {"work_s": chance.uniform(0, 0.3), "children": [{"session": chance.random() < 0.5} for _ in range(chance.randint(1, 3))]}


def _deserter(chance: random.Random) -> dict[str, Any]:
    """Children that are left behind, as well hidden as a child can be."""
    hidden = {"left": True, "session": chance.random() < 0.7, "bare": chance.random() < 0.5, "daemon": chance.random() < 0.5}
    return {"work_s": chance.uniform(0, 0.5), "children": [{**hidden, "stubborn": chance.random() < 0.5}]}


def _unlucky(chance: random.Random) -> dict[str, Any]:
    return {"fail_in": list(range(1, chance.randint(2, 4)))}


def _silent(chance: random.Random) -> dict[str, Any]:
    return {"silent": True}


def _crashing(chance: random.Random) -> dict[str, Any]:
    return {"crash_in": [1], "work_s": chance.uniform(0, 0.1)}


def _talkative(chance: random.Random) -> dict[str, Any]:
    return {"chatter": chance.randint(5_000, 20_000)}


def _endless(chance: random.Random) -> dict[str, Any]:
    """Runs into its timeout, and may not want to end."""
    return {"work_s": 600.0, "stubborn": chance.random() < 0.5}


def _rejecting(chance: random.Random) -> dict[str, Any]:
    return {"outcome": "rejected"}


def _partial(chance: random.Random) -> dict[str, Any]:
    return {"outcome": "partial"}


KINDS: dict[Maker, int] = {
    _quick: 52, _slow: 10, _family: 9, _deserter: 6, _unlucky: 8, _silent: 2, _crashing: 3, _talkative: 3, _endless: 3, _rejecting: 2, _partial: 2,
}  # fmt: skip
"""How often each kind of job comes."""


@dataclass(frozen=True)
class Planned:
    """One job of the plan, before it has an id."""

    key: str
    params: dict[str, Any]
    priority: int
    delay_s: float | None
    """Not before so long after the submit."""
    timeout_s: float | None
    max_attempts: int
    limits: tuple[str, ...] = ()
    then: tuple[Followup, ...] = field(default=())

    def job(self) -> Job:
        """A new job of this plan: another id each time it is asked for, as a launcher that was killed and started again makes it."""
        now_ms = clock.now_ms()
        due = None if self.delay_s is None else clock.iso(now_ms + round(self.delay_s * 1000))
        return Job(
            str(ULID()), ENGINE, self.params, clock.iso(now_ms), submitted_by="war", priority=self.priority, not_before=due, timeout_s=self.timeout_s,
            max_attempts=self.max_attempts, key=self.key, limits=self.limits, then=self.then,
        )  # fmt: skip


def make(seed: int, jobs: int, witnesses: Path) -> list[Planned]:
    """Return the jobs of a war; the times at which things happen are no part of a plan."""
    chance = random.Random(seed)
    return [_planned(chance, number, witnesses) for number in range(jobs)]


def _planned(chance: random.Random, number: int, witnesses: Path) -> Planned:
    maker = chance.choices(list(KINDS), list(KINDS.values()))[0]
    delay_s = chance.choice([0.3, 1.0, 3600.0]) if chance.random() < 0.1 else None
    return Planned(
        f"war-{number}", _params(witnesses, maker(chance)), chance.randint(0, 9), delay_s, 0.7 if maker is _endless else None, chance.randint(1, 3),
        tuple(name for name in LIMITS if chance.random() < 0.06), tuple(_followups(chance, witnesses)),
    )  # fmt: skip


def _params(witnesses: Path, what: dict[str, Any]) -> dict[str, Any]:
    return {"field": str(witnesses), "limit_places": LIMITS, **what}


def _followups(chance: random.Random, witnesses: Path) -> list[Followup]:
    if chance.random() > 0.15:
        return []
    whens = chance.sample([*(when for when in When if when is not When.SLOWER), When.SUCCEEDED], chance.randint(1, 2))
    then = (Followup(ENGINE, _params(witnesses, {}), When.ALWAYS),) if chance.random() < 0.3 else ()
    return [Followup(ENGINE, _params(witnesses, {"quote": {"$result": ""}} if chance.random() < 0.2 else {}), when, then=then) for when in whens]
