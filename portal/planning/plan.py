"""The plan: what is to become of every object found, in `plan.ndjson`, written page by page as the source is listed.

The first line says what the plan was made for. Then a line for each page of the listing, a column for each field::

    {"page": 0, "first": 0, "keys": […], "sizes": […], "etags": […], …, "next": "where the listing goes on"}

The last line is `{"end": n, …}`. A column whose values are all alike is written as that value, one with few different values as
`{"of": [values], "at": [which]}`; one that has its default everywhere is left out. Target names that are the key with one prefix in place
of another are not written at all. A line is a checkpoint when it is whole: a listing that was cut off goes on at the `next` of the last one.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal, NamedTuple, Self

from portal.durable import sync_folder
from portal.stores.base import ObjectInfo

PLAN_FILE = "plan.ndjson"
START = ""
"""`Page.next` of a page after which the listing begins."""
_SYNC_EVERY_S = 1.0
_LAST_LINE_BYTES = 64 << 10
_encode = json.JSONEncoder(separators=(",", ":")).encode

Action = Literal["copy", "convert", "exclude", "fail"]


class Verdict(IntEnum):
    """What the preflight found at the target of an entry."""

    NEW = 0
    """Nothing."""
    EXISTS = 1
    """An object that is to stay."""
    SAME = 2
    """The copy of this very version."""
    REPLACE = 3
    """An object that is to be overwritten."""
    UNKNOWN = 4
    """An earlier attempt of this job began it, or nobody looked: whoever writes looks first."""
    SAME_CONTENT = 5
    """An object of the same size and checksum."""
    NOT_OLDER = 6
    """An object that is not older than the source, and of the same size."""


SKIPPED: Mapping[int, str] = {
    Verdict.EXISTS: "the target exists already",
    Verdict.SAME: "unchanged: the target is the copy of this very version",
    Verdict.SAME_CONTENT: "unchanged: the target has the same size and checksum",
    Verdict.NOT_OLDER: "unchanged: the target is not older than the source",
}
"""The verdicts whose entries end as skipped, and why."""


BAD_NAME = "the target cannot hold "
TOO_LARGE = "it is too large for the target: "
ARCHIVED = "it is archived: "
CLASH = "its target is another's: "
UNSEEN = "it could not be looked at: "
RENAMED = "renamed: "
"""What reasons begin with, by what is the matter. RENAMED is that of an entry that moves."""
_CAUSES = {TOO_LARGE: "too-large", BAD_NAME: "name", ARCHIVED: "archived", CLASH: "name", UNSEEN: "other"}


def cause_of(reason: str) -> str:
    """Return the ledger's cause of an entry that fails by its plan."""
    return next((cause for beginning, cause in _CAUSES.items() if reason.startswith(beginning)), "not-found")


class Entry(NamedTuple):
    """What is to become of one object."""

    n: int
    """Counts from 0 in the order of the listing."""
    key: str
    size_bytes: int
    etag: str
    modified: str
    """RFC 3339, '' when unknown."""
    target_key: str
    """'' for what is left out."""
    action: Action
    reason: str = ""
    """Why it is excluded or cannot be copied; of an entry that moves: why its target has another name than its key gives."""
    storage_class: str = ""
    ours: str = ""
    """Marks, parted by spaces, that the earlier jobs which this one retries may have left at the target."""

    @property
    def moves(self) -> bool:
        return self.action in ("copy", "convert")

    @property
    def pin(self) -> ObjectInfo:
        modified = datetime.fromisoformat(self.modified) if self.modified else None
        return ObjectInfo(self.key, self.size_bytes, etag=self.etag, modified=modified)


@dataclass(slots=True)
class Page:
    """The entries of one page of a listing, in columns of one length; see `Entry`."""

    first: int
    """`n` of the first entry."""
    keys: list[str] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    etags: list[str] = field(default_factory=list)
    modified: list[str] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)
    actions: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    md5s: list[str] = field(default_factory=list)
    """MD5 of the source as hexadecimal, where its listing tells it."""
    ours: list[str] = field(default_factory=list)
    next: str | None = None
    """Leads to the next page; START: the listing begins there; None: this was the last."""

    def __len__(self) -> int:
        return len(self.keys)

    def entries(self) -> Iterator[Entry]:
        numbers = range(self.first, self.first + len(self.keys))
        columns = (self.keys, self.sizes, self.etags, self.modified, self.targets, self.actions, self.reasons, self.classes, self.ours)
        return map(Entry, numbers, *columns)


_DEFAULTS: Mapping[str, Any] = {"actions": "copy", "reasons": "", "classes": "", "md5s": "", "etags": "", "modified": "", "ours": ""}


class Names(NamedTuple):
    """How most target names follow from their keys: one folder in place of another."""

    source_folder: str
    """'' or ending in '/'."""
    target_folder: str

    def target(self, key: str) -> str:
        """Return the target's key of a key below the source folder, or of the object that is called like that folder; '' of another."""
        source, target = self
        if source and key == source[:-1]:
            return target + key.rpartition("/")[2]
        return target + key[len(source) :] if key.startswith(source) else ""

    def targets(self, keys: list[str], actions: list[str]) -> list[str]:
        """The target names that follow for entries that move, '' for the others."""
        cut, target = len(self.source_folder), self.target_folder
        if actions.count("copy") == len(keys) and all(map(str.startswith, keys, [self.source_folder] * len(keys))):
            return [target + key[cut:] for key in keys]
        return [self.target(key) if action in ("copy", "convert") else "" for key, action in zip(keys, actions, strict=True)]


def _packed(column: list[Any]) -> Any:
    if column.count(column[0]) == len(column):
        return column[0]
    if len(values := dict.fromkeys(column)) > max(2, len(column) // 8):
        return column
    places = {value: place for place, value in enumerate(values)}
    return {"of": list(values), "at": [places[value] for value in column]}


def _unpacked(column: Any, length: int) -> list[Any]:
    if isinstance(column, list):
        found = column
    elif isinstance(column, dict):
        values = column["of"]
        found = [values[place] for place in column["at"]]
    else:
        return [column] * length
    if len(found) != length:
        raise ValueError("columns of different lengths")
    return found


def _line(number: int, page: Page, names: Names) -> bytes:
    told: dict[str, Any] = {"page": number, "first": page.first, "keys": page.keys, "sizes": page.sizes}
    if page.keys:
        for name, default in _DEFAULTS.items():
            if (packed := _packed(getattr(page, name))) != default:
                told[name] = packed
        if page.targets != (follows := names.targets(page.keys, page.actions)):
            told["targets"] = {n: own for n, (own, other) in enumerate(zip(page.targets, follows, strict=True)) if own != other}
    told["next"] = page.next
    return _encode(told).encode() + b"\n"


def _page(told: Mapping[str, Any], names: Names) -> Page:
    keys = told["keys"]
    columns = {name: _unpacked(told.get(name, default), len(keys)) for name, default in _DEFAULTS.items()}
    if "ours" in told:  # earlier versions wrote whether there are marks, and not which
        columns["ours"] = [marks if isinstance(marks, str) else "" for marks in columns["ours"]]
    targets = names.targets(keys, columns["actions"])
    for n, target in told.get("targets", {}).items():
        targets[int(n)] = target
    return Page(told["first"], keys, _unpacked(told["sizes"], len(keys)), targets=targets, next=told["next"], **columns)


class PlanWriter:
    """A plan that is being made, over all attempts of a job. What an earlier attempt wrote for the same header is kept.

    `kept` yields the pages that are there already and must be read to its end before the first `add`; `finish` ends the plan.
    """

    def __init__(self, path: Path, job_id: str, header: Mapping[str, Any], names: Names) -> None:
        self._path, self._names = path, names
        self._head = {"job": job_id, "header": dict(header), "names": list(names)}
        self.count = self._pages = 0
        self.next: str | None = START
        """Where the listing goes on."""
        self._file: BinaryIO = path.open("r+b" if path.exists() else "w+b")
        self._synced = time.monotonic()

    def kept(self) -> Iterator[Page]:
        """Yield the pages of an earlier attempt that are whole; whatever follows them is cut off."""
        self._file.seek(0)
        end = 0
        if _parsed(self._file.readline()) == json.loads(_encode(self._head)):
            end = self._file.tell()
            while (page := self._next_kept()) is not None:
                end = self._file.tell()
                yield page
                self._file.seek(end)
        self._cut(end)

    def _next_kept(self) -> Page | None:
        told = _parsed(self._file.readline())
        if told is None or told.get("page") != self._pages:
            return None
        try:
            page = _page(told, self._names)
        except (KeyError, TypeError, ValueError, IndexError):
            return None
        self._note(page)
        return page

    def _cut(self, end: int) -> None:
        self._file.seek(end)
        self._file.truncate()
        if end == 0:
            self._write(_encode(self._head).encode() + b"\n")

    def again(self) -> None:
        """Forget every page: the listing begins anew."""
        self.count, self._pages, self.next = 0, 0, START
        self._cut(0)

    def add(self, page: Page) -> None:
        """Add a page, whose first entry is number `count`."""
        self._write(_line(self._pages, page, self._names))
        self._note(page)
        if time.monotonic() - self._synced >= _SYNC_EVERY_S:
            self._sync()

    def _note(self, page: Page) -> None:
        self.count, self._pages, self.next = self.count + len(page), self._pages + 1, page.next

    def finish(self, **told: Any) -> None:
        """Say that the plan is whole."""
        # The last line says that the others are there, so they are on the disk before it; after a power cut a plan is whole or goes on.
        self._sync()
        self._write(_encode({"end": self.count, **told}).encode() + b"\n")
        self._sync()

    def _write(self, line: bytes) -> None:
        self._file.write(line)
        self._file.flush()

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._synced = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /) -> None:
        self._file.close()


def _parsed(line: bytes) -> dict[str, Any] | None:
    if not line.endswith(b"\n"):
        return None
    try:
        told = json.loads(line)
    except ValueError:
        return None
    return told if isinstance(told, dict) else None


def pages(path: Path) -> Iterator[Page]:
    """Yield the pages of a complete plan."""
    with path.open("rb") as file:
        names = Names(*json.loads(file.readline())["names"])
        for line in file:
            told = json.loads(line)
            if "end" in told:
                return
            yield _page(told, names)


def read(path: Path) -> Iterator[Entry]:
    """Yield the entries of a complete plan."""
    for page in pages(path):
        yield from page.entries()


def job_of(path: Path) -> str:
    """Return the id of the job that a plan was made by."""
    with path.open("rb") as file:
        return str(json.loads(file.readline())["job"])


def length_if_for(path: Path, header: Mapping[str, Any], job_id: str | None = None) -> int | None:
    """Return the number of entries of a complete plan made for this header (and job, if given); None when there is no such plan."""
    try:
        with path.open("rb") as file:
            first = json.loads(file.readline())
            file.seek(max(0, path.stat().st_size - _LAST_LINE_BYTES))
            rest = file.read()
        last = json.loads(rest.splitlines()[-1]) if rest.endswith(b"\n") else {}
        fits = first["header"] == header and job_id in (None, first["job"])
        return int(last["end"]) if fits else None
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return None


class Change(NamedTuple):
    """What an entry of a plan becomes instead."""

    n: int
    target: str
    action: str
    """'': as it was."""
    reason: str


def rewrite(path: Path, changes: Iterable[Change]) -> None:
    """Change entries of a complete plan, told in the order of their numbers; the file is replaced whole."""
    with path.open("rb") as file:
        head = json.loads(file.readline())
    fresh = path.with_name(f".{path.name}.fresh")
    fresh.unlink(missing_ok=True)
    rest = iter(changes)
    change = next(rest, None)
    with PlanWriter(fresh, head["job"], head["header"], Names(*head["names"])) as writer:
        writer.again()
        for page in pages(path):
            while change and change.n < page.first + len(page):
                place = change.n - page.first
                page.targets[place], page.reasons[place] = change.target, change.reason
                page.actions[place] = change.action or page.actions[place]
                change = next(rest, None)
            writer.add(page)
        writer.finish()
    fresh.replace(path)
    sync_folder(path.parent)


_COLUMNS = ("keys", "sizes", "etags", "modified", "targets", "actions", "reasons", "classes", "md5s", "ours")


def picked(page: Page, places: list[int]) -> Page:
    """Return a page of some of a page's entries, in their order."""
    if len(places) == len(page):
        return page
    return Page(page.first, **{name: [getattr(page, name)[place] for place in places] for name in _COLUMNS}, next=page.next)
