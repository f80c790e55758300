"""Helpers for tests of triggers: made with next to nothing, looked at in this process at any moment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from portal import clock
from portal.jobs import Job
from portal.settings import Settings
from portal.spool import Spool, settling
from portal.triggers import book, history, kinds
from portal.triggers.places import TriggerFolder
from portal.triggers.trigger import Trigger
from portal.triggers.watching import Context, Watch


def a_trigger(home: Path, name: str = "nightly", /, **changes: Any) -> Trigger:
    """A schedule whose job lists the home's data folder."""
    given: dict[str, Any] = {"kind": "cron", "on": {"schedule": "* * * * *"}, "engine": "list", "params": {"source": f"file://{home}/data/"}}
    return Trigger(name=name, **{**given, **changes})


def made(spool: Spool, name: str = "nightly", /, since: str = "", **changes: Any) -> Trigger:
    """A trigger that is saved, as if it had been made at a moment."""
    trigger = book.save(spool.settings, a_trigger(spool.settings.home, name, **changes), "ann")
    if since:
        trigger = trigger.model_copy(update={"since": since})
        (spool.layout.triggers / name / "trigger.json").write_text(trigger.to_json())
    return trigger


def watch(spool: Spool, trigger: Trigger) -> Watch:
    """A watch as a service makes it that has just begun."""
    home = TriggerFolder(spool.layout, trigger.name, trigger.uid)
    return kinds.WATCHES[trigger.kind](trigger, home, Context(spool.settings, spool))


def look(spool: Spool, name: str, at: str) -> float:
    """A look at a moment by a service that has just begun."""
    return watch(spool, book.load(spool.layout, name)).look(clock.parse_ms(at))


def jobs_of(spool: Spool, name: str) -> list[Job]:
    """The jobs of a trigger that wait, in the order of their ids."""
    return sorted((job for job in spool.waiting() if job.labels.get("trigger") == name), key=lambda job: job.id)


def told(spool: Spool, name: str) -> list[tuple[str, str]]:
    """Event and outcome of what happened, oldest first."""
    return [(item.event, item.outcome) for item in reversed(history.events(spool.layout, name))]


def end_jobs(config: Settings) -> None:
    """Have every job that waits end."""
    spool = Spool(config)
    for job_id in spool.waiting_ids():
        spool.cancel(job_id, "test")
        settling.cancel_waiting(spool.layout, job_id)
