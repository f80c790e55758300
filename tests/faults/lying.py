"""Letting each system call of a scenario fail once, or write only half, and looking at what comes of it.

`python -m tests.faults.lying [NAME …]` runs scenarios by hand.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from tests.faults.calls import LOOKING, Call, Stops
from tests.faults.campaign import EXHAUSTIVE, asked, problem_of
from tests.faults.homes import Home, new_home
from tests.faults.live import LIVE
from tests.faults.recovery import make_haste
from tests.faults.scenarios import SCENARIOS, TURN, Scenario
from tests.faults.tracer import SHORT_WRITE, Lie, Outcome, changing, inject, injecting, trace

ERRORS: dict[str, tuple[Lie, ...]] = {
    "open": (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EMFILE), "write": (errno.ENOSPC, errno.EIO, SHORT_WRITE),
    "pwrite": (errno.ENOSPC, SHORT_WRITE), "fsync": (errno.EIO, errno.ENOSPC), "close": (errno.EIO,), "link": (errno.ENOSPC, errno.EIO, errno.EACCES),
    "rename": (errno.ENOSPC, errno.EIO, errno.EACCES), "unlink": (errno.EIO, errno.EACCES), "mkdir": (errno.ENOSPC, errno.EACCES),
    "flock": (errno.ENOLCK,), "utime": (errno.EACCES,), "ftruncate": (errno.EIO,), "dup": (errno.EMFILE,), "fallocate": (errno.ENOSPC,),
    "read": (errno.EIO,), "pread": (errno.EIO,), "getdents64": (errno.EIO,), "stat": (errno.EACCES, errno.EIO), "statfs": (errno.EIO,),
    "access": (errno.EIO,),
}  # fmt: skip
"""What each kind of call is made to fail with: what its manual page allows, of what a full or broken disk and a busy process bring."""

_READING: tuple[Lie, ...] = (errno.EMFILE,)
ALLOWED = {"OSError", "PortalError"}
"""What an operation may raise; a worker's turn raises nothing."""


@dataclass
class Report:
    """What became of one scenario: how many errors were injected at how many calls, by call and error, and what went wrong."""

    scenario: str
    injected: int = 0
    calls: int = 0
    refused: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    seconds: float = 0.0


_UNREADABLE = re.compile(r"/(result|exit)-\d+\.json$")
"""What an attempt left and the disk cannot give back is not there: the attempt is judged without it, and the engine may run again."""


def _nothing_more(_: Home, __: object) -> None:
    """Only the invariants."""


class Leak(Exception):
    """Descriptors are open that were not before."""


def lie_everywhere(name: str, *, looking: bool = False) -> Report:
    """Run one scenario with each of its calls failing in each way.

    Where it is long, each fails in one way, and of a worker's whole turn, and of those that only look, every other one: the next call looks at
    the next path in the same way. Unless all are asked for.

    Args:
        looking: also those that only look: reading, listing, stat.
    """
    scenario, report, errors = ALL[name], Report(name), Counter[str]()
    begun = time.monotonic()
    with new_home() as home:
        scenario.prepare(home)
        home.keep()
        thin, one_each = (scenario.long and not EXHAUSTIVE), (scenario.guarded or looking) and not EXHAUSTIVE
        every = 2 if one_each else 1
        action, select = functools.partial(careful, scenario.action, home), _fallible if looking else changing if thin else _serious
        home.put_back()
        stops: Stops = "known" if looking else "changing"
        calls = [call for call in trace(action, within=home.path, stops=stops) if select(call)]
        with _liar(scenario, action, within=home.path, stops=stops, select=select) as lie_at:
            for number, call in enumerate(calls, 1):
                if number % every:
                    continue
                lies = _lies_for(call)
                for lie in (lies[number // every % len(lies)],) if thin or one_each else lies:
                    home.put_back()
                    outcome = lie_at(number, lie)
                    met = outcome.injected_at
                    # What a process knows of the rest of the machine depends on the time, so the calls are not always the same.
                    if met is not None and (met.name, met.changes) == (call.name, call.changes):
                        _note(report, errors, f"{number}, {met}", lie, outcome, _wrong(home, scenario, outcome, lie))
    report.calls, report.errors, report.seconds = len(calls) // every, dict(errors), round(time.monotonic() - begun, 2)
    return report


@contextlib.contextmanager
def _liar(scenario: Scenario, action: Callable[[], object], **about: Any) -> Iterator[Callable[[int, Lie], Outcome]]:
    """One child for all errors, or, where the action goes on with a worker that remembers, a new one each time."""
    if scenario.guarded:
        yield functools.partial(inject, action, **about)
        return
    with injecting(action, **about) as inject_next:
        yield inject_next


def _note(report: Report, errors: Counter[str], place: str, lie: Lie, outcome: Outcome, problem: str | None) -> None:
    what = lie if isinstance(lie, str) else errno.errorcode[lie]
    report.injected += 1
    report.refused += outcome.error is not None
    errors[f"{outcome.injected_at.name if outcome.injected_at else ''} {what}"] += 1
    if problem:
        report.broken.append(f"{what} at call {place}: {problem}")


def _lies_for(call: Call) -> tuple[Lie, ...]:
    if call.name == "open" and not call.changes:
        return _READING
    return ERRORS.get(call.name, (errno.EIO,))


def _serious(call: Call) -> bool:
    return call.changes or call.name in ("open", "dup")


def _fallible(call: Call) -> bool:
    return _serious(call) or call.name in LOOKING - {"lseek", "readlink"}


def careful(action: Callable[[Home], object], home: Home) -> None:
    """Do something and count the descriptors that it leaves open, whatever it raises."""
    before = _open(home)
    try:
        action(home)
    finally:
        left = _open(home).items() - before.items()
        if left:
            raise Leak(f"left open: {sorted(left)}")


def _open(home: Home) -> dict[int, str]:
    """The descriptors that lead into the home."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the one that the folder was listed with is closed by now
            path = os.readlink(f"/proc/self/fd/{name}")
            if path.startswith(str(home.path)):
                found[int(name)] = path
    return found


def _wrong(home: Home, scenario: Scenario, outcome: Outcome, lie: Lie) -> str | None:
    """What is wrong after an error, or None."""
    if outcome.error:
        names, text, trace = outcome.error
        if not ALLOWED.intersection(names) or scenario.guarded:
            return f"it raised {names[0]}: {text}\n{trace}"
    if problem := _not_refused(home, outcome):
        return problem
    if lie == errno.EIO and outcome.injected_at and _UNREADABLE.search(outcome.injected_at.path):
        scenario = replace(scenario, expect=_nothing_more)
    return problem_of(scenario, home, repair=False)


def _refused(home: Home) -> list[str]:
    """The jobs whose submit did not return."""
    path = home.outside / "tried"
    tried = path.read_text().split() if path.exists() else []
    return [job_id for job_id in tried if job_id not in home.acknowledged()]


def _not_refused(home: Home, outcome: Outcome) -> str | None:
    """What is wrong when a submit was not quite refused: a submit that raised has left nothing; submitting again works.

    When the disk fails to force a whole job's name out, nobody knows whether it would outlast a power cut: it is not acknowledged, and is there.
    """
    unsure = outcome.injected_at is not None and outcome.injected_at.name == "fsync"
    for job_id in _refused(home):
        (job,) = (item for item in home.jobs if item.id == job_id)
        if home.spool.find(job_id) and not job.key and not unsure:
            return f"{job_id} was refused and is there"
        home.submit(job)
    return None


ALL = {**SCENARIOS, **TURN, "engine frame": LIVE["engine frame"]}
TWINS = ["submit for later", "finish: failed", "interrupted"]
"""Scenarios that make much the same calls as others do: only when all are asked for."""
CHOSEN = [
    "first submit of all", "submit", "submit with a key", "claim", "start", "finish: succeeded", "chain", "finish: key and secrets", "retry",
    "cancel waiting", "cancel running", "promote", "change the priority", "check --repair", "sweep", "forget keys", "set aside", "engine frame",
    "a worker's turn", *(TWINS if EXHAUSTIVE else ()),
]  # fmt: skip
LOOKING_TOO = " (looking)"
LOOKED_AT = ["submit with a key", "claim", "finish: succeeded", "cancel waiting", "promote"]
"""Where calls that only look fail, too."""
NAMES = [*CHOSEN, *(name + LOOKING_TOO for name in LOOKED_AT)]


def main(names: list[str]) -> int:
    make_haste()
    good = True
    for name in asked(names) or NAMES:
        plain = name.removesuffix(LOOKING_TOO)
        report = lie_everywhere(plain, looking=plain != name)
        report.scenario = name
        print(json.dumps(asdict(report)), flush=True)
        good = good and not report.broken
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
