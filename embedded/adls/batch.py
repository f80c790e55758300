"""Blob Batch: many deletes or tier changes in one multipart request, each authorised by itself. Source: "Blob Batch"."""

from __future__ import annotations

import io
import socket
from collections.abc import Callable
from email.parser import BytesHeaderParser

from embedded.adls import wire
from embedded.adls.errors import StorageError
from embedded.adls.request import Request
from embedded.adls.store import Store
from embedded.adls.wire import Body, Head, Response

MAX_BATCH_BYTES = 4 << 20
MAX_PARTS = 256
_answer: list[Callable[[Head, Body, str, Store, str], Response]] = []


def use(answer: Callable[[Head, Body, str, Store, str], Response]) -> None:
    """Set what answers a single request (server.answer, which imports this module)."""
    _answer[:] = [answer]


def run(request: Request, store: Store) -> Response:
    """POST ?comp=batch"""
    boundary = request.header("content-type").partition("boundary=")[2].strip('" ')
    data = request.body.read(MAX_BATCH_BYTES)
    if not boundary or data is None:
        raise StorageError("InvalidInput")
    pieces = data.split(b"--" + boundary.encode())[1:-1]
    if not 1 <= len(pieces) <= MAX_PARTS:
        raise StorageError("InvalidInput")
    mark = f"batchresponse_{request.id}"
    parts = [_part(piece.strip(b"\r\n"), mark, request, store) for piece in pieces]
    return Response(202, {"Content-Type": f"multipart/mixed; boundary={mark}"}, b"".join(parts) + f"--{mark}--\r\n".encode())


def _part(piece: bytes, mark: str, request: Request, store: Store) -> bytes:
    outer, _, inner = piece.partition(b"\r\n\r\n")
    content_id = BytesHeaderParser().parsebytes(outer).get("Content-ID", "")
    line, _, rest = inner.partition(b"\r\n")
    method, target, _ = line.decode("latin-1").split(" ", 2)
    fields = [(name, str(value).strip()) for name, value in BytesHeaderParser().parsebytes(rest + b"\r\n\r\n").items()]
    head = Head(method, target, "HTTP/1.1", fields, {name.lower(): value for name, value in fields})
    empty = Body(Head(method, target, "HTTP/1.1", [], {}), io.BufferedReader(io.BytesIO()), socket.socket())
    response = _answer[0](head, empty, request.client, store, request.account)
    headers = {"Content-Length": str(len(response.body)), **response.headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    opening = f"--{mark}\r\nContent-Type: application/http\r\nContent-ID: {content_id}\r\n\r\n"
    shown = f"{opening}HTTP/1.1 {response.status} {wire.reason(response.status)}\r\n{lines}\r\n"
    return shown.encode("latin-1") + response.body + b"\r\n"
