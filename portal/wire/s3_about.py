"""What belongs to an object besides its bytes, as S3's headers carry it.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html and …/API_HeadObject.html.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping
from urllib.parse import quote

from portal.errors import NameNotAllowed
from portal.wire.ends import About, Found
from portal.wire.http_values import rfc3339

CONTENT_HEADERS = frozenset({"content-encoding", "content-language", "content-disposition", "cache-control", "expires"})
_ARCHIVES = frozenset({"GLACIER", "DEEP_ARCHIVE"})
_CHECKSUMS = tuple(
    (f"x-amz-checksum-{name}", name, size)
    for name, size in {"crc64nvme": 8, "crc32": 4, "crc32c": 4, "sha1": 20, "sha256": 32, "md5": 16}.items()
)
"""Header, algorithm, bytes of a digest."""
_MAX_PARTS, _COUNT_DIGITS = 10_000, 9
_META = "x-amz-meta-"
_MD5 = re.compile(r"[0-9a-f]{32}")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")


def about_headers(about: About) -> list[tuple[str, str]]:
    """Return the headers that store an About with an object, names in lower case. Raises NameNotAllowed for what a header cannot hold."""
    found = [("content-type", about.content_type)] if about.content_type else []
    found += [(name, value) for name, value in about.headers.items() if name in CONTENT_HEADERS]
    found += [(_META + name, value) for name, value in about.metadata.items()]
    if about.storage_class:
        found.append(("x-amz-storage-class", about.storage_class))
    if about.tags:
        found.append(("x-amz-tagging", "&".join([f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in about.tags.items()])))
    _check(about.metadata, "".join([value for _, value in found]))
    return found


def _check(metadata: Mapping[str, str], text: str) -> None:
    if not (text.isascii() and text.isprintable()):
        raise NameNotAllowed("Metadata and headers of an object in S3 must be printable ASCII.", hint="Percent-encode other characters.")
    for name in metadata:
        if not _NAME.fullmatch(name):
            raise NameNotAllowed(f"Metadata cannot be called {name!r} in S3: small letters, digits and hyphens.")


def found_of(headers: Mapping[str, str], size_bytes: int) -> Found:
    """Return what the headers of a GET or HEAD say of an object."""
    etag, version = headers.get("etag", "").strip('"'), headers.get("x-amz-version-id", "")
    return Found(
        size_bytes, etag, "" if version == "null" else version, _about(headers), _checksums(headers, etag), _parts(headers, etag),
        _count(headers.get("x-amz-tagging-count", "")), "x-amz-server-side-encryption-customer-algorithm" in headers, _archived(headers),
    )  # fmt: skip


def _about(headers: Mapping[str, str]) -> About:
    return About(
        headers.get("content-type", ""),
        {name: headers[name] for name in CONTENT_HEADERS & headers.keys()},
        {name[len(_META) :]: value for name, value in headers.items() if name.startswith(_META)},
        {},
        headers.get("x-amz-storage-class", "STANDARD"),
        rfc3339(headers.get("last-modified", "")),
    )


def _checksums(headers: Mapping[str, str], etag: str) -> dict[str, str]:
    found = {}
    for header, name, size in _CHECKSUMS:
        if header not in headers:
            continue
        digest, _, parts = headers[header].partition("-")
        composite = parts or headers.get("x-amz-checksum-type") == "COMPOSITE"
        try:
            value = binascii.a2b_base64(digest)
        except binascii.Error:
            continue
        if len(value) == size:
            found[f"{name}-composite" if composite else name] = value.hex()
    plain = headers.get("x-amz-server-side-encryption", "AES256") == "AES256"
    if plain and "x-amz-server-side-encryption-customer-algorithm" not in headers and _MD5.fullmatch(etag):
        found["md5"] = etag
    return found


def _parts(headers: Mapping[str, str], etag: str) -> int:
    told = headers.get("x-amz-mp-parts-count") or etag.partition("-")[2]
    count = _count(told)
    return count if count <= _MAX_PARTS else 0


def _count(text: str) -> int:
    """0 for what is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _COUNT_DIGITS else 0


def _archived(headers: Mapping[str, str]) -> bool:
    """Restored copies can be read (https://docs.aws.amazon.com/AmazonS3/latest/userguide/restoring-objects.html)."""
    if "x-amz-archive-status" in headers:
        return True
    return headers.get("x-amz-storage-class") in _ARCHIVES and 'ongoing-request="false"' not in headers.get("x-amz-restore", "")
