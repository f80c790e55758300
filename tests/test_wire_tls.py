"""TLS and proxies of the thin path: a real TLS server with a certificate of our own making, and a real CONNECT proxy."""

from __future__ import annotations

import base64
import contextlib
import datetime
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from portal.errors import AccessDenied, SettingError, Unreachable, explain
from portal.wire.connection import Connection
from portal.wire.ends import Access
from portal.wire.tls import NotTrusted
from tests.test_wire_connection import request


@pytest.fixture(autouse=True)
def no_proxy_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _certificate(subject: str, issuer: str, key: ec.EllipticCurvePrivateKey, signer: ec.EllipticCurvePrivateKey, *, ca: bool) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    built = (
        x509.CertificateBuilder().subject_name(_name(subject)).issuer_name(_name(issuer)).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1)).add_extension(x509.BasicConstraints(ca, None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .add_extension(x509.KeyUsage(not ca, False, False, False, False, ca, ca, False, False), critical=True)
    )  # fmt: skip
    return (built if ca else built.add_extension(names, critical=False)).sign(signer, hashes.SHA256())


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ca.pem, and server.pem for localhost, signed by it."""
    folder = tmp_path_factory.mktemp("tls")
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(_certificate("Our CA", "Our CA", ca_key, ca_key, ca=True).public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "server.pem").write_bytes(private + _certificate("server", "Our CA", key, ca_key, ca=False).public_bytes(pem))
    return folder


@contextmanager
def listening(handle: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that handles each connection in a thread of its own; yields its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def guarded(sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            handle(sock)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = listener.accept()
                threads.append(threading.Thread(target=guarded, args=(sock,), daemon=True))
                threads[-1].start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in (accepting, *threads):
            thread.join(10)


@pytest.fixture
def echo(authority: Path) -> Iterator[Access]:
    """A TLS server that answers with the body it got; the Access to it trusts its CA."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "server.pem")

    def handle(plain: socket.socket) -> None:
        with context.wrap_socket(plain, server_side=True) as sock:
            while True:
                _, body = request(sock)
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
                sock.sendall(body)

    with listening(handle) as port:
        yield Access("s3", host="localhost", port=port, ca_file=str(authority / "ca.pem"))


def exchanged(access: Access, *sizes: int) -> list[bool]:
    """Send bodies of these sizes over one connection; tell for each whether it came back."""
    connection, same = Connection(access, timeout_s=20), []
    try:
        for size in sizes:
            body = os.urandom(size)
            back = bytearray(size)
            connection.request("PUT", "/", "", memoryview(body)).into(memoryview(back))
            same.append(back == body)
    finally:
        connection.close()
    return same


def test_bodies_of_any_size_go_through_tls_whole(echo: Access) -> None:
    sizes = (0, 1, 16_384, 100_000, 5_000_000, 3)
    assert exchanged(echo, *sizes) == [True] * len(sizes)


def test_a_certificate_that_nobody_vouches_for_is_refused(echo: Access) -> None:
    with pytest.raises(NotTrusted, match="certificate of localhost is not accepted") as caught:
        exchanged(replace(echo, ca_file=""), 1)
    assert not caught.value.retryable


def test_a_certificate_for_another_name_is_refused(echo: Access) -> None:
    with pytest.raises(NotTrusted, match=r"certificate of 127\.0\.0\.1 is not accepted: IP address mismatch"):
        exchanged(replace(echo, host="127.0.0.1"), 1)


def test_certificates_that_cannot_be_read_are_told(echo: Access, tmp_path: Path) -> None:
    (tmp_path / "bad.pem").write_text("nothing")
    for name in ("bad.pem", "none.pem"):
        with pytest.raises(SettingError, match=f"{name} cannot be read"):
            exchanged(replace(echo, ca_file=str(tmp_path / name)), 1)


def test_a_service_that_speaks_no_tls_is_told() -> None:
    with listening(lambda sock: sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as port:
        with pytest.raises(Unreachable, match="does not speak TLS as it should"):
            exchanged(Access("s3", host="127.0.0.1", port=port), 1)


def test_a_handshake_that_stalls_ends() -> None:
    done = threading.Event()
    with listening(lambda sock: done.wait(20) and None) as port:
        connection = Connection(Access("s3", host="127.0.0.1", port=port), connect_timeout_s=0.2)
        with pytest.raises(Unreachable, match="did not finish the TLS handshake"):
            connection.request("GET", "/")
        done.set()


def test_a_stalled_tls_connection_ends_and_says_so(authority: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "server.pem")
    done = threading.Event()

    def handle(plain: socket.socket) -> None:
        with context.wrap_socket(plain, server_side=True) as sock:
            request(sock)
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
            done.wait(20)

    with listening(handle) as port:
        connection = Connection(Access("s3", host="localhost", port=port, ca_file=str(authority / "ca.pem")), timeout_s=0.2)
        with pytest.raises(Unreachable, match="the connection stalled"):
            connection.request("GET", "/").content()
        connection.close()
        done.set()


class Proxy:
    """A small CONNECT proxy; wants user:password when told to."""

    def __init__(self, secret: str = "") -> None:
        self.secret, self.asked = secret, list[str]()

    def __call__(self, client: socket.socket) -> None:
        head, _ = request(client)
        lines = head.decode().split("\r\n")
        self.asked.append(lines[0])
        wanted = f"Proxy-Authorization: Basic {base64.b64encode(self.secret.encode()).decode()}"
        if self.secret and wanted not in lines:
            client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        host, _, port = lines[0].split()[1].rpartition(":")
        try:
            server = socket.create_connection(("127.0.0.1" if host == "store.example" else host, int(port)), 5)
        except OSError:
            client.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            return
        with server:
            client.sendall(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n")
            back = threading.Thread(target=pump, args=(server, client), daemon=True)
            back.start()
            pump(client, server)
            back.join(10)


def pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def test_https_goes_through_the_proxy_that_the_environment_names(echo: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = Proxy("me:a p@ss")
    with listening(proxy) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:a%20p%40ss@127.0.0.1:{port}")
        assert exchanged(echo, 10, 200_000) == [True, True]
    assert proxy.asked == [f"CONNECT localhost:{echo.port} HTTP/1.1"]


def test_the_name_behind_the_proxy_is_what_the_certificate_is_held_to(echo: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(Proxy()) as port:
        monkeypatch.setenv("https_proxy", f"127.0.0.1:{port}")
        with pytest.raises(NotTrusted, match=r"certificate of store\.example is not accepted: Hostname mismatch"):
            exchanged(replace(echo, host="store.example"), 1)


def test_no_proxy_keeps_a_host_out_and_plain_http_takes_none(echo: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = Proxy()

    def plain(sock: socket.socket) -> None:
        request(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    with listening(proxy) as port, listening(plain) as plain_port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
        connection = Connection(Access("s3", scheme="http", host="127.0.0.1", port=plain_port))
        assert connection.request("GET", "/").content() == b"ok"
        connection.close()
        monkeypatch.setenv("NO_PROXY", "other.example,localhost")
        assert exchanged(echo, 10) == [True]
    assert proxy.asked == []


def test_what_is_wrong_with_a_proxy_is_told_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    target = Access("s3", host="127.0.0.1", port=1)

    def refused(kind: type[Exception], url: str, said: str) -> None:
        monkeypatch.setenv("HTTPS_PROXY", url)
        with pytest.raises(kind, match=said) as caught:
            exchanged(target, 1)
        assert "pass-word" not in explain(caught.value)

    with listening(Proxy("me:right")) as port:
        refused(AccessDenied, f"http://me:pass-word@127.0.0.1:{port}", "wants a user name and a password")
    with listening(Proxy()) as port:
        refused(Unreachable, f"http://me:pass-word@127.0.0.1:{port}", r"gives no way to 127\.0\.0\.1:1 \(it answered 502\)")
    with listening(lambda sock: request(sock) and sock.sendall(b"hello")) as port:
        refused(Unreachable, f"http://me:pass-word@127.0.0.1:{port}", "it answered no HTTP")
    for url in ("https://me:pass-word@127.0.0.1:1", "socks5://127.0.0.1", "http://me:pass-word@host:port"):
        refused(SettingError, url, "proxy that HTTPS_PROXY names cannot be used")
