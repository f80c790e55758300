"""What is settled before the first file is uploaded: the bucket, the folder of what is done, the moment, and which files get which keys."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any, Literal, NamedTuple

from portal.errors import AccessDenied, BadParameters, NotFound
from portal.jobs import ID_PATTERN
from portal.planning import limits
from portal.planning.filters import Filters
from portal.planning.planning import Rules
from portal.stores.local_files import confined, resolved
from portal.stores.opening import open_account
from portal.stores.url import StoreURL
from portal.transfer.side import Side
from portal.transfer.uploading.template import Template


def rules(
    source: StoreURL, target: Side, filters: Filters, template: Template, *, bad_names: Literal["fail", "rename"],
    recoded_name: Callable[[str], str | None] | None = None,
) -> Rules:  # fmt: skip
    """Return how files become entries of a plan. `recoded_name`: see `Rules.converted_name`."""
    return Rules(
        source.key, target.url.key, target.url.scheme, filters, bad_names=bad_names, limit_bytes=limits.largest(target.store, target.url.key),
        converted_name=recoded_name, key_of=template.key,
    )  # fmt: skip


def old_enough(filters: Filters, now: datetime, min_age_s: float) -> Filters:
    """Leave out what changed in the last so many seconds."""
    if not min_age_s:
        return filters
    latest = now - timedelta(seconds=min_age_s)
    return replace(filters, until=min(filters.until, latest) if filters.until else latest)


def refuse_done_folder(source: StoreURL, done_folder: StoreURL | None, side: Side) -> None:
    """Raises BadParameters when what is done would be found and uploaded again, AccessDenied outside the allowed folders."""
    if done_folder is None:
        return
    confined(done_folder.key, resolved(side.access().roots))
    folder, done = (os.path.realpath(f"/{url.key}").rstrip("/") + "/" for url in (source, done_folder))
    if done.startswith(folder):
        raise BadParameters(
            f"done_folder ({done_folder}) lies in the source ({source}): what is in it would be uploaded again.", hint="Choose a folder beside it."
        )


def bucket(target: Side, connection: Any, *, create: bool, dry: bool) -> bool:
    """See to it that the target's bucket or container is there; returns False when it is not, and would be created if this were no dry run.

    Raises NotFound (it may not be created), and what creating it raises."""
    try:
        target.store.list_page(limit=1)
    except AccessDenied:
        return True  # who may only write is told so, or not, when it comes to that
    except NotFound as error:
        if not create:
            raise NotFound(f"There is no {target.url.root}.", hint="Check its name, or allow it to be created: create_bucket.") from error
        if dry:
            return False
        open_account(connection).create_container(target.url.container)
    return True


class Begun(NamedTuple):
    """What all attempts of a job have in common."""

    moment: datetime
    """That date parts are of, in their zone; a retry takes it over."""
    at: datetime
    first: str
    """Id of the job, or of the first of those that retry one another."""

    def kept(self) -> dict[str, str]:
        return {"moment": self.moment.isoformat(), "began": self.at.isoformat(), "first": self.first}


def begun(moment: datetime | None, zone: tzinfo, kept: Mapping[str, Any], earlier: Mapping[str, Any], first: str) -> Begun:
    """Return how a job began.

    Arguments:
        moment: the one that was given
        kept: `Begun.kept` of an earlier attempt, empty without one
        earlier: the same of the job that this one retries
        first: id that stands for the job when neither knows one
    """
    at = datetime.fromisoformat(kept["began"]) if kept else datetime.now(UTC)
    known = kept or earlier
    found = moment or (datetime.fromisoformat(known["moment"]) if known.get("moment") else at)
    found = (found if found.tzinfo else found.replace(tzinfo=zone)).astimezone(zone)
    return Begun(found, at, known.get("first") or first)


def own_job(source: StoreURL) -> str:
    """Return the id of the job that a source folder was made for, '' when it was made for none."""
    name = source.key.rstrip("/").rpartition("/")[2]
    return name if ID_PATTERN.fullmatch(name) else ""


def checkpoint(folder: Path | None) -> dict[str, Any]:
    """Return what a finished job saved last, {} without such a job."""
    try:
        found = json.loads((folder / "checkpoint.json").read_text("utf-8")) if folder else {}
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
