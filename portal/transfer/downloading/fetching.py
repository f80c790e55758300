"""One object: fetched into its file, proved, and given its name. Large ones in blocks, several at a time."""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

from portal.errors import AlreadyExists, Archived, Cancelled, PortalError, ProofFailed, SourceChanged, Unreachable
from portal.movers.sums import combined
from portal.notices.message import Notice
from portal.planning import names
from portal.planning.planning import FOLDER_MARKER
from portal.stores.checksums import crc64, crc64_hex
from portal.stores.url import StoreURL
from portal.transfer import proof
from portal.transfer.downloading import naming
from portal.transfer.downloading.ends import Ends
from portal.transfer.downloading.naming import Layout
from portal.transfer.downloading.stored import Stored, stored_of, sum_of
from portal.transfer.downloading.target import BLOCK_BYTES, TargetFile, turn
from portal.wire.ends import End, Found, Pin

Overwrite = Literal["different", "skip", "fail"]

MAX_TRIES = 4
_MAX_CHANGES = 3
"""How often an object may be replaced while it is read before the message is given back."""
_BACKOFF_S = 0.2
_BLOCKS_AHEAD = 8

T = TypeVar("T")


class Fetched(NamedTuple):
    """What became of an object; the fields of a row of the ledger."""

    outcome: Literal["copied", "skipped", "excluded"]
    target: str
    """URL of the file, '' without one."""
    reason: str = ""
    size_bytes: int | None = None
    etag: str = ""
    version: str | None = None
    modified: str = ""
    crc64nvme: str | None = None
    source_checksum: str = ""
    """`name:value` of the stored or announced checksum that was compared."""
    bytes_through: int = 0


@dataclass(frozen=True)
class Fetcher:
    """Fetches objects; may be used by several threads."""

    ends: Ends
    folder: Path
    """The target, all links followed."""
    layout: Layout
    overwrite: Overwrite
    blocks: Executor
    """Fetches blocks of large objects; never the threads that call `fetch`, which wait for it."""
    stop: threading.Event
    """Set when the work is to end at once."""

    def check(self) -> None:
        """Raises Cancelled when the work is to end."""
        if self.stop.is_set():
            raise Cancelled

    def fetch(self, notice: Notice) -> Fetched:
        """Bring the object that a notice tells of, as it is now, into its file, or find that it is there already.

        Raises NotFound, SourceChanged (replaced again and again), ProofFailed, AlreadyExists, AccessDenied, Archived, NameNotAllowed, StoreFull,
        Unreachable, Cancelled …: nothing has changed then.
        """
        if notice.key.endswith("/") and (self._found(notice.url).size_bytes if notice.size_bytes is None else notice.size_bytes) == 0:
            return Fetched("excluded", "", FOLDER_MARKER)
        name = naming.target_name(notice.url, self.layout)
        with turn(self.folder, name, self.check) as file:
            if not self._others(file, notice.url):
                return self._brought(notice, file)
        with turn(self.folder, names.set_apart("file", name, str(notice.url)) or name, self.check) as file:
            return self._brought(notice, file)

    def _others(self, file: TargetFile, url: StoreURL) -> bool:
        """Whether a file is there that was made from another object, where files of several can have one name. Nobody knowing what it was made from,
        it is another's if it would be replaced."""
        if not naming.shared(self.layout) or file.size() is None:
            return False
        return (file.owner() or ("" if self.overwrite == "different" else str(url))) != str(url)

    def _brought(self, notice: Notice, file: TargetFile) -> Fetched:
        size = file.size()
        if size is not None and self.overwrite == "skip":
            return Fetched("skipped", file.url, "there is a file of this name already")
        if size is not None and size == notice.size_bytes and notice.crc64nvme and _crc_of(file.there()) == notice.crc64nvme:
            return _same(file, size, notice.etag, f"crc64nvme:{notice.crc64nvme}")
        pin, found = _pin(notice), None
        failed: PortalError | None = None
        for _ in range(_MAX_CHANGES):
            if pin is None or size is not None or pin.size_bytes > BLOCK_BYTES:
                found = self._found(notice.url)
                pin = Pin(notice.key, found.size_bytes, found.etag, found.version_id)
            try:
                return self._whole(notice, file, pin, found)
            except SourceChanged as error:
                failed, pin, found = error, None, None
            except Unreachable as error:
                if found:
                    raise
                failed, pin = error, None  # an answer of another size than the notice tells looks like that, too
        raise failed or AssertionError

    def _found(self, url: StoreURL) -> Found:
        found = self._tried(lambda: self.ends.of(url.container).find(url.key))
        if found.archived:
            raise Archived(f"{url} is archived and cannot be read.", hint="Restore it first; its message comes again.")
        return found

    def _whole(self, notice: Notice, file: TargetFile, pin: Pin, found: Found | None) -> Fetched:
        """Fetch the pinned version, unless the file is the same already."""
        size = file.size()
        if found and size == pin.size_bytes and (stored := self._stored(notice, pin, found)) and sum_of(stored, pin, file.there()) == stored.value:
            return _same(file, size, pin.etag, f"{stored.name}:{stored.value}")
        file.begin(pin.size_bytes)
        crc, described = self._filled(notice.url.container, pin, file)
        file.settle()
        found = found or described or self._found(notice.url)
        compared = self._proved(notice, file, pin, found, crc)
        done = Fetched(
            "copied", file.url, "", pin.size_bytes, pin.etag, pin.version_id or found.version_id or None, found.about.modified, crc64_hex(crc),
            compared, pin.size_bytes,
        )  # fmt: skip
        if size == pin.size_bytes and _crc_of(file.there()) == done.crc64nvme:
            return done._replace(outcome="skipped", reason="the file has these bytes already")
        if size is not None and self.overwrite == "fail":
            raise AlreadyExists(f"{file.url} exists already, with other bytes.", hint="Move it away, or choose overwrite=different.")
        self.check()
        file.publish(str(notice.url), found.about.modified, overwrite=size is not None)
        return done

    def _filled(self, bucket: str, pin: Pin, file: TargetFile) -> tuple[int, Found | None]:
        """Fetch all bytes; returns their CRC64NVME, and what the store told of an object that came by one request."""
        if pin.size_bytes <= BLOCK_BYTES:
            return self._tried(lambda: self._small(self.ends.of(bucket), pin, file))
        spans = [(start, min(BLOCK_BYTES, pin.size_bytes - start)) for start in range(0, pin.size_bytes, BLOCK_BYTES)]
        return combined("crc64nvme", self._fetched_blocks(bucket, pin, file, spans)), None

    def _small(self, end: End, pin: Pin, file: TargetFile) -> tuple[int, Found]:
        buffer = memoryview(bytearray(pin.size_bytes))
        found = end.read(pin, buffer)
        file.write(0, buffer)
        return crc64(buffer), found

    def _fetched_blocks(self, bucket: str, pin: Pin, file: TargetFile, spans: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
        """Yield (CRC64NVME, length) of the blocks in their order. None is under way any more when this ends, however it ends."""
        running: deque[Future[tuple[int, int]]] = deque()
        given_up = threading.Event()

        def block(start: int, length: int) -> tuple[int, int]:
            return self._tried(lambda: self._block(self.ends.of(bucket), pin, file, start, length), given_up)

        try:
            for span in spans:
                running.append(self.blocks.submit(block, *span))
                if len(running) >= _BLOCKS_AHEAD:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            given_up.set()
            for future in running:
                future.cancel()
            wait(running)

    def _block(self, end: End, pin: Pin, file: TargetFile, start: int, length: int) -> tuple[int, int]:
        buffer = memoryview(bytearray(length))
        end.read(pin, buffer, start=start)
        file.write(start, buffer)
        return crc64(buffer), length

    def _tried(self, work: Callable[[], T], given_up: threading.Event | None = None) -> T:
        """Return what `work` returns, trying again what may go through later."""
        for number in range(1, MAX_TRIES + 1):
            self.check()
            if given_up and given_up.is_set():
                raise Cancelled
            try:
                return work()
            except PortalError as error:
                if not error.retryable or number == MAX_TRIES:
                    raise
            self.stop.wait(random.uniform(0, _BACKOFF_S * 2**number))  # noqa: S311 - full jitter, so that many do not come back at once
        raise AssertionError

    def _stored(self, notice: Notice, pin: Pin, found: Found) -> Stored | None:
        return stored_of(found, _announced(notice, pin), lambda: self.ends.of(notice.url.container).part_sizes(pin, found.parts))

    def _proved(self, notice: Notice, file: TargetFile, pin: Pin, found: Found, crc: int) -> str:
        """Read the file back and compare it with what came, and with the checksum that the store keeps or the notice told. Raises ProofFailed."""
        stored = self._stored(notice, pin, found)
        others = stored if stored and stored.name != "crc64nvme" else None
        back = _Back()
        value = sum_of(others, pin, back.through(file.written())) if others else back.drained(file.written())
        proof.compare(file.url, "crc64nvme", crc64_hex(crc), crc64_hex(back.crc))
        if (announced := _announced(notice, pin)) and announced != crc64_hex(crc):
            raise ProofFailed(f"{notice.url} has CRC64NVME {crc64_hex(crc)}; its notice tells {announced}.", hint="Its sender sent other bytes.")
        if stored is None:
            return ""
        return proof.compare(notice.url, stored.name, stored.value, value if others else crc64_hex(crc))


class _Back:
    """The CRC64NVME of blocks that go by."""

    crc = 0

    def through(self, blocks: Iterator[tuple[int, memoryview]]) -> Iterator[tuple[int, memoryview]]:
        for start, block in blocks:
            self.crc = crc64(block, self.crc)
            yield start, block

    def drained(self, blocks: Iterator[tuple[int, memoryview]]) -> str:
        for _ in self.through(blocks):
            pass
        return crc64_hex(self.crc)


def _crc_of(blocks: Iterator[tuple[int, memoryview]]) -> str:
    return _Back().drained(blocks)


def _pin(notice: Notice) -> Pin | None:
    """What a notice says of its object is looked at by the store when it is read."""
    return Pin(notice.key, notice.size_bytes, notice.etag) if notice.size_bytes is not None and notice.etag else None


def _announced(notice: Notice, pin: Pin) -> str:
    """The CRC64NVME that the notice tells of this very version, or ''."""
    return notice.crc64nvme if notice.etag and notice.etag == pin.etag else ""


def _same(file: TargetFile, size: int, etag: str, compared: str) -> Fetched:
    return Fetched("skipped", file.url, "the file has these bytes already", size, etag, source_checksum=compared)
