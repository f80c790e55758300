"""Copying one object: pinned reads into a write that becomes visible whole, with the proof on the way.

This is the part that a faster path may replace: it takes stores, an entry and `check`/`moved`, and returns a `Copied`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from portal.errors import ProofFailed, SourceChanged, StoreError, Unreachable
from portal.stores.base import ObjectInfo, Reader, Store
from portal.transfer import proof
from portal.transfer.carry import carried
from portal.transfer.digests import Digests

BLOCK_BYTES = 8 << 20
_REOPENINGS = 3


@dataclass(frozen=True, slots=True)
class Copied:
    """A finished copy and what was proven of it."""

    source: ObjectInfo
    """As the store described it when it was read."""
    target: ObjectInfo
    crc64nvme: str
    md5: str
    source_checksum: str
    """`name:value` of the stored source checksum that was compared, or ''."""
    proof: proof.Level
    note: str = ""


def copy_object(
    source: Store, pin: ObjectInfo, target: Store, target_key: str, *, overwrite: bool, verify: proof.Verify, moved: Callable[[int], None]
) -> Copied:
    """Copy one object.

    Args:
        pin: the object as it was listed; another one is refused
        moved: told the bytes of each block that was written; what it raises (Cancelled) ends the copy and leaves nothing behind

    Raises:
        SourceChanged, ProofFailed and what stores raise
    """
    with PinnedStream(source, pin) as stream:
        info = stream.info
        algorithm = proof.source_algorithm(info, verify)
        digests = Digests([algorithm or "crc64nvme", *(["md5"] if verify == "md5" else [])])
        metadata, left_out = carried(info, source.url, target.url.scheme)
        writer = target.open_write(target_key, overwrite=overwrite, size_bytes=info.size_bytes, content_type=info.content_type, metadata=metadata)
        with writer:
            for block in stream.blocks():
                digests.update(block)
                writer.write(block)
                moved(len(block))
            # Compared before the commit: bytes that are not the source's never become visible.
            compared = proof.compare_source(info, algorithm, digests, source.url.at(pin.key))
            written = writer.commit(md5=digests.hex("md5"))
    if written.size_bytes != digests.size_bytes:
        raise ProofFailed(f"{target.url.at(target_key)} has {written.size_bytes} bytes; {digests.size_bytes} were sent.", hint="Try again.")
    if verify != "none":
        _prove(target, written, digests, verify, lambda: moved(0))
    reached = proof.level(was_read_back=verify != "none", source_compared=bool(compared), blocks_checked=writer.checks_blocks)
    note = f"metadata left out for lack of room: {', '.join(left_out)}" if left_out else ""
    return Copied(info, written, digests.crc64nvme, digests.hex("md5"), compared, reached, note)


def _prove(target: Store, written: ObjectInfo, digests: Digests, verify: proof.Verify, check: Callable[[], None]) -> None:
    try:
        proof.read_back(target, written, digests, verify, check)
    except (ProofFailed, Unreachable):
        # What was not proven does not stay, nor stand in the way of the next try.
        with suppress(StoreError):
            target.delete(written.key)
        raise


class PinnedStream:
    """The bytes of one object, in blocks. A read that is cut off goes on where it stopped, if the object is still the same."""

    def __init__(self, store: Store, pin: ObjectInfo) -> None:
        self._store, self._key = store, pin.key
        self._reader: Reader = store.open_read(pin.key, pin=pin)
        self.info = self._reader.info
        if self.info.size_bytes != pin.size_bytes:
            self._reader.close()
            raise SourceChanged(f"{store.url.at(pin.key)} has {self.info.size_bytes} bytes; listed were {pin.size_bytes}.", hint="Run the job again.")

    def blocks(self) -> Iterator[bytes]:
        """Yield the object's bytes; raises SourceChanged, Unreachable when it stays cut off."""
        position, reopenings = 0, 0
        while position < self.info.size_bytes:
            try:
                block = self._reader.read(BLOCK_BYTES)
                if not block:
                    raise Unreachable(f"{self._store.url.at(self._key)} ended after {position} of {self.info.size_bytes} bytes.", hint="Try again.")
            except Unreachable:
                reopenings += 1
                if reopenings > _REOPENINGS:
                    raise
                self._reader.close()
                self._reader = self._store.open_read(self._key, start=position, pin=self.info)
                continue
            position += len(block)
            yield block
        if position > self.info.size_bytes or self._reader.read(1):
            raise SourceChanged(f"{self._store.url.at(self._key)} has more bytes than were listed.", hint="Run the job again.")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /) -> None:
        self._reader.close()
