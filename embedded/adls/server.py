"""The server: a thread per connection, requests answered one after the other on it."""

from __future__ import annotations

import logging
import socket
import socketserver
import time
import uuid
from pathlib import Path

from embedded.adls import batch, errors, wire
from embedded.adls import request as requests
from embedded.adls.auth import authenticate
from embedded.adls.errors import NotModified, StorageError
from embedded.adls.request import Request
from embedded.adls.routes import route
from embedded.adls.store import Store
from embedded.adls.times import http_date, iso
from embedded.adls.wire import Body, Head, Response

log = logging.getLogger("embedded.adls")


def answer(head: Head, body: Body, client: str, store: Store, within: str = "") -> Response:
    """Authenticate, authorise and run one request; every refusal becomes the service's own error answer.

    Args:
        within: the account whose batch the request is a part of.
    """
    made: Request | None = None
    try:
        made = requests.parse(head, body, client, store.accounts, within)
        made.grant = authenticate(made, store.accounts)
        operation = route(made)
        made.grant.check(operation)
        requests.check_names(made.container, made.path)
        response = operation.run(made, store)
    except NotModified:
        response = Response(304, {"x-ms-error-code": "ConditionNotMet"})
    except StorageError as error:
        response = _refusal(error, made)
    except (ConnectionError, TimeoutError, wire.BadRequest):
        raise
    except Exception:
        log.exception("%s %s", head.method, head.target)
        response = _refusal(StorageError("InternalError"), made)
    _common(response, head, made)
    return response


def _refusal(error: StorageError, made: Request | None) -> Response:
    """The error's answer; to a HEAD without a content type, for there are clients that parse the body it promises."""
    endpoint = made.endpoint if made else "blob"
    now = iso(time.time_ns())
    data, kind = errors.body(error, endpoint, made.id if made else "", now)
    headers = {"x-ms-error-code": error.named(endpoint)[0], **error.headers}
    if made and made.method == "HEAD":
        return Response(error.status, headers)
    return Response(error.status, {"Content-Type": kind, **headers}, data)


def _common(response: Response, head: Head, made: Request | None) -> None:
    headers = response.headers
    headers["Server"] = "embedded-adls/1.0"
    headers["x-ms-request-id"] = made.id if made else str(uuid.uuid4())
    headers["x-ms-version"] = head.headers.get("x-ms-version") or requests.VERSION
    headers["Date"] = http_date(time.time_ns())
    echo = head.headers.get("x-ms-client-request-id", "")
    if echo and len(echo) <= 1024:
        headers["x-ms-client-request-id"] = echo


class Connection(socketserver.BaseRequestHandler):
    """Reads requests until the client closes, asks to close, or sends what is no HTTP."""

    server: Server

    def handle(self) -> None:
        connection: socket.socket = self.request
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection.makefile("rb", buffering=1 << 16) as stream:
            try:
                while self._turn(connection, stream):
                    pass
            except (ConnectionError, TimeoutError):
                pass
            except wire.BadRequest as error:
                text = f"{error}\n".encode()
                wire.send(connection, Response(400, {"x-ms-error-code": "InvalidInput"}, text), head_only=False, close=True)

    def _turn(self, connection: socket.socket, stream: object) -> bool:
        """Answer one request; False when the connection is to end."""
        head = wire.read_head(stream)  # type: ignore[arg-type]
        if head is None:
            return False
        body = Body(head, stream, connection)  # type: ignore[arg-type]
        store = self.server.store
        response = answer(head, body, self.client_address[0], store)
        try:
            alive = head.keep_alive and body.finish()
            wire.send(connection, response, head_only=head.method == "HEAD", close=not alive)
        finally:
            store.content.unpin(response.release)
        return alive


class Server(socketserver.ThreadingTCPServer):
    """Listens on 127.0.0.1.

    Args:
        port: 0 takes a free one; `url` tells which.
        root: folder of the data.
        accounts: account name to key bytes.
        page: most items in a page of a listing.
    """

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 256

    def __init__(self, port: int, root: Path, accounts: dict[str, bytes], page: int = 5000) -> None:
        batch.use(answer)
        self.store = Store(root, accounts, page)
        super().__init__(("127.0.0.1", port), Connection)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"
