"""A part of a listing: what is listed of it at a time, by the same lister that lists everything, and how its pages travel."""

from __future__ import annotations

import json
import zlib
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

from portal.errors import StoreError
from portal.planning.listing import Lister, Lists
from portal.wire.ends import Access, Listed
from portal.wire.opening import open_end

COLUMNS = tuple(column.name for column in fields(Listed) if column.name not in ("continuation", "unseen"))
"""Those of a page that have a value for each object."""
_SAMPLE = 64


class Part(NamedTuple):
    """Names that begin with `prefix` ('' or ending in '/'), from a continuation on up to a name."""

    prefix: str
    continuation: str | None = None
    upto: str | None = None
    """The last name that may be in it; None: there is no such end. Only of a store that lists in the order of its names."""


class Reading(NamedTuple):
    """What was read of a part."""

    pages: bytes
    """See `unpacked`."""
    objects: int
    rest: Part | None
    """What is left of it, None when it was read to its end."""
    letters: str = ""
    """The characters that some of its names are made of."""
    requests: int = 0


def read_part(opened: Callable[[], Lists], part: Part, most_pages: int, check: Callable[[], None] = lambda: None) -> Reading:
    """List a part, `most_pages` pages of it at the most. Raises what `Lister.pages` raises; StoreError when the names come in no order.

    Args:
        opened: opens an end for one thread
        check: called often, and may raise Cancelled
    """
    lister = Lister(opened, check)
    pages: list[Listed] = []
    rest: Part | None = None
    for page in lister.pages(part.prefix, part.continuation):
        following = page.continuation
        if part.upto is not None:
            page = _until(page, part.upto)
        pages.append(page)
        if page.continuation is None or following is None:
            break
        if len(pages) >= most_pages:
            rest = part._replace(continuation=following)
            break
    letters = "".join(sorted({letter for page in pages for key in page.keys[:: max(1, len(page.keys) // _SAMPLE)] for letter in key}))
    return Reading(packed(pages), sum(len(page.keys) for page in pages), rest, letters, lister.requests)


def read(common: None, argument: tuple[Access, Part, int], tried: int) -> Reading:
    """What a task does; see `read_part`."""
    access, part, most_pages = argument
    return read_part(lambda: open_end(access), part, most_pages)


def _until(page: Listed, upto: str) -> Listed:
    """Return a page without what comes after a name; its continuation is None when nothing more can come before that."""
    if any(map(str.__gt__, page.keys, page.keys[1:])):
        hint = "Directory buckets of S3 do so. List it on this machine: run_on local."
        raise StoreError("The store lists its objects in no order, so the listing cannot be parted.", hint=hint)
    kept = bisect_right(page.keys, upto)
    if kept == len(page.keys):
        return page
    return page_of([getattr(page, name)[:kept] for name in COLUMNS], unseen={key: why for key, why in page.unseen.items() if key <= upto})


def page_of(columns: Sequence[list[Any]], continuation: str | None = None, unseen: dict[str, str] | None = None) -> Listed:
    """Return a page of its columns, in the order of COLUMNS."""
    keys, sizes, etags, modified, classes, folders, sources, md5s = columns
    return Listed(keys, sizes, etags, modified, classes, folders, sources, md5s, continuation, unseen or {})


def packed(pages: Sequence[Listed]) -> bytes:
    """Return pages as a few bytes an object."""
    told = [[*(getattr(page, name) for name in COLUMNS), page.continuation, page.unseen] for page in pages]
    return zlib.compress(json.dumps(told, separators=(",", ":")).encode(), 1)


def unpacked(data: bytes) -> list[Listed]:
    return [page_of(columns[:-2], *columns[-2:]) for columns in json.loads(zlib.decompress(data))]
