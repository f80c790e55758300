"""Writing an object to where it belongs, whoever stands there, and reading it back: what small, large and pulled objects have in common."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from portal.errors import AlreadyExists, NotFound, ProofFailed, SourceChanged, StoreError, Unreachable, UploadGone
from portal.movers.messages import Item
from portal.movers.mover import Mover
from portal.stores.checksums import crc64
from portal.transfer import proof
from portal.transfer.carry import LeftOut
from portal.wire.ends import Block, Found, Pin, Written

_AZURE = ("blob", "dfs")
_AZURE_HOSTS = (".core.windows.net", ".core.usgovcloudapi.net", ".core.chinacloudapi.cn")
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
    """Return what an attempt that was cut off left at the target, if that is the whole object and what can be known of it is no less than what
    moving it again would prove; whoever wants more proof gets the object again."""
    if mover.options.verify != "none" or mover.doubts:
        return None
    modified, stored = _told_by_source(mover, item)
    found = mover.standing(item, modified, begun=item.look)
    if found is None:
        return None
    told = found.checksums.get("crc64nvme", "")
    if told and stored and told != stored:
        mover.doubts = True
        return None
    checked = _checks(mover, found)
    if not checked and mover.shared.target.kind in _AZURE and item.size_bytes <= mover.options.whole_bytes:
        return None  # whether this service compares anything it says only when it is written to
    compared = f"crc64nvme:{stored}" if told and stored else ""
    level = proof.level(read_back=False, compared=bool(compared), checked=checked and (bool(told) or not mover.options.accept_size))
    return Done(Written(found.etag, found.version_id), "", told, "", compared, level, "", reason=CUT_OFF, resumed_bytes=item.size_bytes)


def _told_by_source(mover: Mover, item: Item) -> tuple[str, str]:
    """Return the source's time and CRC64NVME; '' for what it does not tell, and of a source that is another one now."""
    try:
        found = mover.find(Pin(item.key, item.size_bytes, item.etag))
    except SourceChanged:
        return "", ""
    return found.about.modified, found.checksums.get("crc64nvme", "")


def _checks(mover: Mover, found: Found) -> bool:
    """Whether the target is known to compare what it is sent: an S3 that stores a CRC64NVME, and Azure itself; of what else takes Azure's requests
    nobody knows (Source: https://learn.microsoft.com/rest/api/storageservices/put-blob, x-ms-content-crc64)."""
    access = mover.shared.target
    return "crc64nvme" in found.checksums if access.kind == "s3" else access.kind in _AZURE and access.host.endswith(_AZURE_HOSTS)


def placed(
    mover: Mover, item: Item, modified: str, write: Callable[[bool], Written], *, again: bool, crc: int = -1, blocks: Sequence[Block] = ()
) -> Written:
    """Write by `write(overwrite)`. Where that finds the target taken, look whether this very copy stands there already (an answer was lost, or an
    earlier attempt got that far) or something else of ours.

    Arguments:
        crc: CRC64 of what is sent, -1 when nobody knows
        blocks: those that are committed, none for an object that is sent whole

    Raises AlreadyExists for anything else at the target, ProofFailed for other bytes than were sent.
    """
    try:
        return _placed(mover, item, modified, write, again, crc, blocks)
    except ProofFailed:
        mover.doubts = True
        mover.disproved = not remove_unproven(mover, item)
        raise


def _placed(
    mover: Mover, item: Item, modified: str, write: Callable[[bool], Written], again: bool, crc: int, blocks: Sequence[Block]
) -> Written:  # fmt: skip
    try:
        return write(item.replace)
    except (AlreadyExists, UploadGone):
        found = None if mover.doubts else mover.standing(item, modified, begun=again or item.look)
        if found is None and not mover.is_ours(item):
            raise
        azure = mover.shared.target.kind in _AZURE
        if found is None or (azure and not blocks and not _checks(mover, found)):
            return _written_over(write, found)
        told = found.checksums.get("crc64nvme", "")
        if told and crc >= 0:
            refuse_difference(item, "crc64nvme", told, f"{crc:016x}", "found at the target")
        checked = not any(block.unchecked for block in blocks) if azure and blocks else _checks(mover, found)
        return Written(found.etag, found.version_id, checked)


def _written_over(write: Callable[[bool], Written], found: Found | None) -> Written:
    """Write again over what is ours. Where this very copy stands (`found`) and may not be written over, nobody knows whether it was compared."""
    try:
        return write(True)
    except StoreError as error:
        if found is None or error.retryable:
            raise
        return Written(found.etag, found.version_id, checked=False)


def remove_unproven(mover: Mover, item: Item) -> bool:
    """Delete what stands at the target if it is ours: the store has something else than was sent. Tells whether nothing of ours is left."""
    try:
        found = mover.at_target(mover.target.find, item.target_key)
        if mover.is_marked(item, found):
            mover.at_target(mover.target.delete, item.target_key, etag=found.etag)
    except NotFound:
        return True
    except StoreError:
        return False
    return True


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


def refuse_difference(item: Item, name: str, found: str, sent: str, how: str = "read back") -> None:
    """Raises ProofFailed."""
    if found != sent:
        raise ProofFailed(f"{item.target_key} was {how} with {name} {found}; sent was {sent}.", hint="Try again.")
