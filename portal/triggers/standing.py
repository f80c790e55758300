"""How the triggers of a queue stand, for health, check and pages: whether somebody serves them, and what is wrong with each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from portal import clock, processes
from portal.spool.layout import Layout
from portal.spool.locks import is_held
from portal.triggers import defined, state
from portal.triggers.places import SERVICE_LOCK
from portal.triggers.trigger import Trigger

STATUS = ".service.json"
"""What the service tells of itself every few seconds."""

_HANGS_AFTER_MS = 60_000
_SLOW_AFTER_S = 60


@dataclass(frozen=True)
class ServiceStatus:
    """The service of a queue's triggers."""

    alive: bool
    """Somebody holds its lock."""
    pid: int | None = None
    beat_at: str | None = None
    """When it went round last (RFC 3339)."""
    slow: Mapping[str, int] = field(default_factory=dict)
    """Triggers whose look has taken long, with the seconds it has taken."""

    def hangs(self, now_ms: int) -> bool:
        """Tell whether it lives and has not gone round for a minute."""
        return self.alive and self.beat_at is not None and now_ms - clock.parse_ms(self.beat_at) > _HANGS_AFTER_MS


def service(layout: Layout) -> ServiceStatus:
    """Return how the service is."""
    if not is_held(layout.triggers / SERVICE_LOCK):
        return ServiceStatus(False)
    try:
        told: Any = json.loads((layout.triggers / STATUS).read_bytes())
        if not processes.is_alive(told):  # of an earlier one: this one has only begun
            return ServiceStatus(True)
        beat_at = clock.iso(clock.parse_ms(told["beat_at"]))
        return ServiceStatus(True, int(told["pid"]), beat_at, {str(name): int(seconds) for name, seconds in told["slow"].items()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ServiceStatus(True)


@dataclass(frozen=True)
class Trouble:
    """One thing that is wrong with the triggers. `serious`: none of them makes jobs. `name`: the trigger it is about, "" for all."""

    kind: str
    name: str
    text: str
    hint: str = ""
    serious: bool = False


def troubles(layout: Layout) -> Iterator[Trouble]:
    """Yield what is wrong, the most serious first. Costs one small file for each trigger."""
    known = list(defined.each(layout))
    active = [item for _, item in known if isinstance(item, Trigger) and item.paused is None]
    yield from _of_service(layout, active)
    for name, item in known:
        if isinstance(item, str):
            hint = f"Mend queue/triggers/{name}/trigger.json, or remove the trigger and make it anew."
            yield Trouble("trigger-unreadable", name, f"The trigger {name} makes no jobs: {item}", hint)
    for trigger in (item for _, item in known if isinstance(item, Trigger)):
        problem = state.state(layout, trigger.name).problem
        if problem and (trigger.paused is None or problem.of == "left"):  # files wait for somebody whether more are taken or not
            times = f", {problem.times} times in a row" if problem.times > 1 else ""
            yield Trouble("trigger-problem", trigger.name, f"The trigger {trigger.name} has a problem since {_shown(problem.since)}{times}: "
                          f"{problem.text}")  # fmt: skip


def _of_service(layout: Layout, active: list[Trigger]) -> Iterator[Trouble]:
    found = service(layout)
    now_ms, who = clock.now_ms(), f"What serves the triggers (pid {found.pid})"
    if not found.alive:
        if active and all(now_ms - clock.parse_ms(item.at) > _HANGS_AFTER_MS for item in active):
            many = f"{len(active)} {'trigger waits' if len(active) == 1 else 'triggers wait'}"
            yield Trouble("triggers-unserved", "", f"{many} and nothing serves {'it' if len(active) == 1 else 'them'}.",
                          "A worker starts what does: start one, or look at its log.", serious=True)  # fmt: skip
        return
    if found.hangs(now_ms):
        yield Trouble("triggers-hang", "", f"{who} lives and has done nothing since {_shown(found.beat_at or '')}.",
                      "Look at the worker's log and at the disk; when it is ended, a worker starts another.", serious=True)  # fmt: skip
    for name, seconds in found.slow.items():
        if seconds > _SLOW_AFTER_S:
            yield Trouble("trigger-slow", name, f"A look at what the trigger {name} watches has taken {seconds} s and goes on.",
                          "Its folder's disk, or the service behind it, may hang.")  # fmt: skip


def _shown(moment: str) -> str:
    return f"{moment[:19].replace('T', ' ')} UTC"
