"""Persistent HTTP/1.1 (RFC 9112) over a socket or TLS, for requests and answers whose bodies lie in memory. One thread at a time.

Nothing is copied on the way of a large body: it is sent from, and received into, the caller's memory. No redirect is followed, nothing is
tried again except a request that a kept-alive connection was too old for; every request made here may be sent twice.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from portal.errors import SettingError, Unreachable
from portal.wire.answer import Answer
from portal.wire.dialing import authority, dial
from portal.wire.ends import Access
from portal.wire.header_lines import header_lines, refuse_bad_target
from portal.wire.stream import HungUp, Stream

__all__ = ["Answer", "Connection", "host_header"]

_BODIED = frozenset({"PUT", "POST", "PATCH"})
_MAX_INTERIM = 16


def host_header(access: Access) -> str:
    """The value of the Host header: the port is left out where it is the scheme's own."""
    usual = 443 if access.scheme == "https" else 80
    place = authority(access.host, access.port)
    return place.removesuffix(f":{usual}") if access.port == usual else place


class Connection:
    """A persistent connection to where an Access leads; connects on first use, and again after an answer that was not read to its end."""

    def __init__(self, access: Access, *, timeout_s: float = 60, connect_timeout_s: float = 10) -> None:
        """`timeout_s`: how long the service may be silent, or take no more bytes. Raises SettingError for plain http beyond this machine."""
        _refuse_clear_text(access)
        self.host = host_header(access)
        self._access, self._timeout_s, self._connect_timeout_s = access, timeout_s, connect_timeout_s
        self._stream: Stream | None = None
        self._answer: Answer | None = None

    def request(
        self, method: str, target: str, headers: Iterable[tuple[str, str]] | str = "", body: bytes | memoryview = b"", *, has_body: bool = False
    ) -> Answer:
        """Send a request and read the head of its answer.

        Args:
            target: path and query, percent-encoded
            headers: without Host and Content-Length; as text, complete lines, made by `header_lines` where they hold what came from outside
            body: bytes; a memoryview must be of format B
            has_body: send Content-Length for an empty body too; PUT, POST and PATCH always do

        Raises:
            Unreachable: no connection, or it broke, stalled, or brought no HTTP
            StoreError: target or headers cannot be sent
        """
        refuse_bad_target(target)
        lines = headers if isinstance(headers, str) else header_lines(headers)
        length = f"Content-Length: {len(body)}\r\n" if body or has_body or method in _BODIED else ""
        head = f"{method} {target} HTTP/1.1\r\nHost: {self.host}\r\n{length}{lines}\r\n".encode()
        try:
            stream = self._kept()
            if stream:
                try:
                    return self._exchange(stream, method, head, body)
                except HungUp:
                    self.close()
            return self._exchange(self._opened(), method, head, body)
        except BaseException:
            self.close()
            raise

    def _kept(self) -> Stream | None:
        stream, answer, self._answer = self._stream, self._answer, None
        if stream and answer and answer.reusable and stream.clean:
            return stream
        self.close()
        return None

    def _opened(self) -> Stream:
        sock = dial(self._access, timeout_s=self._timeout_s, connect_timeout_s=self._connect_timeout_s)
        self._stream = Stream(sock, name=self.host, secure=self._access.scheme == "https", timeout_s=self._timeout_s)
        return self._stream

    def _exchange(self, stream: Stream, method: str, head: bytes, body: bytes | memoryview) -> Answer:
        sent = stream.send(head, body)
        for _ in range(_MAX_INTERIM):
            answer = Answer(stream, stream.head(), self.host, method == "HEAD")
            if answer.status >= 200:
                if not sent:
                    answer.keep = False
                self._answer = answer
                return answer
        raise Unreachable(f"{self.host} answered that it will answer, again and again.")

    def close(self) -> None:
        """Close the connection; the next request makes another."""
        stream, self._stream, self._answer = self._stream, None, None
        if stream:
            stream.close()


def _refuse_clear_text(access: Access) -> None:
    if access.scheme == "https" or (access.scheme == "http" and _is_loopback(access.host)):
        return
    endpoint = f"{access.scheme}://{access.host}"
    raise SettingError(f"The endpoint {endpoint} is not https.", hint="Plain http is accepted for this machine (127.0.0.1) only.")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
