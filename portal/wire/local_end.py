"""Folders of this machine as an end of the thin path. Keys are absolute paths without the leading slash.

A file that is being written is hidden beside its target, forced to the disk and then linked (or renamed) to its name. Content type, metadata
and tags have no place in a file and are not kept; its time of modification is the source's.
"""

from __future__ import annotations

import contextlib
import os
import stat as modes
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from portal.durable import make_folder, sync_folder
from portal.errors import AlreadyExists, NameNotAllowed, NotFound, ProofFailed, SourceChanged, StoreError, UploadGone
from portal.stores.local_files import confined, entry_stat, etag, forget, reading, refuse_missing_root, resolved, translated
from portal.stores.local_rename import rename_fresh
from portal.stores.partial import is_partial, names_below, partial_name
from portal.wire.ends import About, Access, Block, Found, Listed, Pin, Written
from portal.wire.local_folder import READ, LocalFolder

_FRESH = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_BEGUN = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class LocalEnd:
    """See `portal.wire.ends.End`."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self._roots = resolved(access.roots)
        self._walk: tuple[str, str, Iterator[tuple[str, os.DirEntry[str]]]] | None = None
        self._near = LocalFolder()

    def read(self, pin: Pin, buffer: memoryview, *, start: int = 0) -> Found:
        """Raises SourceChanged when the file is another, or is written to meanwhile; StoreError for what is no file."""
        descriptor, before = self._near.opened(pin) or self._opened(pin)
        try:
            _refuse_other(pin, before)
            with translated(pin.key):
                done = _filled(descriptor, buffer, start)
            if done < len(buffer) or etag(os.fstat(descriptor)) != etag(before):
                raise SourceChanged(f"/{pin.key} was written to while it was read.", hint="Run the job again when nobody writes to it.")
        finally:
            os.close(descriptor)
        return _found(before)

    def _opened(self, pin: Pin) -> tuple[int, os.stat_result]:
        path = confined(pin.key, self._roots)
        try:
            with translated(pin.key):
                descriptor = os.open(path, READ)
        except NotFound:
            raise SourceChanged(f"/{pin.key} was deleted after it was listed.") from None
        if any(path.parent.is_relative_to(root) for root in self._roots):
            self._near.keep(pin.key, path)
        return descriptor, os.fstat(descriptor)

    def find(self, key: str, *, version_id: str = "") -> Found:
        with translated(key):
            found = confined(key, self._roots).stat()
        if not modes.S_ISREG(found.st_mode):
            raise NotFound(f"file:///{key} is no file.")
        return _found(found)

    def part_sizes(self, pin: Pin, parts: int) -> list[int]:
        return []

    def tags(self, pin: Pin) -> dict[str, str]:
        return {}

    def list_page(self, prefix: str, *, continuation: str | None = None, limit: int = 5000) -> Listed:
        """List in the order of `portal.stores.local`: by name, folders before what is in them. Raises NotFound (the allowed folder itself), and
        what reading a folder does."""
        with reading(prefix):
            return self._page(prefix, continuation, limit)

    def _page(self, prefix: str, continuation: str | None, limit: int) -> Listed:
        page = Listed([], [], [], [], [], [], [], [])
        last = None
        for key, entry in self._entries(prefix, continuation):
            last = key
            self._look(page, key, entry)
            if len(page.keys) >= limit:
                page.continuation = last
                break
        self._walk = (prefix, last, self._walk[2]) if self._walk and last and page.continuation else None
        _fill_up(page)
        return page

    def _look(self, page: Listed, key: str, entry: os.DirEntry[str]) -> None:
        try:
            found = entry_stat(key, entry, self._roots)
        except StoreError as error:
            _add_unseen(page, key, error.message)
            return
        if found:
            _add(page, key, found)
            if modes.S_ISDIR(found.st_mode) and entry.is_symlink():
                page.unseen[key] = f"file:///{key} is a link to a folder, and what is behind it is not listed."

    def _entries(self, prefix: str, continuation: str | None) -> Iterator[tuple[str, os.DirEntry[str]]]:
        """Go on where the last page ended rather than read a folder of a million names for each page of it."""
        if continuation and self._walk and self._walk[:2] == (prefix, continuation):
            return self._walk[2]
        folder = prefix.rpartition("/")[0]
        place = confined(folder, self._roots)
        if not place.is_dir():
            refuse_missing_root(place, self._roots)
            return iter(())
        walk = names_below(place, f"{folder}/" if folder else "", prefix, recursive=True, after=continuation)
        self._walk = (prefix, continuation or "", walk)
        return walk

    def put(self, key: str, body: memoryview, about: About, *, overwrite: bool, crc64: int, md5: bytes = b"") -> Written:
        path = self._target(key, overwrite)
        fresh = path.with_name(partial_name())
        descriptor = _created(key, fresh)
        try:
            with translated(key):
                _written(descriptor, body, 0)
                return _settled(descriptor, fresh, path, about, overwrite)
        except BaseException:
            with contextlib.suppress(OSError):
                fresh.unlink()
            raise
        finally:
            os.close(descriptor)

    def begin(self, key: str, about: About, size_bytes: int, *, overwrite: bool) -> str:
        """Returns the name of the hidden file that the blocks go into, as long as the object will be."""
        name = partial_name()
        fresh = self._target(key, overwrite).with_name(name)
        descriptor = _created(key, fresh)
        try:
            with translated(key):
                os.truncate(descriptor, size_bytes)
        except BaseException:
            self.abort(key, name, size_bytes)
            raise
        finally:
            os.close(descriptor)
        return name

    def put_block(self, key: str, upload: str, number: int, start: int, body: memoryview, *, crc64: int, md5: bytes = b"") -> str:
        """The block is on the disk when this returns: who resumes after a power cut relies on it."""
        descriptor = self._begun(key, upload)
        try:
            with translated(key):
                _written(descriptor, body, start)
                os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
        return ""

    def commit(self, key: str, upload: str, blocks: Sequence[Block], about: About, *, overwrite: bool, crc64: int, md5: bytes = b"") -> Written:
        path = self._target(key, overwrite)
        descriptor = self._begun(key, upload)
        try:
            size = sum(block.size_bytes for block in blocks)
            if [block.number for block in blocks] != list(range(len(blocks))) or os.fstat(descriptor).st_size != size:
                raise ProofFailed(f"The blocks written for file:///{key} are not those of the whole file.", hint="Run the job again.")
            with translated(key):
                return _settled(descriptor, path.with_name(upload), path, about, overwrite)
        finally:
            os.close(descriptor)

    def abort(self, key: str, upload: str, size_bytes: int) -> None:
        with contextlib.suppress(OSError, StoreError):
            if is_partial(upload) and "/" not in upload:
                confined(key, self._roots).with_name(upload).unlink()

    def delete(self, key: str, *, etag: str = "") -> None:
        path = confined(key, self._roots)
        try:
            with translated(key):
                if etag and _found(path.stat()).etag != etag:
                    raise SourceChanged(f"file:///{key} was replaced after it was looked at.", hint="Run the job again to take what is there now.")
                path.unlink()
        except NotFound:
            return

    def close(self) -> None:
        self._walk = None
        self._near.close()

    def _target(self, key: str, overwrite: bool) -> Path:
        if not key or key.endswith("/"):
            raise NameNotAllowed(f"file:///{key} cannot be the name of a file.")
        path = confined(key, self._roots)
        with translated(key):
            occupied = path.is_dir() or (not overwrite and path.exists())
        if occupied:
            raise AlreadyExists(f"file:///{key} exists already.", hint="Choose another name or allow overwriting.")
        return path

    def _begun(self, key: str, upload: str) -> int:
        if not is_partial(upload) or "/" in upload:
            raise UploadGone(f"{upload!r} is not what was begun for file:///{key}.")
        try:
            with translated(key):
                return os.open(confined(key, self._roots).with_name(upload), _BEGUN)
        except NotFound:
            raise UploadGone(f"What was begun for file:///{key} is no longer there.", hint="It is written anew.") from None


def _refuse_other(pin: Pin, found: os.stat_result) -> None:
    if not modes.S_ISREG(found.st_mode):
        raise StoreError(f"file:///{pin.key} is no file.")
    if found.st_size != pin.size_bytes or (pin.etag and pin.etag != etag(found)):
        raise SourceChanged(f"/{pin.key} was replaced after it was listed.", hint="Run the job again to take what is there now.")


def _filled(descriptor: int, buffer: memoryview, start: int) -> int:
    done = 0
    while done < len(buffer):
        got = os.preadv(descriptor, [buffer[done:]], start + done)
        if not got:
            break
        done += got
    return done


def _created(key: str, fresh: Path) -> int:
    with translated(key):
        try:
            return os.open(fresh, _FRESH, 0o640)
        except FileNotFoundError:
            make_folder(fresh.parent)
            return os.open(fresh, _FRESH, 0o640)


def _written(descriptor: int, body: memoryview, start: int) -> None:
    done = 0
    while done < len(body):
        done += os.pwrite(descriptor, body[done:], start + done)


def _settled(descriptor: int, fresh: Path, path: Path, about: About, overwrite: bool) -> Written:
    """Give a written file its time and its name, durably."""
    if about.modified:
        moment = _nanoseconds(about.modified)
        os.utime(descriptor, ns=(moment, moment))
    os.fsync(descriptor)
    forget(descriptor)
    if overwrite:
        fresh.replace(path)
    else:
        rename_fresh(fresh, path)
    sync_folder(path.parent)
    return Written(etag(os.fstat(descriptor)), checked=False)


def _found(found: os.stat_result) -> Found:
    return Found(found.st_size, etag(found), about=About(modified=_moment(found.st_mtime_ns)))


def _moment(ns: int) -> str:
    """RFC 3339 to the microsecond: what a copy of the file gets as its time, and what is compared with it."""
    return f"{datetime.fromtimestamp(ns // 1_000_000_000, UTC).isoformat()[:19]}.{ns % 1_000_000_000 // 1000:06d}Z"


def _nanoseconds(modified: str) -> int:
    since = datetime.fromisoformat(modified) - _EPOCH
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1000


def _add(page: Listed, key: str, found: os.stat_result) -> None:
    folder = modes.S_ISDIR(found.st_mode)
    page.keys.append(key)
    page.sizes.append(0 if folder else found.st_size)
    page.etags.append(etag(found))
    page.modified.append(_moment(found.st_mtime_ns))
    page.folders.append(folder)


def _add_unseen(page: Listed, key: str, why: str) -> None:
    page.keys.append(key)
    page.sizes.append(0)
    page.etags.append("")
    page.modified.append("")
    page.folders.append(False)
    page.unseen[key] = why


def _fill_up(page: Listed) -> None:
    nothing = [""] * len(page.keys)
    page.classes, page.sources, page.md5s = nothing, list(nothing), list(nothing)
