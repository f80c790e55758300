"""Verifying: what in the archive is not as it was sealed, each thing with its name. Needs public keys only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from portal import audit_days, seal_tombstones
from portal.seal.links import GENESIS, ChainBroken, Head, Seal, day_of, digests, is_signed_here, kept_head, paths, read
from portal.seal_tombstones import Tombstone
from portal.settings import Settings


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it was sealed. `kind`: changed, removed, added, chain, signature, head or unreadable."""

    kind: str
    day: str
    text: str
    job_id: str | None = None

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


def verify(settings: Settings, exported: Head | None = None) -> list[Finding]:
    """Compare the archive with its seals; returns what does not fit, nothing when all does. Needs public keys only.

    Args:
        exported: a head that was exported earlier: the chain must still contain it.
    """
    findings: list[Finding] = []
    previous, sequence, seen = GENESIS, 0, {}
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
    elif not is_signed_here(settings, seal):
        yield Finding("signature", seal.day, f"The seal of {seal.day} is not signed by a key of this portal ({seal.key}).")
    if previous and (seal.previous != previous or seal.sequence != sequence):
        yield Finding("chain", seal.day, f"The chain is broken before {seal.day}: the seal before it is missing or was replaced.")


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
