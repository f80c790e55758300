"""Whether what an earlier run brought to the target is still there: the next one builds on it, and vouches for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path

from portal.errors import NotFound
from portal.lake.catalogs.files import Files
from portal.lake.iceberg.history import History
from portal.lake.iceberg.inventory import INVENTORY_FILE
from portal.lake.iceberg.paths import identity, read_path
from portal.lake.iceberg.refusals import TableBroken
from portal.lake.iceberg.walk import Walked, walk
from portal.lake.migrating.stamp import is_after
from portal.stores.base import ObjectInfo
from portal.stores.base import walk as listed
from portal.stores.url import StoreURL

_FOLDER = "target"
"""Among a table's files of a job."""
_TOGETHER = 1000


@dataclass(frozen=True, slots=True)
class Lost:
    """What is gone at the target, or is not what it was."""

    files: int = 0
    first: str = ""
    """What is the matter with the first of them, for a person."""

    def __bool__(self) -> bool:
        return bool(self.first)

    def __str__(self) -> str:
        many = f"{self.files:,} files, the first: " if self.files else ""
        return f"lost or damaged at the target and brought again: {many}{self.first.rstrip('.')}"


NOTHING_LOST = Lost()


def lost(
    files: Files, metadata_location: str, folder: StoreURL, scratch: Path, check: Callable[[], None], *, since: datetime | None = None
) -> Lost:  # fmt: skip
    """Read the target's own manifests, and hold the names and sizes that they have against one listing of the table's folder. What was written
    later than `since`, when all of it was there, is not what was brought there either, whatever its size.

    Memory stays flat: both are held against each other in a database below `scratch`, which is removed again. Raises Cancelled, AccessDenied,
    Unreachable."""
    place = scratch / _FOLDER
    place.mkdir(parents=True, exist_ok=True)
    try:
        with walk(files, metadata_location, History(), place, check, elsewhere=(folder,)) as walked:
            return _missing(walked, files, folder, check, since)
    except (NotFound, TableBroken) as error:
        return Lost(0, error.message)
    finally:
        for path in place.glob(f"{INVENTORY_FILE}*"):
            path.unlink()
        place.rmdir()


def _missing(walked: Walked, files: Files, folder: StoreURL, check: Callable[[], None], since: datetime | None) -> Lost:
    found = listed(files.store(folder), folder.key.rstrip("/") + "/")
    while some := list(islice(found, _TOGETHER)):
        check()
        walked.inventory.set_there((identity(folder.at(info.key)), info.size_bytes) for info in some if not _is_later(info, since))
        walked.inventory.set_later(folder.at(info.key) for info in some if _is_later(info, since))
    count, path, size = walked.inventory.not_there()
    return Lost(count, _told(files.find(read_path(path)), path, size, since)) if count else NOTHING_LOST


def _is_later(info: ObjectInfo, since: datetime | None) -> bool:
    return since is not None and info.modified is not None and is_after(info.modified, since)


def _told(found: ObjectInfo | None, path: str, size: int, since: datetime | None) -> str:
    if found is None:
        return f"{path} is gone"
    if _is_later(found, since):
        return f"{path} was written over at {found.modified}, after it was brought there"
    return f"{path} has {found.size_bytes:,} bytes and not {size:,}"
