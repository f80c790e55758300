"""HTTP/1.1 messages as the proxy passes them on: read whole, changed, written again (RFC 9112)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import BinaryIO

_NO_BODY = {204, 304}


@dataclass(frozen=True)
class Message:
    """A request or an answer. `start` is its first line without the line end; header names keep their case."""

    start: str
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""

    @property
    def method(self) -> str:
        return self.start.split(" ", 2)[0]

    @property
    def target(self) -> str:
        return self.start.split(" ", 2)[1]

    @property
    def status(self) -> int:
        return int(self.start.split(" ", 2)[1])

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key.lower() == name), "")

    def with_body(self, body: bytes) -> Message:
        return replace(self, body=body)

    def head(self, *, announced: int | None = None) -> bytes:
        """The first line and the headers; `announced` is the Content-Length to tell instead of the body's own."""
        length = len(self.body) if announced is None else announced
        kept = [(name, value) for name, value in self.headers if name.lower() not in ("content-length", "transfer-encoding")]
        bodiless = self.start.startswith("HTTP/") and self.status in _NO_BODY
        lines = [self.start, *(f"{name}: {value}" for name, value in kept), *([] if bodiless else [f"Content-Length: {length}"])]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def read_request(stream: BinaryIO) -> Message | None:
    """Return the next request; None when the client has closed. The caller has answered `Expect: 100-continue` if it must."""
    head = _read_head(stream)
    return head and head.with_body(_read_body(stream, head))


def read_answer(stream: BinaryIO, method: str) -> tuple[Message, int]:
    """Return an answer and the length it announces (of a HEAD: of the body that does not come). Raises ConnectionError."""
    head = _read_head(stream)
    while head is not None and 100 <= head.status < 200:
        head = _read_head(stream)
    if head is None:
        raise ConnectionError("the server closed without an answer")
    announced = int(head.header("content-length") or 0)
    if method == "HEAD" or head.status in _NO_BODY:
        return head, announced
    if not head.header("content-length") and head.header("transfer-encoding").lower() != "chunked":
        body = stream.read()
    else:
        body = _read_body(stream, head)
    return head.with_body(body), len(body)


def _read_head(stream: BinaryIO) -> Message | None:
    start = stream.readline().decode("latin-1").rstrip("\r\n")
    if not start:
        return None
    headers = []
    while line := stream.readline().decode("latin-1").rstrip("\r\n"):
        name, _, value = line.partition(":")
        headers.append((name, value.strip()))
    return Message(start, headers)


def _read_body(stream: BinaryIO, head: Message) -> bytes:
    if head.header("transfer-encoding").lower() == "chunked":
        return b"".join(iter(lambda: _read_chunk(stream), b""))
    return stream.read(int(head.header("content-length") or 0))


def _read_chunk(stream: BinaryIO) -> bytes:
    size = int(stream.readline().split(b";")[0], 16)
    data = stream.read(size)
    stream.readline()
    return data
