"""The steps of a large object that a process takes; the parent decides which, and when (see `large`).

open    look at source and target, begin the upload (or go on with one) and say how the object is to be read
run     read blocks in their order, sum them and stage each; several runs of one object may be under way in several processes
pull    have the target's service fetch a block
commit  make the object of its blocks
reread  read a stretch of the finished object again
abort   take back what was begun
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from portal.errors import Cancelled, ProofFailed, SourceRefused
from portal.movers import pulling, sums
from portal.movers.messages import Answered, Unit, failure_of
from portal.movers.mover import Mover
from portal.movers.placing import of_cut_off, placed, read_back
from portal.stores.checksums import crc64
from portal.transfer import proof
from portal.transfer.carry import note
from portal.transfer.carry_file import line
from portal.wire.ends import Block, Found, Pin, Written

_USUAL_BYTES = 16 << 20


def take(mover: Mover, unit: Unit) -> None:
    """Take a step and report what came of it. Raises Cancelled."""
    mover.attempts, mover.through, mover.doubts, mover.disproved = 0, 0, unit.item.doubts, unit.item.doubts
    try:
        told = _STEPS[unit.kind](mover, unit)
        answer = Answered(unit.number, {**told, "end": True, "attempts": mover.attempts, "through": mover.through})
    except Cancelled:
        raise
    except Exception as error:
        if not hasattr(error, "retryable"):
            mover.shared.outbox.trouble(f"{unit.item.key} failed in a way nobody knows")
        told = {"end": True, "attempts": mover.attempts, "through": mover.through, "disproved": mover.disproved}
        answer = Answered(unit.number, told, failure_of(error))
    mover.shared.outbox.answered(answer)


def _open(mover: Mover, unit: Unit) -> Mapping[str, Any]:
    return mover.tried(lambda attempt: _opened(mover, unit))


def _opened(mover: Mover, unit: Unit) -> Mapping[str, Any]:
    item = unit.item
    if item.look and (done := of_cut_off(mover, item)):
        return {"done": (done.written.etag, done.proof, done.reason)}
    pin = Pin(item.key, item.size_bytes, item.etag)
    found = mover.find(pin)
    pin = pin._replace(version_id=found.version_id)
    about, left_out = mover.carried(item.n, pin, found)
    names, part_sizes = _sums(mover, pin, found)
    why = _obstacle(mover, pin, found, unit.told.get("stream", ""))
    upload = unit.told.get("upload")
    if upload is None:
        upload = mover.at_target(mover.target.begin, item.target_key, about, item.size_bytes, overwrite=item.replace)
    return {
        "pin": pin, "about": about, "checksums": dict(found.checksums), "names": names, "part_sizes": part_sizes, "upload": upload,
        "modified": found.about.modified, "pulls": why is None, "reason": "; ".join(text for text in (why or "", note(left_out)) if text),
        "carried": line(item.n, item.key, item.target_key, left_out) if left_out else "", "mode": mover.mode if why is not None else "server",
    }  # fmt: skip


def _obstacle(mover: Mover, pin: Pin, found: Found, told_why: str) -> str | None:
    """Return None when the object is pulled, else why it is not ('': nobody asked for it). `told_why`: why it is not, as an earlier try found."""
    if not pulling.may_pull(mover):
        return ""
    if told_why:
        pulling.refuse_to_stream(mover, told_why)
        return told_why
    why = pulling.obstacle(mover, pin, found)
    if why:
        pulling.refuse_to_stream(mover, why)
    return why or None


def _sums(mover: Mover, pin: Pin, found: Found) -> tuple[list[str], list[int]]:
    """Return the checksums to make besides CRC64NVME, and the sizes of the parts for the composite one among them."""
    part_sizes: list[int] = []
    names: list[str] = ["md5"] if mover.wants_md5 else []
    for name in proof.comparable(found.checksums, md5=mover.wants_md5):
        if sums.is_composite(name):
            part_sizes = mover.part_sizes(pin, found)
            if not part_sizes:
                continue
        if sums.base_of(name) == "md5":
            break
        return [*names, name] if name != "crc64nvme" else names, part_sizes
    return names, part_sizes


def _run(mover: Mover, unit: Unit) -> Mapping[str, Any]:
    """See `_ran`. Larger blocks than usual are held in memory by few threads at a time."""
    largest = max(size for _, _, size, _ in unit.told["blocks"])
    if largest <= _USUAL_BYTES:
        return _ran(mover, unit)
    with mover.shared.memory.holding(largest):
        try:
            return _ran(mover, unit)
        finally:
            mover.let_go()


def _ran(mover: Mover, unit: Unit) -> Mapping[str, Any]:
    """`told`: pin, upload, names, first_part and part_sizes (of those that the run touches) and blocks, each (number, start, size, its CRC64 if it
    is staged already)."""
    item, told = unit.item, unit.told
    running = sums.Running(told["names"], told["part_sizes"], item.size_bytes, told["first_part"])
    for number, start, size, known in told["blocks"]:
        mover.shared.refuse_when_stopped()
        view = mover.buffer(size)
        mover.tried(_reading(mover, told["pin"], view, start))
        crc = crc64(view)
        if known is None:
            mark = mover.tried(_staging(mover, unit, number, start, view, crc))
        elif known != crc:
            proof.compare(mover.options.source_root + item.key, "crc64nvme", f"{known:016x}", f"{crc:016x}")
        block = Block(number, size, crc, mark) if known is None else None
        mover.shared.outbox.answered(Answered(unit.number, {"block": block, "start": start, "pieces": running.pieces(start, view)}), size)
        mover.renew()
    return {}


def _reading(mover: Mover, pin: Pin, view: memoryview, start: int) -> Callable[[int], Found]:
    return lambda attempt: mover.read(pin, view, start)


def _staging(mover: Mover, unit: Unit, number: int, start: int, view: memoryview, crc: int) -> Callable[[int], str]:
    def put(attempt: int) -> str:
        return mover.at_target(mover.target.put_block, unit.item.target_key, unit.told["upload"], number, start, view, crc64=crc)

    return put


def _pull(mover: Mover, unit: Unit) -> Mapping[str, Any]:
    told = unit.told
    try:
        block = mover.tried(
            lambda attempt: pulling.pull(mover, unit.item, told["pin"], told["upload"], told["number"], told["start"], told["size"])
        )  # fmt: skip
    except SourceRefused as error:
        return {"refused": pulling.refused(mover, error)}
    return {"block": block, "start": told["start"], "pieces": []}


def _commit(mover: Mover, unit: Unit) -> Mapping[str, Any]:
    """`told`: pin, about, upload, modified, blocks, crc64, md5, and `look`: the source must still be the same."""
    item, told = unit.item, unit.told
    if (held := sum(block.size_bytes for block in told["blocks"])) != item.size_bytes:
        raise ProofFailed(f"{item.key} has {item.size_bytes:,} bytes, and its blocks hold {held:,}.", hint="Run the job again.")

    def commit(overwrite: bool) -> Written:
        return mover.at_target(
            mover.target.commit, item.target_key, told["upload"], told["blocks"], told["about"], overwrite=overwrite, crc64=told["crc64"],
            md5=told["md5"],
        )  # fmt: skip

    if told["look"]:
        mover.tried(lambda attempt: pulling.refuse_change(mover, told["pin"]))
    crc, blocks = (told["crc64"] if all(block.crc64 >= 0 for block in told["blocks"]) else -1), told["blocks"]
    written = mover.tried(lambda attempt: placed(mover, item, told["modified"], commit, again=attempt > 1, crc=crc, blocks=blocks))
    return {"etag": written.etag, "version": written.version_id, "checked": written.checked}


def _reread(mover: Mover, unit: Unit) -> Mapping[str, Any]:
    """`told`: etag and version of the target, start and size of the stretch, and `name`, the checksum to make of it (crc64nvme or md5)."""
    item, told = unit.item, unit.told
    pin = Pin(item.target_key, item.size_bytes, told["etag"], told["version"])
    digest = hashlib.new("md5", usedforsecurity=False)
    crcs = []

    def compare() -> None:
        for start, size in _stretches(told["start"], told["size"], mover.options.block_bytes):
            view = mover.buffer(size)
            mover.tried(_rereading(mover, pin, view, start))
            if told["name"] == "md5":
                digest.update(view)
            else:
                crcs.append((crc64(view), size))

    read_back(mover, item, Written(told["etag"]), compare)
    return {"start": told["start"], "size": told["size"], "crc64": sums.combined("crc64nvme", crcs), "md5": digest.hexdigest()}


def _rereading(mover: Mover, pin: Pin, view: memoryview, start: int) -> Callable[[int], Found]:
    return lambda attempt: mover.at_target(mover.target.read, pin, view, start=start)


def _stretches(start: int, size: int, step: int) -> Iterator[tuple[int, int]]:
    for at in range(start, start + size, step):
        yield at, min(step, start + size - at)


def _discard(mover: Mover, unit: Unit) -> Mapping[str, Any]:
    """Delete what was written and not proven."""
    mover.tried(lambda attempt: mover.at_target(mover.target.delete, unit.item.target_key, etag=unit.told["etag"]))
    return {}


def _abort(mover: Mover, unit: Unit) -> Mapping[str, Any]:
    mover.at_target(mover.target.abort, unit.item.target_key, unit.told["upload"], unit.item.size_bytes)
    return {}


_STEPS: Mapping[str, Callable[[Mover, Unit], Mapping[str, Any]]] = {
    "open": _open, "run": _run, "pull": _pull, "commit": _commit, "reread": _reread, "discard": _discard, "abort": _abort,
}  # fmt: skip
