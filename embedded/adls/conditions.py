"""If-Match and its kin. Source: "Specifying conditional headers for Blob service operations"."""

from __future__ import annotations

from embedded.adls.errors import NotModified, StorageError
from embedded.adls.request import Request
from embedded.adls.schema import Container, Entry
from embedded.adls.times import etag, parse_http_date


def check_read(request: Request, held: Entry | Container) -> None:
    """Raises NotModified, or StorageError ConditionNotMet or InvalidHeaderValue."""
    _check_positive(request, held, "", "ConditionNotMet")
    none_match = request.header("if-none-match")
    if none_match:
        if _matches(none_match, held):
            raise NotModified
    elif (since := _seconds(request, "if-modified-since")) is not None and held.modified // 1_000_000_000 <= since:
        raise NotModified


def check_write(request: Request, held: Entry | Container | None, *, prefix: str = "", code: str = "ConditionNotMet") -> None:
    """Before a change of `held`, None being a path that does not exist.

    Args:
        prefix: of the header names, "x-ms-source-" for the source of a rename or copy.
        code: raised when a condition does not hold.

    Raises:
        StorageError: `code`, BlobAlreadyExists (for `If-None-Match: *`) or InvalidHeaderValue.
    """
    _check_positive(request, held, prefix, code)
    none_match = request.header(f"{prefix}if-none-match")
    if none_match and held is not None and _matches(none_match, held):
        raise StorageError("BlobAlreadyExists" if none_match.strip() == "*" and not prefix else code)
    since = _seconds(request, f"{prefix}if-modified-since")
    if since is not None and held is not None and held.modified // 1_000_000_000 <= since:
        raise StorageError(code)


def _check_positive(request: Request, held: Entry | Container | None, prefix: str, code: str) -> None:
    match = request.header(f"{prefix}if-match")
    if match and (held is None or not _matches(match, held)):
        raise StorageError(code)
    since = _seconds(request, f"{prefix}if-unmodified-since")
    if since is not None and held is not None and held.modified // 1_000_000_000 > since:
        raise StorageError(code)


def _matches(wanted: str, held: Entry | Container) -> bool:
    tags = {tag.strip().removeprefix("W/").strip('"') for tag in wanted.split(",")}
    return "*" in tags or etag(held.etag) in tags


def _seconds(request: Request, name: str) -> float | None:
    text = request.header(name)
    if not text:
        return None
    try:
        return parse_http_date(text)
    except ValueError as error:
        raise StorageError("InvalidHeaderValue", detail={"HeaderName": name, "HeaderValue": text}) from error
