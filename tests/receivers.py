"""Receivers of notifications over loopback: a webhook that answers as it is told, and mail servers with and without TLS."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from tests.test_wire_tls import authority

__all__ = ["MailServer", "Receiver", "authority", "mail_server", "receiver"]

PATH = "/services/T0000/B0000/a-part-nobody-sees"
USER, PASSWORD = "portal", "a-Mail-passw0rd"


@dataclass(frozen=True)
class Request:
    path: str
    headers: dict[str, str]
    """By names in small letters."""
    body: bytes


Answer = int | tuple[int, dict[str, str], bytes] | Callable[[], int]


@dataclass
class Receiver:
    """A webhook. `answers` are given in turn, the last one for ever."""

    url: str
    answers: list[Answer] = field(default_factory=lambda: cast(list[Answer], [200]))
    requests: list[Request] = field(default_factory=list)

    def next(self) -> tuple[int, dict[str, str], bytes]:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        found = answer() if callable(answer) else answer
        return found if isinstance(found, tuple) else (found, {}, b"")


@contextmanager
def receiver(tls: Path | None = None, path: str = PATH) -> Iterator[Receiver]:
    """Run a webhook; `tls`: a folder with server.pem, which is good for localhost."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            made.requests.append(Request(self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            status, headers, said = made.next()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(said)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(said)

        do_GET = do_POST

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls / "server.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True)
    made = Receiver(f"{'https' if tls else 'http'}://localhost:{server.server_port}{path}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class MailServer:
    """A mail server and what it took. `answers` to RCPT by address, in turn; others are taken."""

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    envelopes: list[list[str]] = field(default_factory=list)
    """The recipients of each mail, as the server was told them."""
    encrypted: list[bool] = field(default_factory=list)
    answers: dict[str, list[str]] = field(default_factory=dict)
    data_answers: list[str] = field(default_factory=list)

    async def handle_RCPT(self, server: SMTP, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        turn = self.answers.get(address)
        answer = (turn.pop(0) if len(turn) > 1 else turn[0]) if turn else "250 OK"
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Any) -> str:
        if self.data_answers and not (answer := self.data_answers.pop(0)).startswith("250"):
            return answer
        self.mails.append(cast(EmailMessage, message_from_bytes(envelope.content, policy=default)))
        self.envelopes.append(list(envelope.rcpt_tos))
        self.encrypted.append(server.transport.get_extra_info("ssl_object") is not None)
        return "250 OK"


def _authenticator(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    good = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=good, handled=good)


class _Controller(Controller):
    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@contextmanager
def mail_server(tls: Path | None = None, *, from_the_start: bool = False, signing_in: bool = False) -> Iterator[MailServer]:
    """Run a mail server; `tls`: a folder with server.pem, for STARTTLS or (`from_the_start`) for the whole session."""
    context = None
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls / "server.pem")
    made = MailServer()
    given: dict[str, Any] = {"ssl_context": context} if from_the_start else {"tls_context": context, "require_starttls": tls is not None}
    if signing_in:
        given |= {"authenticator": _authenticator, "auth_required": True, "auth_require_tls": tls is not None and not from_the_start}
    controller = _Controller(made, hostname="127.0.0.1", port=0, **given)
    controller.start()
    made.port = controller.port
    try:
        yield made
    finally:
        controller.stop()
