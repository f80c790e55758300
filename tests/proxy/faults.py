"""What can go wrong with one exchange, each as a value that the relay obeys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.proxy.messages import Message


@dataclass(frozen=True)
class Fault:
    """What happens to one exchange; what is not set goes as usual. Steps are done in the order of the fields."""

    name: str
    wait_s: float = 0.0
    """Before anything is passed on; the proxy's end ends the wait."""
    hook: Callable[[], object] | None = None
    """Called before the request is passed on, for instance to replace the object that is being read."""
    instead: Message | None = None
    """Answered in the server's place; the server never hears of the request."""
    request: Callable[[Message], Message] | None = None
    """Changes the request that the server gets."""
    reset_request: bool = False
    """The connection is reset without an answer; the server never hears of the request."""
    lose: bool = False
    """The server does what it was asked; then the connection is reset without an answer."""
    answer: Callable[[Message], Message] | None = None
    """Changes the answer that the client gets."""
    announced: int = 0
    """Added to the Content-Length that the client is told."""
    cut_after: int | None = None
    """The connection is reset after so many bytes of the answer's body."""
    stall_after: int | None = None
    """Nothing more comes after so many bytes of the answer's body, and the connection stays open."""
    bytes_per_s: float = 0.0
    """The answer's body comes at this rate."""


def answer(status: int, code: str = "", headers: Mapping[str, str] | None = None) -> Fault:
    """An error as S3 and Azure Storage word it, both at once."""
    body = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>said by the proxy</Message></Error>'.encode()
    given = [("Content-Type", "application/xml"), *([("x-ms-error-code", code)] if code else []), *(headers or {}).items()]
    return Fault(f"{status} {code}".strip(), instead=Message(f"HTTP/1.1 {status} Said", given, body))


def latency(seconds: float) -> Fault:
    return Fault(f"{seconds} s late", wait_s=seconds)


def before(hook: Callable[[], object]) -> Fault:
    return Fault("a hook", hook=hook)


def reset() -> Fault:
    return Fault("reset before the server hears of it", reset_request=True)


def lose_answer() -> Fault:
    return Fault("the answer is lost", lose=True)


def cut_answer(after: int) -> Fault:
    return Fault(f"reset after {after} bytes of the answer", cut_after=after)


def stall(after: int = 0) -> Fault:
    return Fault(f"stalls after {after} bytes of the answer", stall_after=after)


def bandwidth(bytes_per_s: float) -> Fault:
    return Fault(f"{bytes_per_s} bytes/s", bytes_per_s=bytes_per_s)


def wrong_length(by: int) -> Fault:
    """The answer announces `by` bytes more (or, negative, fewer) than it has."""
    return Fault(f"a Content-Length wrong by {by}", announced=by)


def flip_answer(at: int) -> Fault:
    """One bit of the answer's body is another than the server sent; `at` counts from the end when negative."""
    return Fault(f"bit flipped at {at} of the answer", answer=lambda message: message.with_body(_flipped(message.body, at)))


def flip_request(at: int) -> Fault:
    """One bit of the request's body is another than the client sent."""
    return Fault(f"bit flipped at {at} of the request", request=lambda message: message.with_body(_flipped(message.body, at)))


def _flipped(body: bytes, at: int) -> bytes:
    if not body:
        return body
    changed = bytearray(body)
    changed[at % len(body)] ^= 0x10
    return bytes(changed)
