"""Containers, folders, files and what is staged for them. Call only inside `Store.transaction()`: it gives the lock and the atomicity."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace

from embedded.adls.errors import StorageError
from embedded.adls.leases import Lease
from embedded.adls.schema import FOLDER, Attributes, Container, Entry, Segment, Staged, container, entry
from embedded.adls.times import Ticks

LAST = "\U0010ffff"
_COLUMNS = "id, container, path, parent, directory, size, etag, modified, created, attributes"


class Namespace:
    """The tree over a sqlite connection. `doomed` collects the content files that lose their last reference in a transaction."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self.sql = database.execute
        self.many = database.executemany
        self.doomed: set[str] = set()
        self._ticks = Ticks(self.sql("SELECT max(t) FROM (SELECT max(etag) t FROM paths UNION SELECT max(etag) FROM containers)").fetchone()[0] or 0)

    # Containers

    def container(self, account: str, name: str) -> Container:
        """Raises StorageError ContainerNotFound."""
        row = self.sql("SELECT * FROM containers WHERE account = ? AND name = ?", (account, name)).fetchone()
        if row is None:
            raise StorageError("ContainerNotFound")
        return container(row)

    def containers(self, account: str, prefix: str, after: str, limit: int) -> list[Container]:
        rows = self.sql(
            "SELECT * FROM containers WHERE account = ? AND name >= ? AND name < ? AND name > ? ORDER BY name LIMIT ?",
            (account, prefix, prefix + LAST, after, limit),
        )
        return [container(row) for row in rows]

    def create_container(self, account: str, name: str, metadata: dict[str, str]) -> Container:
        """Raises StorageError ContainerAlreadyExists."""
        now, tick = time.time_ns(), self._ticks.next()
        try:
            cursor = self.sql("INSERT INTO containers VALUES (NULL, ?, ?, ?, ?, ?)", (account, name, tick, now, json.dumps(metadata)))
        except sqlite3.IntegrityError as error:
            raise StorageError("ContainerAlreadyExists") from error
        made = Container(cursor.lastrowid or 0, account, name, tick, now, metadata)
        self._insert(made.id, "", None, True, 0, FOLDER, now)
        return made

    def update_container(self, held: Container, metadata: dict[str, str]) -> Container:
        changed = replace(held, metadata=metadata, etag=self._ticks.next(), modified=time.time_ns())
        self.sql(
            "UPDATE containers SET metadata = ?, etag = ?, modified = ? WHERE id = ?",
            (json.dumps(metadata), changed.etag, changed.modified, held.id),
        )
        return changed

    def delete_container(self, held: Container) -> None:
        self._drop_segments("SELECT id FROM paths WHERE container = ?", (held.id,))
        self._drop_staged("container = ?", (held.id,))
        self.sql("DELETE FROM leases WHERE holder = ? OR holder IN (SELECT id FROM paths WHERE container = ?)", (-held.id, held.id))
        self.sql("DELETE FROM paths WHERE container = ?", (held.id,))
        self.sql("DELETE FROM containers WHERE id = ?", (held.id,))

    # Paths

    def find(self, container_id: int, path: str) -> Entry | None:
        row = self.sql(f"SELECT {_COLUMNS} FROM paths WHERE container = ? AND path = ?", (container_id, path)).fetchone()  # noqa: S608
        return entry(row) if row else None

    def get(self, container_id: int, path: str) -> Entry:
        """Raises StorageError BlobNotFound."""
        found = self.find(container_id, path)
        if found is None:
            raise StorageError("BlobNotFound")
        return found

    def put(
        self,
        container_id: int,
        path: str,
        attributes: Attributes,
        segments: Sequence[Segment] = (),
        *,
        directory: bool = False,
        keep_staged: Iterable[Staged] = (),
    ) -> Entry:
        """Make the path what is given, in place of what it was; folders above it come into being.

        Raises:
            StorageError: ResourceTypeMismatch when the path, or one above it, exists and is of the other type.
        """
        old, now = self.find(container_id, path), time.time_ns()
        if old and old.directory != directory:
            raise _mismatch(old)
        size = sum(segment.size for segment in segments)
        if old:
            self._replace_segments(old.id, segments)
            made = replace(old, size=size, etag=self._ticks.next(), modified=now, attributes=attributes, created=old.created)
            self._save(made)
        else:
            parent = path.rpartition("/")[0]
            self.make_folders(container_id, parent)
            made = self._insert(container_id, path, parent, directory, size, attributes, now)
            self._add_segments(made.id, 0, segments)
        if not directory:
            self.replace_staged(container_id, path, keep_staged, committed={segment.file for segment in segments})
        return made

    def make_folders(self, container_id: int, path: str) -> None:
        """Raises StorageError ResourceTypeMismatch when one of them is a file."""
        found = self.find(container_id, path)
        if found is None:
            parent = path.rpartition("/")[0]
            self.make_folders(container_id, parent)
            self._insert(container_id, path, parent, True, 0, FOLDER, time.time_ns())
        elif not found.directory:
            raise _mismatch(found)

    def append(self, held: Entry, attributes: Attributes, segments: Sequence[Segment], staged: Iterable[Staged]) -> Entry:
        """Add committed bytes at the end of a file and replace what is staged for it."""
        first = self.sql("SELECT coalesce(max(seq) + 1, 0) FROM segments WHERE path = ?", (held.id,)).fetchone()[0]
        self._add_segments(held.id, first, segments)
        size = held.size + sum(segment.size for segment in segments)
        made = replace(held, size=size, etag=self._ticks.next(), modified=time.time_ns(), attributes=attributes)
        self._save(made)
        self.replace_staged(held.container, held.path, staged, committed={segment.file for segment in segments})
        return made

    def update(self, held: Entry, attributes: Attributes, *, touch: bool = True) -> Entry:
        """Change what a path carries; `touch` gives it a new ETag and time."""
        made = replace(held, attributes=attributes)
        if touch:
            made = replace(made, etag=self._ticks.next(), modified=time.time_ns())
        self._save(made)
        return made

    def delete(self, held: Entry) -> None:
        """The path and, for a folder, everything under it."""
        where, values = _tree(held)
        self._drop_segments(f"SELECT id FROM paths WHERE {where}", values)  # noqa: S608
        self._drop_staged(where, values)
        self.sql(f"DELETE FROM leases WHERE holder IN (SELECT id FROM paths WHERE {where})", values)  # noqa: S608
        self.sql(f"DELETE FROM paths WHERE {where}", values)  # noqa: S608

    def is_empty(self, held: Entry) -> bool:
        return not self.sql("SELECT 1 FROM paths WHERE container = ? AND parent = ? LIMIT 1", (held.container, held.path)).fetchone()

    def rename(self, held: Entry, container_id: int, path: str) -> Entry:
        """Move a path, and for a folder everything under it, to a free place whose parent exists. ETags and times stay."""
        where, values = _tree(held)
        cut, parent = len(held.path) + 1, path.rpartition("/")[0]
        for table in ("paths", "staged"):
            self.sql(f"UPDATE {table} SET container = ?, path = ? || substr(path, ?) WHERE {where}", (container_id, path, cut, *values))  # noqa: S608
        moved = replace(held, container=container_id, path=path, parent=parent)
        below, values = _tree(moved)
        self.sql(f"UPDATE paths SET parent = ? || substr(parent, ?) WHERE {below} AND path != ?", (path, cut, *values, path))  # noqa: S608
        self.sql("UPDATE paths SET parent = ? WHERE id = ?", (parent, held.id))
        return moved

    # Listings

    def list_tree(self, container_id: int, prefix: str, after: str, limit: int) -> list[Entry]:
        """Paths that start with `prefix`, without the root, in order of their names, those behind `after`."""
        rows = self.sql(
            f"SELECT {_COLUMNS} FROM paths WHERE container = ? AND path >= ? AND path < ? AND path > ? ORDER BY path LIMIT ?",  # noqa: S608
            (container_id, prefix, prefix + LAST, after, limit),
        )
        return [entry(row) for row in rows]

    def list_folder(self, container_id: int, folder: str, prefix: str, after: str, limit: int) -> list[Entry]:
        """What lies directly in `folder` and starts with `prefix`, in order of names."""
        rows = self.sql(
            f"SELECT {_COLUMNS} FROM paths WHERE container = ? AND parent = ? AND path >= ? AND path < ? AND path > ? ORDER BY path LIMIT ?",  # noqa: S608
            (container_id, folder, prefix, prefix + LAST, after, limit),
        )
        return [entry(row) for row in rows]

    # Leases

    def lease(self, held: Entry | Container) -> Lease | None:
        row = self.sql("SELECT id, duration, ends, breaks FROM leases WHERE holder = ?", (_holder(held),)).fetchone()
        return Lease(*row) if row else None

    def set_lease(self, held: Entry | Container, lease: Lease | None) -> None:
        if lease is None:
            self.sql("DELETE FROM leases WHERE holder = ?", (_holder(held),))
        else:
            values = (_holder(held), lease.id, lease.duration_s, lease.ends, lease.breaks)
            self.sql("INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?, ?)", values)

    def leases(self) -> dict[int, Lease]:
        """All there are, by id of the path or, negative, of the container: few, where listings are long."""
        return {row[0]: Lease(*row[1:]) for row in self.sql("SELECT holder, id, duration, ends, breaks FROM leases")}

    def leases_below(self, top: Entry) -> list[Lease]:
        """Those on what lies under a folder."""
        where, values = _tree(top)
        rows = self.sql(
            f"SELECT l.id, duration, ends, breaks FROM leases l JOIN paths p ON l.holder = p.id WHERE {where} AND p.id != ?",  # noqa: S608
            (*values, top.id),
        )
        return [Lease(*row) for row in rows]

    # Bytes

    def segments(self, held: Entry) -> list[Segment]:
        return [Segment(*row) for row in self.sql("SELECT file, size, block FROM segments WHERE path = ? ORDER BY seq", (held.id,))]

    def staged(self, container_id: int, path: str) -> list[Staged]:
        """What waits for a commit, appends in order of position."""
        rows = self.sql(
            "SELECT block, position, file, size FROM staged WHERE container = ? AND path = ? ORDER BY position, block", (container_id, path)
        )
        return [Staged(*row) for row in rows]

    def any_block(self, container_id: int, path: str) -> str | None:
        """The id of one uncommitted block."""
        row = self.sql("SELECT block FROM staged WHERE container = ? AND path = ? AND block != '' LIMIT 1", (container_id, path)).fetchone()
        return row[0] if row else None

    def stage(self, container_id: int, path: str, item: Staged) -> None:
        """Keep an uncommitted piece, in place of an earlier one with its block id or position."""
        key = (container_id, path, item.block, item.position)
        old = self.sql("SELECT file FROM staged WHERE container = ? AND path = ? AND block = ? AND position = ?", key).fetchone()
        if old:
            self.doomed.add(old[0])
        self.sql("INSERT OR REPLACE INTO staged VALUES (?, ?, ?, ?, ?, ?)", (*key, item.file, item.size))

    def replace_staged(self, container_id: int, path: str, kept: Iterable[Staged], committed: Iterable[str] = ()) -> None:
        """Keep only `kept`; the files of the others go, except those in `committed`."""
        held = list(kept)
        old = self.staged(container_id, path)
        if not old and not held:
            return
        self.sql("DELETE FROM staged WHERE container = ? AND path = ?", (container_id, path))
        self.many("INSERT INTO staged VALUES (?, ?, ?, ?, ?, ?)", [(container_id, path, i.block, i.position, i.file, i.size) for i in held])
        self.doomed |= {item.file for item in old} - {item.file for item in held} - set(committed)

    def files(self) -> set[str]:
        """Every content file that something refers to."""
        return {row[0] for row in self.sql("SELECT file FROM segments UNION SELECT file FROM staged")}

    # Rows

    def _insert(self, container_id: int, path: str, parent: str | None, directory: bool, size: int, attributes: Attributes, now: int) -> Entry:
        tick = self._ticks.next()
        values = (container_id, path, parent, directory, size, tick, now, now)
        cursor = self.sql("INSERT INTO paths VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (*values, attributes.to_json()))
        return Entry(cursor.lastrowid or 0, *values, attributes)

    def _save(self, made: Entry) -> None:
        self.sql(
            "UPDATE paths SET size = ?, etag = ?, modified = ?, attributes = ? WHERE id = ?",
            (made.size, made.etag, made.modified, made.attributes.to_json(), made.id),
        )

    def _add_segments(self, path_id: int, first: int, segments: Sequence[Segment]) -> None:
        rows = [(path_id, first + number, s.file, s.size, s.block) for number, s in enumerate(segments)]
        self.many("INSERT INTO segments VALUES (?, ?, ?, ?, ?)", rows)

    def _replace_segments(self, path_id: int, segments: Sequence[Segment]) -> None:
        self.doomed |= {row[0] for row in self.sql("SELECT file FROM segments WHERE path = ?", (path_id,))} - {s.file for s in segments}
        self.sql("DELETE FROM segments WHERE path = ?", (path_id,))
        self._add_segments(path_id, 0, segments)

    def _drop_segments(self, ids: str, values: tuple[object, ...]) -> None:
        self.doomed |= {row[0] for row in self.sql(f"SELECT file FROM segments WHERE path IN ({ids})", values)}  # noqa: S608
        self.sql(f"DELETE FROM segments WHERE path IN ({ids})", values)  # noqa: S608

    def _drop_staged(self, where: str, values: tuple[object, ...]) -> None:
        self.doomed |= {row[0] for row in self.sql(f"SELECT file FROM staged WHERE {where}", values)}  # noqa: S608
        self.sql(f"DELETE FROM staged WHERE {where}", values)  # noqa: S608


def _tree(held: Entry) -> tuple[str, tuple[object, ...]]:
    """The condition, and its values, that holds for a path and everything under it. "0" follows "/" in ASCII."""
    return "container = ? AND (path = ? OR (path > ? AND path < ?))", (held.container, held.path, held.path + "/", held.path + "0")


def _holder(held: Entry | Container) -> int:
    return -held.id if isinstance(held, Container) else held.id


def _mismatch(held: Entry) -> StorageError:
    kind = "directory" if held.directory else "file"
    return StorageError("ResourceTypeMismatch", headers={"x-ms-existing-resource-type": kind})
