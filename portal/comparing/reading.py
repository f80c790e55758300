"""Comparing one source with one target by asking their stores, and by reading what cannot be compared otherwise. For many threads."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Literal

from portal.comparing import evidence as evidence
from portal.comparing.belongings import is_folder_of_parts
from portal.comparing.evidence import Compared, Kinds, Pair
from portal.errors import Cancelled, NotFound, PortalError, SourceChanged, explain
from portal.planning.listing import patiently
from portal.tabular.output.manifest import SUCCESS, is_hidden, parsed
from portal.transfer.digests import Digests
from portal.wire.ends import End, Found, Pin

Proof = Literal["listing", "stored", "read"]
Side = Literal["source", "target"]
BLOCK_BYTES = 8 << 20

log = logging.getLogger("portal.transfer")


class Comparer:
    """Compares pairs. `opened` open an end each, with credentials that are good now; `passed` is told the bytes of each block that was
    read, often 0, and may raise Cancelled."""

    def __init__(
        self, open_source: Callable[[], End], open_target: Callable[[], End], kinds: Kinds, proof: Proof, passed: Callable[[int], None]
    ) -> None:
        self._openers = {"source": open_source, "target": open_target}
        self._kinds, self._proof, self._passed = kinds, proof, passed
        self._mine = threading.local()
        self._opened: list[End] = []
        self._lock = threading.Lock()

    def at_once(self, pair: Pair) -> Compared | None:
        """Compare what the listings tell; None when the stores must be asked."""
        found = evidence.by_listing(pair, self._kinds)
        return None if self._wants_more(found, pair) else found

    def by_asking(self, pair: Pair) -> Compared:
        """Compare one pair; whatever stands in the way becomes an error of this object. Raises Cancelled."""
        try:
            return self._looked_at(pair)
        except Cancelled:
            raise
        except (SourceChanged, NotFound) as error:
            return Compared("error", "none", "", f"it changed while it was compared: {error.message}")
        except PortalError as error:
            return Compared("error", "none", "", explain(error).replace("\n", " "))
        except Exception as error:
            log.exception("%s could not be compared", pair.source_key)
            return Compared("error", "none", "", f"{type(error).__name__}: {error}")

    def _wants_more(self, found: Compared, pair: Pair) -> bool:
        if pair.converted:
            return not pair.recorded or (self._proof != "listing" and is_folder_of_parts(pair.target_key))
        if found.kind == "different" and found.level == "size":
            return False
        return self._proof != "listing" and found.level not in ("stored", "read")

    def _looked_at(self, pair: Pair) -> Compared:
        target = self._found("target", pair.target_key, pair.target_size, pair.target_etag)
        said = pair._replace(recorded=target.about.metadata.get("source_etag", ""))
        if pair.converted:
            told = evidence.by_record(said)
            return self._whole(pair, target) or told if told.kind == "equal" and is_folder_of_parts(pair.target_key) else told
        source = self._found("source", pair.source_key, pair.size_bytes, pair.etag)
        by_stores = evidence.by_checksums(source, target, self._kinds)
        if self._proof == "read" and (by_stores is None or by_stores.doubtful):
            return self._read(said, source, target)
        return by_stores or evidence.by_listing(said, self._kinds)

    def _whole(self, pair: Pair, mark: Found) -> Compared | None:
        """Hold the objects of a converted folder against the list that its mark has of them; None when they are the same."""
        text = memoryview(bytearray(mark.size_bytes))
        self._asked("target", lambda end: end.read(Pin(pair.target_key, mark.size_bytes, mark.etag, mark.version_id), text))
        manifest = parsed(bytes(text))
        if manifest is None:
            return Compared("error", "none", "", f"{pair.target_key} does not tell which objects belong to it")
        there = self._below(pair.target_key.removesuffix(SUCCESS))
        for key in sorted(manifest.objects.keys() | there.keys()):
            if manifest.objects.get(key) != there.get(key):
                what = "is missing" if key not in there else "was replaced" if key in manifest.objects else "is no part of what was converted"
                return Compared("different", "recorded", "parts", f"{key} {what}")
        return None

    def _below(self, folder: str) -> dict[str, str]:
        """Return key → ETag of the data in a folder."""
        found: dict[str, str] = {}
        continuation: str | None = None
        while True:
            page = patiently(
                lambda at=continuation: self._good("target", self._openers["target"]).list_page(folder, continuation=at),  # type: ignore[misc]
                lambda: self._renew("target"), lambda: self._passed(0),
            )  # fmt: skip
            names = zip(page.keys, page.etags, page.folders, strict=True)
            found |= {key: etag for key, etag, is_folder in names if not is_folder and not is_hidden(key.removeprefix(folder))}
            continuation = page.continuation
            if continuation is None:
                return found

    def _found(self, side: Side, key: str, size_bytes: int, etag: str) -> Found:
        """Look at an object. Raises NotFound, SourceChanged when it is not the one that was listed."""
        found = self._asked(side, lambda end: end.find(key))
        if found.size_bytes != size_bytes or (etag and found.etag != etag):
            raise SourceChanged(f"{key} at the {side} was replaced after it was listed.")
        return found

    def _read(self, pair: Pair, source: Found, target: Found) -> Compared:
        """Read the side whose store computed no checksum, else both."""
        name, stored = evidence.computed_by_store(source, self._kinds.source)
        if name:
            return _judged(name, stored, self._digest("target", pair.target_key, target, name), "stored, read")
        name, stored = evidence.computed_by_store(target, self._kinds.target)
        if name:
            return _judged(name, self._digest("source", pair.source_key, source, name), stored, "read, stored")
        one = self._digest("source", pair.source_key, source, "crc64nvme")
        return _judged("crc64nvme", one, self._digest("target", pair.target_key, target, "crc64nvme"), "read, read")

    def _digest(self, side: Side, key: str, found: Found, algorithm: str) -> str:
        """Read an object, pinned to what was found, block by block; returns its checksum."""
        pin = Pin(key, found.size_bytes, found.etag, found.version_id)
        digests = Digests([algorithm])
        buffer = self._buffer()
        for start in range(0, pin.size_bytes, BLOCK_BYTES):
            block = buffer[: min(BLOCK_BYTES, pin.size_bytes - start)]
            self._asked(side, lambda end, start=start, block=block: end.read(pin, block, start=start))  # type: ignore[misc]
            digests.update(block)
            self._passed(len(block))
        return digests.hex(algorithm)

    def _asked(self, side: Side, ask: Callable[[End], Found]) -> Found:
        return patiently(lambda: ask(self._good(side, self._openers[side])), lambda: self._renew(side), lambda: self._passed(0))

    def _good(self, side: Side, opened: Callable[[], End]) -> End:
        """This thread's end, with credentials that are good now."""
        end: End | None = getattr(self._mine, side, None)
        if end is not None and time.time() < end.access.renew_at:
            return end
        self._renew(side)
        fresh = opened()
        setattr(self._mine, side, fresh)
        with self._lock:
            self._opened.append(fresh)
        return fresh

    def _renew(self, side: Side) -> None:
        end: End | None = getattr(self._mine, side, None)
        setattr(self._mine, side, None)
        if end is not None:
            end.close()
            with self._lock:
                self._opened.remove(end)

    def _buffer(self) -> memoryview:
        buffer: memoryview | None = getattr(self._mine, "buffer", None)
        if buffer is None:
            buffer = self._mine.buffer = memoryview(bytearray(BLOCK_BYTES))
        return buffer

    def close(self) -> None:
        """Close every thread's ends; nothing may be compared any more."""
        for end in self._opened:
            end.close()


def _judged(name: str, one: str, other: str, sides: str) -> Compared:
    if one == other:
        return Compared("equal", "read", f"{name}: {sides}")
    return Compared("different", "read", f"{name}: {sides}", f"{name} {one} at the source, {other} at the target")
