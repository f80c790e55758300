"""A trigger as a value: what it waits for, and the job it makes of each event. No I/O; the JSON form is docs/triggers.md."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from portal import clock
from portal.errors import BadParameters
from portal.params import EngineParams, param
from portal.stores.url import StoreURL

SCHEMA = 1
NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")

Kind = Literal["cron", "folder", "sqs"]
Overlap = Literal["skip", "wait", "allow"]


class Cron(EngineParams):
    """A schedule."""

    schedule: str = param(help="Five fields (minute hour day month weekday), or @hourly, @daily, @weekly, @monthly", placeholder="30 6 * * mon-fri")
    time_zone: str = param("UTC", help="Time zone that the schedule is read in", placeholder="Europe/Berlin")
    catch_up: Literal["none", "last", "all"] = param(
        "last", help="Of times that passed while no worker ran: none is made up for, the last, or all (see max_catch_up)"
    )
    max_catch_up: int = param(24, help="With catch_up=all: at most so many, the latest ones", advanced=True, ge=1, le=1000)
    jitter_s: int = param(
        0, title="Jitter", help="Start up to so many seconds later, each time another number", unit="s", advanced=True, ge=0, le=86_400
    )


class Folder(EngineParams):
    """A watched folder. Files move from it into `queued`, a folder of their own for each job, before the job is submitted."""

    folder: StoreURL = param(help="The folder to watch", placeholder="file:///srv/box/Watch/")
    ready: Literal["still", "marker"] = param(
        "still", help="When a file is taken: still, when size and time have not changed for still_s; marker, when NAME.done lies beside it"
    )
    still_s: float = param(5.0, title="Still for", help="With ready=still: seconds without a change", unit="s", gt=0, le=86_400)
    recursive: bool = param(True, help="Take files of the folders in it too")
    include: tuple[str, ...] = param((), help="Only names that fit one of these patterns; none: all")
    exclude: tuple[str, ...] = param(
        (".*", "*.tmp", "*.part", "*.partial", "*.crdownload", "*.filepart", "~$*"), help="No names that fit one of these", advanced=True
    )
    max_files: int = param(1000, help="At most so many files a job; 1: a job for each file", unit="files", ge=1, le=100_000)
    queued: StoreURL | None = param(
        None, help="Where files wait for their job, on the same file system; none: QueuedForUpload beside the folder", advanced=True
    )


class Sqs(EngineParams):
    """An SQS queue: while messages wait, a job runs that takes them."""

    queue: str = param(help="Name or URL of the queue", placeholder="portal-notices")
    connection: str = param("", help="Connection of kind s3 that leads to SQS too; none: the default")
    poll_s: float = param(10.0, title="Look every", help="Seconds between two looks", unit="s", advanced=True, ge=1, le=3600)


ON: dict[str, type[EngineParams]] = {"cron": Cron, "folder": Folder, "sqs": Sqs}
"""What each kind waits for; form, flags and docs come from the fields."""

NAME_LABEL, EVENT_LABEL = "trigger", "event"
"""Labels of every job that a trigger makes."""

USUAL_ENGINE = {"folder": "upload", "sqs": "download"}


class Pause(BaseModel):
    """That a trigger is paused: who asked for it, when (RFC 3339) and why."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    by: str
    at: str
    why: str = ""

    @field_validator("at")
    @classmethod
    def _moment(cls, value: str) -> str:
        return _is_moment(value)


class Trigger(BaseModel):
    """One trigger.

    A parameter of its job may quote the event: `{"$event": "/source"}`, a JSON pointer into what `docs/triggers.md` lists; a moment takes a
    form and a shift, too: `{"$event": "/due_at", "format": "s3://sales/%Y/%m/%d/", "days": -1}`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: str
    kind: Kind
    on: Mapping[str, Any]
    """Checked values of `ON[kind]`, defaults left out."""
    engine: str
    params: Mapping[str, Any] = Field(default_factory=dict)
    overlap: Overlap = "skip"
    """While a job of this trigger has not ended: skip the event (and say so), let its job wait for the earlier one, or let them run side by side.
    Of a folder nothing is skipped: the files wait where they are."""
    job_name: str = ""
    priority: int = Field(5, ge=0, le=9)
    timeout_s: float | None = Field(None, gt=0)
    max_attempts: int | None = Field(None, ge=1)
    then: tuple[Mapping[str, Any], ...] = ()
    labels: Mapping[str, str] = Field(default_factory=dict)
    limits: tuple[str, ...] = ()
    paused: Pause | None = None
    uid: str = ""
    """Of this trigger and no later one of its name: ids of jobs come from it."""
    by: str = ""
    """Who made it, or changed it last."""
    at: str = ""
    """When that was (RFC 3339)."""
    since: str = ""
    """Moment from which its events count (RFC 3339): when it was made, resumed, or told to wait for something else."""
    schema_: int = Field(SCHEMA, alias="schema", ge=1, le=SCHEMA)

    @field_validator("name")
    @classmethod
    def _plain(cls, value: str) -> str:
        if not NAME_PATTERN.fullmatch(value):
            raise ValueError("small letters, digits and '-' are wanted, a letter or digit first, at most 63 of them")
        return value

    @field_validator("at", "since")
    @classmethod
    def _moment(cls, value: str) -> str:
        return _is_moment(value) if value else value  # the book sets them

    @model_validator(mode="after")
    def _on_fits(self) -> Self:
        try:
            self.waits_for()
        except ValidationError as error:
            raise ValueError("; ".join(f"in `on`: {problem}" for problem in _problems(error, ON[self.kind]))) from None
        return self

    def waits_for(self) -> Any:
        """Return the `Cron`, `Folder` or `Sqs` of this trigger."""
        return ON[self.kind].model_validate(dict(self.on))

    def to_json(self) -> str:
        return self.model_dump_json(by_alias=True, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read a definition. Raises BadParameters, naming all that is wrong."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise BadParameters(f"This is no trigger: {'; '.join(_problems(error, cls))}.", hint="docs/triggers.md describes one.") from None

    @classmethod
    def of(cls, order: Mapping[str, Any]) -> Self:
        """Return the trigger that somebody describes, in JSON values. Raises BadParameters, naming all that is wrong."""
        try:
            return cls.model_validate_json(json.dumps(order))
        except ValidationError as error:
            told = "; ".join(_problems(error, cls))
            raise BadParameters(f"{told[:1].upper()}{told[1:]}.") from None


def _is_moment(value: str) -> str:
    try:
        clock.parse_ms(value)
    except ValueError:
        raise ValueError(f"{value!r} is no moment; it is written like 2026-11-21T10:58:31Z") from None
    return value


_ELSEWHERE = {"notify": 'write {"engine": "notify", "params": {"connection": NAME}, "when": "failed"} in `then`'}
"""What people look for where it is not."""


def _problems(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """What is wrong, each in a clause that begins with the name of the field."""
    return [_problem(item["type"], [str(part) for part in item["loc"]], item["msg"], model) for item in error.errors(include_url=False)]


def _problem(kind: str, place: list[str], said: str, model: type[BaseModel]) -> str:
    named = ".".join(place)
    if kind == "missing":
        return f"{named} is missing"
    if kind == "extra_forbidden" and len(place) == 1:
        known = [field.alias or name for name, field in model.model_fields.items()]
        near = get_close_matches(named, known, 1)
        return f"there is no {named}; " + (_ELSEWHERE.get(named) or (f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"))
    told = said.removeprefix("Value error, ")
    return f"{named}: {told}" if named else told
