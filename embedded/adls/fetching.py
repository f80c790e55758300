"""The source of a From URL operation: any http or https URL, asked once; no redirect is followed. Source: "Put Block From URL",
"Copy API error response" in "Status and error codes"."""

from __future__ import annotations

import http.client
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from embedded.adls.errors import StorageError
from embedded.adls.request import Request

MAX_URL_BYTES = 2048
TIMEOUT_S = 30
_CONDITIONS = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since")
_UNREADABLE = "Could not verify the copy source within the specified time."


class Fetched:
    """The answer of a source that gave its bytes; read like a request's body. `headers` has lower-case names."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self._answer = answer
        self.headers = {name.lower(): value for name, value in answer.getheaders()}

    @property
    def remaining(self) -> int | None:
        """Bytes still to come, None when the source did not say."""
        return self._answer.length

    def readinto(self, view: memoryview) -> int:
        """Fill `view` as far as one read goes; 0 at the end.

        Raises:
            StorageError: CannotVerifyCopySource when the source breaks off.
        """
        try:
            count = self._answer.readinto(view)
        except (OSError, http.client.HTTPException) as error:
            raise StorageError("CannotVerifyCopySource", _UNREADABLE, status=500) from error
        if not count and self._answer.length:
            raise StorageError("CannotVerifyCopySource", "The source broke off before its end.", status=500)
        return count


@contextmanager
def fetch(request: Request) -> Iterator[Fetched]:
    """Ask for what x-ms-copy-source and x-ms-source-range name, under the x-ms-source-… conditions.

    Raises:
        StorageError: MissingRequiredHeader, InvalidSourceUri, InvalidHeaderValue, SourceConditionNotMet, or CannotVerifyCopySource with the
            source's own status (500 when there was none).
    """
    url = _checked(request.header("x-ms-copy-source"))
    headers = _headers(request)
    parts = urlsplit(url)
    if parts.scheme == "https":
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            parts.hostname or "", parts.port, timeout=TIMEOUT_S, context=ssl.create_default_context()
        )
    else:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    try:
        try:
            connection.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), headers=headers)
            answer = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise StorageError("CannotVerifyCopySource", _UNREADABLE, status=500) from error
        _check_answer(answer, ranged="Range" in headers)
        yield Fetched(answer)
    finally:
        connection.close()


def _checked(url: str) -> str:
    if not url:
        raise StorageError("MissingRequiredHeader", detail={"HeaderName": "x-ms-copy-source"})
    try:
        parts = urlsplit(url)
        whole = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc and (parts.port or 1) > 0
    except ValueError as error:
        raise StorageError("InvalidSourceUri") from error
    if not whole or len(url) > MAX_URL_BYTES or not re.fullmatch(r"[\x21-\x7e]+", url):
        raise StorageError("InvalidSourceUri")
    return url


def _headers(request: Request) -> dict[str, str]:
    """What the source is asked with."""
    headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
    span = request.header("x-ms-source-range")
    if span:
        if not re.fullmatch(r"bytes=\d+-\d*", span):
            raise StorageError("InvalidHeaderValue", detail={"HeaderName": "x-ms-source-range", "HeaderValue": span})
        headers["Range"] = span
    for name in _CONDITIONS:
        value = request.header(f"x-ms-source-{name}")
        if value:
            headers[name.title()] = value
    credential = request.header("x-ms-copy-source-authorization")
    if credential and not credential.lower().startswith("bearer "):
        raise StorageError("InvalidHeaderValue", detail={"HeaderName": "x-ms-copy-source-authorization"})
    return {**headers, **({"Authorization": credential} if credential else {})}


def _check_answer(answer: http.client.HTTPResponse, *, ranged: bool) -> None:
    """A 412 is the source's condition; whatever else is not the bytes asked for comes back with the status that the source gave."""
    if answer.status == (206 if ranged else 200):
        return
    status, code = answer.status, answer.headers.get("x-ms-error-code", "")
    told = {"x-ms-copy-source-status-code": str(status), **({"x-ms-copy-source-error-code": code} if code else {})}
    if status == 412:
        raise StorageError("SourceConditionNotMet", headers=told)
    said = re.sub(r"[^\x20-\x7e]", "", answer.reason) or "The source cannot be read."
    if 200 <= status < 300:
        status, said = 400, "The source does not give ranges."
    detail = {"CopySourceStatusCode": str(answer.status), **({"CopySourceErrorCode": code} if code else {}), "CopySourceErrorMessage": said}
    raise StorageError("CannotVerifyCopySource", said, status=status, detail=detail, headers=told)
