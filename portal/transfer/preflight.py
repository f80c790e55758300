"""What is checked before byte one: names, twins, files that would be folders, and what exists at the target."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from portal.errors import AccessDenied, AlreadyExists, NameNotAllowed, NotFound
from portal.stores.base import Page, Store
from portal.transfer import plan
from portal.transfer.names import as_folder
from portal.transfer.targets import Targets, ancestors

Overwrite = Literal["fail", "skip", "replace"]
SHOWN = 20


@dataclass
class Preflight:
    """What was found. `existing` has one byte per entry: 1 when its target is there already and is not ours."""

    existing: bytearray
    bad_names: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    occupied: list[str] = field(default_factory=list)
    """Targets that are there already, at most SHOWN of them."""

    def refuse(self, overwrite: Overwrite) -> None:
        """Raises NameNotAllowed or AlreadyExists, listing what stands in the way; nothing has moved yet."""
        if self.bad_names:
            hint = "Rename the sources, leave them out with exclude, or let them be skipped: bad_names=skip."
            raise NameNotAllowed(_listing("Nothing was moved: names that the target cannot hold", self.bad_names), hint=hint)
        if self.conflicts:
            hint = "Leave one of each pair out with exclude, or copy them to different places (layout=prefix keeps folders)."
            raise NameNotAllowed(_listing("Nothing was moved: target names that are in each other's way", self.conflicts), hint=hint)
        if overwrite == "fail" and self.occupied:
            more = sum(self.existing) - len(self.occupied)
            shown = [*self.occupied, *([f"and {more} more"] if more > 0 else [])]
            hint = "Choose another target, or overwrite=skip or overwrite=replace."
            raise AlreadyExists(_listing("Nothing was moved: targets that exist already", shown), hint=hint)


def _listing(title: str, lines: list[str]) -> str:
    return f"{title}:\n" + "\n".join(f"  - {line}" for line in lines)


def check(path: Path, count: int, target: Store, target_prefix: str, scratch: Path, is_ours: Callable[[int], bool]) -> Preflight:
    """Inspect a plan of `count` entries against the target.

    Args:
        scratch: path of a temporary database
        is_ours: tells of an entry whether this job may have written its target already

    Raises:
        NotFound: the target's container is not there.
    """
    found = Preflight(bytearray(count))
    ours = bytearray(count)
    for entry in plan.read(path):
        ours[entry.n] = entry.ours or is_ours(entry.n)
        if entry.action == "fail" and entry.target_key and len(found.bad_names) < SHOWN:
            found.bad_names.append(f"{entry.key}: {entry.reason}")
    with Targets(scratch) as targets:
        targets.fill(plan.read(path))
        for key, one, other in targets.twins(SHOWN):
            found.conflicts.append(f"{one} and {other} would both become {key}")
        if target.url.scheme != "s3":
            for key, one, other in targets.files_that_are_folders(SHOWN):
                found.conflicts.append(f"{one} would become the file {key}, and {other} needs a folder of that name")
            _refuse_files_above(target, target_prefix, found)
        for n, key in _existing(target, targets, target_prefix, found):
            if not ours[n] and not found.existing[n]:
                found.existing[n] = 1
                if len(found.occupied) < SHOWN:
                    found.occupied.append(str(target.url.at(key)))
    return found


def _refuse_files_above(target: Store, target_prefix: str, found: Preflight) -> None:
    for folder in ancestors(as_folder(target_prefix)):
        try:
            if target.stat(folder).is_folder:
                continue
        except NotFound:
            return
        except AccessDenied:
            continue  # above what these credentials may see, or above the local roots
        found.conflicts.append(f"{target.url.at(folder)} is a file, and the target needs a folder of that name")


def _existing(target: Store, targets: Targets, target_prefix: str, found: Preflight) -> Iterator[tuple[int, str]]:
    """Yield the entries whose target exists. Lists only folders that the plan needs and that are there, outermost first."""
    top = target_prefix.rstrip("/")
    there = {top}
    for folder in targets.folders():
        if folder not in there:
            continue
        for page in _pages(target, f"{folder}/" if folder else ""):
            for prefix in page.prefixes:
                path = prefix.removesuffix("/")
                if targets.is_folder(path):
                    there.add(path)
                if target.url.scheme != "s3" and targets.entry_of(path) is not None:
                    found.conflicts.append(f"{target.url.at(path)} is a folder, and a file of that name is to be written")
            for info in page.objects:
                if target.url.scheme != "s3" and targets.is_folder(info.key):
                    found.conflicts.append(f"{target.url.at(info.key)} is a file, and the target needs a folder of that name")
                n = targets.entry_of(info.key)
                if n is not None:
                    yield n, info.key


def _pages(target: Store, folder: str) -> Iterator[Page]:
    continuation: str | None = None
    while True:
        page = target.list_page(folder, recursive=False, continuation=continuation)
        yield page
        continuation = page.continuation
        if continuation is None:
            return
