"""Takes connections, passes requests on, and lets faults befall them."""

from __future__ import annotations

import contextlib
import re
import socket
import socketserver
import struct
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.proxy.faults import Fault
from tests.proxy.messages import Message, read_answer, read_request
from tests.proxy.rules import Rule, decide

_SIGNATURE = re.compile(r"([?&](sig|X-Amz-Signature|X-Amz-Security-Token)=)[^&]*")
_CHUNK_BYTES = 64 << 10


@dataclass(frozen=True)
class Upstream:
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Upstream:
        host, _, port = url.removeprefix("http://").partition(":")
        return cls(host, int(port))


@dataclass(frozen=True)
class Seen:
    """One exchange: what was asked, what the client was told (0: nothing), and the fault that befell it."""

    method: str
    target: str
    """Signatures made unreadable."""
    status: int
    sent_bytes: int
    """Length of the request's body."""
    answer_bytes: int
    """Bytes of the answer's body that were passed on."""
    fault: str = ""


class _Reset(Exception):
    """The connection to the client ends here."""


class Proxy:
    """Listens on a free port of 127.0.0.1 in front of a server. A context manager; `rules` may be changed at any time."""

    def __init__(self, upstream: Upstream, *rules: Rule) -> None:
        self.upstream, self.rules = upstream, list(rules)
        self.upstream_url = f"http://{upstream.host}:{upstream.port}"
        self.seen: list[Seen] = []
        self.most_at_once = 0
        """The largest number of exchanges that were under way at the same time."""
        self._under_way = 0
        self._lock = threading.Lock()
        self.ended = threading.Event()
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def count(self, method: str = "", target: str = "", *, status: int | None = None) -> int:
        """How many exchanges there were of a method, with a target that fits an expression, and told a status."""
        found = (one for one in list(self.seen) if (not method or one.method == method) and re.search(target, one.target))
        return sum(1 for one in found if status is None or one.status == status)

    def enter(self) -> None:
        with self._lock:
            self._under_way += 1
            self.most_at_once = max(self.most_at_once, self._under_way)

    def leave(self, seen: Seen) -> None:
        with self._lock:
            self._under_way -= 1
            self.seen.append(seen)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /) -> None:
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        super().__init__(("127.0.0.1", 0), _Client)

    def shutdown_request(self, request: object) -> None:
        """Only close: an orderly shutdown would turn a reset into an end."""
        self.close_request(request)  # type: ignore[arg-type]


class _Client(socketserver.BaseRequestHandler):
    server: _Server
    request: socket.socket

    def handle(self) -> None:
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._back: socket.socket | None = None
        with contextlib.suppress(OSError, ValueError), self.request.makefile("rb") as stream:
            try:
                while (request := self._next(stream)) is not None:
                    self._exchange(request)
            except _Reset:
                # RST instead of FIN: what a dying machine or a firewall sends.
                self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            finally:
                self._leave_upstream()

    def _leave_upstream(self) -> None:
        if self._back is not None:
            self._stream.close()
            self._back.close()

    def _next(self, stream: object) -> Message | None:
        # Bodies are small enough to be sent without waiting; whoever waits is told to go on at once.
        if self.request.recv(8192, socket.MSG_PEEK).lower().find(b"\r\nexpect: 100-continue") >= 0:
            self.request.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        return read_request(stream)  # type: ignore[arg-type]

    def _exchange(self, request: Message) -> None:
        proxy = self.server.proxy
        fault = decide(proxy.rules, request) or Fault("")
        status = passed = 0
        proxy.enter()
        try:
            answered, announced = self._answered(request, fault)
            status = answered.status
            passed = self._pass_on(request, answered, announced, fault)
        finally:
            target = _SIGNATURE.sub(r"\1…", request.target)
            proxy.leave(Seen(request.method, target, status, len(request.body), passed, fault.name))

    def _answered(self, request: Message, fault: Fault) -> tuple[Message, int]:
        if fault.wait_s:
            self.server.proxy.ended.wait(fault.wait_s)
        if fault.hook:
            fault.hook()
        if fault.instead:
            return fault.instead, len(fault.instead.body)
        if fault.reset_request:
            raise _Reset
        found, announced = self._asked(fault.request(request) if fault.request else request)
        if fault.lose:
            raise _Reset
        return (fault.answer(found) if fault.answer else found), announced

    def _asked(self, request: Message) -> tuple[Message, int]:
        """Ask the server, over a connection of this client's own; a new one when the server has closed it."""
        for fresh in (False, True):
            if self._back is None or fresh:
                self._leave_upstream()
                self._back = socket.create_connection((self.server.proxy.upstream.host, self.server.proxy.upstream.port))
                self._back.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._stream = self._back.makefile("rb")
            try:
                self._back.sendall(request.head() + request.body)
                return read_answer(self._stream, request.method)
            except (ConnectionError, ValueError):
                if fresh:
                    raise
        raise ConnectionError

    def _pass_on(self, request: Message, answered: Message, announced: int, fault: Fault) -> int:
        body = b"" if request.method == "HEAD" else answered.body
        self.request.sendall(answered.head(announced=announced + fault.announced))
        stops = [stop for stop in (fault.cut_after, fault.stall_after) if stop is not None]
        whole = len(body)
        body = body[: min(stops)] if stops else body
        self._send(body[: announced + fault.announced], fault.bytes_per_s)
        if fault.stall_after is not None and fault.stall_after < max(whole, 1):
            self.server.proxy.ended.wait()
        if stops or fault.announced > 0:
            raise _Reset
        return len(body)

    def _send(self, body: bytes, bytes_per_s: float) -> None:
        if not bytes_per_s:
            self.request.sendall(body)
            return
        view = memoryview(body)
        piece = max(1, min(_CHUNK_BYTES, int(bytes_per_s / 20)))
        for start in range(0, len(view), piece):
            self.request.sendall(view[start : start + piece])
            time.sleep(piece / bytes_per_s)
