"""Connections of the thin path: any answer, however it is cut into pieces, and any fault, over real sockets."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from portal.errors import SettingError, StoreError, Unreachable
from portal.wire.answer import Answer
from portal.wire.connection import Connection, host_header
from portal.wire.ends import Access
from portal.wire.header_lines import header_lines
from portal.wire.stream import BUFFER_BYTES, Stream

Script = Callable[[socket.socket, int], None]
"""Serves one accepted connection; the number says the how-manieth it is, from 0."""


@contextmanager
def serving(script: Script) -> Iterator[Access]:
    """A server that does what a script says with every connection."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        with contextlib.suppress(OSError):
            for number in range(100):
                sock, _ = listener.accept()
                with sock, contextlib.suppress(OSError):
                    script(sock, number)

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield Access("s3", scheme="http", host="127.0.0.1", port=listener.getsockname()[1])
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


@contextmanager
def connected(script: Script, *, timeout_s: float = 20) -> Iterator[Connection]:
    with serving(script) as access:
        connection = Connection(access, timeout_s=timeout_s)
        try:
            yield connection
        finally:
            connection.close()


def request(sock: socket.socket) -> tuple[bytes, bytes]:
    """Read one request: its head and its body."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        if not more:
            raise OSError("gone")
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    size = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    while len(body) < size:
        body += sock.recv(size - len(body))
    return head, body


def answering(*answers: bytes) -> Script:
    """Answers the requests of a connection one after the other, then hangs up."""

    def script(sock: socket.socket, number: int) -> None:
        for answer in answers:
            request(sock)
            sock.sendall(answer)

    return script


def test_requests_are_sent_as_they_were_meant_and_one_connection_serves_them_all() -> None:
    heads: list[bytes] = []
    bodies: list[bytes] = []

    def script(sock: socket.socket, number: int) -> None:
        for _ in range(4):
            head, body = request(sock)
            heads.append(head)
            bodies.append(body)
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Which: %d\r\n\r\nok" % number)

    large = bytes(range(256)) * 20_000
    with connected(script) as connection:
        for method, headers, body in (
            ("GET", "x-a: 1\r\n", b""), ("PUT", [("x-b", "2"), ("x-c", "3")], memoryview(b"small")),
            ("PUT", "", memoryview(large)), ("POST", (), b""),
        ):  # fmt: skip
            answer = connection.request(method, "/b/k?x=1", headers, body)
            assert (answer.status, answer.length, answer.header("x-which"), answer.header("x-none")) == (200, 2, "0", "")
            assert answer.content() == b"ok"
        host = connection.host.encode()
    assert heads == [
        b"GET /b/k?x=1 HTTP/1.1\r\nHost: %s\r\nx-a: 1" % host,
        b"PUT /b/k?x=1 HTTP/1.1\r\nHost: %s\r\nContent-Length: 5\r\nx-b: 2\r\nx-c: 3" % host,
        b"PUT /b/k?x=1 HTTP/1.1\r\nHost: %s\r\nContent-Length: 5120000" % host,
        b"POST /b/k?x=1 HTTP/1.1\r\nHost: %s\r\nContent-Length: 0" % host,
    ]
    assert bodies == [b"", b"small", large, b""]


def plain(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nETag: \"x\"\r\n\r\n" % len(body) + body


def chunked(body: bytes, sizes: Sequence[int]) -> bytes:
    pieces, at = [], 0
    for size in [*sizes, len(body)]:
        piece = body[at : at + size]
        at += len(piece)
        if piece:
            pieces.append(b"%X;ext=1\r\n" % len(piece) + piece + b"\r\n")
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nETag: \"x\"\r\n\r\n" + b"".join(pieces) + b"0\r\nX-Trailer: 1\r\n\r\n"


ANSWERS = st.lists(
    st.tuples(
        st.one_of(st.binary(max_size=300), st.just(b"\r\n0HTTP/1.1 ")),
        st.sampled_from([1, 1, 30, 3_000, 20_000]),
        st.sampled_from(["plain", "chunked", "interim", "none"]),
        st.lists(st.integers(1, 5000), max_size=4),
        st.sampled_from(["content", "into", "drain"]),
    ),
    min_size=1, max_size=4,
)  # fmt: skip


def written(body: bytes, how: str, sizes: Sequence[int]) -> bytes:
    if how == "none":
        return b"HTTP/1.1 204 No Content\r\n\r\n"
    if how == "chunked":
        return chunked(body, sizes)
    return (b"HTTP/1.1 100 Continue\r\n\r\n" if how == "interim" else b"") + plain(body)


class Pieces:
    """A socket that gives a fixed stream of bytes in pieces of given lengths, and then its end."""

    def __init__(self, data: bytes, cuts: Sequence[int]) -> None:
        self._data, self._cuts, self._turn = memoryview(data), list(cuts) or [len(data) or 1], 0

    def recv_into(self, view: memoryview, size: int, flags: int) -> int:
        cut = self._cuts[self._turn % len(self._cuts)] if self._turn < 5000 else 1 << 20  # the rest at once, or a byte at a time takes a second
        count = min(len(view), cut, len(self._data))
        view[:count] = self._data[:count]
        self._data, self._turn = self._data[count:], self._turn + 1
        return count


def stream_of(data: bytes, cuts: Sequence[int]) -> Stream:
    return Stream(Pieces(data, cuts), name="here", secure=True, timeout_s=1)  # type: ignore[arg-type]


@settings(deadline=None)
@given(ANSWERS, st.lists(st.one_of(st.integers(1, 40), st.integers(1, 100_000)), min_size=1, max_size=8))
def test_however_the_bytes_arrive_the_answers_are_the_same(answers: list[tuple[bytes, int, str, list[int], str]], cuts: list[int]) -> None:
    stream = stream_of(b"".join(written(body * times, how, sizes) for body, times, how, sizes, _ in answers), cuts)
    for body, times, how, _, reading in answers:
        answer = Answer(stream, stream.head(), "here", False)
        while answer.status < 200:
            answer = Answer(stream, stream.head(), "here", False)
        expected = b"" if how == "none" else body * times
        assert (answer.status, answer.header("etag")) == ((204, "") if how == "none" else (200, '"x"'))
        if reading == "into":
            found = bytearray(len(expected))
            answer.into(memoryview(found))
            assert found == expected
            answer.drain()
        elif reading == "content":
            assert answer.content() == expected
        else:
            answer.drain()
            if not answer.reusable:  # it was too much to read for nothing: the connection goes
                assert len(expected) > 100_000
                return
        assert answer.reusable
    assert stream.clean


@settings(deadline=None)
@given(st.one_of(st.binary(max_size=400), st.binary(max_size=200).map(lambda data: b"HTTP/1.1 200 OK\r\n" + data + b"\r\n\r\n" + data)))
@example(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n")
@example(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcdeXX0\r\n\r\n")
@example(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n")
@example(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab")
@example(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n")
@example(b"HTTP/1.1 99999 OK\r\n\r\n")
@example(b"HTTP/1.1 200 OK\r\n" + b"a" * BUFFER_BYTES)
@example(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 5000)
def test_garbage_is_refused_and_nothing_else_comes_of_it(data: bytes) -> None:
    for cuts in ([1 << 20], [1]):
        stream = stream_of(data, cuts)
        with contextlib.suppress(Unreachable):
            while True:
                answer = Answer(stream, stream.head(), "here", False)
                answer.headers()
                answer.content(100_000)
                if not answer.reusable:
                    break


@pytest.mark.parametrize(
    "rest",
    [
        b"Transfer-Encoding: chunked\r\n\r\n-1\r\n", b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcdeXX0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcdeX\r\n0\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n0x5\r\nabcde\r\n0\r\n\r\n", b"Transfer-Encoding: gzip\r\n\r\nabc",
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"a: b\r\n" * 200 + b"\r\n", b"Content-Length: 1\r\ncontent-length: 1\r\n\r\na",
        b"Content-Length: -1\r\n\r\n", b"Content-Length: 1, 1\r\n\r\na", b"Content-Length: +1\r\n\r\na", b"Content-Length:\r\n\r\n",
    ],
)  # fmt: skip
def test_what_could_be_read_in_two_ways_is_not_read(rest: bytes) -> None:
    stream = stream_of(b"HTTP/1.1 200 OK\r\n" + rest, [7])
    with pytest.raises(Unreachable):
        Answer(stream, stream.head(), "here", False).content()


class Takes:
    """A socket that takes only so many bytes of what is sent first."""

    def __init__(self, first: int) -> None:
        self._first, self.taken = first, b""

    def sendmsg(self, buffers: Sequence[bytes | memoryview]) -> int:
        self.taken = b"".join(buffers)[: self._first]
        return len(self.taken)

    def send(self, data: bytes | memoryview) -> int:
        self.taken += bytes(data[: max(1, self._first)])
        return min(len(data), max(1, self._first))


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=20), st.binary(max_size=20), st.integers(0, 40))
def test_a_request_of_which_a_part_was_taken_is_sent_whole(head: bytes, body: bytes, first: int) -> None:
    for sent in (body, memoryview(body)):
        sock = Takes(first)
        assert Stream(sock, name="here", secure=False, timeout_s=1).send(head, sent)  # type: ignore[arg-type]
        assert sock.taken == head + body


def test_a_body_may_end_with_its_connection() -> None:
    def script(sock: socket.socket, number: int) -> None:
        request(sock)
        sock.sendall(b"HTTP/1.0 200 OK\r\n\r\n%d" % number)

    with connected(script) as connection:
        for number in range(3):
            answer = connection.request("GET", "/")
            assert (answer.length, answer.content()) == (None, b"%d" % number)


def test_a_head_alone_has_the_length_of_what_it_speaks_of_and_no_body() -> None:
    with connected(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n", plain(b"next"))) as connection:
        assert connection.request("HEAD", "/").length == 77
        assert connection.request("GET", "/").content() == b"next"


def test_headers_are_found_whatever_their_case_and_repeated_ones_are_joined() -> None:
    head = b"HTTP/1.1 200 OK\r\nX-One:  a \r\nx-two: b\r\nX-TWO: c\r\nnonsense\r\nx-name: Gr\xc3\xbc\xc3\x9fe\r\nx-old: \xe9\r\nContent-Length:0"
    answer = Answer(stream_of(b"", [1]), head, "here", False)
    assert answer.headers() == {"x-one": "a", "x-two": "b, c", "x-name": "Grüße", "x-old": "é", "content-length": "0"}
    assert (answer.header("x-one"), answer.header("x-two"), answer.header("one")) == ("a", "b", "")


def test_a_kept_connection_that_was_closed_meanwhile_is_replaced_once() -> None:
    with connected(answering(plain(b"first"))) as connection:
        for _ in range(3):
            assert connection.request("GET", "/").content() == b"first"


def test_a_large_body_into_a_connection_that_was_closed_meanwhile_is_sent_again() -> None:
    arrived: list[int] = []

    def script(sock: socket.socket, number: int) -> None:
        arrived.append(len(request(sock)[1]))
        sock.sendall(plain(b"ok"))

    with connected(script) as connection:
        for _ in range(3):
            assert connection.request("PUT", "/", "", memoryview(bytes(8 << 20))).content() == b"ok"
    assert arrived == [8 << 20] * 3


def test_a_connection_that_is_closed_at_once_is_not_tried_for_ever() -> None:
    def script(sock: socket.socket, number: int) -> None:
        request(sock)

    with connected(script) as connection, pytest.raises(Unreachable, match="closed the connection without an answer"):
        connection.request("GET", "/")


def test_after_an_answer_that_was_not_read_to_its_end_there_is_a_new_connection() -> None:
    def script(sock: socket.socket, number: int) -> None:
        while True:
            request(sock)
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n" + b"%d" % number * 10)

    with connected(script) as connection:
        part = bytearray(4)
        connection.request("GET", "/").into(memoryview(part))
        assert part == b"0000"
        assert connection.request("GET", "/").content() == b"1" * 10


def test_what_came_without_being_asked_for_is_not_taken_for_an_answer() -> None:
    def script(sock: socket.socket, number: int) -> None:
        request(sock)
        sock.sendall(plain(b"%d" % number) + plain(b"unasked"))
        sock.recv(1)

    with connected(script) as connection:
        assert [connection.request("GET", "/").content() for _ in range(2)] == [b"0", b"1"]


def test_an_answer_that_comes_before_the_request_was_sent_whole_is_read() -> None:
    def script(sock: socket.socket, number: int) -> None:
        sock.recv(1000)
        sock.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(1 << 20):  # closing with bytes unread would reset the connection and lose the answer
            pass

    with connected(script) as connection:
        answer = connection.request("PUT", "/", "", memoryview(bytes(8 << 20)))
        assert (answer.status, answer.content()) == (403, b"no")


def test_an_early_answer_counts_though_nobody_takes_the_rest() -> None:
    done = threading.Event()

    def script(sock: socket.socket, number: int) -> None:
        sock.recv(1000)
        sock.sendall(b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\n\r\n")
        done.wait(20)

    with connected(script, timeout_s=0.2) as connection:
        answer = connection.request("PUT", "/", "", memoryview(bytes(64 << 20)))
        assert (answer.status, answer.reusable) == (503, False)
        done.set()


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"", "sent nothing for 0.2 seconds: the connection stalled"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "sent nothing for 0.2 seconds: the connection stalled"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc", "sent nothing for 0.2 seconds: the connection stalled"),
    ],
)
def test_a_stalled_connection_ends_and_says_so(sent: bytes, said: str) -> None:
    done = threading.Event()

    def script(sock: socket.socket, number: int) -> None:
        request(sock)
        sock.sendall(sent)
        done.wait(20)

    with connected(script, timeout_s=0.2) as connection:
        with pytest.raises(Unreachable, match=said):
            connection.request("GET", "/").content()
        done.set()


def test_a_service_that_takes_nothing_more_has_stalled_too() -> None:
    done = threading.Event()

    def script(sock: socket.socket, number: int) -> None:
        done.wait(20)

    with connected(script, timeout_s=0.2) as connection:
        with pytest.raises(Unreachable, match="took no more bytes for"):
            connection.request("PUT", "/", "", memoryview(bytes(64 << 20)))
        done.set()


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc", "closed the connection after 3 of 100 bytes"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "answered with 0 bytes where 3 were expected"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "closed the connection in the middle of a body"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "closed the connection in the middle of the head of an answer"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "something that is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * BUFFER_BYTES, "more than 65536 bytes as the head of an answer"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 20, "again and again"),
    ],
)
def test_an_answer_that_is_cut_off_or_none_is_refused(sent: bytes, said: str) -> None:
    with connected(answering(sent)) as connection, pytest.raises(Unreachable, match=said):
        connection.request("GET", "/").content()


def test_asking_for_more_than_an_answer_has_is_refused_before_reading() -> None:
    with connected(answering(plain(b"abc"))) as connection:
        answer = connection.request("GET", "/")
        with pytest.raises(Unreachable, match="answered with 3 bytes where 4 were expected"):
            answer.into(memoryview(bytearray(4)))


@pytest.mark.parametrize("answer", [plain(bytes(2000)), chunked(bytes(2000), [])])
def test_an_answer_longer_than_anybody_wants_is_refused(answer: bytes) -> None:
    with connected(answering(answer)) as connection, pytest.raises(Unreachable, match="more than 1000 bytes"):
        connection.request("GET", "/").content(1000)


def test_nobody_listening_and_no_such_host_are_told_apart() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(Unreachable, match=f":{port} cannot be reached"):
        Connection(Access("s3", scheme="http", host="127.0.0.1", port=port)).request("GET", "/")
    with pytest.raises(Unreachable, match="There is no host"):
        Connection(Access("s3", host="no-such-host.invalid")).request("GET", "/")


def test_plain_http_leads_to_this_machine_only() -> None:
    for host in ("example.com", "127.example.com", "10.0.0.1"):
        with pytest.raises(SettingError, match="is not https"):
            Connection(Access("s3", scheme="http", host=host))
    for host in ("127.0.0.1", "::1", "localhost"):
        Connection(Access("s3", scheme="http", host=host))


def test_the_host_header_names_the_port_where_it_is_not_the_usual_one() -> None:
    found = [host_header(Access("s3", scheme=scheme, host=host, port=port)) for scheme, host, port in
             (("https", "a.b", 443), ("http", "a.b", 80), ("https", "a.b", 8443), ("http", "::1", 9000))]  # fmt: skip
    assert found == ["a.b", "a.b", "a.b:8443", "[::1]:9000"]


@settings(deadline=None)
@given(st.lists(st.tuples(st.just("x-a"), st.text(max_size=10)), max_size=4))
@example([("x-a", "1\r\nx-b: 2")])
@example([("x-a", "1\n"), ("x-b", "\r")])
def test_no_header_becomes_two(pairs: list[tuple[str, str]]) -> None:
    broken = any(mark < " " or mark == "\x7f" for _, value in pairs for mark in value)
    try:
        lines = header_lines(pairs)
    except StoreError:
        assert broken
    else:
        assert not broken
        assert lines.split("\r\n") == [*(f"{name}: {value}" for name, value in pairs), ""]


@pytest.mark.parametrize("target", ["/a b", "/a\r\nx: y", "/a\tb", "/ä", "/\ud800"])
def test_no_target_ends_the_line_of_the_request(target: str) -> None:
    """Nothing is sent: there is nobody at this address."""
    with pytest.raises(StoreError, match="blank or a line break"):
        Connection(Access("s3", scheme="http", host="127.0.0.1", port=1)).request("GET", target)


BLANKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
DROPS = {
    "head": (b"", b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200), "body": (b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n", b"x" * 400),
    "chunks": (BLANKS, b"1\r\nx\r\n" * 60), "endless": (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 400),
    "line": (BLANKS + b"1;", b"y" * 400),
}  # fmt: skip


def dripping(begin: bytes, rest: bytes, pause_s: float, step: int = 1) -> Script:
    """Answers with a beginning at once and the rest by drops, for as long as anybody listens."""

    def script(sock: socket.socket, number: int) -> None:
        request(sock)
        sock.sendall(begin)
        for at in range(0, len(rest), step):
            sock.sendall(rest[at : at + step])
            time.sleep(pause_s)

    return script


@pytest.mark.parametrize("where", DROPS)
def test_an_answer_that_comes_by_drops_counts_as_stalled(where: str) -> None:
    begin, rest = DROPS[where]
    with connected(dripping(begin, rest, 0.02), timeout_s=0.15) as connection:
        begun = time.monotonic()
        with pytest.raises(Unreachable, match="the connection stalled"):
            connection.request("GET", "/").content()
        assert time.monotonic() - begun < 2


def test_a_slow_answer_is_waited_for_as_long_as_enough_comes() -> None:
    with connected(dripping(plain(b"x" * 4000)[:60], plain(b"x" * 4000)[60:], 0.02, 200), timeout_s=0.15) as connection:
        assert len(connection.request("GET", "/").content()) == 4000


def test_blanks_of_a_service_that_works_are_no_stall_where_they_are_known_to_come() -> None:
    with connected(dripping(BLANKS, b"1\r\n \r\n" * 20 + b"0\r\n\r\n", 0.02, 6), timeout_s=0.15) as connection:
        assert connection.request("POST", "/").content(within_s=60) == b" " * 20


def test_a_service_that_takes_a_body_by_drops_counts_as_stalled() -> None:
    def script(sock: socket.socket, number: int) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        while not seen.wait(0.01):
            sock.recv(16)

    seen = threading.Event()
    with connected(script, timeout_s=0.15) as connection:
        begun = time.monotonic()
        with pytest.raises(Unreachable, match="took no more bytes"):
            connection.request("PUT", "/", "", memoryview(bytes(64 << 20)))
        seen.set()
        assert time.monotonic() - begun < 5
