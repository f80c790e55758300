"""The tables of the namespace and the values read from them. Times are nanoseconds since 1970, ETags are ticks (times.Ticks)."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TABLES = """
CREATE TABLE IF NOT EXISTS containers (
    id INTEGER PRIMARY KEY, account TEXT NOT NULL, name TEXT NOT NULL, etag INTEGER NOT NULL, modified INTEGER NOT NULL,
    metadata TEXT NOT NULL, UNIQUE (account, name));
CREATE TABLE IF NOT EXISTS paths (
    id INTEGER PRIMARY KEY, container INTEGER NOT NULL, path TEXT NOT NULL, parent TEXT, directory INTEGER NOT NULL, size INTEGER NOT NULL,
    etag INTEGER NOT NULL, modified INTEGER NOT NULL, created INTEGER NOT NULL, attributes TEXT NOT NULL, UNIQUE (container, path));
CREATE INDEX IF NOT EXISTS children ON paths (container, parent, path);
CREATE TABLE IF NOT EXISTS segments (
    path INTEGER NOT NULL, seq INTEGER NOT NULL, file TEXT NOT NULL, size INTEGER NOT NULL, block TEXT, PRIMARY KEY (path, seq)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS staged (
    container INTEGER NOT NULL, path TEXT NOT NULL, block TEXT NOT NULL, position INTEGER NOT NULL, file TEXT NOT NULL, size INTEGER NOT NULL,
    PRIMARY KEY (container, path, block, position)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS leases (
    holder INTEGER PRIMARY KEY, id TEXT NOT NULL, duration INTEGER NOT NULL, ends INTEGER NOT NULL, breaks INTEGER NOT NULL);
"""
"""`parent` is the path of the folder above ("" is the root folder, whose own parent is NULL). `staged` holds what is not committed
yet: blocks under their id with position -1, appends under the empty id with their position. `holder` of a lease is the id of a path, or
that of a container with a minus."""


@dataclass(frozen=True)
class Container:
    id: int
    account: str
    name: str
    etag: int
    modified: int
    metadata: dict[str, str]


@dataclass(frozen=True)
class Attributes:
    """What a path carries beside its bytes.

    `content` maps lower-case header names (content-type, content-encoding, content-language, content-disposition, cache-control,
    content-md5 in base64) to values. `origin` is "dfs" or "blob": who wrote the bytes.
    """

    content: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    owner: str = "$superuser"
    group: str = "$superuser"
    permissions: str = "rw-r-----"
    acl: str = "user::rw-,group::r--,other::---"
    blob_type: str = "BlockBlob"
    tier: str = ""
    origin: str = "dfs"
    copy: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        return json.dumps({name: value for name, value in self.__dict__.items() if value != _DEFAULTS.get(name)}, separators=(",", ":"))


_DEFAULTS: dict[str, Any] = Attributes().__dict__
FOLDER = Attributes(permissions="rwxr-x---", acl="user::rwx,group::r-x,other::---")


@dataclass(frozen=True)
class Entry:
    """A file or folder. `path` has no slash at either end; the root folder's is empty."""

    id: int
    container: int
    path: str
    parent: str | None
    directory: bool
    size: int
    etag: int
    modified: int
    created: int
    attributes: Attributes


@dataclass(frozen=True)
class Segment:
    """A committed piece of a file, in order; `block` is its base64 block id, if it came as a block."""

    file: str
    size: int
    block: str | None = None


@dataclass(frozen=True)
class Staged:
    """An uncommitted block (`block` set) or append (`position` set, in bytes)."""

    block: str
    position: int
    file: str
    size: int


def entry(row: tuple[Any, ...]) -> Entry:
    """From `SELECT id, container, path, parent, directory, size, etag, modified, created, attributes`."""
    number, container_id, path, parent, directory, size, etag, modified, created, attributes = row
    return Entry(number, container_id, path, parent, bool(directory), size, etag, modified, created, Attributes(**json.loads(attributes)))


def container(row: tuple[Any, ...]) -> Container:
    number, account, name, etag, modified, metadata = row
    return Container(number, account, name, etag, modified, json.loads(metadata))


def connect(root: Path) -> sqlite3.Connection:
    """The database under `root`; transactions are opened by hand. Write-ahead log: a killed server loses nothing it answered for. A machine that
    loses its power may take the last requests along: nothing waits for the disk here."""
    database = sqlite3.connect(root / "namespace.sqlite", isolation_level=None, check_same_thread=False, cached_statements=512)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=OFF")
    database.executescript(TABLES)
    return database
