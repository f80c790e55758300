"""The job of an event: the trigger's parameters with what the event says put in, checked like any other job, under an id that only it has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from portal import catalog, submission
from portal.errors import BadJobFile, BadParameters
from portal.jobs import Job
from portal.settings import Settings
from portal.spool import Spool
from portal.triggers import events
from portal.triggers.events import Event
from portal.triggers.telling import USUAL
from portal.triggers.trigger import EVENT_LABEL, NAME_LABEL, Trigger

DONE_FOLDER = "UploadedToS3"


def job_id(trigger: Trigger, event: Event) -> str:
    return event.job_id or events.job_id(trigger.uid, event.name, event.moment_ms)


def job(settings: Settings, trigger: Trigger, event: Event) -> Job:
    """Return the job of an event, ready to be submitted.

    Raises:
        BadParameters: its parameters do not fit the engine, quote what is not there, or name a connection that is not there.
        SettingError: `connections.toml` is wrong.
    """
    facts, zone = events.all_facts(trigger.name, event), getattr(trigger.waits_for(), "time_zone", "UTC")
    given = {**trigger.params, **_set_by_kind(trigger, facts)}
    made = submission.new_job(
        settings, trigger.engine, events.resolve(given, facts, zone), by=f"trigger:{trigger.name}", name=trigger.job_name or trigger.name,
        priority=trigger.priority, timeout_s=trigger.timeout_s, max_attempts=trigger.max_attempts, not_before=event.not_before,
        then=events.resolve(trigger.then, facts, zone), labels={**trigger.labels, NAME_LABEL: trigger.name, EVENT_LABEL: event.name},
        limits=[*trigger.limits, *([] if trigger.overlap == "allow" else [limit(trigger.name)])],
    )  # fmt: skip
    return made.evolve(id=job_id(trigger, event))


def limit(name: str) -> str:
    """The limit that keeps jobs of one trigger from running side by side: a job that is retried waits for it like every other."""
    return f"trigger:{name}"


def _set_by_kind(trigger: Trigger, facts: Mapping[str, Any]) -> dict[str, Any]:
    """What the kind of trigger says to its engine, unless the parameters do: where the files are, which queue."""
    if trigger.kind == "cron":
        return {}
    fields = {item.name for item in catalog.engine(trigger.engine).fields}
    if trigger.kind == "folder":
        fixed = {"source": facts["source"]} if "source" in fields else {}
        usual = {**USUAL["folder", "upload"], "done_folder": done_folder(trigger)} if trigger.engine == "upload" else {}
    else:
        fixed = {"queue": facts["queue"], "queue_connection": trigger.waits_for().connection} if trigger.engine == "download" else {}
        usual = {}
    if own := [name for name in fixed if name in trigger.params and not events.is_quote(trigger.params[name])]:
        raise BadParameters(f"{own[0]} cannot be set: it comes from what the trigger watches.", hint=f"Leave {own[0]} out.")
    return {name: value for name, value in {**usual, **fixed}.items() if name not in trigger.params}


def done_folder(trigger: Trigger) -> str:
    """Where files that were uploaded go, unless the parameters say: UploadedToS3 beside the watched folder."""
    return str(trigger.waits_for().folder).rstrip("/").rpartition("/")[0] + f"/{DONE_FOLDER}/"


def not_ended(spool: Spool, ids: Iterable[str]) -> list[str]:
    """Return those of these jobs that wait or run; one that is nowhere was never submitted."""
    return [job_id for job_id in ids if _goes_on(spool, job_id)]


def _goes_on(spool: Spool, job_id: str) -> bool:
    try:
        found = spool.find(job_id)
    except BadJobFile:
        return False  # it was damaged, and waits for a person in corrupt/
    return found is not None and not found.status.finished
