"""Tombstones: what retention removed from a sealed day, when, by whom, and the digests of it.

`archive/YYYY/MM/DD.retained.json` is signed with the key of the seals and names the seal of its day. It is on the disk before anything is
removed. So a record that is missing with a tombstone was removed on purpose; without one it was lost, or somebody hides something.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from portal import keypair
from portal.durable import write_durably
from portal.seal_keys import SEALING, is_signed, sign
from portal.settings import Settings

_CONTEXT = b"portal.retained.v1\n"


@dataclass(frozen=True)
class Act:
    """One removal. `records` is {job id: SHA-256 of its record}, `logs` {job id: SHA-256 of the list of its files, as the record had it}."""

    at: str
    by: str
    why: str
    records: Mapping[str, str] = field(default_factory=dict)
    logs: Mapping[str, str] = field(default_factory=dict)
    files: int = 0
    size_bytes: int = 0


@dataclass(frozen=True)
class Tombstone:
    """All removals from one day. `seal` is the digest of the day's seal, `rows` the SHA-256 of its audit rows once records were removed."""

    day: str
    seal: str
    acts: tuple[Act, ...] = ()
    rows: str | None = None
    key: str = ""
    digest: str = ""
    signature: str = ""

    @property
    def records(self) -> set[str]:
        """Ids of the jobs whose records were removed."""
        return {job_id for act in self.acts for job_id in act.records}

    @property
    def logs(self) -> set[str]:
        """Ids of the jobs whose files in logs/ were removed."""
        return {job_id for act in self.acts for job_id in act.logs}

    def computed(self) -> str:
        """The digest that the content has now."""
        content = {name: value for name, value in asdict(self).items() if name not in ("digest", "signature")}
        return hashlib.sha256(_CONTEXT + json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def path_of(archive: Path, day: date) -> Path:
    return archive / f"{day:%Y}" / f"{day:%m}" / f"{day:%d}.retained.json"


def read(archive: Path, day: date) -> Tombstone | None:
    """Return the tombstone of a day, believed or not; None when there is none or it is not one."""
    try:
        data: Any = json.loads(path_of(archive, day).read_bytes())
        acts = tuple(Act(**item) for item in data.pop("acts"))
        return Tombstone(acts=acts, **data)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def trusted(settings: Settings, day: date) -> Tombstone | None:
    """Return the tombstone of a day when a key of this portal signed it."""
    found = read(settings.archive_dir, day)
    if found is None or found.day != day.isoformat() or found.computed() != found.digest:
        return None
    return found if is_signed(settings, found.key, _CONTEXT, found.digest, found.signature) else None


def write(settings: Settings, tombstone: Tombstone) -> Tombstone:
    """Sign a tombstone and put it in its place, durably. Raises SettingError."""
    key = keypair.ensure(settings.key_pair_dir, SEALING).id
    draft = replace(tombstone, key=key)
    digest = draft.computed()
    signed = replace(draft, digest=digest, signature=sign(settings, key, _CONTEXT, digest))
    write_durably(path_of(settings.archive_dir, date.fromisoformat(signed.day)), json.dumps(asdict(signed), indent=0, sort_keys=True).encode())
    return signed
