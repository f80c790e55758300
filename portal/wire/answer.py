"""An HTTP/1.1 answer (RFC 9112): its head is searched, not parsed, for most of it is never asked for; its body goes where the caller wants it."""

from __future__ import annotations

from portal.errors import Unreachable
from portal.wire.stream import Stream

_BODILESS = frozenset({204, 304})
_DRAINED_BYTES = 256 << 10
"""What is left of an answer is read up to here; beyond, a new connection is cheaper."""
_PIECE_BYTES = 64 << 10
_CONNECTION, _CODING, _LENGTH = b"\r\nconnection:", b"\r\ntransfer-encoding:", b"\r\ncontent-length:"


class Answer:
    """An answer whose head is here and whose body is still to be read, by its connection's next request at the latest."""

    __slots__ = ("_chunked", "_head", "_left", "_lower", "_name", "_stream", "keep", "length", "status")

    def __init__(self, stream: Stream, head: bytes, name: str, bodiless: bool) -> None:
        """Raises Unreachable when the head is no head of HTTP/1."""
        if not head.startswith(b"HTTP/1.") or head[8:9] != b" " or not head[9:12].isdigit() or head[12:13] not in (b" ", b"\r", b""):
            raise Unreachable(f"{name} answered something that is not HTTP/1.1.", hint="Check the endpoint.")
        self._stream, self._head, self._lower, self._name = stream, head, head.lower(), name
        self.status = int(head[9:12])
        """The HTTP status, 200 to 999."""
        token = self._raw(_CONNECTION).lower()
        self.keep = b"close" not in token if head[7:8] == b"1" else b"keep-alive" in token
        """Whether the service leaves the connection open after this answer."""
        self._chunked = False
        self.length: int | None = 0
        """Bytes of the body, as the head says it (of HEAD too); None when it does not."""
        self._left = self._measured(bodiless or self.status in _BODILESS or self.status < 200)

    def _measured(self, bodiless: bool) -> int | None:
        """How many bytes follow: None as long as only the body itself tells (RFC 9112 section 6.3)."""
        coding = self._raw(_CODING)
        self.length = None if coding else self._content_length()
        if bodiless:
            return 0
        if coding:
            if coding.lower() != b"chunked":
                raise Unreachable(f"{self._name} answered in an encoding that nobody asked for.")
            self._chunked = True
        elif self.length is None:
            self.keep = False
        return self.length

    def _content_length(self) -> int | None:
        times = self._lower.count(_LENGTH)
        if not times:
            return None
        told = self._raw(_LENGTH)
        if times > 1 or not told.isdigit() or len(told) > 18:
            raise Unreachable(f"{self._name} answered with a length that is none.")
        return int(told)

    def _raw(self, wanted: bytes) -> bytes:
        """A header's value, b'' when there is none; `wanted` is what its line begins with, in lower case."""
        found = self._lower.find(wanted)
        if found < 0:
            return b""
        begin = found + len(wanted)
        end = self._head.find(b"\r\n", begin)
        return self._head[begin : end if end >= 0 else len(self._head)].strip()

    def header(self, name: str) -> str:
        """Return a header by its name in lower case, '' when there is none."""
        return _text(self._raw(f"\r\n{name}:".encode()))

    def headers(self) -> dict[str, str]:
        """Return all headers, names in lower case; those of one name are joined by a comma."""
        lines = self._head.decode().split("\r\n") if self._head.isascii() else [_text(line) for line in self._head.split(b"\r\n")]
        found: dict[str, str] = {}
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if colon:
                key = name.lower()
                found[key] = f"{found[key]}, {value.strip()}" if key in found else value.strip()
        return found

    @property
    def reusable(self) -> bool:
        return self.keep and self._left == 0 and not self._chunked

    def into(self, buffer: memoryview) -> None:
        """Fill the buffer with the next bytes of the body. Raises Unreachable when there are not so many."""
        wanted = len(buffer)
        if self._left is not None and not self._chunked:
            if wanted > self._left:
                raise self._short(self._left, wanted)
            self._stream.into(buffer)
            self._left -= wanted
            return
        done = 0
        while done < wanted:
            got = self._some(buffer[done:])
            if not got:
                raise self._short(done, wanted)
            done += got

    def content(self, limit: int = 64 << 20, *, within_s: float = 0) -> bytes:
        """Return what is left of the body. Raises Unreachable when that is more than `limit` bytes.

        `within_s`: for how long it may come by drops, where the service sends something only to keep the connection open while it works"""
        if within_s:
            self._stream.patience(within_s)
        if self._left is not None and not self._chunked:
            if self._left > limit:
                raise self._long(limit)
            whole = bytearray(self._left)
            self.into(memoryview(whole))
            return bytes(whole)
        pieces, size, piece = [], 0, memoryview(bytearray(_PIECE_BYTES))
        while got := self._some(piece):
            size += got
            if size > limit:
                raise self._long(limit)
            pieces.append(bytes(piece[:got]))
        return b"".join(pieces)

    def drain(self) -> None:
        """Read the rest away, so that the connection can be used again; where it is long, a new connection will be made instead."""
        if self._left == 0 and not self._chunked:
            return
        if self.keep and (self._left or 0) <= _DRAINED_BYTES:
            try:
                self.content(_DRAINED_BYTES)
            except Unreachable:
                self.keep = False

    def _some(self, view: memoryview) -> int:
        """Receive bytes of a body that is chunked or ends with the connection; 0 at its end."""
        if self._chunked and not self._left and not self._next_chunk():
            return 0
        got = self._stream.some(view[: self._left] if self._left else view)
        if self._chunked and not got:
            raise self._short(0, self._left or 0)
        if self._left:
            self._left -= got
            if not self._left:
                self._end_of_chunk()
        elif not got:
            self._left = 0
        return got

    def _next_chunk(self) -> bool:
        size = self._stream.line().partition(b";")[0].strip()
        if not size or len(size) > 15 or size.strip(b"0123456789abcdefABCDEF"):
            raise Unreachable(f"{self._name} answered with a body that cannot be taken apart.")
        self._left = int(size, 16)
        if self._left:
            return True
        for _ in range(100):
            if not self._stream.line():
                self._chunked = False
                return False
        raise Unreachable(f"{self._name} answered with too much behind a body.")

    def _end_of_chunk(self) -> None:
        if self._stream.line():
            raise Unreachable(f"{self._name} answered with a body that cannot be taken apart.")

    def _short(self, done: int, wanted: int) -> Unreachable:
        return Unreachable(f"{self._name} answered with {done} bytes where {wanted} were expected.", hint="Try again.")

    def _long(self, limit: int) -> Unreachable:
        return Unreachable(f"{self._name} answered with more than {limit} bytes, which nobody asked for.")


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
