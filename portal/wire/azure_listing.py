"""Pages of a listing: List Blobs (XML) and List Paths (JSON), as columns.

A page of List Blobs has 5,000 blobs of about 1 KiB of XML each, and parsing all of it costs 18 µs a blob. So the few texts that are wanted are found
by their tags (3 µs), and a page with anything unusual in it is parsed: without comments, CDATA and attributes, '<' begins a tag and nothing else.
Source: https://learn.microsoft.com/rest/api/storageservices/list-blobs and …/datalakestoragegen2/path/list.
"""

from __future__ import annotations

import json
from itertools import compress
from typing import Any
from urllib.parse import unquote
from xml.etree.ElementTree import Element

from portal.errors import Unreachable
from portal.stores.partial import is_partial
from portal.wire.azure_about import FOLDER_MARK, md5_hex
from portal.wire.azure_lists import parsed
from portal.wire.ends import Listed
from portal.wire.http_values import rfc3339, whole_number

_SOURCE = "source_etag"
_DATE_CHARACTERS = 29
_UNUSUAL = ("\r", "BlobPrefix>")


class _Unusual(ValueError):
    """The page must be parsed."""


def blobs_listed(document: bytes) -> Listed:
    """Return a page of List Blobs (flat, with metadata). Raises Unreachable when it is none."""
    try:
        page = _scanned(document.decode("utf-8-sig"))
    except ValueError:
        page = _parsed(document)
    return _without_partial(page) if ".portal-" in "\n".join(page.keys) else page


def folders_listed(document: bytes) -> list[str]:
    """Return the folders in a page of List Blobs with a delimiter; their names end in '/'. Raises Unreachable when it is no such page."""
    if b"<BlobPrefix>" not in document:
        return []
    try:
        return [_name_of(item.find("Name")) for item in parsed(document).iterfind("Blobs/BlobPrefix")]
    except ValueError as error:
        raise Unreachable("The service answered with a listing that cannot be read.") from error


def nothing_listed() -> Listed:
    """Return the only page of a listing that has nothing in it."""
    return Listed([], [], [], [], [], [], [], [])


def paths_listed(document: bytes, prefix: str, continuation: str) -> Listed:
    """Return a page of List Paths, of it what begins with `prefix`. Raises Unreachable when it is none."""
    try:
        items = [item for item in json.loads(document)["paths"] if item["name"].startswith(prefix)]
        "".join([item["name"] for item in items]).encode()  # half a character is no name
        page = _of_paths(items, continuation)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Unreachable("The service answered with a listing that cannot be read.", hint="Check the endpoint, and proxies on the way.") from error
    return _without_partial(page) if b".portal-" in document else page


def _of_paths(items: list[dict[str, Any]], continuation: str) -> Listed:
    folders = [str(item.get("isDirectory", "")).lower() == "true" for item in items]
    blank = [""] * len(items)
    return Listed(
        [item["name"] for item in items],
        [0 if folder else whole_number(str(item["contentLength"])) for item, folder in zip(items, folders, strict=True)],
        [item.get("etag", "").strip('"') for item in items], [rfc3339(item.get("lastModified", "")) for item in items],
        blank, folders, blank, blank, continuation or None,
    )  # fmt: skip


def _scanned(text: str) -> Listed:
    """Raises ValueError when the page is not of the usual kind."""
    if ("!" in text and "<!" in text) or any(mark in text for mark in _UNUSUAL) or not text.rstrip().endswith("</EnumerationResults>"):
        raise _Unusual
    blobs = text.split("<Blob>")
    halves = [blob.partition("</Properties>") for blob in blobs[1:]]
    properties, rests = [half[0] for half in halves], [half[2] for half in halves]
    if not all([half[1] and half[0].startswith("<Name>") for half in halves]):
        raise _Unusual
    names = [item[6 : item.index("</Name>")] for item in properties]
    folders = _folders(properties, rests)
    tail = blobs[-1][blobs[-1].rindex("</Blobs>") :]
    return Listed(
        [_plain(name) for name in names] if "&" in text else names,
        [whole_number(item[(at := item.index("<Content-Length>") + 16) : item.index("<", at)]) for item in properties],
        [_plain(item[(at := item.index("<Etag>") + 6) : item.index("<", at)]).strip('"') for item in properties],
        [rfc3339(item[(at := item.index("<Last-Modified>") + 15) : at + _DATE_CHARACTERS]) for item in properties],
        [item[at + 12 : item.index("<", at + 12)] if (at := item.find("<AccessTier>")) >= 0 else "" for item in properties],
        folders, _sources(rests), _md5s(properties), _text(tail, "NextMarker") or None,
    )  # fmt: skip


def _folders(properties: list[str], rests: list[str]) -> list[bool]:
    return [
        "<ResourceType>directory<" in item or ("<hdi_isfolder>" in rest and _text(rest, FOLDER_MARK).lower() == "true")
        for item, rest in zip(properties, rests, strict=True)
    ]


def _md5s(properties: list[str]) -> list[str]:
    return [md5_hex(item[at + 13 : item.index("<", at + 13)]) if (at := item.find("<Content-MD5>")) >= 0 else "" for item in properties]


def _sources(rests: list[str]) -> list[str]:
    return [_plain(rest[at + 13 : rest.index("<", at + 13)]).strip('"') if (at := rest.find("<source_etag>")) >= 0 else "" for rest in rests]


def _text(text: str, tag: str) -> str:
    """What stands in an element, '' when there is none."""
    _, begin, rest = text.partition(f"<{tag}>")
    return _plain(rest[: rest.index("<")]) if begin else ""


def _plain(text: str) -> str:
    return _unescaped(text) if "&" in text else text


def _unescaped(text: str) -> str:
    return parsed(f"<a>{text}</a>".encode()).text or ""


def _parsed(document: bytes) -> Listed:
    root = parsed(document)
    if root.tag != "EnumerationResults" or root.find("Blobs") is None or root.find("NextMarker") is None:
        raise Unreachable("The service answered with something that is no listing.", hint="Check the endpoint, and proxies on the way.")
    page = nothing_listed()
    try:
        for blob in root.iterfind("Blobs/Blob"):
            _add(blob, page)
    except ValueError as error:
        raise Unreachable("The service answered with a listing that cannot be read.") from error
    page.continuation = root.findtext("NextMarker") or None
    return page


def _add(blob: Element, page: Listed) -> None:
    """Raises ValueError for a blob without a name or size."""
    name, properties = blob.find("Name"), blob.find("Properties")
    if name is None or properties is None:
        raise ValueError("no name")
    metadata = {item.tag: item.text or "" for item in blob.iterfind("Metadata/*")}
    page.keys.append(_name_of(name))
    page.sizes.append(whole_number(properties.findtext("Content-Length", "")))
    page.etags.append(properties.findtext("Etag", "").strip('"'))
    page.modified.append(rfc3339(properties.findtext("Last-Modified", "")))
    page.classes.append(properties.findtext("AccessTier", ""))
    page.md5s.append(md5_hex(properties.findtext("Content-MD5", "")))
    page.folders.append(properties.findtext("ResourceType") == "directory" or metadata.get(FOLDER_MARK, "").lower() == "true")
    page.sources.append(metadata.get(_SOURCE, "").strip('"'))


def _name_of(name: Element | None) -> str:
    """Raises ValueError where there is none."""
    if name is None:
        raise ValueError("no name")
    return unquote(name.text or "") if name.get("Encoded", "").lower() == "true" else name.text or ""


def _without_partial(page: Listed) -> Listed:
    """Leave out what is being written."""
    kept = [not is_partial(key) for key in page.keys]
    columns: list[list[Any]] = [page.keys, page.sizes, page.etags, page.modified, page.classes, page.folders, page.sources, page.md5s]
    keys, sizes, etags, modified, classes, folders, sources, md5s = (list(compress(column, kept)) for column in columns)
    return Listed(keys, sizes, etags, modified, classes, folders, sources, md5s, page.continuation)
