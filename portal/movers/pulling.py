"""Server-side copies: the target's service fetches from a presigned URL, and no byte passes this machine.

The service says the CRC64 of what it fetched, which must be the CRC64NVME that the source stores before anything is committed. S3 tells no
checksum of a range, so an object for which it stores no CRC64NVME is streamed, unless the user accepts that only its size is compared.
In automatic mode everything is pulled that can be proven so; the price is a look at the source and a commit, two requests more an object.
Source: https://learn.microsoft.com/rest/api/storageservices/put-block-from-url (URLs of at most 2 KiB, blocks of at most 4,000 MiB).
"""

from __future__ import annotations

from typing import Any

from portal.errors import SourceRefused
from portal.movers.messages import Item
from portal.movers.mover import Mover
from portal.movers.placing import Done, placed, read_whole_again
from portal.transfer import proof
from portal.wire.ends import Access, Block, Found, Pin, Written

URL_MAX_BYTES = 2048
BLOCK_BYTES = 64 << 20
"""Of a large object that is pulled."""
_URL_LIFE_S = 3600
_LOOPBACK = ("127.", "localhost", "::1")


def may_pull(mover: Mover) -> bool:
    """Whether the ends can do it at all, and it is wanted."""
    return mover.options.mode != "stream" and hasattr(mover.target, "put_block_from_url") and hasattr(mover.source, "presigned")


def obstacle(mover: Mover, pin: Pin, found: Found) -> str:
    """Return why an object is streamed instead, '' when nothing stands against pulling it."""
    if mover.shared.refusal:
        return mover.shared.refusal
    if _is_here(mover.shared.source) and not _is_here(mover.shared.target):
        return "streamed: the target's service cannot reach an endpoint on this machine"
    if mover.wants_md5:
        return "streamed: an MD5 was asked for"
    if found.customer_key:
        return "streamed: the source is encrypted with a customer's key"
    if "crc64nvme" not in found.checksums and not mover.options.accept_size:
        return "streamed: the source stores no CRC64NVME"
    length = len(presigned(mover, pin))
    return f"streamed: the URL would have {length:,} characters, and {URL_MAX_BYTES:,} is the limit" if length > URL_MAX_BYTES else ""


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
    why = mover.shared.refusal
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
    upload = mover.at_target(mover.target.begin, item.target_key, about, item.size_bytes, overwrite=item.replace)
    block = pull(mover, item, pin, upload, 0, 0, item.size_bytes, crc64=stored)
    refuse_other_crc(mover, item, stored, block.crc64)
    if stored is None:
        refuse_change(mover, pin)

    def commit(overwrite: bool) -> Written:
        return mover.at_target(mover.target.commit, item.target_key, upload, [block], about, overwrite=overwrite, crc64=block.crc64)

    written = placed(mover, item, found.about.modified, commit, again=attempt > 1)
    verified = mover.options.verify != "none" and block.crc64 >= 0
    if verified:
        read_whole_again(mover, item, written, block.crc64)
    level = proof.level(read_back=verified, compared=stored is not None, checked=False, pulled=True)
    compared = f"crc64nvme:{stored:016x}" if stored is not None else ""
    return Done(written, found.version_id, f"{block.crc64:016x}" if block.crc64 >= 0 else "", "", compared, level, "server", left_out)


def stored_crc(found: Found) -> int | None:
    text = found.checksums.get("crc64nvme", "")
    return int(text, 16) if text else None


def pull(mover: Mover, item: Item, pin: Pin, upload: str, number: int, start: int, size_bytes: int, *, crc64: int | None = None) -> Block:
    """Have the target's service fetch a block, by a URL that was signed for it alone."""
    target: Any = mover.target
    etag = "" if pin.version_id else pin.etag
    mark, crc = mover.at_target(
        target.put_block_from_url, item.target_key, upload, number, presigned(mover, pin), start=start, size_bytes=size_bytes, crc64=crc64,
        source_etag=etag,
    )  # fmt: skip
    mover.shared.pulled()
    return Block(number, size_bytes, crc64 if crc == -1 and crc64 is not None else crc, mark)


def refuse_other_crc(mover: Mover, item: Item, stored: int | None, pulled: int) -> None:
    """Raises ProofFailed when what the service fetched is not what the source stores."""
    if stored is not None:
        proof.compare(mover.options.source_root + item.key, "crc64nvme", f"{stored:016x}", f"{pulled & (1 << 64) - 1:016x}")


def refuse_change(mover: Mover, pin: Pin) -> None:
    """Look again at a source that has no versions. Raises SourceChanged: what was fetched may be of two objects."""
    if not pin.version_id:
        mover.find(pin)


__all__ = ["BLOCK_BYTES", "may_pull", "obstacle", "pull", "refuse_change", "refuse_other_crc", "refuse_to_stream", "refused", "stored_crc", "whole"]
