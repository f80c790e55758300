"""The chain of seals on the disk: reading its links and its end, and whether a link is as it was signed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from portal import audit_days
from portal.errors import PortalError
from portal.seal_keys import is_signed
from portal.settings import Settings

CONTEXT = b"portal.seal.v1\n"
"""What a signature of a seal begins with, so that it fits nothing else."""

GENESIS = "0" * 64
"""The digest before the first seal."""


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
        return hashlib.sha256(CONTEXT + json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True)
class Head:
    """The end of the chain: what an export carries away, so that the proof also rests outside this machine."""

    sequence: int
    day: str
    digest: str
    key: str

    def __str__(self) -> str:
        return f"seal {self.sequence} of {self.day}, {self.digest} (key {self.key})"


class ChainBroken(PortalError):
    """The seals of the archive do not fit together."""


def chain(settings: Settings) -> list[Seal]:
    """Return the seals in order of day. Raises ChainBroken when one cannot be read."""
    return [read(path) for path in paths(settings.archive_dir)]


def head(settings: Settings) -> Head | None:
    """Return the newest seal's head, or None before the first. Raises ChainBroken."""
    found = paths(settings.archive_dir)
    return head_of(read(found[-1])) if found else None


def is_whole(settings: Settings, seal: Seal) -> bool:
    """Tell whether a seal is as a key of this portal signed it."""
    return seal.computed() == seal.digest and is_signed_here(settings, seal)


def is_signed_here(settings: Settings, seal: Seal) -> bool:
    """Tell whether a key of this portal signed the digest that a seal names."""
    return is_signed(settings, seal.key, CONTEXT, seal.digest, seal.signature)


def digests(archive: Path, day: date) -> dict[str, str]:
    """Return the SHA-256 of each record of a day, by job id."""
    found: dict[str, str] = {}
    for record in audit_days.records(archive, day):
        with suppress(FileNotFoundError):
            found[record.job_id] = hashlib.sha256(record.read()).hexdigest()
    return found


def path_of(archive: Path, day: date) -> Path:
    """Return where the seal of a day lies."""
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


def head_file(settings: Settings) -> Path:
    """Return where the newest seal's head is kept, with the keys."""
    return settings.key_pair_dir / "seal.head.json"


def kept_head(settings: Settings) -> Head | None:
    """Return the head kept with the keys, or None before the first. Raises ChainBroken when it cannot be read."""
    try:
        return Head(**json.loads(head_file(settings).read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise ChainBroken(f"{head_file(settings)} cannot be read: {error}", hint="Restore the folder of the keys from a backup.") from None
