"""HTTP/1.1 by hand: heads, bodies of known length or chunked, Expect: 100-continue, keep-alive, file bodies by sendfile.

Source: RFC 9110 and RFC 9112. The standard library's http.server parses heads with the mail parser, which costs more than
the rest of a small request together.
"""

from __future__ import annotations

import io
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from http import HTTPStatus

MAX_HEAD_BYTES = 1 << 17
DRAIN_BYTES = 1 << 28
"""How much of an unread body is swallowed to keep a connection; beyond that it is closed."""


class BadRequest(Exception):
    """What arrived is no HTTP request this server reads; the connection ends after a 400."""


@dataclass
class Head:
    """Request line and header fields; `fields` keeps names as sent, `headers` has them in lower case."""

    method: str
    target: str
    version: str
    fields: list[tuple[str, str]]
    headers: dict[str, str]

    @property
    def keep_alive(self) -> bool:
        wish = self.headers.get("connection", "").lower()
        return wish != "close" if self.version == "HTTP/1.1" else wish == "keep-alive"


def read_head(stream: io.BufferedReader) -> Head | None:
    """The next request's head, or None when the client has closed.

    Raises:
        BadRequest: malformed or too long.
    """
    line = stream.readline(MAX_HEAD_BYTES)
    while line in (b"\r\n", b"\n"):
        line = stream.readline(MAX_HEAD_BYTES)
    if not line:
        return None
    parts = line.decode("latin-1").split()
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
        raise BadRequest(f"request line {line[:80]!r}")
    fields, total = [], len(line)
    while (line := stream.readline(MAX_HEAD_BYTES)) not in (b"\r\n", b"\n"):
        total += len(line)
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon or not name or name != name.strip() or total > MAX_HEAD_BYTES:
            raise BadRequest(f"header line {line[:80]!r}")
        fields.append((name, value.strip(" \t\r\n")))
    headers: dict[str, str] = {}
    for name, value in fields:
        lower = name.lower()
        headers[lower] = f"{headers[lower]},{value}" if lower in headers else value
    return Head(parts[0], parts[1], parts[2], fields, headers)


class Body:
    """A request's body. Reading it answers an awaited 100-continue first."""

    def __init__(self, head: Head, stream: io.BufferedReader, connection: socket.socket) -> None:
        self._stream = stream
        self._connection = connection
        self._expecting = head.headers.get("expect", "").lower() == "100-continue"
        self.chunked = "chunked" in head.headers.get("transfer-encoding", "").lower()
        length = head.headers.get("content-length")
        if length is not None and not (length.isascii() and length.isdigit()):
            raise BadRequest(f"Content-Length {length!r}")
        self.declared: int | None = None if self.chunked or length is None else int(length)
        self._left = 0 if self.chunked else self.declared or 0
        self._ended = not self.chunked and self._left == 0

    @property
    def remaining(self) -> int | None:
        """Bytes still to come, or None when only the client knows (chunked)."""
        return None if self.chunked and not self._ended else self._left

    def readinto(self, view: memoryview) -> int:
        """Fill `view` as far as the body goes; 0 at its end.

        Raises:
            ConnectionError: the client went away before the end.
            BadRequest: broken chunk.
        """
        filled = 0
        while filled < len(view) and not self._ended:
            self._continue()
            if self.chunked and self._left == 0:
                self._next_chunk()
                continue
            count = self._stream.readinto(view[filled : filled + self._left])
            if not count:
                raise ConnectionError("the client closed the connection in the middle of a body")
            filled += count
            self._left -= count
            if self._left == 0:
                self._end_of_piece()
        return filled

    def read(self, limit: int) -> bytes | None:
        """The whole body, or None when it is longer than `limit` bytes."""
        if (self.remaining or 0) > limit:
            return None
        view = memoryview(bytearray(min(self.remaining if self.remaining is not None else limit + 1, limit + 1)))
        count = self.readinto(view)
        return None if count > limit else bytes(view[:count])

    def finish(self) -> bool:
        """Swallow what was not read; False when the connection cannot go on."""
        if self._expecting and not self._ended:
            return False
        view, swallowed = memoryview(bytearray(1 << 16)), 0
        while swallowed < DRAIN_BYTES:
            if self._ended:
                return True
            count = self.readinto(view)
            swallowed += count
        return False

    def _continue(self) -> None:
        if self._expecting:
            self._expecting = False
            self._connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _next_chunk(self) -> None:
        line = self._stream.readline(1024)
        try:
            self._left = int(line.split(b";")[0], 16)
        except ValueError as error:
            raise BadRequest(f"chunk size {line[:40]!r}") from error
        if self._left < 0:
            raise BadRequest(f"chunk size {line[:40]!r}")
        if self._left == 0:
            while self._stream.readline(MAX_HEAD_BYTES) not in (b"\r\n", b"\n", b""):
                pass
            self._ended = True

    def _end_of_piece(self) -> None:
        if not self.chunked:
            self._ended = True
        elif self._stream.readline(8) not in (b"\r\n", b"\n"):
            raise BadRequest("no line end after a chunk")


@dataclass
class Response:
    """Status, header fields and either `body` or, in `files`, (path, offset, length) triples to send one after the other.

    `length` overrides Content-Length where there is no body to measure (HEAD); `release` names the pieces pinned for it.
    """

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    files: list[tuple[str, int, int]] = field(default_factory=list)
    length: int | None = None
    release: Iterable[str] = ()


def send(connection: socket.socket, response: Response, *, head_only: bool, close: bool) -> None:
    """Write the response; small bodies leave in one packet with the head."""
    length = response.length
    if length is None:
        length = sum(size for _, _, size in response.files) if response.files else len(response.body)
    lines = [f"HTTP/1.1 {response.status} {reason(response.status)}"]
    if response.status not in (204, 304):
        lines.append(f"Content-Length: {length}")
    lines += [f"{name}: {value}" for name, value in response.headers.items()]
    if close:
        lines.append("Connection: close")
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
    if head_only or response.status in (204, 304):
        connection.sendall(head)
    elif response.files:
        connection.sendall(head, socket.MSG_MORE if hasattr(socket, "MSG_MORE") else 0)
        for path, offset, count in response.files:
            with open(path, "rb", buffering=0) as file:
                connection.sendfile(file, offset, count)
    else:
        connection.sendall(head + response.body)


def reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
