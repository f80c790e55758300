"""The XML that S3 answers with. The usual shape of a listing is taken apart by columns (about 2 µs an object); any other by a real parser.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html. Keys are asked for percent-encoded, because XML cannot hold
every character that a key can.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from portal.errors import StoreError, Unreachable
from portal.wire.ends import Listed
from portal.wire.http_values import whole_number

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_KEY = re.compile("<Key>([^<]*)</Key>")
_SIZE = re.compile("<Size>([0-9]{1,18})</Size>")
_ETAG = re.compile("<ETag>(?:&quot;|&#34;|\")?([^<&\"]*)(?:&quot;|&#34;|\")?</ETag>")
_MODIFIED = re.compile("<LastModified>([^<&]*)</LastModified>")
_CLASS = re.compile("<StorageClass>([^<&]*)</StorageClass>")
_TRUNCATED = re.compile("<IsTruncated>(true|false)</IsTruncated>")
_AFTER, _TOKEN = "k", "t"


def after(continuation: str) -> tuple[str, str]:
    """Return the query parameter that leads to the page after the one that gave this continuation."""
    name = "continuation-token" if continuation.startswith(_TOKEN) else "start-after"
    return name, continuation[1:]


def refuse_standstill(continuation: str, key: str) -> None:
    """Raises StoreError when a page begins at or before the key that it was to follow: the same objects would come for ever."""
    if continuation.startswith(_AFTER) and key <= continuation[1:]:
        raise StoreError("The service's listing does not go on: it gives again what it gave before.", hint="Check that the endpoint is one of S3.")


def listed(body: bytes) -> Listed:
    """Return a page of ListObjectsV2. Raises Unreachable for what is none."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = ""
    return _by_columns(text) or _by_elements(body)


def _by_columns(text: str) -> Listed | None:
    """None when the page has not the usual shape: elements are missing, repeated or prefixed."""
    count = text.count("<Contents>")
    if "<!" in text or ":Contents" in text or not text.rstrip().endswith("</ListBucketResult>"):
        return None
    found = [pattern.findall(text) for pattern in (_KEY, _SIZE, _ETAG, _MODIFIED, _CLASS)]
    truncated = _TRUNCATED.search(text)
    if [len(column) for column in found] != [count] * 5 or not truncated or (truncated[1] == "true" and not count):
        return None
    keys = found[0]
    if "<EncodingType>url</EncodingType>" in text:
        keys = [unquote_plus(key) if "%" in key or "+" in key else key for key in keys]
    elif any("&" in key for key in keys):
        return None
    return _page(keys, list(map(int, found[1])), found[2], found[3], found[4], f"{_AFTER}{keys[-1]}" if truncated[1] == "true" else None)


def _page(keys: list[str], sizes: list[int], etags: list[str], modified: list[str], classes: list[str], continuation: str | None) -> Listed:
    folders = [not size and key.endswith("/") for key, size in zip(keys, sizes, strict=True)]
    nothing = [""] * len(keys)
    return Listed(keys, sizes, etags, modified, classes, folders, nothing, list(nothing), continuation)


def _by_elements(body: bytes) -> Listed:
    rows: list[tuple[str, int, str, str, str]] = []
    told: dict[str, str] = {}
    for name, text, inner in _children(body, "ListBucketResult"):
        told[name] = text
        if name == "Contents":
            if "Key" not in inner:
                raise _strange()
            rows.append((inner["Key"], _size(inner), inner.get("ETag", "").strip('"'), inner.get("LastModified", ""), inner.get("StorageClass", "")))
    keys, sizes, etags, modified, classes = map(list, zip(*rows, strict=True)) if rows else ([], [], [], [], [])
    if told.get("EncodingType") == "url":
        keys = [unquote_plus(key) for key in keys]
    continuation = None
    if told.get("IsTruncated") not in ("true", "false"):  # without it nobody knows whether this is all
        raise _strange()
    if told["IsTruncated"] == "true":
        continuation = f"{_AFTER}{keys[-1]}" if keys else f"{_TOKEN}{told.get('NextContinuationToken', '')}"
        if continuation == _TOKEN:
            raise _strange()
    return _page(keys, sizes, etags, modified, classes, continuation)


def tags(body: bytes) -> dict[str, str]:
    """Return the tags of an object (GetObjectTagging). Raises Unreachable for what is no such answer."""
    return {inner["Key"]: inner.get("Value", "") for name, _, inner in _children(body, "Tagging", below="TagSet") if name == "Tag" and "Key" in inner}


def part_sizes(body: bytes) -> list[tuple[int, int]]:
    """Return numbers and sizes of the parts that GetObjectAttributes tells. Raises Unreachable for what is no such answer."""
    found = []
    for name, _, inner in _children(body, "GetObjectAttributesResponse", "GetObjectAttributesOutput", below="ObjectParts"):
        if name == "Part":
            found.append((_size(inner, "PartNumber"), _size(inner)))
    return found


def _size(inner: dict[str, str], name: str = "Size") -> int:
    try:
        return whole_number(inner.get(name, ""))
    except ValueError:
        raise _strange() from None


def fields(body: bytes) -> dict[str, str]:
    """Return the texts of the elements right below the root, and the root's own name as ''. Raises Unreachable for what is no XML."""
    return {"": _root(body).tag.rpartition("}")[2], **{name: text for name, text, _ in _children(body)}}


def _children(body: bytes, *roots: str, below: str = "") -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yield name, text and inner texts of the elements below a root of one of these names."""
    root = _root(body)
    if roots and root.tag.rpartition("}")[2] not in roots:
        raise _strange()
    items: Iterable[Element] = root
    if below:
        items = next((item for item in root if item.tag.rpartition("}")[2] == below), ())
    for item in items:
        yield item.tag.rpartition("}")[2], item.text or "", {child.tag.rpartition("}")[2]: child.text or "" for child in item}


def _root(body: bytes) -> Element:
    from xml.etree import ElementTree  # 8 ms that few processes pay

    if b"<!DOCTYPE" in body:  # without one there are no entities that could be made to fill the memory
        raise _strange()
    try:
        return ElementTree.fromstring(body)  # noqa: S314
    except (ElementTree.ParseError, ValueError, LookupError):
        raise _strange() from None


def _strange() -> Unreachable:
    return Unreachable("The service answered with something that S3 would not say.", hint="Check that the endpoint is one of S3.")
