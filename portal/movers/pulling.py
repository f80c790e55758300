"""Server-side copies: no byte passes this machine. Azure fetches from a presigned URL; one S3 copies between its buckets (see `copying`).

The service says the CRC64 of what it fetched, which must be the CRC64NVME that the source stores before anything is committed. S3 tells no
checksum of a range, so an object for which it stores no CRC64NVME is streamed, unless the user accepts that only its size is compared.
In automatic mode everything is pulled that can be proven so; the price is a look at the source and a commit, two requests more an object.
Source: https://learn.microsoft.com/rest/api/storageservices/put-block-from-url (URLs of at most 2 KiB, blocks of at most 4,000 MiB).
"""

from __future__ import annotations

from typing import Any

from portal.errors import SourceRefused, StoreError
from portal.movers import copying
from portal.movers.messages import Item
from portal.movers.mover import Mover
from portal.movers.placing import Done, placed, read_whole_again, remove_unproven
from portal.transfer import proof
from portal.wire.ends import About, Access, Block, Found, Pin, Written

URL_MAX_BYTES = 2048
BLOCK_BYTES = 64 << 20
"""Of a large object that is pulled."""
_URL_LIFE_S = 3600
_LOOPBACK = ("127.", "localhost", "::1")


def may_pull(mover: Mover) -> bool:
    """Whether the ends can do it at all, and it is wanted."""
    fetches = hasattr(mover.target, "put_block_from_url") and hasattr(mover.source, "presigned")
    return mover.options.mode != "stream" and (fetches or copying.between_buckets(mover))


def obstacle(mover: Mover, pin: Pin, found: Found) -> str:
    """Return why an object is streamed instead, '' when nothing stands against pulling it."""
    if why := _standing_obstacle(mover):
        return why
    if mover.wants_md5:
        return "streamed: an MD5 was asked for"
    if found.customer_key:
        return "streamed: the source is encrypted with a customer's key"
    if "crc64nvme" not in found.checksums and not mover.options.accept_size:
        return "streamed: the source stores no CRC64NVME"
    if copying.copies(mover):
        return ""
    length = len(presigned(mover, pin))
    return f"streamed: the URL would have {length:,} characters, and {URL_MAX_BYTES:,} is the limit" if length > URL_MAX_BYTES else ""


def _standing_obstacle(mover: Mover) -> str:
    """Return what stands against pulling any object, '' when nothing does."""
    if mover.shared.refusal:
        return mover.shared.refusal
    if copying.between_buckets(mover):
        return "" if copying.copies(mover) else copying.APART
    if _is_here(mover.shared.source) and not _is_here(mover.shared.target):
        return "streamed: the target's service cannot reach an endpoint on this machine"
    return ""


def _is_here(access: Access) -> bool:
    return access.host.startswith(_LOOPBACK)


def presigned(mover: Mover, pin: Pin) -> str:
    """A URL that reads this version of the object, for an hour. Never logged, never kept."""
    source: Any = mover.source
    url: str = source.presigned(pin, expires_s=_URL_LIFE_S)
    return url


def refuse_to_stream(mover: Mover, why: str) -> None:
    """Raises SourceRefused where the user wants server-side copies only."""
    if mover.options.mode == "server":
        reason = why.removeprefix("streamed: ")
        raise SourceRefused(f"It cannot be copied server-side: {reason}.", hint="mode=auto streams such objects; accept_size copies them unproven.")


def whole(mover: Mover, item: Item, attempt: int) -> Done | str:
    """Pull an object of one block; returns why it is to be streamed instead. Raises SourceRefused with mode=server."""
    if not item.size_bytes:
        return ""
    # An earlier try may have left a copy that nobody compared: it is not taken for done, but written again.
    mover.doubts = mover.doubts or copying.copies(mover)
    why = _standing_obstacle(mover)
    if not why:
        pin = Pin(item.key, item.size_bytes, item.etag)
        found = mover.find(pin)
        pin = pin._replace(version_id=found.version_id)
        why = obstacle(mover, pin, found)
        if not why:
            try:
                return _pulled(mover, item, pin, found, attempt)
            except SourceRefused as error:
                why = refused(mover, error)
    refuse_to_stream(mover, why)
    return why


def refused(mover: Mover, error: SourceRefused) -> str:
    """Take note that the service could not read a source; returns why the object is streamed. Raises the error with mode=server."""
    if mover.options.mode == "server":
        raise error
    why = f"streamed: {error.message}"
    mover.shared.refused(why)
    return why


def _pulled(mover: Mover, item: Item, pin: Pin, found: Found, attempt: int) -> Done:
    about, left_out = mover.carried(item.n, pin, found)
    stored = stored_crc(found)
    pulled = _copied if copying.copies(mover) else _fetched
    written, crc = pulled(mover, item, pin, found, about, again=attempt > 1)
    verified = mover.options.verify != "none" and crc >= 0
    if verified:
        read_whole_again(mover, item, written, crc)
    compared = f"crc64nvme:{stored:016x}" if stored is not None and crc >= 0 else ""
    level = proof.level(read_back=verified, compared=bool(compared), checked=False, pulled=True)
    return Done(written, found.version_id, f"{crc:016x}" if crc >= 0 else "", "", compared, level, "server", left_out)


def _fetched(mover: Mover, item: Item, pin: Pin, found: Found, about: About, *, again: bool) -> tuple[Written, int]:
    """Have the object fetched as one block, which is compared before it is committed; returns its CRC64, -1 for one that is not known."""
    stored = stored_crc(found)
    upload = mover.at_target(mover.target.begin, item.target_key, about, item.size_bytes, overwrite=item.replace)
    block = pull(mover, item, pin, upload, 0, 0, item.size_bytes, crc64=stored)
    if block.crc64 >= 0:
        refuse_other_crc(mover, item, stored, block.crc64)
    elif stored is not None and not mover.options.accept_size:
        raise SourceRefused("the service did not tell the checksum of what it fetched")
    if stored is None or block.crc64 < 0:
        refuse_change(mover, pin)

    def commit(overwrite: bool) -> Written:
        return mover.at_target(mover.target.commit, item.target_key, upload, [block], about, overwrite=overwrite, crc64=block.crc64)

    return placed(mover, item, found.about.modified, commit, again=again, crc=block.crc64, blocks=[block]), block.crc64


def _copied(mover: Mover, item: Item, pin: Pin, found: Found, about: About, *, again: bool) -> tuple[Written, int]:
    """Have the object copied by one request. It is there at once, so what is not proven then is deleted; returns its CRC64, -1 for unknown."""
    stored, crc = stored_crc(found), -1

    def copy(overwrite: bool) -> Written:
        nonlocal crc
        written, told = copying.whole(mover, item, pin, about, overwrite=overwrite)
        try:
            crc = -1 if told is None and stored is None else copying.told(told)
            refuse_other_crc(mover, item, stored, crc)
            if stored is None:
                refuse_change(mover, pin)
        except StoreError:
            remove_unproven(mover, item)
            raise
        mover.shared.pulled()
        return written

    return placed(mover, item, found.about.modified, copy, again=again), crc


def stored_crc(found: Found) -> int | None:
    text = found.checksums.get("crc64nvme", "")
    return int(text, 16) if text else None


def pull(mover: Mover, item: Item, pin: Pin, upload: str, number: int, start: int, size_bytes: int, *, crc64: int | None = None) -> Block:
    """Have the target's service copy a block, or fetch it by a URL that was signed for it alone. Raises SourceRefused, SourceChanged."""
    if copying.copies(mover):
        mark, crc = copying.block(mover, item, pin, upload, number, start, size_bytes)
        mover.shared.pulled()
        return Block(number, size_bytes, crc, mark)
    target: Any = mover.target
    etag = "" if pin.version_id else pin.etag
    mark, crc = mover.at_target(
        target.put_block_from_url, item.target_key, upload, number, presigned(mover, pin), start=start, size_bytes=size_bytes, crc64=crc64,
        source_etag=etag,
    )  # fmt: skip
    if crc >= 0:
        mover.shared.pulled()
    return Block(number, size_bytes, crc, mark)


def refuse_other_crc(mover: Mover, item: Item, stored: int | None, pulled: int) -> None:
    """Raises ProofFailed when what the service fetched is not what the source stores."""
    if stored is not None:
        proof.compare(mover.options.source_root + item.key, "crc64nvme", f"{stored:016x}", f"{pulled & (1 << 64) - 1:016x}")


def refuse_change(mover: Mover, pin: Pin) -> None:
    """Look again at a source that has no versions. Raises SourceChanged: what was fetched may be of two objects."""
    if not pin.version_id:
        mover.find(pin)


__all__ = ["BLOCK_BYTES", "may_pull", "obstacle", "pull", "refuse_change", "refuse_other_crc", "refuse_to_stream", "refused", "stored_crc", "whole"]
