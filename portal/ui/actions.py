"""What a person can do from the pages. Each action asks for the right itself, then hands over to the part that does it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from portal import probe, submission
from portal.errors import PortalError, explain
from portal.jobs import Followup, Job
from portal.spool import Pause, WorkerInfo
from portal.ui import access, state
from portal.ui.accounts import Role

MOST_AT_ONCE = 1000
"""Jobs that one bulk action touches; the page says so when there are more."""


@dataclass(frozen=True)
class Order:
    """A job as the form describes it, before it is one. `key` makes a second submit of the same form the same job."""

    engine: str
    params: Mapping[str, Any]
    key: str
    name: str = ""
    priority: int = 5
    then: tuple[Followup, ...] = ()
    typed: Mapping[str, Mapping[str, Any]] | None = None
    parent: str | None = None
    retry_of: str | None = None
    dry_run: bool = False
    max_attempts: int | None = None
    timeout_s: float | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


def prepared(order: Order) -> Job:
    """Return the job that submitting would submit, checked. Raises AccessRefused, BadParameters, SettingError."""
    config = state.config()
    who = access.require(config, Role.OPERATOR, "submit jobs")
    return submission.new_job(
        config, order.engine, order.params, by=who.name, name=order.name, priority=order.priority, key=order.key, then=order.then,
        typed_connections=order.typed or None, parent=order.parent, retry_of=order.retry_of, max_attempts=order.max_attempts,
        timeout_s=order.timeout_s, labels={**order.labels, **({"dry_run": "yes"} if order.dry_run else {})},
    )  # fmt: skip


def submit(order: Order) -> Job:
    """Submit a job; the one there is when this form submitted it before. Raises what `prepared` raises, and QueueRefused."""
    return state.spool().submit(prepared(order))


def cancel(job_id: str) -> Job:
    """Ask for a job to be ended. Raises AccessRefused, JobNotFound."""
    who = access.require(state.config(), Role.OPERATOR, "cancel jobs")
    return state.spool().cancel(job_id, who.name)


def retry(job_id: str, *, key: str | None = None) -> Job:
    """Submit a failed job again; with the same key it is done once. Raises AccessRefused, JobNotFound, BadParameters."""
    config = state.config()
    who = access.require(config, Role.OPERATOR, "retry jobs")
    return submission.retry(config, state.spool(), job_id, by=who.name, key=key)


def priority(job_id: str, value: int) -> Job:
    """Change the priority of a job that waits. Raises AccessRefused, JobNotFound, QueueRefused."""
    access.require(state.config(), Role.OPERATOR, "change priorities")
    return state.spool().priority(job_id, value)


def pause(engine: str | None, why: str) -> Pause:
    """Start nothing new, of one engine or (None) at all. Raises AccessRefused, QueueRefused."""
    who = access.require(state.config(), Role.OPERATOR, "pause the queue")
    return state.spool().pause(engine, by=who.name, why=why)


def resume(engine: str | None) -> Pause | None:
    """End a pause. Raises AccessRefused, QueueRefused."""
    access.require(state.config(), Role.OPERATOR, "resume the queue")
    return state.spool().resume(engine)


def drain(worker: str) -> WorkerInfo:
    """Let a worker take no more jobs and end when those it has have ended. Raises AccessRefused, QueueRefused."""
    who = access.require(state.config(), Role.ADMIN, "drain workers")
    return state.spool().drain(worker, who.name)


def undrain(worker: str) -> bool:
    """Take that back. Raises AccessRefused, QueueRefused."""
    access.require(state.config(), Role.ADMIN, "drain workers")
    return state.spool().undrain(worker)


def many(action: Callable[[str], Job], job_ids: Iterable[str]) -> tuple[int, list[str]]:
    """Do something to each job; return how many went through, and what was said of the others. Raises AccessRefused at once."""
    done, problems = 0, []
    for job_id in job_ids:
        try:
            action(job_id)
        except access.AccessRefused:
            raise
        except PortalError as problem:
            problems.append(f"{job_id}: {explain(problem).splitlines()[0]}")
        else:
            done += 1
    return done, problems


def test_connection(kind: str, name: str) -> probe.Probe:
    """Try a connection. Raises AccessRefused."""
    config = state.config()
    access.require(config, Role.OPERATOR, "test connections")
    return probe.probe(config, kind, name)
