"""Writes one object from a stream that can be made again: block by block, so that a later attempt sends only what is not at the target yet.

The stream must be the same each time. A block that an earlier attempt staged is made anew and compared by length and CRC64NVME, and not sent
again. Blocks are sent by one thread beside the one that makes the stream: two or three of them are in memory at a time.
"""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

from awscrt.checksums import crc64nvme

from portal.errors import AlreadyExists, NotFound, PortalError, UploadGone
from portal.wire.ends import About, Access, Block, End, Found, Written
from portal.wire.opening import open_end

_PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
_LONGEST_PAUSE_S = 60.0
_KEEP_EVERY_S = 2.0
_Got = TypeVar("_Got")


class Staged(NamedTuple):
    """What is at the target and waits for the commit; as JSON, what a later attempt is given."""

    upload: str = ""
    block_bytes: int = 0
    blocks: tuple[tuple[int, int, str], ...] = ()
    """Length, CRC64NVME and mark of each block, in their order."""

    @classmethod
    def read(cls, data: Any) -> Staged:
        """Read what `_asdict` gave; whatever is not that is nothing."""
        try:
            blocks = tuple((int(size), int(crc), str(mark)) for size, crc, mark in data["blocks"])
            return cls(str(data["upload"]), int(data["block_bytes"]), blocks)
        except (KeyError, TypeError, ValueError):
            return cls()


class Sending(NamedTuple):
    """How an object is sent. `access` gives the way to its container, anew when credentials end; `pause` waits and raises Cancelled."""

    access: Callable[[], Access]
    key: str
    about: About
    overwrite: bool
    block_bytes: int
    keep: Callable[[Mapping[str, Any]], None]
    pause: Callable[[float], None]


def is_there(end: End, key: str, size: int, crc: int) -> Found | None:
    """Return the object under a key when the store itself says that it has this length and CRC64NVME. Raises StoreErrors."""
    try:
        found = end.find(key)
    except NotFound:
        return None
    return found if found.size_bytes == size and found.checksums.get("crc64nvme") == f"{crc:016x}" else None


class BlockStream(io.RawIOBase):
    """A file-like object to write to; nothing is visible under the key before `commit`. Used by one thread; `end`, `leave` or `discard` end it.

    Closing it as a file does nothing: those who write tables close what they write to.
    """

    def __init__(self, sending: Sending, known: Staged | None = None) -> None:
        self._sending = sending
        self._known = known if known and known.upload and known.block_bytes == sending.block_bytes else Staged()
        self._upload = self._known.upload
        self._blocks: list[Block] = []
        self._block = bytearray()
        self._end: End | None = None
        self._kept = time.monotonic()
        self._sender = ThreadPoolExecutor(1, thread_name_prefix="sender")
        self._pending: Future[None] | None = None
        self.size, self.crc, self.sent_bytes = 0, 0, 0
        """Of the stream so far; `sent_bytes` without what an earlier attempt had sent."""

    def writable(self) -> bool:
        return True

    def flush(self) -> None: ...

    def write(self, data: Any, /) -> int:
        """Take bytes in; sends each block that is full. Raises what sending the block before raised."""
        rest = memoryview(data).cast("B")
        taken = len(rest)
        self.crc = crc64nvme(rest, self.crc)
        self.size += taken
        while len(rest):
            if len(self._block) == self._sending.block_bytes:
                self._hand_over()
            room = self._sending.block_bytes - len(self._block)
            self._block += rest[:room]
            rest = rest[room:]
        return taken

    def _hand_over(self) -> None:
        """A full block goes to the sender when the one before has been sent."""
        self._wait()
        block, self._block = self._block, bytearray()
        self._pending = self._sender.submit(self._send, block)

    def _wait(self) -> None:
        pending, self._pending = self._pending, None
        if pending:
            pending.result()

    def send_rest(self) -> None:
        """Send what is left of the stream, unless all of it goes with the commit. Raises StoreErrors."""
        if self._block and (self._blocks or self._pending or self._upload):
            self._hand_over()
        self._wait()

    def commit(self) -> Written:
        """Make the object visible, whole. Raises AlreadyExists, ProofFailed, UploadGone, StoreErrors."""
        self.send_rest()
        return self._sender.submit(self._finish if self._blocks else self._put).result()

    def _put(self) -> Written:
        given, body = self._sending, memoryview(self._block)
        return self._settled(lambda end: end.put(given.key, body, given.about, overwrite=given.overwrite, crc64=self.crc))

    def _finish(self) -> Written:
        given = self._sending
        return self._settled(lambda end: end.commit(given.key, self._upload, self._blocks, given.about, overwrite=given.overwrite, crc64=self.crc))

    def _settled(self, act: Callable[[End], Written]) -> Written:
        """When the answer to a commit was lost, the next try finds its own work."""
        try:
            return self._patiently(act)
        except (AlreadyExists, UploadGone):
            if self._tries and (found := is_there(self._opened(), self._sending.key, self.size, self.crc)):
                return Written(found.etag, found.version_id)
            raise

    def _send(self, body: bytearray) -> None:
        given, number, crc = self._sending, len(self._blocks), crc64nvme(body, 0)
        if not self._upload:
            self._upload = self._patiently(lambda end: end.begin(given.key, given.about, 0, overwrite=given.overwrite))
        mark = self._there(number, len(body), crc)
        if mark is None:
            start, upload = number * given.block_bytes, self._upload
            mark = self._patiently(lambda end: end.put_block(given.key, upload, number, start, memoryview(body), crc64=crc))
            self.sent_bytes += len(body)
        self._blocks.append(Block(number, len(body), crc, mark))
        if time.monotonic() - self._kept >= _KEEP_EVERY_S:
            self._keep()

    def _there(self, number: int, size: int, crc: int) -> str | None:
        """Return the mark of a block that an earlier attempt staged, if it is the same."""
        blocks: Sequence[tuple[int, int, str]] = self._known.blocks
        return blocks[number][2] if number < len(blocks) and blocks[number][:2] == (size, crc) else None

    def _keep(self) -> None:
        self._kept = time.monotonic()
        self._sending.keep(self.staged()._asdict())

    def staged(self) -> Staged:
        """What is at the target now. Not while a block is being sent."""
        staged = tuple((block.size_bytes, block.crc64, block.mark) for block in self._blocks)
        more = self._known.blocks[len(staged) :]  # of the earlier attempt, which had come further
        return Staged(self._upload, self._sending.block_bytes, (*staged, *more))

    def _patiently(self, act: Callable[[End], _Got]) -> _Got:
        """Try again what may pass, on another connection. Raises Cancelled."""
        self._tries = 0
        while True:
            try:
                return act(self._opened())
            except PortalError as error:
                if not error.retryable or isinstance(error, UploadGone) or self._tries == len(_PAUSES_S):
                    raise
                self._hang_up()
                self._sending.pause(max(_PAUSES_S[self._tries], min(getattr(error, "retry_after_s", 0.0) or 0.0, _LONGEST_PAUSE_S)))
                self._tries += 1

    def _opened(self) -> End:
        if self._end and time.time() >= self._end.access.renew_at:
            self._hang_up()
        self._end = self._end or open_end(self._sending.access())
        return self._end

    def _hang_up(self) -> None:
        if self._end:
            self._end.close()
        self._end = None

    def leave(self) -> None:
        """End without a commit: what is staged stays for a later attempt."""
        self._settle()
        if self._blocks:
            self._keep()
        self.end()

    def discard(self) -> None:
        """End without a commit, and take back what was staged. Never raises for what the target says."""
        self._settle()
        if self._upload:
            with contextlib.suppress(PortalError):
                self._opened().abort(self._sending.key, self._upload, 0)
        self.end()

    def _settle(self) -> None:
        pending, self._pending = self._pending, None
        if pending:
            pending.exception()

    def end(self) -> None:
        self._sender.shutdown()
        self._hang_up()
