"""The small XML documents of the Blob endpoint: lists of blocks and tags.

Source: https://learn.microsoft.com/rest/api/storageservices/put-block-list, …/get-block-list and …/get-blob-tags.
"""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree import ElementTree

from portal.errors import Unreachable
from portal.wire.http_values import whole_number


def block_list(marks: Iterable[str]) -> bytes:
    """Return what a Put Block List sends. Only uncommitted blocks: those of an earlier blob of the same name are no part of this one."""
    blocks = "".join(f"<Uncommitted>{mark}</Uncommitted>" for mark in marks)
    return f'<?xml version="1.0" encoding="utf-8"?><BlockList>{blocks}</BlockList>'.encode()


def blocks_listed(document: bytes) -> list[tuple[str, int]]:
    """Return names and sizes in bytes of a blob's committed blocks, in order. Raises Unreachable when it is no such list."""
    try:
        found = parsed(document).iterfind("CommittedBlocks/Block")
        return [(item.findtext("Name", ""), whole_number(item.findtext("Size", ""))) for item in found]
    except ValueError as error:
        raise Unreachable("The service answered with a list of blocks that cannot be read.") from error


def tags_listed(document: bytes) -> dict[str, str]:
    """Return a blob's tags. Raises Unreachable when these are none."""
    return {item.findtext("Key", ""): item.findtext("Value", "") for item in parsed(document).iterfind("TagSet/Tag")}


def parsed(document: bytes) -> ElementTree.Element:
    """Return the root of an answer in XML. Raises Unreachable when it is none: something on the way answered in the service's place."""
    try:
        return ElementTree.fromstring(document)  # noqa: S314 (expat refuses entity bombs by itself since 2.4.1)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise Unreachable("The service answered with something that is no XML.", hint="Check the endpoint, and proxies on the way.") from error
