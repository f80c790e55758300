"""Whether a trigger can do what it is told, before it is saved: so that its first event is not what finds the mistake."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from portal import clock
from portal.connections import Connections
from portal.errors import BadParameters, PortalError
from portal.jobs import Followup, Job
from portal.notices.queue_name import QueueName
from portal.settings import Settings
from portal.stores.local_files import confined, resolved
from portal.stores.url import StoreURL
from portal.submission import TYPED_LABEL
from portal.triggers import cron, submitting
from portal.triggers.events import Event
from portal.triggers.trigger import EVENT_LABEL, NAME_LABEL, ON, Folder, Sqs, Trigger

_SAMPLE_ID = "0" * 26
_QUEUED = "QueuedForUpload"


def checked(settings: Settings, trigger: Trigger, others: Iterable[Trigger]) -> Trigger:
    """Return a trigger with what it waits for in canonical form.

    Args:
        others: the triggers there are besides.

    Raises:
        BadParameters: something is wrong; says what, and how to write it.
        SettingError: `connections.toml` is wrong.
    """
    _refuse_secrets(trigger)
    if trigger.kind == "cron":
        cron.check(trigger)
    elif trigger.kind == "folder":
        _check_folder(settings, trigger.waits_for(), others)
    else:
        _check_queue(settings, trigger.waits_for())
    if reserved := {NAME_LABEL, EVENT_LABEL} & trigger.labels.keys():
        raise BadParameters(f"The label {min(reserved)!r} cannot be set: the trigger sets it on every job.")
    job = submitting.job(settings, trigger, sample(trigger))
    _check_places(settings, job)
    if trigger.kind == "folder":
        _check_done_folder(settings, trigger, job)
    on = ON[trigger.kind].model_validate(dict(trigger.on)).model_dump(mode="json", exclude_defaults=True)
    return trigger.model_copy(update={"on": on})


def sample(trigger: Trigger, now_ms: int | None = None) -> Event:
    """Return an event like those that the trigger will have, to make a job of that nobody submits."""
    now_ms = clock.now_ms() if now_ms is None else now_ms
    waits_for = trigger.waits_for()
    if trigger.kind == "cron":
        return cron.event(trigger, now_ms)
    if trigger.kind == "sqs":
        return Event("sample", now_ms, {"queue": waits_for.queue, "waiting": 1}, _SAMPLE_ID)
    return Event("sample", now_ms, {"source": f"{str(queued_url(waits_for)).rstrip('/')}/{_SAMPLE_ID}/", "files": 1, "bytes": 1}, _SAMPLE_ID)


def _refuse_secrets(trigger: Trigger) -> None:
    if TYPED_LABEL in trigger.labels or _holds_secrets(trigger.then):
        raise BadParameters(
            "A trigger cannot hold credentials that were typed in: it would have to keep them for as long as there is the trigger.",
            hint="Add the connection to connections.toml, and name it.",
        )


def _holds_secrets(value: Any) -> bool:
    if isinstance(value, Mapping):
        return bool(value.get("sealed")) or any(_holds_secrets(item) for item in value.values())
    return isinstance(value, list | tuple) and any(map(_holds_secrets, value))


def _check_folder(settings: Settings, on: Folder, others: Iterable[Trigger]) -> None:
    watched = local_path(settings, "folder", on.folder)
    if not watched.is_dir():
        raise BadParameters(f"There is no folder {watched} to watch.", hint="Make it first, readable and writable by the user that runs the worker.")
    queued = local_path(settings, "queued", queued_url(on))
    if queued.is_relative_to(watched) or watched.is_relative_to(queued):
        raise BadParameters("queued lies in the folder that is watched, or around it.", hint=f"Name one beside it, like {watched.parent}/NAME.")
    if any(watched == state or watched.is_relative_to(state) or state.is_relative_to(watched) for state in _own_folders(settings)):
        raise BadParameters(f"{watched} holds the portal's own state, or lies in it.", hint="Watch another folder.")
    for other in others:
        if other.kind == "folder" and _overlap(watched, other, on.recursive):
            raise BadParameters(f"The trigger {other.name!r} takes the files of {watched} already.", hint="Edit that one, or watch another folder.")


def _check_done_folder(settings: Settings, trigger: Trigger, job: Job) -> None:
    """What has been done must not be taken again: a folder for it in the watched one is left out of it, so it has to be known before."""
    done = job.params.get("done_folder")
    if not isinstance(done, str) or not done.startswith("file://"):
        return
    on: Folder = trigger.waits_for()
    place, watched = local_path(settings, "done_folder", StoreURL.parse(done)), local_path(settings, "folder", on.folder)
    hint = f"Name one beside it, like {watched.parent}/NAME."
    if place == watched:
        raise BadParameters("done_folder is the folder that is watched: each file would be taken again and again.", hint=hint)
    if place.is_relative_to(local_path(settings, "queued", queued_url(on))):
        raise BadParameters("done_folder is the folder where files wait for their jobs, or lies in it.", hint=hint)
    if place.is_relative_to(watched) and not isinstance(trigger.params.get("done_folder"), str):
        raise BadParameters("done_folder quotes the event and lies in the folder that is watched, where it cannot be told from others.", hint=hint)


def queued_url(on: Folder) -> StoreURL:
    """Return where files wait for their job: beside the watched folder, unless the trigger says."""
    return on.queued or on.folder.at(f"{on.folder.key.rstrip('/').rpartition('/')[0]}/{_QUEUED}".lstrip("/"))


def _own_folders(settings: Settings) -> tuple[Path, ...]:
    return tuple(path.resolve() for path in (settings.queue_dir, settings.logs_dir, settings.archive_dir, settings.key_pair_dir))


def _overlap(watched: Path, other: Trigger, recursive: bool) -> bool:
    on: Folder = other.waits_for()
    place = Path("/", on.folder.key).resolve()
    return place == watched or (on.recursive and watched.is_relative_to(place)) or (recursive and place.is_relative_to(watched))


def local_path(settings: Settings, field: str, url: StoreURL) -> Path:
    """Return where a folder of this machine is, all links followed. Raises BadParameters when it is none, or may not be used."""
    if url.scheme != "file":
        raise BadParameters(f"{field} is {url}; only a folder of this machine can be watched.", hint="Write it like file:///srv/box/Watch/.")
    try:
        return confined(url.key.rstrip("/"), resolved(Connections.load(settings).get("local").roots))
    except PortalError as error:
        raise BadParameters(f"{field}: {error.message}", hint=error.hint) from None


def _check_places(settings: Settings, item: Job | Followup) -> None:
    """Folders of this machine that its jobs read from or write to must be allowed ones, those that quote the event at a moment like any other."""
    roots = resolved(Connections.load(settings).get("local").roots)
    for field, text in ((name, text) for name, value in item.params.items() for text in _local_urls(value)):
        try:
            confined(StoreURL.parse(text).key.rstrip("/"), roots)
        except ValueError as error:
            raise BadParameters(f"{field}: {error}") from None
        except PortalError as error:
            raise BadParameters(f"{field}: {error.message}", hint=error.hint) from None
    for follower in item.then:
        try:
            _check_places(settings, follower)
        except BadParameters as error:
            raise BadParameters(f"Follow-up {follower.engine}: {error.message}", hint=error.hint) from None


def _local_urls(value: Any) -> Iterator[str]:
    if isinstance(value, str) and value.startswith("file://"):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _local_urls(item)


def _check_queue(settings: Settings, on: Sqs) -> None:
    if not on.queue.strip():
        raise BadParameters("queue is empty.", hint="Give the name or the URL of an SQS queue.")
    try:
        QueueName.parse(on.queue)
    except BadParameters as error:
        raise BadParameters(f"queue: {error.message}", hint=error.hint) from None
    try:
        Connections.load(settings).get("s3", on.connection)
    except PortalError as error:
        raise BadParameters(f"connection: {error.message}", hint=error.hint) from None
