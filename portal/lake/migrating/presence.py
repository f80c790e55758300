"""Whether what an earlier run brought to the target is still there: the next one builds on it, and vouches for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from portal.errors import NotFound
from portal.lake.catalogs.files import Files
from portal.lake.iceberg.history import History
from portal.lake.iceberg.inventory import INVENTORY_FILE
from portal.lake.iceberg.paths import identity, read_path
from portal.lake.iceberg.refusals import TableBroken
from portal.lake.iceberg.walk import Walked, walk
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


def lost(files: Files, metadata_location: str, folder: StoreURL, scratch: Path, check: Callable[[], None]) -> Lost:
    """Read the target's own manifests, and hold the names and sizes that they have against one listing of the table's folder.

    Memory stays flat: both are held against each other in a database below `scratch`, which is removed again. Raises Cancelled, AccessDenied,
    Unreachable."""
    place = scratch / _FOLDER
    place.mkdir(parents=True, exist_ok=True)
    try:
        with walk(files, metadata_location, History(), place, check, elsewhere=(folder,)) as walked:
            return _missing(walked, files, folder, check)
    except (NotFound, TableBroken) as error:
        return Lost(0, error.message)
    finally:
        for path in place.glob(f"{INVENTORY_FILE}*"):
            path.unlink()
        place.rmdir()


def _missing(walked: Walked, files: Files, folder: StoreURL, check: Callable[[], None]) -> Lost:
    seen: list[tuple[str, int]] = []
    for info in listed(files.store(folder), folder.key.rstrip("/") + "/"):
        seen.append((identity(folder.at(info.key)), info.size_bytes))
        if len(seen) == _TOGETHER:
            check()
            walked.inventory.set_there(seen)
            seen.clear()
    walked.inventory.set_there(seen)
    count, path, size = walked.inventory.not_there()
    if not count:
        return NOTHING_LOST
    found = files.size(read_path(path))
    return Lost(count, f"{path} is gone" if found is None else f"{path} has {found:,} bytes and not {size:,}")
