"""Headers in both directions: content settings, metadata, and what a path's properties look like."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

from embedded.adls.errors import StorageError
from embedded.adls.request import Request, checked_metadata
from embedded.adls.schema import Attributes, Container, Entry
from embedded.adls.times import etag, http_date

_CONTENT = {
    "content-type": "Content-Type",
    "content-encoding": "Content-Encoding",
    "content-language": "Content-Language",
    "content-disposition": "Content-Disposition",
    "cache-control": "Cache-Control",
    "content-md5": "Content-MD5",
}
DEFAULT_TYPE = "application/octet-stream"


def stamps(held: Entry | Container) -> dict[str, str]:
    return {"ETag": f'"{etag(held.etag)}"', "Last-Modified": http_date(held.modified)}


def content_settings(request: Request, prefix: str, *, plain: bool = False) -> dict[str, str]:
    """What the request says the content is.

    Args:
        prefix: "x-ms-blob-" or "x-ms-": how the endpoint names these headers.
        plain: take Content-Type and the others too, where the prefixed header is missing (Put Blob). Never Content-MD5, which is the body's.

    Raises:
        StorageError: InvalidMd5.
    """
    found = {}
    for name in _CONTENT:
        value = request.header(prefix + name)
        if not value and plain and name != "content-md5":
            value = request.header(name)
        if value:
            found[name] = value
    _check_md5(found.get("content-md5"))
    return found


def copied_settings(headers: Mapping[str, str]) -> dict[str, str]:
    """What a source's answer (lower-case names) says its content is, for a copy; not its Content-MD5, which may be of something else."""
    return {name: headers[name] for name in _CONTENT if name != "content-md5" and headers.get(name)}


def decode_properties(request: Request) -> dict[str, str] | None:
    """Metadata from x-ms-properties (`name=base64, …`), None when the header is missing.

    Raises:
        StorageError: InvalidPropertyName, InvalidHeaderValue or what checked_metadata raises.
    """
    text = request.head.headers.get("x-ms-properties")
    if text is None:
        return None
    found = {}
    for item in filter(None, (item.strip() for item in text.split(","))):
        name, equals, value = item.partition("=")
        if not name or not equals:
            raise StorageError("InvalidPropertyName", "A property name cannot be empty.")
        try:
            found[name] = base64.b64decode(value, validate=True).decode("latin-1")
        except binascii.Error as error:
            raise StorageError("InvalidHeaderValue", detail={"HeaderName": "x-ms-properties", "HeaderValue": text}) from error
    return checked_metadata(found)


def encode_properties(metadata: dict[str, str]) -> str:
    return ",".join(f"{name}={base64.b64encode(value.encode('latin-1')).decode()}" for name, value in metadata.items())


def content_headers(attributes: Attributes) -> dict[str, str]:
    found = {header: attributes.content[name] for name, header in _CONTENT.items() if name in attributes.content}
    return {"Content-Type": DEFAULT_TYPE, **found}


def access_headers(attributes: Attributes) -> dict[str, str]:
    return {
        "x-ms-owner": attributes.owner,
        "x-ms-group": attributes.group,
        "x-ms-permissions": attributes.permissions + ("+" if attributes.acl.count(",") > 2 else ""),
        "x-ms-acl": attributes.acl,
    }


def path_headers(held: Entry, endpoint: str) -> dict[str, str]:
    """Everything that Get Blob, Get Blob Properties and Path Get Properties say of a path, except its length and its lease."""
    attributes = held.attributes
    headers = content_headers(attributes) | stamps(held) | access_headers(attributes)
    headers |= {
        "x-ms-resource-type": "directory" if held.directory else "file",
        "x-ms-creation-time": http_date(held.created),
        "x-ms-server-encrypted": "true",
        "x-ms-blob-type": attributes.blob_type,
        "x-ms-access-tier": attributes.tier or "Hot",
        **attributes.copy,
    }
    if not attributes.tier:
        headers["x-ms-access-tier-inferred"] = "true"
    metadata = {**attributes.metadata, **({"hdi_isfolder": "true"} if held.directory else {})}
    headers |= {f"x-ms-meta-{name}": value for name, value in metadata.items()}
    if endpoint == "dfs":
        headers["x-ms-properties"] = encode_properties(metadata)
    return headers


def _check_md5(text: str | None) -> None:
    if text is None:
        return
    try:
        size = len(base64.b64decode(text, validate=True))
    except binascii.Error:
        size = 0
    if size != 16:
        raise StorageError("InvalidMd5")
