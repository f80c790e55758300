"""The seals, as far as names tell: that every closed day has one, and that it names the records that are there. The proof is `audit verify`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime

from portal import seal
from portal.check.finding import Finding
from portal.check.look import Look
from portal.errors import explain
from portal.seal import ChainBroken, Seal
from portal.seal_tombstones import path_of
from portal.spool.layout import running_id

_VERIFY = "`portal audit verify` proves each record; restore what is missing from a backup."


def inspect(look: Look) -> Iterator[Finding]:
    """Compare the seals' lists of records with the names in the days."""
    if not look.depth:
        return
    sealed: dict[date, Seal] = {}
    for path in seal.paths(look.layout.archive):
        try:
            sealed[seal.day_of(path)] = seal.read(path)
        except ChainBroken as error:
            yield Finding("seal", path, explain(error), "Somebody changed it, or a copy was cut off.", "Restore it from a backup.")
            sealed[seal.day_of(path)] = Seal(0, "", "", {}, "")
    for day, found in sealed.items():
        if found.sequence:
            yield from _names(look, day, found)
    yield from _unsealed(look, sealed)
    yield from _head(look, sealed)


def _names(look: Look, day: date, found: Seal) -> Iterator[Finding]:
    folder = look.layout.day(day)
    there = {job_id for name in look.days.get(day, ()) if (job_id := running_id(name))}
    tombstone = look.tombstone(day)
    if tombstone is None and path_of(look.layout.archive, day).exists():
        why = "Somebody changed it, or the folder of the keys is not that of the archive."
        yield Finding("tombstone", path_of(look.layout.archive, day), "Nobody of this portal signed this tombstone.", why, _VERIFY)
    missing = set(found.records) - there - (tombstone.records if tombstone else set())
    if missing:
        why = "Somebody removed them, or archive/ was restored without them. Retention leaves a tombstone."
        yield Finding("seal", folder, f"{_some(missing)} of this sealed day {'is' if len(missing) == 1 else 'are'} missing.", why, _VERIFY)
    if extra := there - set(found.records):
        why = "Somebody put them there, or the seal is of an older backup than the records."
        yield Finding("seal", folder, f"{_some(extra)} not in the seal of this day.", why, _VERIFY)


def _some(job_ids: set[str]) -> str:
    shown = ", ".join(sorted(job_ids)[:3])
    return f"{len(job_ids)} records ({shown} …)" if len(job_ids) > 3 else f"The record{'s' if len(job_ids) > 1 else ''} {shown}"


def _unsealed(look: Look, sealed: dict[date, Seal]) -> Iterator[Finding]:
    newest = max(sealed, default=None)
    closed = (datetime.fromtimestamp(look.now_ms / 1000, UTC) - seal.GRACE).date()
    for day, names in look.days.items():
        if day in sealed or day >= closed or not any(running_id(name) for name in names):
            continue
        path = look.layout.day(day)
        if newest and day < newest:
            why = "The seal was removed, or the records were put there after later days were sealed."
            yield Finding("seal", path, "This day has records and no seal, while later days have one.", why, _VERIFY)
        else:
            yield Finding("unsealed", path, "This day is over and not sealed yet.", "No worker has lived since, or sealing fails.",
                          "A worker seals it within an hour; `portal audit seal` does at once.", note=True)  # fmt: skip


def _head(look: Look, sealed: dict[date, Seal]) -> Iterator[Finding]:
    try:
        kept = seal.kept_head(look.settings)
    except ChainBroken as error:
        yield Finding("seal", look.settings.key_pair_dir, explain(error), "Somebody changed it.", "Restore it from a backup.")
        return
    sequences = {found.sequence: found.digest for found in sealed.values()}
    if kept and sequences.get(kept.sequence) != kept.digest:
        why = "The archive is older than the folder of the keys, or its newest seals were removed. No further day is sealed."
        yield Finding("seal", look.settings.key_pair_dir, f"The newest seal known to the keys ({kept}) is not in the archive.", why, _VERIFY)
