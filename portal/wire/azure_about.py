"""What belongs to an object besides its bytes, as Azure's headers carry it: Blob endpoint and dfs endpoint.

Source: https://learn.microsoft.com/rest/api/storageservices/put-blob, …/get-blob-properties and …/datalakestoragegen2/path/create.
"""

from __future__ import annotations

from base64 import b64encode
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Mapping
from urllib.parse import quote

from portal.errors import NameNotAllowed, NotFound, Unreachable
from portal.wire.ends import About, Found
from portal.wire.http_values import rfc3339

CONTENT_HEADERS = frozenset({"content-encoding", "content-language", "content-disposition", "cache-control"})
"""What a blob stores beside its content type; it has no Expires."""
FOLDER_MARK = "hdi_isfolder"


def blob_lines(about: About, md5: bytes = b"") -> str:
    """Return the header lines that store an About with a blob; `md5` (16 bytes) becomes its Content-MD5.

    Raises NameNotAllowed for what a header cannot hold: other names than letters, digits and '_', other values than printable ASCII."""
    _check(about)
    lines = [f"x-ms-blob-content-type: {about.content_type}\r\n"] if about.content_type else []
    lines += [f"x-ms-blob-{name}: {value}\r\n" for name, value in about.headers.items() if name in CONTENT_HEADERS]
    lines += [f"x-ms-meta-{name}: {value}\r\n" for name, value in about.metadata.items()]
    if about.storage_class:
        lines.append(f"x-ms-access-tier: {about.storage_class}\r\n")
    if about.tags:
        lines.append("x-ms-tags: " + "&".join(f"{quote(name, safe='.-')}={quote(value, safe='.-')}" for name, value in about.tags.items()) + "\r\n")
    if md5:
        lines.append(f"x-ms-blob-content-md5: {b64encode(md5).decode()}\r\n")
    return "".join(lines)


def path_lines(about: About) -> str:
    """Return the header lines that store an About with a path of the dfs endpoint; metadata as base64. Raises NameNotAllowed, as `blob_lines`."""
    _check(about)
    lines = [f"x-ms-content-type: {about.content_type}\r\n"] if about.content_type else []
    lines += [f"x-ms-{name}: {value}\r\n" for name, value in about.headers.items() if name in CONTENT_HEADERS]
    if about.metadata:
        pairs = ",".join(f"{name}={b64encode(value.encode()).decode()}" for name, value in about.metadata.items())
        lines.append(f"x-ms-properties: {pairs}\r\n")
    return "".join(lines)


def _check(about: About) -> None:
    text = "".join((about.content_type, about.storage_class, *about.headers.values(), *about.metadata.values()))
    if not (text.isascii() and text.isprintable()):
        raise NameNotAllowed("Metadata and headers of an object in Azure must be printable ASCII.", hint="Percent-encode other characters.")
    for name in about.metadata:
        if not (name.isidentifier() and name.isascii()):
            raise NameNotAllowed(f"Metadata cannot be called {name!r} in Azure: letters, digits and '_' only.")


def found_of(headers: Mapping[str, str], size_bytes: int, place: str) -> Found:
    """Return what the headers of a GET or HEAD say of an object. Raises NotFound for a folder, Unreachable for what is no answer of Azure's."""
    try:
        metadata, tag_count = _metadata(headers), int(headers.get("x-ms-tag-count") or 0)
    except ValueError as error:
        raise Unreachable(f"The service described {place} in headers that cannot be read.", hint="Check the endpoint.") from error
    if headers.get("x-ms-resource-type") == "directory" or metadata.pop(FOLDER_MARK, "").lower() == "true":
        raise NotFound(f"{place} is a folder.")
    kept = {name: headers[name] for name in CONTENT_HEADERS & headers.keys()}
    tier = headers.get("x-ms-access-tier", "")
    chosen = "" if headers.get("x-ms-access-tier-inferred") == "true" else tier  # the account's default is no property of the object
    about = About(headers.get("content-type", ""), kept, metadata, {}, chosen, rfc3339(headers.get("last-modified", "")))
    md5 = md5_hex(headers.get("x-ms-blob-content-md5") or headers.get("content-md5", ""))
    return Found(
        size_bytes, headers.get("etag", "").strip('"'), headers.get("x-ms-version-id", ""), about, {"md5": md5} if md5 else {},
        tag_count=tag_count, customer_key="x-ms-encryption-key-sha256" in headers, archived=tier == "Archive",
    )  # fmt: skip


def _metadata(headers: Mapping[str, str]) -> dict[str, str]:
    if properties := headers.get("x-ms-properties"):
        pairs = (pair.strip().partition("=") for pair in properties.split(","))
        return {name.lower(): a2b_base64(value).decode("latin-1") for name, _, value in pairs if name}
    return {name[10:]: value for name, value in headers.items() if name.startswith("x-ms-meta-")}


def md5_hex(text: str) -> str:
    """Return a Content-MD5 as hexadecimal, '' when there is none."""
    try:
        return a2b_base64(text).hex()
    except Base64Error:
        return ""
