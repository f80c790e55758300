"""Where the file of an object goes below the target, and which objects may be fetched at all. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from portal.errors import NameNotAllowed
from portal.planning import names
from portal.stores.url import StoreURL

Layout = Literal["bucket-key", "key", "flat"]


def target_name(url: StoreURL, layout: Layout) -> str:
    """Return the name below the target folder, as a file system can hold it: see `portal.planning.names`. No part of it is '..'.

    Raises NameNotAllowed for an object that can have no file: one whose key ends in '/' is a folder marker, unless it has bytes."""
    key = url.key
    name = {"bucket-key": f"{url.container}/{key}", "key": key, "flat": key.rstrip("/").rpartition("/")[2] or key}[layout]
    found = names.encoded("file", name)
    if why := names.refusal("file", found):
        raise NameNotAllowed(f"{url} can have no file: {why}.")
    return found


def shared(layout: Layout) -> bool:
    """Whether files of different objects can have one name."""
    return layout != "bucket-key"


def allowed(url: StoreURL, sources: Sequence[StoreURL]) -> bool:
    """Whether an object may be fetched: it is in S3 and lies in one of these places; none given: anywhere in S3."""
    if url.scheme != "s3":
        return False
    return not sources or any(url.container == place.container and _below(url.key, place.key) for place in sources)


def _below(key: str, prefix: str) -> bool:
    return not prefix or names.below(key, prefix) is not None
