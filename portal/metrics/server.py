"""Serving the figures over HTTP: /metrics for Prometheus, /healthz for whoever only wants to know whether the queue is served.

Read-only and bounded: a few requests at a time, the others are turned away; a client that dawdles is cut off.
"""

from __future__ import annotations

import contextlib
import json
import signal
import threading
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler
from socket import AF_INET, AF_INET6, SHUT_RDWR, socket
from socketserver import ThreadingTCPServer
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from portal import health
from portal.errors import PortalError
from portal.metrics import figures
from portal.settings import Settings

_AT_ONCE = 8
_CUT_OFF_S = 15.0
_TEXT = "text/plain; charset=utf-8"


class MetricsServer(ThreadingTCPServer):
    """Serves one queue's figures on one address."""

    allow_reuse_address = True
    daemon_threads, block_on_close = True, False

    def __init__(self, settings: Settings, host: str, port: int) -> None:
        """Begin to listen. Raises PortalError when the address cannot be had."""
        self.settings = settings
        self.registry: CollectorRegistry = figures.registry(settings)
        self.one_look = threading.Lock()
        self._room = threading.BoundedSemaphore(_AT_ONCE)
        self.address_family = AF_INET6 if ":" in host else AF_INET
        try:
            super().__init__((host, port), _Handler)
        except OSError as error:
            raise PortalError(f"{host}:{port} cannot be listened on.", hint="Choose a free port on an address of this machine.") from error

    @property
    def url(self) -> str:
        host, port = self.server_address[:2]
        return f"http://{f'[{host!s}]' if ':' in str(host) else host!s}:{port}"

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT. Called in the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: threading.Thread(target=self.shutdown).start())
        try:
            self.serve_forever(poll_interval=0.1)
        finally:
            self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread to be had
            self._room.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        cutting = threading.Timer(_CUT_OFF_S, _cut_off, [request])
        cutting.daemon = True
        cutting.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            cutting.cancel()
            self._room.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no news."""


def _cut_off(connection: socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    server: MetricsServer
    timeout = _CUT_OFF_S
    server_version, sys_version = "portal", ""

    def do_GET(self) -> None:
        try:
            status, kind, body = self._looked_up(self.path.partition("?")[0])
        except (PortalError, OSError, ValueError):
            status, kind, body = 500, _TEXT, b"There are no figures; `python -m portal metrics` tells why.\n"
        self._answer(status, kind, body)

    def _looked_up(self, path: str) -> tuple[int, str, bytes]:
        if path == "/metrics":
            with self.server.one_look:
                return 200, CONTENT_TYPE_LATEST, generate_latest(self.server.registry)
        if path == "/healthz":
            found = health.look(self.server.settings)
            told = {"well": found.well, "problems": [asdict(item) for item in found.problems]}
            return 200 if found.well else 503, "application/json", json.dumps(told).encode()
        return 404, _TEXT, b"There are /metrics and /healthz.\n"

    do_HEAD = do_GET

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name is the base class's
        """Scrapes are not worth a line each."""
