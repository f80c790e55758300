"""AWS Signature Version 4 for S3, in headers and in URLs (https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html).

Our own, because a signer that serves every API costs more than the rest of a request. Bodies are not part of the signature
(UNSIGNED-PAYLOAD): they carry a CRC64 that S3 compares, and TLS keeps them from being changed together with it.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Iterable
from urllib.parse import quote

from portal.wire.header_lines import header_lines

_UNSIGNED = "UNSIGNED-PAYLOAD"
_ALGORITHM = "AWS4-HMAC-SHA256"


def quoted_path(path: str) -> str:
    """Percent-encode a path, every byte of it that is not unreserved, '/' kept. Raises UnicodeEncodeError for text that is no valid Unicode."""
    return quote(path, safe="/")


def quoted_query(parameters: Iterable[tuple[str, str]]) -> str:
    """Return parameters as a query, in the order and encoding that is signed."""
    return "&".join(sorted([f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in parameters]))


class Signer:
    """Signs requests to one host with one set of keys. For one thread."""

    def __init__(self, keys: tuple[str, str, str] | None, region: str, host: str) -> None:
        """
        Arguments:
            keys: access key id, secret access key, session token or ''; None: requests are not signed
            host: the value of the Host header
        """
        self._keys, self._region, self._host = keys, region, host
        self._second = self._day = -1
        self._date = self._scope = ""
        self._key = b""

    def lines(self, method: str, path: str, query: str, headers: Iterable[tuple[str, str]] = ()) -> str:
        """Return the lines of a request's headers (without Host), signed. Raises StoreError for a control character in one.

        Arguments:
            path: percent-encoded as by `quoted_path`
            query: as by `quoted_query`; may be ''
            headers: names in lower case; each is signed
        """
        if self._keys is None:
            return header_lines(headers)
        self._tick()
        signed = [("x-amz-content-sha256", _UNSIGNED), ("x-amz-date", self._date), *headers]
        if self._keys[2]:
            signed.append(("x-amz-security-token", self._keys[2]))
        lines = header_lines(signed)
        signed.append(("host", self._host))
        signed.sort()
        names = ";".join([name for name, _ in signed])
        told = "".join([f"{name}:{' '.join(value.split())}\n" for name, value in signed])
        signature = self._signature(f"{method}\n{path}\n{query}\n{told}\n{names}\n{_UNSIGNED}")
        told = f"{_ALGORITHM} Credential={self._keys[0]}/{self._scope}, SignedHeaders={names}, Signature={signature}"
        return lines + header_lines([("Authorization", told)])

    def presigned(self, path: str, parameters: Iterable[tuple[str, str]] = (), *, expires_s: int) -> str:
        """Return path and query of a GET that needs no headers, good for `expires_s` seconds (at most a week). Not signed without keys."""
        if self._keys is None:
            query = quoted_query(parameters)
            return f"{path}?{query}" if query else path
        self._tick()
        own = [
            ("X-Amz-Algorithm", _ALGORITHM), ("X-Amz-Credential", f"{self._keys[0]}/{self._scope}"), ("X-Amz-Date", self._date),
            ("X-Amz-Expires", str(expires_s)), ("X-Amz-SignedHeaders", "host"),
        ]  # fmt: skip
        if self._keys[2]:
            own.append(("X-Amz-Security-Token", self._keys[2]))
        query = quoted_query([*own, *parameters])
        signature = self._signature(f"GET\n{path}\n{query}\nhost:{self._host}\n\nhost\n{_UNSIGNED}")
        return f"{path}?{query}&X-Amz-Signature={signature}"

    def _signature(self, canonical: str) -> str:
        hashed = hashlib.sha256(canonical.encode()).hexdigest()
        return hmac.digest(self._key, f"{_ALGORITHM}\n{self._date}\n{self._scope}\n{hashed}".encode(), "sha256").hex()

    def _tick(self) -> None:
        """Bring the date up to now, and the key that is derived from the day."""
        now = int(time.time())
        if now == self._second or self._keys is None:
            return
        self._second, self._date = now, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        if now // 86_400 != self._day:
            self._day, day = now // 86_400, self._date[:8]
            self._scope = f"{day}/{self._region}/s3/aws4_request"
            key = f"AWS4{self._keys[1]}".encode()
            for part in (day, self._region, "s3", "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._key = key
