"""Targets that exist when an upload begins: the very bytes of the file are as good as uploaded, whoever brought them; what is done about others is
for whoever uploads to say."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from portal.errors import AlreadyExists, ConversionFailed, NotFound, SourceChanged
from portal.ledger.journal import JOURNAL_FILE, JournalState
from portal.planning import plan
from portal.planning.plan import Entry, Verdict
from portal.planning.planner import Planned
from portal.planning.preflight import Preflight
from portal.stores.base import Store
from portal.transfer.digests import Digests
from portal.wire.ends import Found

if TYPE_CHECKING:
    from portal.transfer.uploading.reencoding import Recoder

Overwrite = Literal["different", "replace", "skip", "fail", "apart"]
_MD5 = re.compile(r"[0-9a-f]{32}")
_BLOCK_BYTES = 1 << 20
_SHOWN = 20


@dataclass(frozen=True)
class SameBytes:
    """Compares what a file holds with the checksum that the target stores; see `portal.planning.compare.SameBytes`.

    Where the target stores none, a copy is known by the file that it was made from (its inode, size and time)."""

    source: Store
    recoder: Recoder | None
    check: Callable[[], None]

    def __call__(self, entry: Entry, found: Found) -> bool:
        stored = found.checksums.get("crc64nvme", "")
        md5 = found.checksums.get("md5", "") or (found.etag if _MD5.fullmatch(found.etag) else "")
        if not (stored or md5):
            return bool(entry.etag) and entry.action == "copy" and found.about.metadata.get("source_etag", "") == entry.etag
        try:
            digests = self._digests(entry, () if stored else ("md5",))
        except (NotFound, SourceChanged, ConversionFailed):
            return False  # its upload will tell why
        same = digests.crc64nvme == stored if stored else digests.hex("md5") == md5
        return same and digests.size_bytes == found.size_bytes

    def _digests(self, entry: Entry, others: tuple[str, ...]) -> Digests:
        if entry.action == "convert" and self.recoder:
            return self.recoder.digests(entry.pin, others)
        digests = Digests(others)
        with self.source.open_read(entry.key, pin=entry.pin) as reader:
            while block := reader.read(_BLOCK_BYTES):
                self.check()
                digests.update(block)
        return digests


def settle(found: Preflight, planned: Planned, overwrite: Overwrite, target: Store) -> None:
    """Do with targets that have other bytes what was asked for. Raises AlreadyExists, listing the first of them, when none may exist.

    What this job began itself, in an earlier attempt, is in nobody's way."""
    if overwrite not in ("skip", "fail") or Verdict.REPLACE not in found.verdicts:
        return
    state = JournalState(planned.path.with_name(JOURNAL_FILE), planned.listed)
    others = (n for n, verdict in enumerate(found.verdicts) if verdict == Verdict.REPLACE and not (state.begun(n) or state.ended(n)))
    if overwrite == "skip":
        for n in others:
            found.verdicts[n] = Verdict.EXISTS
        return
    first = next(others, None)
    if first is not None:
        raise _refusal({first, *others}, planned, target)


def _refusal(others: set[int], planned: Planned, target: Store) -> AlreadyExists:
    shown = []
    for entry in plan.read(planned.path):
        if entry.n in others:
            shown.append(f"  - {target.url.at(entry.target_key)}")
            if len(shown) == _SHOWN:
                break
    more = len(others) - len(shown)
    lines = "\n".join([*shown, *([f"  - and {more:,} more"] if more else [])])
    return AlreadyExists(
        f"Nothing was uploaded: targets that exist already, with other bytes:\n{lines}",
        hint="Choose another key (date parts tell days apart), or overwrite=apart, different, skip or replace.",
    )
