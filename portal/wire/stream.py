"""The bytes of one connection: sending without copies, and a receive buffer that heads are found in. One thread at a time."""

from __future__ import annotations

import select
import socket
from time import monotonic

from portal.errors import Unreachable

BUFFER_BYTES = 64 << 10
"""As much as a head may be long; a small object comes with its head, by one system call."""
_JOINED_BYTES = 64 << 10
_MAX_LINE = 4096
_LEAST_BYTES_S = 1024
"""What comes, or goes, more slowly than this for as long as a connection may be silent counts as stalled too."""


class HungUp(Unreachable):
    """The service closed the connection before any byte of an answer."""


class Stream:
    """A connected socket, plain or TLS. Every error is Unreachable, and leaves the stream of no more use."""

    __slots__ = ("_buffer", "_came", "_end", "_flags", "_name", "_plain", "_socket", "_start", "_timeout_s", "_view", "_waited_s", "_within_s")

    def __init__(self, sock: socket.socket, *, name: str, secure: bool, timeout_s: float) -> None:
        self._socket, self._name, self._plain, self._timeout_s = sock, name, not secure, timeout_s
        self._flags = 0 if secure else socket.MSG_WAITALL
        self._buffer = bytearray(BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._start = self._end = 0
        self._waited_s, self._came, self._within_s = 0.0, 0, timeout_s

    def send(self, head: bytes, body: bytes | memoryview) -> bool:
        """Send a request. False when it could not be sent whole: there may be an answer all the same."""
        try:
            if self._plain:
                self._send_plain(head, body)
            elif len(body) <= _JOINED_BYTES:
                self._send_all(b"".join((head, body)))
            else:
                self._send_all(head)
                self._send_all(body)
        except (TimeoutError, BlockingIOError):
            if self._answered():
                return False
            raise self._stalled("took no more bytes") from None
        except OSError:
            return False
        return True

    def _send_plain(self, head: bytes, body: bytes | memoryview) -> None:
        if not body:
            return self._send_all(head)
        sent = self._socket.sendmsg((head, body))
        if sent < len(head):
            self._send_all(head[sent:])
            sent = len(head)
        if sent < len(head) + len(body):
            self._send_all(memoryview(body)[sent - len(head) :])
        return None

    def _send_all(self, data: bytes | memoryview) -> None:
        """Raises TimeoutError when the service takes nothing, or too little for long."""
        view = memoryview(data)
        begun, done, sent = monotonic(), 0, self._socket.send(view)
        while sent < len(view):
            done += sent
            if (now := monotonic()) - begun >= self._timeout_s:
                if done < _LEAST_BYTES_S * (now - begun):
                    raise TimeoutError
                begun, done = now, 0
            view = view[sent:]
            sent = self._socket.send(view)

    def _answered(self) -> bool:
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(0))

    def head(self) -> bytes:
        """Return the next head, without the empty line at its end. Raises HungUp when there is nothing at all, Unreachable."""
        scanned = self._start
        self.patience()
        while True:
            found = self._buffer.find(b"\r\n\r\n", scanned, self._end)
            if found >= 0:
                head = bytes(self._view[self._start : found])
                self._start = found + 4
                self.patience()
                return head
            if not self._buffer.startswith(b"HTTP/"[: self._end - self._start], self._start):
                raise Unreachable(f"{self._name} answered something that is not HTTP.", hint="Check the endpoint.")
            scanned = max(self._start, self._end - 3)
            scanned -= self._make_room("the head of an answer")
            self._fill_head()

    def patience(self, seconds: float = 0) -> None:
        """Begin anew to measure how fast an answer comes, over the time that a connection may be silent, or longer."""
        self._waited_s, self._came, self._within_s = 0.0, 0, max(seconds, self._timeout_s)

    def _fill_head(self) -> None:
        begun = self._end > self._start
        try:
            ended = not self._fill()
        except HungUp:
            ended = True
        if ended:
            raise self._cut_off("in the middle of the head of an answer") if begun else self._hung_up()

    def line(self) -> bytes:
        """Return the next short line (of a chunked body), without its end."""
        while True:
            found = self._buffer.find(b"\r\n", self._start, min(self._end, self._start + _MAX_LINE))
            if found >= 0:
                line = bytes(self._view[self._start : found])
                self._start = found + 2
                return line
            if self._end - self._start >= _MAX_LINE:
                raise Unreachable(f"{self._name} answered with a body that cannot be taken apart.")
            self._make_room("a line of a body")
            if not self._fill():
                raise self._cut_off("in the middle of a body")

    def into(self, view: memoryview) -> None:
        """Fill the view. Raises Unreachable when the connection ends before."""
        done = self._leftover(view)
        wanted = len(view)
        while done < wanted:
            got = self._receive(view[done:] if done else view, self._flags)
            if not got:
                raise self._cut_off(f"after {done} of {wanted} bytes")
            done += got

    def some(self, view: memoryview) -> int:
        """Receive at least a byte; 0 at the end."""
        return self._leftover(view) or self._receive(view, 0)

    @property
    def clean(self) -> bool:
        """Nothing has come that nobody asked for."""
        return self._start == self._end

    def close(self) -> None:
        self._socket.close()

    def _leftover(self, view: memoryview) -> int:
        count = min(len(view), self._end - self._start)
        if count:
            view[:count] = self._view[self._start : self._start + count]
            self._start += count
        return count

    def _make_room(self, what: str) -> int:
        """Move what is left to the front of the buffer where there is no room behind it; returns by how much."""
        moved = 0
        if self._start == self._end:
            moved, self._start, self._end = self._start, 0, 0
        elif self._end == BUFFER_BYTES:
            left, moved = self._end - self._start, self._start
            if not moved:
                raise Unreachable(f"{self._name} sent more than {BUFFER_BYTES} bytes as {what}.")
            self._buffer[:left] = bytes(self._view[self._start : self._end])
            self._start, self._end = 0, left
        return moved

    def _fill(self) -> int:
        got = self._receive(self._view[self._end :], 0)
        self._end += got
        return got

    def _receive(self, view: memoryview, flags: int) -> int:
        if self._waited_s >= self._within_s:
            self._refuse_drops()
        begun = monotonic()
        try:
            got = self._socket.recv_into(view, 0, flags)
        except (TimeoutError, BlockingIOError):
            raise self._stalled("sent nothing") from None
        except ConnectionResetError:
            raise HungUp(f"{self._name} reset the connection.", hint="Try again.") from None
        except OSError as error:
            raise Unreachable(f"The connection to {self._name} broke.", hint="Try again.") from error
        if got < len(view):  # only the time in which we waited counts
            self._waited_s += monotonic() - begun
            self._came += got
        return got

    def _refuse_drops(self) -> None:
        """Raises Unreachable when so little came while we waited that the end would never come."""
        if self._came < _LEAST_BYTES_S * self._waited_s:
            raise self._stalled(f"sent only {self._came} bytes")
        self._waited_s, self._came = 0.0, 0

    def _stalled(self, what: str) -> Unreachable:
        return Unreachable(f"{self._name} {what} for {self._timeout_s:g} seconds: the connection stalled.", hint="Check the network; try again.")

    def _cut_off(self, where: str) -> Unreachable:
        return Unreachable(f"{self._name} closed the connection {where}.", hint="Try again.")

    def _hung_up(self) -> HungUp:
        return HungUp(f"{self._name} closed the connection without an answer.", hint="Try again.")
