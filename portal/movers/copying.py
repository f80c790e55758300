"""Copies that an S3 makes by itself: source and target are buckets of one service, used with the same keys.

The service tells the CRC64NVME of what it copied. A store that does not tell it is not taken at its word: its objects are streamed.
Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html and …/API_UploadPartCopy.html.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from portal.errors import AccessDenied, SourceRefused, StoreError
from portal.movers.messages import Item
from portal.movers.mover import Mover
from portal.wire.ends import About, Access, Pin, Written

APART = "streamed: source and target are not buckets of one S3, used with the same keys"
_UNTOLD = "the service did not tell the checksum of what it copied"


class CopyRefused(SourceRefused, AccessDenied):
    """The service may not read the source or write the target; which of them, streaming finds out."""


def one_service(source: Access, target: Access) -> bool:
    """Whether two buckets are of one service, under the same keys, which alone can copy from one to the other."""
    return source.kind == target.kind == "s3" and _service(source) == _service(target)


def _service(access: Access) -> tuple[object, ...]:
    host = access.host if access.path_style else access.host.removeprefix(f"{access.container}.")
    return access.scheme, host, access.port, access.base_path, access.region, access.keys


def between_buckets(mover: Mover) -> bool:
    return mover.shared.source.kind == mover.shared.target.kind == "s3"


def copies(mover: Mover) -> bool:
    """Whether the service of both ends copies by itself, and that is wanted."""
    return mover.options.mode != "stream" and one_service(mover.shared.source, mover.shared.target)


def whole(mover: Mover, item: Item, pin: Pin, about: About, *, overwrite: bool) -> tuple[Written, int | None]:
    """Copy an object by one request; returns the CRC64NVME that the service computed, if it told one. Raises SourceRefused, SourceChanged."""
    target: Any = mover.target
    found: tuple[Written, int | None] = _asked(
        mover, target.copy, pin, mover.shared.source.container, item.target_key, about, overwrite=overwrite
    )  # fmt: skip
    return found


def block(mover: Mover, item: Item, pin: Pin, upload: str, number: int, start: int, size_bytes: int) -> tuple[str, int]:
    """Copy a range as a part of what was begun; returns its mark and its CRC64NVME. Raises SourceRefused, SourceChanged."""
    target: Any = mover.target
    mark, crc = _asked(
        mover, target.copy_block, item.target_key, upload, number, pin, mover.shared.source.container, start=start, size_bytes=size_bytes
    )  # fmt: skip
    return mark, told(crc)


def told(crc: int | None) -> int:
    """Raises SourceRefused for a checksum that the service did not tell."""
    if crc is None:
        raise SourceRefused(_UNTOLD)
    return crc


def _asked(mover: Mover, call: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """What the service has no permission or no way to copy is refused; what may pass, a changed source and a taken target remain what they are."""
    try:
        return mover.at_target(call, *args, **options)
    except AccessDenied as error:
        raise CopyRefused(error.message, hint=error.hint) from error.__cause__
    except StoreError as error:
        if type(error) is not StoreError:
            raise
        raise SourceRefused(error.message, hint=error.hint) from error.__cause__
