"""Triggers in the words of the pages: kinds, states, moments."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

from portal.triggers.telling import Standing
from portal.ui import wording

KINDS: Mapping[str, str] = {"cron": "Schedule", "folder": "Watched folder", "sqs": "SQS queue"}
SHORT_KINDS: Mapping[str, str] = {"cron": "Schedule", "folder": "Folder", "sqs": "Queue"}
MEANINGS: Mapping[str, str] = {
    "cron": "A job at each moment of a schedule, in a time zone.",
    "folder": "A job for the files that come into a folder of this machine; they are taken when they are whole, and move on to a folder beside it.",
    "sqs": "A job while messages wait in an SQS queue, one at a time.",
}
STANDINGS: Mapping[Standing, str] = {"active": "Active", "paused": "Paused", "problem": "Problem"}
OUTCOMES: Mapping[str, str] = {"submitted": "Job submitted", "skipped": "Left out", "missed": "Missed", "refused": "Refused"}

Colour = Literal["red", "orange", "blue", "green", "gray"]
LOOK: Mapping[Standing, tuple[Colour, str]] = {"active": ("green", "check_circle"), "paused": ("gray", "pause_circle"), "problem": ("red", "error")}


def local(when: datetime) -> str:
    """`Mon Nov 23, 06:30 CET`: a moment in its own time zone, the year only when it is not this one."""
    year = "" if when.year == datetime.now(when.tzinfo).year else f" {when.year}"
    return f"{when:%a %b %d}{year}, {when:%H:%M %Z}"


def ahead(when: datetime) -> str:
    """`in 7h 05m`."""
    left_s = (when - datetime.now(UTC)).total_seconds()
    return f"in {wording.duration(left_s)}" if left_s > 0 else "now"
