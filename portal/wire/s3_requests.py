"""Requests to one bucket, and what its refusals mean. Source: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import unescape

from portal.errors import NameNotAllowed, PortalError, SourceChanged, StoreError, Throttled
from portal.stores.s3_answers import name_of, refusal
from portal.wire.connection import Answer, Connection
from portal.wire.ends import Access
from portal.wire.http_values import retry_after_s
from portal.wire.signing import Signer, quoted_path, quoted_query
from portal.wire.words import code_of, line_of

_MAX_ERROR = 256 << 10
_ELEMENT = re.compile(r"<(Code|Message|Condition|Region)>([^<]*)</")
_REGION = re.compile(r"[a-z0-9-]{1,40}")
_NOT_IMPLEMENTED = 501
_ENCRYPTED = "server side encryption"


class Answered(StoreError):
    """What the service said, in one line."""


class Refused:
    """A refusal, read whole: the connection can be used again."""

    def __init__(self, answer: Answer, access: Access, body: bytes | None = None) -> None:
        """`body`: of an answer that was read already (some refusals come as 200)."""
        if body is None:
            body = b"" if (answer.length or 0) > _MAX_ERROR else answer.content(_MAX_ERROR)
        text = body.decode("utf-8", "replace")
        told = {name: unescape(value).strip() for name, value in reversed(_ELEMENT.findall(text))}
        self._access, self.status = access, answer.status
        self.code = code_of(told.get("Code", "")) or str(answer.status)
        self.condition = told.get("Condition", "")
        region = answer.header("x-amz-bucket-region") or told.get("Region", "")
        self.region = region if _REGION.fullmatch(region) else ""
        self.wait_s = retry_after_s(answer.header("retry-after"))
        self.message = told.get("Message", "")

    @property
    def said(self) -> Answered:
        """The service's words, without secrets."""
        return Answered(line_of("S3", self.status, self.code, self.message, self._access))


class S3Requests:
    """One thread's connection to a bucket."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self._connection = Connection(access, timeout_s=access.stall_s)
        self._signer = Signer(access.keys, access.region, self._connection.host)
        self._root = f"{access.base_path}/{quoted_path(access.container)}/" if access.path_style else f"{access.base_path}/"
        self._bucket_seen = False

    def close(self) -> None:
        self._connection.close()

    def _name(self, key: str) -> str:
        return name_of(self.access.container, key)

    def _path(self, key: str) -> str:
        """Where a key is at the host, '' being the bucket. Raises NameNotAllowed for what an address cannot hold."""
        try:
            return self._root + quoted_path(key)
        except UnicodeEncodeError:
            raise NameNotAllowed(f"{self._name(key)!r} cannot be a name in S3: it is no valid Unicode.") from None

    def _send(
        self, method: str, key: str, parameters: Iterable[tuple[str, str]] = (), headers: Iterable[tuple[str, str]] = (),
        body: bytes | memoryview = b"",
    ) -> Answer:  # fmt: skip
        path, query = self._path(key), quoted_query(parameters) if parameters else ""
        lines = self._signer.lines(method, path, query, headers)
        return self._connection.request(method, f"{path}?{query}" if query else path, lines, body)

    def _ask(
        self, what: str, method: str, key: str, parameters: Iterable[tuple[str, str]] = (), headers: Iterable[tuple[str, str]] = (),
        body: bytes | memoryview = b"",
    ) -> Answer:  # fmt: skip
        """Send a request and return the answer if it is a success. Raises what the refusal means."""
        answer = self._send(method, key, parameters, headers, body)
        if answer.status >= 300:
            raise self._error(Refused(answer, self.access), what, key)
        return answer

    def _error(self, refused: Refused, what: str, key: str) -> PortalError:
        """Return the error that a refusal means, its cause set."""
        place = self._name(key)
        bucket, ends = self.access.container, self.access.expires_at
        if refused.code in ("InvalidRequest", "InvalidArgument") and _ENCRYPTED in refused.message.lower():
            found: PortalError = StoreError(f"{what} {place} takes the key that it is encrypted with, which only its owner has.")
        else:
            found = refusal(refused.code, what, bucket=bucket, key=key, expires_at=ends, region=refused.region)
        if type(found) is StoreError and refused.status >= 500 and refused.status != _NOT_IMPLEMENTED:
            found = refusal("500", what, bucket=bucket, key=key)
        if isinstance(found, Throttled):
            found.retry_after_s = refused.wait_s
        found.__cause__ = refused.said
        return found


def changed(place: str, how: str, cause: BaseException | None = None) -> SourceChanged:
    """Return the error that an object is no longer the one that is meant."""
    found = SourceChanged(f"{place} {how}.", hint="Run the job again to take what is there now.")
    found.__cause__ = cause
    return found
