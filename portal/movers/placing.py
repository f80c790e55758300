"""Writing an object to where it belongs, whoever stands there, and reading it back: what small, large and pulled objects have in common."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from portal.errors import AlreadyExists, ProofFailed, SourceChanged, StoreError, Unreachable, UploadGone
from portal.movers.messages import Item
from portal.movers.mover import Mover
from portal.stores.checksums import crc64
from portal.transfer import proof
from portal.transfer.carry import LeftOut
from portal.wire.ends import Pin, Written

CUT_OFF = "an attempt that was cut off had copied it already"


class Done(NamedTuple):
    """What a try that went well found out."""

    written: Written
    version: str
    crc64nvme: str
    md5: str
    source_checksum: str
    proof: proof.Level
    mode: str
    left_out: Sequence[LeftOut] = ()
    reason: str = ""
    resumed_bytes: int = 0


def of_cut_off(mover: Mover, item: Item) -> Done | None:
    """Return what an attempt that was cut off left at the target, if that is the whole object. Whether it compared the source is not known,
    so nothing more is claimed than that the target compared what was sent; whoever wants more proof gets the object again."""
    if mover.options.verify != "none":
        return None
    modified = mover.find(Pin(item.key, item.size_bytes, item.etag)).about.modified if mover.shared.target.kind == "file" else ""
    found = mover.standing(item, modified, begun=True)
    if found is None:
        return None
    checked = mover.shared.target.kind != "file" and not mover.options.accept_size
    level = proof.level(read_back=False, compared=False, checked=checked)
    return Done(Written(found.etag, found.version_id), "", "", "", "", level, "", reason=CUT_OFF, resumed_bytes=item.size_bytes)


def placed(mover: Mover, item: Item, modified: str, write: Callable[[bool], Written], *, again: bool) -> Written:
    """Write by `write(overwrite)`. Where that finds the target taken, look whether this very copy stands there already (an answer was lost, or an
    earlier attempt got that far) or something else of ours. Raises AlreadyExists for anything else."""
    try:
        return write(item.replace)
    except ProofFailed:
        mover.doubts = True
        remove_unproven(mover, item)
        raise
    except (AlreadyExists, UploadGone):
        begun = again or item.look
        found = None if mover.doubts else mover.standing(item, modified, begun=begun)
        if found:
            return Written(found.etag, found.version_id, checked=mover.shared.target.kind != "file")
        if not mover.is_ours(item):
            raise
        return write(True)


def remove_unproven(mover: Mover, item: Item) -> None:
    """Delete what stands at the target if it is ours: the store has something else than was sent."""
    with suppress(StoreError):
        found = mover.at_target(mover.target.find, item.target_key)
        if mover.is_marked(item, found):
            mover.at_target(mover.target.delete, item.target_key, etag=found.etag)


def read_back(mover: Mover, item: Item, written: Written, compare: Callable[[], None]) -> None:
    """Run `compare`, which reads the target again; what it does not prove does not stay. Raises ProofFailed and what reading raises."""
    try:
        compare()
    except SourceChanged as error:
        raise ProofFailed(f"{item.target_key} was replaced by somebody else before it was read back.", hint="Look who writes there.") from error
    except (ProofFailed, Unreachable):
        with suppress(StoreError):
            mover.at_target(mover.target.delete, item.target_key, etag=written.etag)
        raise


def read_whole_again(mover: Mover, item: Item, written: Written, crc: int, md5: bytes = b"") -> None:
    """Read an object of one block again, into the thread's buffer. Raises ProofFailed when it is not what was sent; it is then deleted."""
    view = mover.buffer(item.size_bytes)

    def compare() -> None:
        mover.at_target(mover.target.read, Pin(item.target_key, item.size_bytes, written.etag, written.version_id), view)
        if mover.options.verify == "md5":
            refuse_difference(item, "md5", hashlib.md5(view, usedforsecurity=False).hexdigest(), md5.hex())
        else:
            refuse_difference(item, "crc64nvme", f"{crc64(view):016x}", f"{crc:016x}")

    read_back(mover, item, written, compare)


def refuse_difference(item: Item, name: str, found: str, sent: str) -> None:
    """Raises ProofFailed."""
    if found != sent:
        raise ProofFailed(f"{item.target_key} was read back with {name} {found}; sent was {sent}.", hint="Try again.")
