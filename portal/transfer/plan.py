"""The plan: one line per object found, written to `plan.ndjson` as the source is listed, so that memory stays flat.

The first line says what the plan was made for (job and header), the last `{"end": n}`; a plan without its end was cut off and is made again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TextIO

from portal.errors import BadParameters
from portal.stores.base import ObjectInfo
from portal.transfer import names
from portal.transfer.filters import Filters

PLAN_FILE = "plan.ndjson"

Action = Literal["copy", "convert", "exclude", "fail"]


@dataclass(frozen=True, slots=True)
class Entry:
    """What is to become of one object. `n` counts from 0 in the order of the listing."""

    n: int
    key: str
    size_bytes: int
    etag: str
    modified: str
    """RFC 3339, '' when unknown."""
    target_key: str
    action: Action
    reason: str = ""
    """Why it is excluded or cannot be copied."""
    ours: bool = False
    """An earlier attempt may have left this target; it is ours to overwrite."""

    @property
    def moves(self) -> bool:
        return self.action in ("copy", "convert")

    @property
    def pin(self) -> ObjectInfo:
        modified = datetime.fromisoformat(self.modified) if self.modified else None
        return ObjectInfo(self.key, self.size_bytes, etag=self.etag, modified=modified)


@dataclass(frozen=True)
class Rules:
    """How objects become entries."""

    source_prefix: str
    target_prefix: str
    target_scheme: str
    filters: Filters
    flat_folder: str | None = None
    """Set: everything lands in this folder, under the last part of its name."""
    skip_bad_names: bool = False
    converted_name: Callable[[str], str | None] = lambda name: None
    """Gives the target's name of an object that is converted, None for one that is copied."""

    def entry(self, n: int, info: ObjectInfo) -> Entry | None:
        """Return the entry of a listed object; None for what is no object below the source (real folders, neighbours)."""
        if info.is_folder and not info.key.endswith("/"):
            return None
        name = names.below(info.key, self.source_prefix)
        if name is None:
            return None
        action, key, reason = self._decide(info, name)
        modified = info.modified.isoformat() if info.modified else ""
        return Entry(n, names.readable(info.key), info.size_bytes, info.etag, modified, names.readable(key), action, names.readable(reason))

    def _decide(self, info: ObjectInfo, name: str) -> tuple[Action, str, str]:
        if info.is_folder:
            return "exclude", "", "it is a folder marker: an empty object whose name ends in '/'"
        if reason := self.filters.refusal(info, name):
            return "exclude", "", reason
        converted = self.converted_name(name)
        key = names.target_key(converted or name, self.target_prefix, flat_folder=self.flat_folder)
        reason = names.refusal(self.target_scheme, key)
        if reason or names.readable(info.key) != info.key:
            reason = reason or "the source's name is not valid Unicode"
            return "exclude" if self.skip_bad_names else "fail", key, f"the target cannot hold {key!r}: {reason}"
        return "convert" if converted else "copy", key, ""


def write(path: Path, job_id: str, header: Mapping[str, Any], entries: Iterable[Entry], listed: Callable[[int, int], None]) -> int:
    """Write a plan; returns the number of entries. `listed(objects, bytes)` is told every thousand lines."""
    count = size = 0
    with path.open("w", encoding="utf-8") as file:
        file.write(json.dumps({"job": job_id, "header": header}) + "\n")
        for entry in entries:
            file.write(json.dumps(asdict(entry)) + "\n")
            count, size = count + 1, size + entry.size_bytes
            if count % 1000 == 0:
                listed(count, size)
        # The last line says that the others are there, so they are on the disk before it; after a power cut a plan is whole or made again.
        _sync(file)
        file.write(json.dumps({"end": count}) + "\n")
        _sync(file)
    return count


def _sync(file: TextIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def read(path: Path) -> Iterator[Entry]:
    """Yield the entries of a complete plan."""
    with path.open(encoding="utf-8") as file:
        next(file)
        for line in file:
            values = json.loads(line)
            if "end" in values:
                return
            yield Entry(**values)


def length_if_for(path: Path, header: Mapping[str, Any], job_id: str | None = None) -> int | None:
    """Return the number of entries of a complete plan made for this header (and job, if given); None when there is no such plan."""
    try:
        with path.open("rb") as file:
            first = json.loads(file.readline())
            file.seek(max(0, path.stat().st_size - 64))
            last = json.loads(file.read().splitlines()[-1])
        fits = first["header"] == header and job_id in (None, first["job"])
        return int(last["end"]) if fits else None
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return None


def chosen(keys: Iterable[str], prefix: str) -> Iterator[str]:
    """Yield chosen keys, each once. Raises BadParameters for a key outside the source."""
    seen: set[str] = set()
    for key in keys:
        if names.below(key, prefix) is None:
            raise BadParameters(f"The key {key!r} is not below the source prefix {prefix!r}.", hint="Keys are whole, as a listing shows them.")
        if key not in seen:
            seen.add(key)
            yield key
