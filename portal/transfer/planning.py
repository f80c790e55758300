"""How what is found becomes entries of a plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from portal.errors import BadParameters
from portal.stores.base import ObjectInfo
from portal.transfer import names
from portal.transfer.filters import Filters
from portal.transfer.plan import Action, Entry, Names, Page, PlanWriter

_PAGE = 1000


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


def write(path: Path, job_id: str, header: Mapping[str, Any], entries: Iterable[Entry], listed: Callable[[int, int], None], rules: Rules) -> int:
    """Write a plan; returns the number of entries. `listed(objects, bytes)` is told every thousand entries."""
    size = 0
    source = iter(entries)
    with PlanWriter(path, job_id, header, Names(names.as_folder(rules.source_prefix), names.as_folder(rules.target_prefix))) as writer:
        writer.again()
        while batch := list(islice(source, _PAGE)):
            _, keys, sizes, etags, modified, targets, actions, reasons, classes, ours = map(list, zip(*batch, strict=True))
            writer.add(Page(writer.count, keys, sizes, etags, modified, targets, actions, reasons, classes, [""] * len(batch), ours))
            size += sum(sizes)
            listed(writer.count, size)
        writer.finish()
        return writer.count


def chosen(keys: Iterable[str], prefix: str) -> Iterator[str]:
    """Yield chosen keys, each once. Raises BadParameters for a key outside the source."""
    seen: set[str] = set()
    for key in keys:
        if names.below(key, prefix) is None:
            raise BadParameters(f"The key {key!r} is not below the source prefix {prefix!r}.", hint="Keys are whole, as a listing shows them.")
        if key not in seen:
            seen.add(key)
            yield key
