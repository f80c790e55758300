"""Sealing: a signed link for each day that is over, after the last link that can be trusted."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta

from portal import audit_days, clock, keypair
from portal.durable import write_durably
from portal.seal.links import (
    CONTEXT,
    GENESIS,
    ChainBroken,
    Head,
    Seal,
    day_of,
    digests,
    head,
    head_file,
    head_of,
    is_whole,
    kept_head,
    path_of,
    paths,
    read,
)
from portal.seal_keys import SEALING, sign
from portal.settings import Settings

GRACE = timedelta(minutes=10)
"""A day is sealed this long after its end, so that a job that finished in its last second is in the archive."""

_RESTORE = "Run `python -m portal audit verify` to see what does not fit, and restore it from a backup."


def due(settings: Settings, now: datetime) -> bool:
    """Tell, from names alone, whether there may be a closed day to seal."""
    found = paths(settings.archive_dir)
    first = day_of(found[-1]) + timedelta(days=1) if found else None
    return bool(audit_days.days(settings.archive_dir, first, (now - GRACE).astimezone(UTC).date() - timedelta(days=1)))


def seal_closed_days(settings: Settings, now: datetime | None = None) -> list[Seal]:
    """Seal every closed day that has records and no seal yet; returns the new seals. Repeatable; nothing to do is cheap.

    Days wait while a running job has a finishing moment in them. Raises ChainBroken, SettingError, rather than sealing over a damaged chain.
    """
    last = _closed_until(settings, now or datetime.now(UTC))
    if not _open_days(settings, head(settings), last):
        return []
    signing = keypair.ensure(settings.key_pair_dir, SEALING)
    with alone(settings):
        before = _trusted_head(settings)
        made: list[Seal] = []
        for day in _open_days(settings, before, last):
            seal = _add(settings, day, before, signing)
            before = head_of(seal)
            made.append(seal)
        return made


def _open_days(settings: Settings, before: Head | None, last: date) -> list[date]:
    first = date.fromisoformat(before.day) + timedelta(days=1) if before else None
    return [day for day in audit_days.days(settings.archive_dir, first, last) if audit_days.records(settings.archive_dir, day)]


@contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """Hold off everybody else who would add to the chain."""
    with (settings.key_pair_dir / "seal.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _closed_until(settings: Settings, now: datetime) -> date:
    closed = (now - GRACE).astimezone(UTC).date() - timedelta(days=1)
    for path in (settings.queue_dir / "running").glob("*.json"):
        with suppress(OSError, ValueError, TypeError, KeyError):
            finishing = datetime.fromtimestamp(clock.parse_ms(json.loads(path.read_bytes())["finished_at"]) / 1000, UTC).date()
            closed = min(closed, finishing - timedelta(days=1))
    return closed


def _add(settings: Settings, day: date, before: Head | None, signing: keypair.PublicKey) -> Seal:
    archive = settings.archive_dir
    after = (before.sequence + 1, day.isoformat(), before.digest) if before else (1, day.isoformat(), GENESIS)
    draft = Seal(*after, digests(archive, day), signing.id)
    digest = draft.computed()
    signed = replace(draft, digest=digest, signature=sign(settings, signing.id, CONTEXT, digest))
    write_durably(path_of(archive, day), json.dumps(asdict(signed), indent=0, sort_keys=True).encode())
    write_durably(head_file(settings), json.dumps(asdict(head_of(signed))).encode())
    return signed


def _trusted_head(settings: Settings) -> Head | None:
    """The end of the chain on disk, which must not be before the head kept with the keys."""
    found, kept = paths(settings.archive_dir), kept_head(settings)
    last = read(found[-1]) if found else None
    if last and not is_whole(settings, last):
        raise ChainBroken(f"The seal of {last.day} was changed, or is not signed by a key of this portal.", hint=_RESTORE)
    if kept and (last is None or last.sequence < kept.sequence or (last.sequence == kept.sequence and last.digest != kept.digest)):
        raise ChainBroken(f"The seal of {kept.day} is missing or is another one.", hint=_RESTORE)
    return head_of(last) if last else None
