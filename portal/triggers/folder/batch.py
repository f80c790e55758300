"""A batch: the files of one job, from the decision to take them until the job is submitted. Its manifest is what a crash is recovered from.

    batches/JOBID.json   written durably before the first file is moved, removed when the job is in the queue
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Self

from portal import jobs
from portal.errors import PortalError
from portal.triggers.folder.identity import Identity
from portal.triggers.folder.scan import Seen

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Batch:
    """Which files go to which job. No I/O."""

    job_id: str
    at_ms: int
    """When it was decided."""
    uid: str
    """Of the trigger: one that has the name of a removed one has nothing to do with its batches."""
    watched: str
    """Path of the folder that the files come from."""
    queued: str
    """Path of the folder that holds a folder for each job."""
    files: tuple[Seen, ...]

    @property
    def folder(self) -> str:
        """Path of this job's folder."""
        return f"{self.queued}/{self.job_id}"

    def by_folder(self) -> Iterator[tuple[str, list[Seen]]]:
        """Yield the files by the folder that they lie in, '' for the watched one itself."""

        def parent(file: Seen) -> str:
            return file.name.rpartition("/")[0]

        return ((name, list(files)) for name, files in groupby(sorted(self.files, key=parent), key=parent))

    def to_json(self) -> str:
        head = {"schema": SCHEMA, "job": self.job_id, "at_ms": self.at_ms, "uid": self.uid, "watched": self.watched, "queued": self.queued}
        lines = [json.dumps([file.name, *file.identity, file.marker and list(file.marker)]) for file in self.files]
        return json.dumps(head)[:-1] + ', "files": [\n' + ",\n".join(lines) + "\n]}\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Raises ValueError when that is no manifest."""
        try:
            data = json.loads(text)
            if data["schema"] != SCHEMA or not jobs.ID_PATTERN.fullmatch(data["job"]):
                raise ValueError("another schema, or no job's id")
            files = tuple(_seen(*item) for item in data["files"])
            return cls(data["job"], data["at_ms"], data["uid"], data["watched"], data["queued"], files)
        except (KeyError, TypeError) as error:
            raise ValueError(f"no manifest: {error!r}") from None


def _seen(name: str, device: int, inode: int, size: int, mtime_ns: int, marker: Sequence[int] | None) -> Seen:
    if not name or any(part in ("", ".", "..") for part in name.split("/")):
        raise ValueError(f"{name!r} is no name below a folder")
    return Seen(name, Identity(device, inode, size, mtime_ns), 0, None if marker is None else Identity(*marker))


def each_open(folder: Path, act: Callable[[Batch], object]) -> PortalError | OSError | None:
    """Do something with every batch that was begun and not ended, the first one first; returns the first error.

    One that cannot be read, or that `act` raises for, keeps no other one back.
    """
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(".json"))
    except FileNotFoundError:
        return None
    first: PortalError | OSError | None = None
    for name in names:
        try:
            act(_read(folder / name))
        except (PortalError, OSError) as error:
            first = first or error
    return first


def _read(path: Path) -> Batch:
    """Raises PortalError for a manifest that cannot be read."""
    try:
        batch = Batch.from_json(path.read_bytes())
        if path.name != f"{batch.job_id}.json":
            raise ValueError(f"its name is not that of its job, {batch.job_id}")
    except ValueError as error:
        raise PortalError(
            f"The manifest {path} cannot be read: {error}.",
            hint=f"Move what lies in the folder {path.stem} of QueuedForUpload back into the watched folder, then remove the manifest.",
        ) from None
    return batch


def facts(batch: Batch, files: Sequence[Seen]) -> dict[str, Any]:
    """What a job may quote of the event: `source` (URL of the job's folder), `files` and `bytes`."""
    return {"source": f"file://{batch.folder}/", "files": len(files), "bytes": sum(file.identity.size for file in files)}
