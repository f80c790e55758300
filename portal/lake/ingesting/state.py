"""What the source looked like when a target was made of it: kept beside the target, so that the next run does only what changed."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from portal.lake.ingesting.units import Files, Key, Unit, order

_VERSION = 2


@dataclass(frozen=True)
class State:
    """The files of each unit, as they were read."""

    schema: str
    """The columns that the source had, as text."""
    units: Mapping[Key, Files]
    head: int | None = None
    """The target's snapshot that was made of them: another one means that somebody else wrote to the target, or rolled it back."""

    def to_bytes(self) -> bytes:
        """A line of JSON for each unit, sorted, gzip; the same state gives the same bytes."""
        raw = io.BytesIO()
        with gzip.GzipFile(fileobj=raw, mode="wb", mtime=0) as file:
            file.write(json.dumps({"version": _VERSION, "schema": self.schema, "head": self.head}).encode() + b"\n")
            for key in sorted(self.units, key=order):
                files = self.units[key]
                file.write(json.dumps([list(key), files.count, files.bytes, files.stamp]).encode() + b"\n")
        return raw.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> State:
        """Raises ValueError for what is no such file, or one of another version."""
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
                head = json.loads(next(file))
                if head["version"] != _VERSION:
                    raise ValueError(f"a state of version {head['version']}")
                lines = (json.loads(line) for line in file)
                return cls(head["schema"], {tuple(key): Files(*files) for key, *files in lines}, head["head"])
        except (OSError, EOFError, KeyError, TypeError, StopIteration) as error:
            raise ValueError(f"no state of an ingestion: {error}") from error


@dataclass(frozen=True)
class Changes:
    """What has to be done for the target to be what the source is."""

    new: tuple[Unit, ...] = ()
    changed: tuple[Unit, ...] = ()
    dropped: tuple[Key, ...] = ()
    unchanged: int = 0

    @property
    def loading(self) -> list[Unit]:
        """New and changed units, in order."""
        return sorted((*self.new, *self.changed), key=lambda unit: order(unit.key))

    @property
    def none(self) -> bool:
        return not (self.new or self.changed or self.dropped)


def compared(before: Mapping[Key, Files], now: Mapping[Key, Unit]) -> Changes:
    """Return what is different from before."""
    new = tuple(unit for key, unit in now.items() if key not in before)
    changed = tuple(unit for key, unit in now.items() if key in before and before[key] != unit.files)
    return Changes(new, changed, tuple(key for key in before if key not in now), len(now) - len(new) - len(changed))


def unlike(now: Mapping[Key, Unit], different: Iterable[Key]) -> Changes:
    """Return what has to be done where the rows themselves were compared: `different` are units whose rows are not the same on both sides."""
    keys = set(different)
    changed = tuple(now[key] for key in keys if key in now)
    return Changes((), changed, tuple(key for key in keys if key not in now), len(now) - len(changed))


def told(changes: Changes, shown: Any, dropping: str, most: int = 20) -> dict[str, Any]:
    """Return what the report says of partitions: how many, the first of them by name, and what was done with each."""
    kinds = {
        "new": ([unit.key for unit in changes.new], "added"), "changed": ([unit.key for unit in changes.changed], "replaced"),
        "dropped": (list(changes.dropped), dropping),
    }  # fmt: skip
    found = {name: {"count": len(keys), "done": done, "first": [shown(key) for key in keys[:most]]} for name, (keys, done) in kinds.items() if keys}
    return {**found, "unchanged": changes.unchanged}
