"""Makes jobs out of what people ask for: checked parameters, sealed credentials, an id. Submitting again what has ended, too.

    form or flags → `new_job` → `Spool.submit`
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ulid import ULID

from portal import catalog, clock, vault
from portal.connections import CHANNELS, DEFAULT, Connections
from portal.errors import BadJobFile, BadParameters, JobNotFound
from portal.jobs import DEFAULT_PRIORITY, PRIORITIES, Followup, Job, Status, When, followup_from_dict
from portal.notifying import wish
from portal.settings import Settings
from portal.spool import Spool

TYPED_LABEL = "typed_connections"
"""Label that keeps the names, never the values, of the connections that were typed in: a rerun asks for them again."""

Typed = Mapping[str, Mapping[str, Any]]


def new_job(
    settings: Settings,
    engine: str,
    params: Mapping[str, Any],
    *,
    by: str,
    name: str = "",
    priority: int = DEFAULT_PRIORITY,
    not_before: str | None = None,
    timeout_s: float | None = None,
    max_attempts: int | None = None,
    key: str | None = None,
    then: Iterable[Followup | Mapping[str, Any]] = (),
    typed_connections: Typed | None = None,
    labels: Mapping[str, str] | None = None,
    limits: Sequence[str] = (),
    parent: str | None = None,
    retry_of: str | None = None,
) -> Job:
    """Return a job that is ready to be submitted.

    Args:
        not_before: earliest start, RFC 3339 with a time zone.
        key: idempotency key; a second submit with it is the first job.
        then: follow-ups, as values or as the JSON objects of a job file.
        typed_connections: connections given for this job only, by name, each with its `kind`; they leave here sealed.

    Raises:
        BadParameters: a parameter of the job or of a follow-up is wrong; names each and says how.
        SettingError: a typed connection or `connections.toml` is wrong.
    """
    typed = dict(typed_connections or {})
    followups = tuple(_checked_followup(settings, item, typed) for item in then)
    _check_numbers(priority, timeout_s, max_attempts)
    _check_texts(name=name, key=key, not_before=not_before, labels=labels or {}, limits=limits)
    checked = catalog.validate(engine, params)
    _check_connections(settings, engine, checked, typed)
    shown = {**(labels or {}), **({"name": name} if name else {}), **_typed_label(typed)}
    return Job(
        id=str(ULID()), engine=engine, params=checked, submitted_at=clock.iso(clock.now_ms()), submitted_by=by, priority=priority,
        not_before=_moment(not_before), timeout_s=timeout_s, max_attempts=max_attempts or settings.max_attempts, key=key or None, then=followups,
        parent=parent, retry_of=retry_of, labels=shown, limits=tuple(limits), sealed=_sealed(settings, typed),
    )  # fmt: skip


def retry(
    settings: Settings, spool: Spool, job_id: str, *, by: str, typed_connections: Typed | None = None, key: str | None = None
) -> Job:  # fmt: skip
    """Submit a finished job again; its engine may take over what the first run achieved, so that only the rest is done.

    Args:
        key: idempotency key; a second retry with it is the first one.

    Raises:
        JobNotFound: no such job.
        BadParameters: it has not ended, it succeeded, or credentials that were typed in are needed again.
    """
    old = _found(spool, job_id)
    if not old.status.finished:
        raise BadParameters(f"Job {job_id} is {old.status}; only a finished job can be retried.", hint="Wait for it, or cancel it first.")
    if old.status is Status.SUCCEEDED:
        raise BadParameters(f"Job {job_id} succeeded: there is nothing to retry.", hint="To run all of it once more, use rerun.")
    return spool.submit(_again(settings, old, old.params, by, typed_connections, retry_of=old.id, key=key))


def rerun(settings: Settings, spool: Spool, job_id: str, params: Mapping[str, Any], *, by: str, typed_connections: Typed | None = None) -> Job:
    """Submit a new job like an earlier one, from the start, with these parameters (all of them).

    Raises:
        JobNotFound: no such job.
        BadParameters: a parameter is wrong, or credentials that were typed in are needed again.
    """
    return spool.submit(_again(settings, _found(spool, job_id), params, by, typed_connections))


def _found(spool: Spool, job_id: str) -> Job:
    job = spool.find(job_id)
    if job is None:
        raise JobNotFound(f"There is no job {job_id}.", hint="`python -m portal jobs` lists the latest ones.")
    return job


def _again(
    settings: Settings, old: Job, params: Mapping[str, Any], by: str, typed: Typed | None, *, retry_of: str | None = None, key: str | None = None
) -> Job:  # fmt: skip
    if missing := sorted(_typed_names(old) - set(typed or {})):
        names = ", ".join(missing)
        raise BadParameters(
            f"Job {old.id} used credentials that were typed in for it ({names}) and are kept nowhere.",
            hint="Give them again in the launcher's form, or add the connection to connections.toml and submit a new job with it.",
        )
    labels = {key: value for key, value in old.labels.items() if key != TYPED_LABEL}
    return new_job(
        settings, old.engine, params, by=by, priority=old.priority, timeout_s=old.timeout_s, max_attempts=old.max_attempts,
        then=old.without_sealed().then, typed_connections=typed, labels=labels, limits=old.limits, parent=old.id, retry_of=retry_of,
        key=key,
    )  # fmt: skip


def _typed_names(item: Job | Followup) -> set[str]:
    own = {name for name in item.labels.get(TYPED_LABEL, "").split(",") if name}
    return own.union(*(_typed_names(child) for child in item.then))


def _typed_label(typed: Typed) -> dict[str, str]:
    return {TYPED_LABEL: ",".join(sorted(typed))} if typed else {}


def _checked_followup(settings: Settings, item: Followup | Mapping[str, Any], typed: Typed) -> Followup:
    followup = item if isinstance(item, Followup) else _read_followup(item)
    _check_numbers(followup.priority, followup.timeout_s, followup.max_attempts)
    try:
        if followup.when is When.SLOWER and any(_pointers(followup.params)):
            raise BadParameters("it starts while its parent still runs, and quotes a result that is not there yet.")
        params = _followup_params(followup.engine, followup.params)
        used = _check_connections(settings, followup.engine, params, typed)
    except BadParameters as error:
        raise BadParameters(f"Follow-up {followup.engine}: {error.message}", hint=error.hint) from None
    own = {name: typed[name] for name in used if name in typed}
    return replace(
        followup, params=params, labels={**followup.labels, **_typed_label(own)}, sealed=_sealed(settings, own),
        then=tuple(_checked_followup(settings, child, typed) for child in followup.then),
    )  # fmt: skip


def _read_followup(item: Any) -> Followup:
    try:
        return followup_from_dict(item)
    except BadJobFile as error:
        raise BadParameters(f"A follow-up cannot be used: {error.message}", hint=error.hint) from None


def _followup_params(engine: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
    """What quotes the parent's result cannot be checked before there is one; everything else is."""
    later = {name for name, value in params.items() if any(_pointers(value))}
    if not later:
        return catalog.validate(engine, params)
    for pointer in _pointers(params):
        if not isinstance(pointer, str) or (pointer and not pointer.startswith("/")):
            raise BadParameters(f"{pointer!r} is no JSON pointer.", hint='Quote the parent\'s result like {"$result": "/outputs/0/url"}.')
    catalog.check_partly(engine, params, later)
    return dict(params)


def _pointers(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        if set(value) == {"$result"}:
            yield value["$result"]
        else:
            for item in value.values():
                yield from _pointers(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _pointers(item)


def _check_connections(settings: Settings, engine: str, params: Mapping[str, Any], typed: Typed) -> set[str]:
    """Return the named connections that the parameters use. Raises BadParameters when one does not exist."""
    fields = (item.name for item in catalog.engine(engine).fields if item.kind == "connection")
    used = {name: field for field in fields if isinstance(name := params.get(field), str) and name not in ("", DEFAULT)}
    if not used and not typed:
        return set()
    connections = Connections.load(settings, typed)
    known = connections.named
    for name, field in used.items():
        if name not in known:
            there = f"There are {', '.join([DEFAULT, *sorted(known)])}"
            if engine == wish.ENGINE:
                there = f"Of kind {' or '.join(CHANNELS)} there are: {', '.join(connections.channels()) or 'none yet'}"
            raise BadParameters(f"{field}: there is no connection {name!r}.", hint=f"{there}. Add it to connections.toml.")
        if engine == wish.ENGINE and (kind := known[name].kind) not in CHANNELS:
            hint = f"It must be of kind {' or '.join(CHANNELS)}."
            raise BadParameters(f"{field}: the connection {name!r} leads to {kind}, not to people.", hint=hint)
    return set(used)


def _check_numbers(priority: int, timeout_s: float | None, max_attempts: int | None) -> None:
    """What comes from a file may be of any type."""
    if type(priority) is not int or priority not in PRIORITIES:
        raise BadParameters(f"The priority is {priority!r}; it must be 0 (most urgent) to 9.")
    if timeout_s is not None and not (type(timeout_s) in (int, float) and 0 < timeout_s < float("inf")):
        raise BadParameters(f"The timeout is {timeout_s!r} s; it must be a number of seconds above 0.", hint="Leave it out for none.")
    if max_attempts is not None and not (type(max_attempts) is int and max_attempts > 0):
        raise BadParameters(f"max_attempts is {max_attempts!r}; it must be a whole number, 1 or more.")


def _check_texts(**given: Any) -> None:
    for name, value in given.items():
        items = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else [value]
        if wrong := [item for item in items if not isinstance(item, str | type(None))]:
            raise BadParameters(f"{name}: {wrong[0]!r} is not a text.")


def _moment(text: str | None) -> str | None:
    if not text:
        return None
    try:
        return clock.iso(clock.parse_ms(text))
    except ValueError as error:
        raise BadParameters(f"The time {text!r} cannot be read: {error}.", hint="Write it as 2026-11-21T10:58:31Z.") from None


def _sealed(settings: Settings, typed: Typed) -> str | None:
    return vault.seal(settings, {"connections": {name: dict(values) for name, values in typed.items()}}) if typed else None
