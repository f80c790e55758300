"""Put Blob From URL, Put Block From URL and the synchronous Copy Blob From URL: the service itself fetches the bytes."""

from __future__ import annotations

import base64
from dataclasses import replace

from embedded.adls import blob, blocks
from embedded.adls.content import Piece
from embedded.adls.errors import StorageError
from embedded.adls.fetching import Fetched, fetch
from embedded.adls.properties import copied_settings, stamps
from embedded.adls.request import Request, checked_metadata
from embedded.adls.schema import Attributes, Segment
from embedded.adls.store import Store
from embedded.adls.transfer import crc64_text, receive_fetched
from embedded.adls.wire import Response

MAX_SYNC_COPY_BYTES = 256 << 20


def put_block(request: Request, store: Store) -> Response:
    """PUT ?comp=block&blockid=BASE64 with x-ms-copy-source: answers the CRC64 of what came, or the MD5 when one was sent along."""
    _no_body(request)
    block = blocks.block_id(request)
    blocks.check_target(request, store, block)
    with fetch(request) as source:
        piece = receive_fetched(request, store, source, blocks.MAX_BLOCK_BYTES)
    if not piece.size:
        store.content.discard([piece.file])
        raise StorageError("InvalidInput", "A block cannot be empty.")
    blocks.stage(request, store, block, piece)
    return Response(201, {**_digests(request, piece), "x-ms-request-server-encrypted": "true"})


def put_blob(request: Request, store: Store) -> Response:
    """PUT with x-ms-blob-type and x-ms-copy-source: the blob takes the source's content settings too, unless
    x-ms-copy-source-blob-properties is false; those the request names win."""
    kind = request.header("x-ms-blob-type")
    if kind != "BlockBlob":
        raise StorageError("NotImplemented", f"Only block blobs are kept here, not {kind}.")
    _no_body(request)
    attributes = blob.attributes_of(request, plain=False)
    blob.check_target(request, store)
    with fetch(request) as source:
        if request.header("x-ms-copy-source-blob-properties", "true").lower() != "false":
            attributes = replace(attributes, content=copied_settings(source.headers) | attributes.content)
        piece = receive_fetched(request, store, source, blob.MAX_PUT_BYTES, md5=True)
    headers = _commit(request, store, attributes, piece)
    if "x-ms-source-content-md5" in request.head.headers:
        headers |= _digests(request, piece)
    return Response(201, {**headers, "x-ms-request-server-encrypted": "true"})


def copy_blob(request: Request, store: Store) -> Response:
    """PUT with x-ms-copy-source from anywhere, done before the answer. With x-ms-requires-sync: true at most 256 MiB."""
    _no_body(request)
    wanted = blob.attributes_of(request, plain=False)
    blob.check_target(request, store)
    sync = request.header("x-ms-requires-sync").lower() == "true"
    with fetch(request) as source:
        piece = receive_fetched(request, store, source, MAX_SYNC_COPY_BYTES if sync else 1 << 62, md5=True)
    attributes = replace(wanted, content=copied_settings(source.headers), metadata=wanted.metadata or _metadata(source))
    attributes = replace(attributes, copy=blob.copy_state(request, piece.size))
    headers = _commit(request, store, attributes, piece)
    if sync:
        headers["x-ms-content-crc64"] = crc64_text(piece.crc64)
    return Response(202, {**headers, "x-ms-copy-id": attributes.copy["x-ms-copy-id"], "x-ms-copy-status": "success"})


def _no_body(request: Request) -> None:
    if request.body.declared is None and not request.body.chunked:
        raise StorageError("MissingContentLengthHeader")
    if request.body.remaining != 0:
        raise StorageError("ContentLengthMustBeZero")


def _commit(request: Request, store: Store, attributes: Attributes, piece: Piece) -> dict[str, str]:
    attributes.content.setdefault("content-md5", base64.b64encode(piece.md5 or b"").decode())
    segments = [Segment(piece.file, piece.size)] if piece.size else []
    made = blob.commit(request, store, attributes, lambda space, old: segments, [piece.file])
    if not segments:
        store.content.discard([piece.file])
    return stamps(made)


def _digests(request: Request, piece: Piece) -> dict[str, str]:
    if piece.md5 is not None and "x-ms-source-content-md5" in request.head.headers:
        return {"Content-MD5": base64.b64encode(piece.md5).decode()}
    return {"x-ms-content-crc64": crc64_text(piece.crc64)}


def _metadata(source: Fetched) -> dict[str, str]:
    return checked_metadata({name[10:]: value for name, value in source.headers.items() if name.startswith("x-ms-meta-")})
