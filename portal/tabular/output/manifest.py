"""What tells which objects of a folder belong to a data set of ours: `_SUCCESS`, written last, and `_UNFINISHED` while one is made.

Readers of data sets pass over names that begin with '_' or '.'. Other committers put JSON into `_SUCCESS` too:
https://hadoop.apache.org/docs/stable/hadoop-aws/tools/hadoop-aws/committer_architecture.html
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from portal.errors import AlreadyExists, NotFound
from portal.stores.base import Store, walk
from portal.tabular.output.many import in_threads
from portal.tabular.output.publish import Published

SUCCESS = "_SUCCESS"
UNFINISHED = "_UNFINISHED"
_FORMAT = "portal-data-set/1"
_LONGEST_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Manifest:
    """The objects of a data set: key → etag, '' for those that were only going to be written."""

    mark: str
    objects: Mapping[str, str] = field(default_factory=dict)
    about: tuple[Mapping[str, Any], ...] = ()
    """What is told of each part."""

    def to_json(self) -> bytes:
        return json.dumps({"format": _FORMAT, "mark": self.mark, "objects": dict(self.objects), "parts": list(self.about)}, indent=1).encode()

    @classmethod
    def of(cls, mark: str, published: Iterable[Published]) -> Manifest:
        done = list(published)
        about = tuple(
            {"key": each.object.key, "rows": each.part.rows, "size_bytes": each.object.size_bytes, "crc64nvme": each.crc64} for each in done
        )
        return cls(mark, {each.object.key: each.object.etag for each in done}, about)


def read_manifest(store: Store, key: str) -> tuple[Manifest | None, bytes | None]:
    """Return a manifest, None for one that we did not write, and its text, None when there is none."""
    try:
        with store.open_read(key) as reader:
            text = reader.read(_LONGEST_BYTES)
    except NotFound:
        return None, None
    return parsed(text), text


def parsed(text: bytes) -> Manifest | None:
    """Return the manifest that a text is; None when we did not write it."""
    try:
        found = json.loads(text)
        return Manifest(found["mark"], dict(found["objects"])) if found["format"] == _FORMAT else None
    except (ValueError, KeyError, TypeError):
        return None


@dataclass(frozen=True, slots=True)
class Earlier:
    """What stands in a folder before a data set is published there."""

    success: bytes | None = None
    """The text of its `_SUCCESS`, whoever wrote it; None when it was never finished."""
    unfinished: bytes | None = None
    """The text of `_UNFINISHED`, which an earlier try left; None when there is none."""
    objects: Mapping[str, str] = field(default_factory=dict)
    """Of an earlier data set, key → etag."""


def earlier(store: Store, folder: str, *, overwrite: bool, marks: Collection[str]) -> Earlier:
    """Return what may be replaced in a folder: an earlier data set, or what an earlier try of the work of these marks left there.

    Raises AlreadyExists: something else is there, or a data set that may not be replaced."""
    (done, text), (undone, begun) = read_manifest(store, folder + SUCCESS), read_manifest(store, folder + UNFINISHED)
    known = {**(undone.objects if undone else {}), **(done.objects if done else {})}
    found = {one.mark for one in (done, undone) if one}
    there = {info.key for info in walk(store, folder) if not is_hidden(info.key.removeprefix(folder))}
    ours = _unchanged(store, {key: etag for key, etag in known.items() if key in there})
    if foreign := sorted(there - set(ours)):
        hint = "Choose an empty folder."
        raise AlreadyExists(f"{store.url.at(folder)} holds objects of others, like {foreign[0].removeprefix(folder)}.", hint=hint)
    if there and not overwrite and not (found and found <= set(marks)):
        raise AlreadyExists(f"{store.url.at(folder)} holds a data set already.", hint="Choose another folder, or let targets be replaced: overwrite.")
    return Earlier(text, begun, ours)


def _unchanged(store: Store, known: Mapping[str, str]) -> dict[str, str]:
    """Return those objects whose etags are as they are known, or not known."""
    asked = [key for key, etag in known.items() if etag]
    found = dict(zip(asked, in_threads(lambda key: store.stat(key).etag, asked), strict=True))
    return {key: etag for key, etag in known.items() if found.get(key, "") == etag}


def is_hidden(name: str) -> bool:
    """Tell whether readers of a data set pass over an object, by its name below the folder."""
    return any(segment[:1] in ("_", ".") and "=" not in segment for segment in name.split("/"))
