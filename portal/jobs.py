"""The job: one frozen value with JSON both ways. No I/O; standard library only, because the runner imports it.

A `Job` is what a job file in `queue/` and a record in `archive/` hold. It is changed only by `evolve`, which makes another.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from enum import StrEnum
from json.encoder import encode_basestring_ascii
from typing import Any, Self

from portal.errors import BadJobFile
from portal.jobs_fields import DEEPEST, HINT, ID_PATTERN, LATEST_MS, PRIORITIES, checked, is_deep

__all__ = [
    "DEFAULT_PRIORITY", "ENGINE_PATTERN", "ID_PATTERN", "LATEST_MS", "PRIORITIES", "SCHEMA", "Attempt", "Followup", "Job", "Status", "When",
    "derived_id", "followup_from_dict", "id_ms", "is_deep", "resolve_quotes",
]  # fmt: skip

SCHEMA = 1
DEFAULT_PRIORITY = 5

ENGINE_PATTERN = re.compile(r"[a-z][a-z0-9_]{0,63}")

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PYTHONS_DIGITS = str.maketrans(_CROCKFORD, "0123456789ABCDEFGHIJKLMNOPQRSTUV")


def id_ms(job_id: str) -> int:
    """Return the moment inside a ULID, in milliseconds since 1970."""
    return int(job_id[:10].translate(_PYTHONS_DIGITS), 32)


def derived_id(parent_id: str, index: int, moment_ms: int) -> str:
    """Return the id of a follow-up: a ULID that is always the same for one parent, place in `then` and end of the parent.

    Follow-ups of one parent sort in the order of `then`, so that they are claimed in it.
    """
    chance = hashlib.sha256(f"{parent_id}/{index}".encode()).digest()[:8]
    number = int.from_bytes(moment_ms.to_bytes(6, "big") + index.to_bytes(2, "big") + chance, "big")
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


class Status(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REJECTED = "rejected"

    @property
    def finished(self) -> bool:
        return self not in (Status.QUEUED, Status.RUNNING)


class When(StrEnum):
    """What starts a follow-up: an end of the parent, some or any of them, or none (SLOWER): that it still runs though it usually would have ended."""

    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    FAILED = "failed"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    ALWAYS = "always"
    ARRIVED = "arrived"
    """Succeeded, or in part: something arrived that can be worked on."""
    SLOWER = "slower"

    def fires(self, status: Status) -> bool:
        """Tell whether the end of the parent starts it."""
        if self is When.ARRIVED:
            return status in (Status.SUCCEEDED, Status.PARTIAL)
        return self is When.ALWAYS or self.value == status.value


@dataclass(frozen=True, slots=True)
class Attempt:
    """One start of the engine, written before the start and completed after the end."""

    number: int
    worker: str
    host: str
    started_at: str
    pid: int | None = None
    """Of the runner."""
    process_started: str | None = None
    """The runner's start time as the kernel tells it, with the boot id: what makes a pid unmistakable."""
    finished_at: str | None = None
    exit_code: int | None = None
    """Of the engine; negative for a signal, None when nobody saw it end."""
    outcome: str | None = None
    """succeeded, partial, failed, rejected, cancelled, timeout or interrupted."""
    error: str | None = None
    peak_memory_bytes: int | None = None
    """Of the largest single process of the attempt (ru_maxrss, getrusage(2)), not of all together."""
    cpu_s: float | None = None
    """User and system time of all its processes."""
    output_lost_bytes: int | None = None
    """Output that the log does not hold: old parts were removed, lines cut, or the disk was full."""


@dataclass(frozen=True, slots=True)
class Followup:
    """A job that its parent starts, when it ends as `when` says. Its parameters may quote the parent's result (see `resolve_quotes`)."""

    engine: str
    params: Mapping[str, Any] = field(default_factory=dict)
    when: When = When.SUCCEEDED
    priority: int = DEFAULT_PRIORITY
    timeout_s: float | None = None
    max_attempts: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    limits: tuple[str, ...] = ()
    sealed: str | None = None
    then: tuple[Followup, ...] = ()

    def without_sealed(self) -> Self:
        return replace(self, sealed=None, then=tuple(item.without_sealed() for item in self.then))


@dataclass(frozen=True, slots=True)
class Job:
    """A job. Times are RFC 3339 UTC with milliseconds, durations seconds."""

    id: str
    engine: str
    params: Mapping[str, Any]
    submitted_at: str
    submitted_by: str = "unknown"
    priority: int = DEFAULT_PRIORITY
    """0 is most urgent."""
    not_before: str | None = None
    timeout_s: float | None = None
    max_attempts: int = 3
    key: str | None = None
    """Idempotency key: a second submit with the same key is the same job."""
    then: tuple[Followup, ...] = ()
    parent: str | None = None
    retry_of: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    limits: tuple[str, ...] = ()
    """Names of limits the job holds while it runs, e.g. one writer for a target table."""
    sealed: str | None = None
    """Connections typed in by the submitter, encrypted to the queue's key; stripped when the job is archived."""
    status: Status = Status.QUEUED
    attempts: tuple[Attempt, ...] = ()
    interruptions: int = 0
    result: Mapping[str, Any] | None = None
    error: str | None = None
    finished_at: str | None = None
    artefacts: tuple[Mapping[str, Any], ...] = ()
    """Name, size_bytes and sha256 of each file of the job in logs/, written with the archive record."""
    schema: int = SCHEMA

    @property
    def name(self) -> str:
        return self.labels.get("name") or self.engine

    def evolve(self, **changes: Any) -> Self:
        return replace(self, **changes)

    def without_sealed(self) -> Self:
        """The job without its secrets, those of its follow-ups included."""
        return replace(self, sealed=None, then=tuple(item.without_sealed() for item in self.then))

    @property
    def open_attempt(self) -> Attempt | None:
        """The attempt that was recorded as started and not yet as ended."""
        return self.attempts[-1] if self.attempts and self.attempts[-1].finished_at is None else None

    def asdict(self) -> dict[str, Any]:
        return asdict(self)

    def to_json(self) -> str:
        """Return the job as ASCII text, a field a line. Raises ValueError, TypeError for values that JSON does not have."""
        lines = [f' "{name}": {_text(getattr(self, name))}' for name in self.__slots__]
        return "{\n" + ",\n".join(lines) + "\n}\n"

    def to_checked_json(self) -> str:
        """Return the text of a job file that `from_json` reads. Raises BadJobFile when it would not."""
        try:
            text = self.to_json()
        except (ValueError, TypeError, RecursionError) as error:
            raise BadJobFile(f"The job {self.id} holds what JSON cannot hold: {error}.") from None
        usual = type(self.status) is Status and self.schema == SCHEMA and _brackets(text) <= DEEPEST
        if not usual or self.then or self.attempts:
            Job.from_json(text)
            return text
        values = {name: getattr(self, name) for name in self.__slots__}
        checked({name: list(value) if type(value) is tuple else value for name, value in values.items()}, _NAMES[Job])
        return text

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read a job.

        Raises:
            BadJobFile: not JSON, not a job, a field of the wrong type, or a schema newer than this code.
        """
        try:
            plain = text.decode(json.detect_encoding(text), "surrogatepass") if isinstance(text, bytes) else text
            data = _DECODER.decode(plain)
        except (ValueError, RecursionError) as error:
            raise BadJobFile(f"This is not JSON: {error}.", hint=HINT) from None
        if _brackets(plain) > DEEPEST and is_deep(data):
            raise BadJobFile(f"This is nested more than {DEEPEST} levels deep.", hint=HINT)
        return cls.from_dict(data)

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        if not isinstance(data, dict):
            raise BadJobFile(f"A job is a JSON object, this is a {type(data).__name__}.", hint=HINT)
        if data.get("schema", SCHEMA) not in range(1, SCHEMA + 1):
            raise BadJobFile(f"The job has schema {data.get('schema')!r}; this portal reads up to {SCHEMA}.", hint="Upgrade the worker.")
        values = _checked(data, cls)
        for required in ("id", "engine", "params", "submitted_at"):
            if required not in values:
                raise BadJobFile(f"The job has no {required!r}.", hint=HINT)
        return cls(**values)


def _brackets(text: str) -> int:
    """How many lists and objects begin in a text, or more: it cannot be nested deeper than that."""
    return text.count("{") + text.count("[")


def _text(value: Any) -> str:
    """A value as JSON; the kinds that most fields have do not need the encoder."""
    if value is None:
        return "null"
    kind = type(value)
    if kind is str:
        return encode_basestring_ascii(value)
    if kind is int:
        return repr(value)
    if value == () or value == {}:
        return "[]" if kind is tuple else "{}"
    return _ENCODER.encode(value)


def _plain(value: Any) -> dict[str, Any]:
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: getattr(value, item.name) for item in fields(value)}
    raise TypeError(f"{type(value).__name__} is nothing that JSON has")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON value")


_ENCODER = json.JSONEncoder(allow_nan=False, default=_plain)
_DECODER = json.JSONDecoder(parse_constant=_no_constant)


def _checked(data: Mapping[str, Any], cls: type) -> dict[str, Any]:
    values = checked(data, _NAMES[cls])
    for name in _READERS.keys() & values.keys():
        values[name] = _READERS[name](values[name])
    return values


def _enum(kind: type[StrEnum]) -> Any:
    def read(value: str) -> StrEnum:
        try:
            return kind(value)
        except ValueError:
            raise BadJobFile(f"{value!r} is none of {', '.join(kind)}.", hint=HINT) from None

    return read


def _followups(items: list[Any]) -> tuple[Followup, ...]:
    return tuple(followup_from_dict(item) for item in items)


def followup_from_dict(data: Any) -> Followup:
    """Read one entry of `then`. Raises BadJobFile."""
    if not isinstance(data, dict) or "engine" not in data:
        raise BadJobFile("Each entry of 'then' is an object with at least an 'engine'.", hint=HINT)
    return Followup(**_checked(data, Followup))


def _attempts(items: list[Any]) -> tuple[Attempt, ...]:
    return tuple(_attempt(item) for item in items)


def _attempt(data: Any) -> Attempt:
    if not isinstance(data, dict):
        raise BadJobFile("'attempts' is not a list of attempts.", hint=HINT)
    try:
        return Attempt(**_checked(data, Attempt))
    except TypeError as error:
        raise BadJobFile(f"An attempt is not whole: {error}.", hint=HINT) from None


_READERS: dict[str, Any] = {
    "status": _enum(Status), "when": _enum(When), "then": _followups, "attempts": _attempts, "limits": tuple, "artefacts": tuple,
}  # fmt: skip
_NAMES: dict[type, frozenset[str]] = {cls: frozenset(item.name for item in fields(cls)) for cls in (Job, Followup, Attempt)}


def resolve_quotes(value: Any, result: Any) -> Any:
    """Replace each `{"$result": "/outputs/0/url"}` in a follow-up's parameters by what the pointer finds in the parent's result.

    Pointers are RFC 6901 and keep the type of what they name; text is never searched for templates.

    Raises:
        BadJobFile: a pointer leads nowhere.
    """
    if isinstance(value, Mapping):
        if set(value) == {"$result"}:
            return _at_pointer(result, value["$result"])
        return {name: resolve_quotes(item, result) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [resolve_quotes(item, result) for item in value]
    return value


def _at_pointer(document: Any, pointer: Any) -> Any:
    if not isinstance(pointer, str) or (pointer and not pointer.startswith("/")):
        raise BadJobFile(f"{pointer!r} is not a JSON pointer; write it like /outputs/0/url.")
    found = document
    for token in pointer.split("/")[1:]:
        name = token.replace("~1", "/").replace("~0", "~")
        try:
            found = found[int(name)] if isinstance(found, list | tuple) and name.isdecimal() else found[name]
        except (KeyError, IndexError, TypeError):
            raise BadJobFile(f"The parent's result has nothing at {pointer!r}.") from None
    return found
