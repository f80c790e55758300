"""Tell people of a job: by webhook, in Slack, by mail.

It runs after another job, as a follow-up that `--notify CONNECTION:EVENT,…` of a submit makes, and tells what the archive says of that job. The
connection is one of kind webhook or smtp in connections.toml. A receiver that cannot be reached, or asks for patience, is tried again, by the
attempts that the job has; one that refuses is not. A message has the same id whenever it is sent again, so that a receiver can tell that it has it.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import field_validator

from portal import engine
from portal.engine import EngineParams, JobContext, Result, param
from portal.errors import BadParameters, NotTold, SettingError, Throttled, Unreachable
from portal.jobs import ID_PATTERN

if TYPE_CHECKING:
    from portal.notifying.facts import Facts
    from portal.notifying.sending import Channel, Sent

_LONGEST_WAIT_S = 60.0


class Params(EngineParams):
    connection: str = param(help="Connection of kind webhook or smtp, from connections.toml", placeholder="ops-slack", min_length=1)
    job: str = param("", help="Id of the job to tell of, which has ended; empty: the one that this follows", placeholder="01KA…")
    slower_factor: float = param(
        1.25, help="As a follow-up of a job that is slower than usual: how many times the p95 of earlier ones it has to take",
        group="Slower than usual", advanced=True, ge=1, le=100,
    )  # fmt: skip
    slower_least_s: float = param(
        60.0, help="The same: and how much longer than their median, at least", group="Slower than usual", unit="s", advanced=True, ge=0, le=86_400
    )
    facts: dict[str, Any] = param(
        {}, help="What to tell, as the portal itself writes it of a job that still runs; empty: what the archive says of the job", advanced=True
    )

    @field_validator("job")
    @classmethod
    def _id(cls, value: str) -> str:
        if value and not ID_PATTERN.fullmatch(value):
            raise ValueError(f"{value!r} is not the id of a job")
        return value


def run(params: Params, job: JobContext) -> Result:
    from portal.notifying.facts import Facts
    from portal.notifying.sending import readable, shown

    channel = _channel(job, params.connection)
    facts = Facts.from_dict(params.facts) if params.facts else _of_end(job, params.job)
    link = facts.link(job.settings.url)
    report = {"told_of": facts.job_id, "event": facts.event, "title": facts.title, "leads_to": channel.label}
    if job.dry_run:
        job.log.info("Nothing is sent. To %s would go:\n%s", channel.label, readable(channel, facts, link))
        return Result(counts={"sent": 0}, report={**report, "plan": {"message": shown(channel, facts, link)}})
    job.log.info("%s → %s", facts.title, channel.label)
    sent = _sent(channel, facts, link, job)
    job.log.info("%s", sent.text)
    warnings = tuple(f"A recipient was refused: {text}" for text in sent.refused)
    counts = {"sent": 1, **({"recipients": len(sent.taken), "recipients_refused": len(warnings)} if channel.kind == "smtp" else {})}
    return Result("partial" if warnings else "succeeded", counts=counts, warnings=warnings, report={**report, "answer": sent.text})


def _channel(job: JobContext, name: str) -> Channel:
    try:
        return job.connections.channel(name)
    except SettingError as error:
        raise BadParameters(f"connection: {error.message}", hint=error.hint) from None


def _of_end(job: JobContext, job_id: str) -> Facts:
    from portal.notifying import subject

    wanted = job_id or subject.of_followup(job.settings, job.job_id, job.parent)
    if not wanted:
        raise BadParameters("Nothing says which job to tell of.", hint="Give --job ID, or submit that job with --notify CONNECTION.")
    return subject.facts_of_end(job.settings, wanted)


def _sent(channel: Channel, facts: Facts, link: str, job: JobContext) -> Sent:
    """Send; those who have the mail are kept in mind for the next attempt."""
    had = _taken_earlier(job)
    sent = _patiently(channel, facts, link, had, job)
    taken = (*had, *sent.taken)
    if channel.kind == "smtp":
        job.save_checkpoint({"taken": taken})
    if sent.later:
        raise Unreachable(f"{sent.text} The others have to wait: {'; '.join(sent.later)}.", hint="The next attempt is for them alone.")
    if sent.refused and not taken:
        raise NotTold(f"Nobody got the mail: {'; '.join(sent.refused)}.", hint="Correct the addresses in `to` of the connection.")
    return replace(sent, taken=taken)


def _taken_earlier(job: JobContext) -> tuple[str, ...]:
    """Who got the mail by an earlier attempt, or by the job that this one retries."""
    state = job.load_checkpoint()
    if state is None and job.earlier_folder:
        with suppress(OSError, ValueError):
            state = json.loads((job.earlier_folder / "checkpoint.json").read_text("utf-8"))
    taken = state.get("taken") if isinstance(state, dict) else None
    return tuple(map(str, taken)) if isinstance(taken, list) else ()


def _patiently(channel: Channel, facts: Facts, link: str, had: tuple[str, ...], job: JobContext) -> Sent:
    """Send, once more when the receiver asks for a wait that is short."""
    from portal.notifying.sending import send

    with job.interruptible():
        try:
            return send(channel, facts, link, had)
        except Throttled as slow:
            if not 0 < slow.retry_after_s <= _LONGEST_WAIT_S:
                raise
            job.log.info("%s It is tried again in %.0f s, as it asks for.", slow.message, slow.retry_after_s)
            time.sleep(slow.retry_after_s)
        return send(channel, facts, link, had)


if __name__ == "__main__":
    engine.command(Params, run)
