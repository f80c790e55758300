"""A signed chain of daily digests over the archive, which shows what was changed, removed or slipped in afterwards.

Each closed day that has records gets `archive/YYYY/MM/DD.seal.json`: the SHA-256 of every record by id, the digest of the seal before it,
and an Ed25519 signature (RFC 8032) of the whole. The signing key and the newest seal's digest lie in the folder of the keys. So nobody without
that folder can alter a sealed day unseen; and from a head that was exported on, nobody at all can.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from portal import audit_days, clock, keypair, seal_tombstones
from portal.durable import write_durably
from portal.errors import PortalError
from portal.seal_keys import SEALING, is_signed, sign
from portal.seal_tombstones import Tombstone
from portal.settings import Settings

GRACE = timedelta(minutes=10)
"""A day is sealed this long after its end, so that a job that finished in its last second is in the archive."""

_CONTEXT = b"portal.seal.v1\n"
_GENESIS = "0" * 64
_RESTORE = "Run `python -m portal audit verify` to see what does not fit, and restore it from a backup."


@dataclass(frozen=True)
class Seal:
    """One link of the chain. `records` is {job id: SHA-256 of its record}; `digest` covers everything before it."""

    sequence: int
    day: str
    previous: str
    records: Mapping[str, str]
    key: str
    digest: str = ""
    signature: str = ""

    def computed(self) -> str:
        """The digest that the content has now."""
        content = {name: value for name, value in asdict(self).items() if name not in ("digest", "signature")}
        return hashlib.sha256(_CONTEXT + json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True)
class Head:
    """The end of the chain: what an export carries away, so that the proof also rests outside this machine."""

    sequence: int
    day: str
    digest: str
    key: str

    def __str__(self) -> str:
        return f"seal {self.sequence} of {self.day}, {self.digest} (key {self.key})"


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it was sealed. `kind`: changed, removed, added, chain, signature, head or unreadable."""

    kind: str
    day: str
    text: str
    job_id: str | None = None

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


class ChainBroken(PortalError):
    """The seals of the archive do not fit together."""


def chain(settings: Settings) -> list[Seal]:
    """Return the seals in order of day. Raises ChainBroken when one cannot be read."""
    return [read(path) for path in paths(settings.archive_dir)]


def head(settings: Settings) -> Head | None:
    """Return the newest seal's head, or None before the first. Raises ChainBroken."""
    found = paths(settings.archive_dir)
    return head_of(read(found[-1])) if found else None


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
    after = (before.sequence + 1, day.isoformat(), before.digest) if before else (1, day.isoformat(), _GENESIS)
    draft = Seal(*after, digests(archive, day), signing.id)
    digest = draft.computed()
    signed = replace(draft, digest=digest, signature=sign(settings, signing.id, _CONTEXT, digest))
    write_durably(_path(archive, day), json.dumps(asdict(signed), indent=0, sort_keys=True).encode())
    write_durably(_head_file(settings), json.dumps(asdict(head_of(signed))).encode())
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


def verify(settings: Settings, exported: Head | None = None) -> list[Finding]:
    """Compare the archive with its seals; returns what does not fit, nothing when all does. Needs public keys only.

    Args:
        exported: a head that was exported earlier: the chain must still contain it.
    """
    findings: list[Finding] = []
    previous, sequence, seen = _GENESIS, 0, {}
    for path in paths(settings.archive_dir):
        try:
            seal = read(path)
        except ChainBroken as error:
            findings.append(Finding("unreadable", day_of(path).isoformat(), error.message))
            previous, sequence = "", sequence + 1
            continue
        findings.extend(_seal_findings(settings, path, seal, previous, sequence + 1))
        findings.extend(_day_findings(settings, seal))
        previous, sequence = seal.computed(), seal.sequence
        seen[seal.sequence] = previous
    findings.extend(_before_chain(settings, sequence))
    findings.extend(_head_findings(seen, exported, "that was exported"))
    findings.extend(_head_findings(seen, kept_head(settings), "kept with the keys"))
    return findings


def _seal_findings(settings: Settings, path: Path, seal: Seal, previous: str, sequence: int) -> Iterator[Finding]:
    if seal.day != day_of(path).isoformat():
        yield Finding("chain", seal.day, f"The seal {path.name} of {day_of(path)} is that of another day, {seal.day}.")
    if seal.computed() != seal.digest:
        yield Finding("signature", seal.day, f"The seal of {seal.day} was changed: its digest is not that of its content.")
    elif not _signed(settings, seal):
        yield Finding("signature", seal.day, f"The seal of {seal.day} is not signed by a key of this portal ({seal.key}).")
    if previous and (seal.previous != previous or seal.sequence != sequence):
        yield Finding("chain", seal.day, f"The chain is broken before {seal.day}: the seal before it is missing or was replaced.")


def is_whole(settings: Settings, seal: Seal) -> bool:
    """Tell whether a seal is as a key of this portal signed it."""
    return seal.computed() == seal.digest and _signed(settings, seal)


def _signed(settings: Settings, seal: Seal) -> bool:
    return is_signed(settings, seal.key, _CONTEXT, seal.digest, seal.signature)


def _day_findings(settings: Settings, seal: Seal) -> Iterator[Finding]:
    archive, day = settings.archive_dir, date.fromisoformat(seal.day)
    tombstone = seal_tombstones.trusted(settings, day)
    if (tombstone is None and seal_tombstones.path_of(archive, day).exists()) or (tombstone and tombstone.seal != seal.digest):
        yield Finding("signature", seal.day, f"The tombstone of {seal.day} was changed, or is not signed by a key of this portal.")
        tombstone = None
    yield from _record_findings(archive, seal, tombstone.records if tombstone else set())
    if tombstone and tombstone.rows:
        yield from _rows_findings(archive, day, tombstone)
    else:
        yield from _compaction_findings(archive, seal)


def _record_findings(archive: Path, seal: Seal, retired: set[str]) -> Iterator[Finding]:
    found = digests(archive, date.fromisoformat(seal.day))
    for job_id in sorted(set(seal.records) | set(found)):
        if job_id not in found:
            if job_id not in retired:
                yield Finding("removed", seal.day, f"The record of job {job_id} was removed after {seal.day} was sealed.", job_id)
        elif job_id not in seal.records:
            yield Finding("added", seal.day, f"The record of job {job_id} was added after {seal.day} was sealed.", job_id)
        elif found[job_id] != seal.records[job_id]:
            yield Finding("changed", seal.day, f"The record of job {job_id} was changed after {seal.day} was sealed.", job_id)


def _compaction_findings(archive: Path, seal: Seal) -> Iterator[Finding]:
    """Reports and exports read the compaction in the place of the records."""
    for job_id in audit_days.misstated(archive, date.fromisoformat(seal.day)):
        place = f"{seal.day.replace('-', '/')}.audit.parquet"
        text = f"{place} tells job {job_id} otherwise than its record does: reports and exports made since may be wrong. Delete it, it is made anew."
        yield Finding("changed", seal.day, text, job_id)


def _rows_findings(archive: Path, day: date, tombstone: Tombstone) -> Iterator[Finding]:
    """Where records were removed, their audit rows are all that is left: they must be as they were then."""
    found = audit_days.rows_digest(archive, day)
    if found != tombstone.rows:
        how = "are missing" if found is None else "were changed"
        yield Finding("changed", str(day), f"The audit rows of {day}, whose records retention removed, {how}. Restore {day:%Y/%m/%d}.audit.parquet.")


def _before_chain(settings: Settings, sequence: int) -> Iterator[Finding]:
    """Days with records but no seal, earlier than the newest seal: slipped in as a whole."""
    sealed = {day_of(path) for path in paths(settings.archive_dir)}
    if not sealed:
        return
    for day in audit_days.days(settings.archive_dir, None, max(sealed)):
        if day not in sealed:
            for record in audit_days.records(settings.archive_dir, day):
                text = f"The record of job {record.job_id} is on {day}, which has no seal while later days have: it was added, or the seal removed."
                yield Finding("added", day.isoformat(), text, record.job_id)


def _head_findings(seen: Mapping[int, str], wanted: Head | None, which: str) -> Iterator[Finding]:
    if wanted and seen.get(wanted.sequence) != wanted.digest:
        what = "is not in the archive any more" if wanted.sequence not in seen else "is another one now"
        yield Finding("head", wanted.day, f"The seal {wanted.sequence} of {wanted.day} {which} {what}: the archive was rewritten.")


def digests(archive: Path, day: date) -> dict[str, str]:
    """Return the SHA-256 of each record of a day, by job id."""
    found: dict[str, str] = {}
    for record in audit_days.records(archive, day):
        with suppress(FileNotFoundError):
            found[record.job_id] = hashlib.sha256(record.read()).hexdigest()
    return found


def _path(archive: Path, day: date) -> Path:
    place = audit_days.folder(archive, day)
    return place.with_name(f"{place.name}.seal.json")


def paths(archive: Path) -> list[Path]:
    """Return the files of the seals in order of day."""
    return sorted(path for path in archive.glob("[0-9][0-9][0-9][0-9]/[0-9][0-9]/[0-9][0-9].seal.json") if _names_a_day(path))


def _names_a_day(path: Path) -> bool:
    with suppress(ValueError):
        return bool(day_of(path))
    return False


def day_of(path: Path) -> date:
    """Return the day that the file of a seal is named for."""
    return date(int(path.parent.parent.name), int(path.parent.name), int(path.name[:2]))


def read(path: Path) -> Seal:
    """Return a seal, believed or not. Raises ChainBroken when it cannot be read."""
    try:
        data: Any = json.loads(path.read_bytes())
        seal = Seal(**data)
        date.fromisoformat(seal.day)
        records = {str(job_id): str(digest) for job_id, digest in seal.records.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ChainBroken(f"The seal {path} cannot be read: {error}", hint="Restore it from a backup.") from None
    if not isinstance(seal.sequence, int) or records != seal.records:
        raise ChainBroken(f"The seal {path} is not one.", hint="Restore it from a backup.")
    return seal


def head_of(seal: Seal) -> Head:
    """What an export carries away of a seal."""
    return Head(seal.sequence, seal.day, seal.digest, seal.key)


def _head_file(settings: Settings) -> Path:
    return settings.key_pair_dir / "seal.head.json"


def kept_head(settings: Settings) -> Head | None:
    """Return the head kept with the keys, or None before the first. Raises ChainBroken when it cannot be read."""
    try:
        return Head(**json.loads(_head_file(settings).read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise ChainBroken(f"{_head_file(settings)} cannot be read: {error}", hint="Restore the folder of the keys from a backup.") from None
