"""Moves an object of one block: read whole, compared with what the source stores, and only then written."""

from __future__ import annotations

import hashlib
from contextlib import suppress

from portal.errors import Cancelled, PortalError, StoreError, Unreachable
from portal.movers import copying, pulling, sums
from portal.movers.messages import Item, Moved, disproved, failure_of
from portal.movers.mover import Mover
from portal.movers.placing import Done, of_cut_off, placed, read_whole_again
from portal.movers.shared import now_ms
from portal.stores.checksums import crc64
from portal.transfer import proof
from portal.transfer.carry import note
from portal.transfer.carry_file import line
from portal.wire.ends import Found, Pin, Written


def move(mover: Mover, item: Item) -> Moved:
    """Bring an object to its end. Raises Cancelled."""
    mover.attempts, mover.through, mover.doubts, mover.disproved = 0, 0, item.doubts, item.doubts
    began = now_ms()
    try:
        moved = _of_done(mover, item, mover.tried(lambda attempt: _once(mover, item, attempt)))
    except Cancelled:
        raise
    except Exception as error:
        found = _left_by_lost_answer(mover, item, error)
        moved = _of_done(mover, item, found) if found else failed(mover, item, error)
    ended = now_ms()
    return moved._replace(attempts=mover.attempts, started_at=began, finished_at=ended, duration_s=(ended - began) / 1000)


def _of_done(mover: Mover, item: Item, done: Done) -> Moved:
    carried = line(item.n, item.key, item.target_key, done.left_out) if done.left_out else ""
    told = [text for text in (done.reason, note(done.left_out)) if text]
    return Moved(
        item.n, "copied", item.size_bytes, done.written.etag, done.version or None, done.crc64nvme or None, done.md5 or None,
        done.source_checksum or None, done.proof, "; ".join(told), mode=done.mode, bytes_through=mover.through, resumed_bytes=done.resumed_bytes,
        carried=carried,
    )  # fmt: skip


def failed(mover: Mover, item: Item, error: Exception) -> Moved:
    if not isinstance(error, PortalError):
        mover.shared.outbox.trouble(f"{item.key} failed in a way nobody knows")
    failure = failure_of(error)
    if mover.disproved:
        failure = disproved(failure)
    return Moved(item.n, "failed", reason=failure.reason, cause=failure.cause, bytes_through=mover.through, retryable=failure.retryable)


def _once(mover: Mover, item: Item, attempt: int) -> Done:
    unproven = copying.copies(mover)  # what a copy that was cut off left was seen before anybody compared it
    if item.look and attempt == 1 and not unproven and (found := of_cut_off(mover, item)):
        return found
    pulled = pulling.whole(mover, item, attempt) if pulling.may_pull(mover) else ""
    return pulled if isinstance(pulled, Done) else _streamed(mover, item, attempt, pulled)


def _streamed(mover: Mover, item: Item, attempt: int, reason: str) -> Done:
    view = mover.buffer(item.size_bytes)
    pin = Pin(item.key, item.size_bytes, item.etag)
    found = mover.read(pin, view)
    crc = crc64(view)
    md5 = hashlib.md5(view, usedforsecurity=False).digest() if mover.wants_md5 else b""
    compared = _compared(mover, pin, found, view, crc, md5)
    about, left_out = mover.carried(item.n, pin, found)

    def put(overwrite: bool) -> Written:
        return mover.at_target(mover.target.put, item.target_key, view, about, overwrite=overwrite, crc64=crc, md5=md5)

    written = placed(mover, item, found.about.modified, put, again=attempt > 1, crc=crc)
    if mover.options.verify != "none":
        read_whole_again(mover, item, written, crc, md5)
    level = proof.level(read_back=mover.options.verify != "none", compared=bool(compared), checked=written.checked)
    return Done(written, found.version_id, f"{crc:016x}", md5.hex(), compared, level, mover.mode, left_out, reason)


def _compared(mover: Mover, pin: Pin, found: Found, view: memoryview, crc: int, md5: bytes) -> str:
    """Compare with the checksums that the source stores; returns those that were, `name:value`. Raises ProofFailed."""
    if not found.checksums:
        return ""
    told: list[str] = []
    for name in proof.comparable(found.checksums, md5=mover.wants_md5):
        if told and sums.base_of(name) != "md5":
            continue
        sizes = mover.part_sizes(pin, found) if sums.is_composite(name) else []
        if sums.is_composite(name) and not sizes:
            continue
        value = f"{crc:016x}" if name == "crc64nvme" else md5.hex() if name == "md5" else sums.of(name, view, sizes)
        told.append(proof.compare(mover.options.source_root + pin.key, name, found.checksums[name], value))
    return " ".join(told)


def _left_by_lost_answer(mover: Mover, item: Item, error: Exception) -> Done | None:
    """After the last try brought no answer: what was written may stand there all the same."""
    if not isinstance(error, Unreachable) or not mover.through or mover.doubts:
        return None
    with suppress(StoreError):
        return of_cut_off(mover, item)
    return None
