"""The proxy that the fault tests stand on does what it says, seen by a plain HTTP client."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.proxy import Fault, Proxy, Rule, Upstream, asks, faults
from tests.queues import until

CUT = (ConnectionError, http.client.IncompleteRead)
BODY = bytes(range(256)) * 40


class Echo(BaseHTTPRequestHandler):
    """Answers GET with BODY, and PUT with what it got."""

    protocol_version = "HTTP/1.1"
    got: list[bytes] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self._say(BODY)

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        self.got.append(data)
        self._say(data)

    def _say(self, data: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield Upstream("127.0.0.1", server.server_address[1])
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def through(upstream: Upstream) -> Iterator[Callable[..., tuple[Proxy, http.client.HTTPConnection]]]:
    made: list[Proxy] = []
    clients: list[http.client.HTTPConnection] = []

    def proxy(*rules: Rule) -> tuple[Proxy, http.client.HTTPConnection]:
        made.append(Proxy(upstream, *rules))
        made[-1].__enter__()
        clients.append(http.client.HTTPConnection(made[-1].url.removeprefix("http://"), timeout=20))
        return made[-1], clients[-1]

    yield proxy
    for client in clients:
        client.close()
    for one in made:
        one.__exit__(None, None, None)


def get(client: http.client.HTTPConnection) -> tuple[int, bytes]:
    client.request("GET", "/a?sig=secret&x=1")
    with client.getresponse() as found:
        return found.status, found.read()


def test_without_a_rule_everything_passes_and_is_remembered(through: Callable[..., tuple[Proxy, http.client.HTTPConnection]]) -> None:
    proxy, client = through()
    assert get(client) == (200, BODY)
    client.request("PUT", "/b", b"hello")
    assert client.getresponse().read() == b"hello"
    until(lambda: len(proxy.seen) == 2)  # an exchange is remembered when all of its answer is sent
    assert [(one.method, one.target, one.status, one.sent_bytes) for one in proxy.seen] == [
        ("GET", "/a?sig=…&x=1", 200, 0), ("PUT", "/b", 200, 5)
    ]  # fmt: skip
    assert proxy.count("PUT", "^/b$", status=200) == 1


@pytest.mark.parametrize(
    ("fault", "raised"),
    [
        (faults.reset(), ConnectionError), (faults.lose_answer(), ConnectionError), (faults.cut_answer(100), CUT), (faults.wrong_length(5), CUT),
    ],
)  # fmt: skip
def test_a_cut_connection_is_seen_by_the_client(
    through: Callable[..., tuple[Proxy, http.client.HTTPConnection]], fault: Fault, raised: type[Exception]
) -> None:
    proxy, client = through(Rule(fault))
    with pytest.raises(raised):
        get(client)
    client.close()
    assert get(client) == (200, BODY), "the rule strikes once"
    assert proxy.seen[0].fault == fault.name


def test_bytes_are_changed_on_the_way(through: Callable[..., tuple[Proxy, http.client.HTTPConnection]]) -> None:
    _, client = through(Rule(faults.flip_answer(-1)), Rule(faults.flip_request(0), asks("PUT")))
    status, body = get(client)
    assert status == 200 and body[:-1] == BODY[:-1] and body[-1] == BODY[-1] ^ 0x10
    client.request("PUT", "/b", b"\x00rest")
    assert client.getresponse().read() == b"\x10rest"


def test_an_answer_comes_in_the_servers_place(through: Callable[..., tuple[Proxy, http.client.HTTPConnection]]) -> None:
    _, client = through(Rule(faults.answer(503, "SlowDown", {"Retry-After": "7"}), asks("PUT"), times=2))
    heard = len(Echo.got)
    for _ in range(2):
        client.request("PUT", "/b", b"x")
        found = client.getresponse()
        assert (found.status, found.headers["Retry-After"]) == (503, "7") and b"<Code>SlowDown</Code>" in found.read()
    assert len(Echo.got) == heard


def test_a_rule_strikes_after_some_and_every_nth(through: Callable[..., tuple[Proxy, http.client.HTTPConnection]]) -> None:
    _, client = through(Rule(faults.answer(500), skip=1, every=2, times=-1))
    assert [get(client)[0] for _ in range(6)] == [200, 500, 200, 500, 200, 500]


def test_a_stall_keeps_the_client_waiting_and_ends_with_the_proxy(through: Callable[..., tuple[Proxy, http.client.HTTPConnection]]) -> None:
    proxy, client = through(Rule(faults.stall(10)))
    client.timeout = 0.3
    with pytest.raises(TimeoutError):
        get(client)
    proxy.ended.set()


def test_late_and_slow(through: Callable[..., tuple[Proxy, http.client.HTTPConnection]]) -> None:
    _, client = through(Rule(faults.latency(0.2)), Rule(faults.bandwidth(len(BODY) / 0.2)))
    for _ in range(2):
        began = time.monotonic()
        assert get(client) == (200, BODY)
        assert time.monotonic() - began >= 0.15
