"""Put Block, Put Block List, Get Block List."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from embedded.adls import blob, leasing
from embedded.adls.content import Piece
from embedded.adls.errors import StorageError
from embedded.adls.namespace import Namespace
from embedded.adls.properties import stamps
from embedded.adls.request import Request
from embedded.adls.schema import Entry, Segment, Staged
from embedded.adls.store import Store
from embedded.adls.transfer import digest_headers, receive, receive_small
from embedded.adls.wire import Response

MAX_BLOCK_BYTES = 4000 << 20
MAX_BLOCKS = 50_000
MAX_LIST_BYTES = 16 << 20


def put_block(request: Request, store: Store) -> Response:
    """PUT ?comp=block&blockid=BASE64: kept aside until a Put Block List names it."""
    block = block_id(request)
    if request.body.declared == 0:
        raise StorageError("InvalidHeaderValue", detail={"HeaderName": "Content-Length", "HeaderValue": "0"})
    check_target(request, store, block)
    piece = receive(request, store, MAX_BLOCK_BYTES)
    stage(request, store, block, piece)
    return Response(201, {**digest_headers(request, piece), "x-ms-request-server-encrypted": "true"})


def check_target(request: Request, store: Store, block: str) -> None:
    """Refuse before the bytes are read what would be refused after it."""
    with store.transaction() as space:
        _check_block(request, space, block)


def stage(request: Request, store: Store, block: str, piece: Piece) -> None:
    """Keep a piece as an uncommitted block, or remove it when that is refused."""
    try:
        with store.transaction() as space:
            container = _check_block(request, space, block)
            space.stage(container, request.path, Staged(block, -1, piece.file, piece.size))
    except BaseException:
        store.content.discard([piece.file])
        raise


def block_id(request: Request) -> str:
    """The blockid parameter.

    Raises:
        StorageError: MissingRequiredQueryParameter, InvalidQueryParameterValue (not base64, or of more than 64 bytes).
    """
    text = request.query.get("blockid", "")
    if not text:
        raise StorageError("MissingRequiredQueryParameter", detail={"QueryParameterName": "blockid"})
    try:
        size = len(base64.b64decode(text, validate=True))
    except binascii.Error:
        size = 0
    if not 1 <= size <= 64:
        raise StorageError("InvalidQueryParameterValue", detail={"QueryParameterName": "blockid", "QueryParameterValue": text})
    return text


def _check_block(request: Request, space: Namespace, block: str) -> int:
    """The container's number; all block ids of a blob have one length."""
    container = space.container(request.account, request.container).id
    held = space.find(container, request.path)
    if held and held.directory:
        raise StorageError("ResourceTypeMismatch")
    leasing.check_write(request, space, held, settle=False)
    other = space.any_block(container, request.path)
    if other and len(other) != len(block):
        raise StorageError("InvalidBlobOrBlock")
    return container


def put_block_list(request: Request, store: Store) -> Response:
    """PUT ?comp=blocklist: the named blocks, in that order, become the blob; the other uncommitted ones go."""
    data, piece = receive_small(request, MAX_LIST_BYTES)
    wanted = _parse(data)
    attributes = blob.attributes_of(request, plain=False)
    made = blob.commit(request, store, attributes, lambda space, old: _chosen(request, space, old, wanted), [])
    return Response(201, {**stamps(made), **digest_headers(request, piece), "x-ms-request-server-encrypted": "true"})


def _parse(data: bytes) -> list[tuple[str, str]]:
    """(Committed | Uncommitted | Latest, block id) in order."""
    try:
        root = ElementTree.fromstring(data)  # noqa: S314 (expat refuses entity bombs by itself since 2.4.1)
    except ElementTree.ParseError as error:
        raise StorageError("InvalidXmlDocument") from error
    wanted = [(item.tag, (item.text or "").strip()) for item in root]
    if root.tag != "BlockList" or any(tag not in ("Committed", "Uncommitted", "Latest") for tag, _ in wanted):
        raise StorageError("InvalidXmlDocument")
    if len(wanted) > MAX_BLOCKS:
        raise StorageError("BlockListTooLong")
    return wanted


def _chosen(request: Request, space: Namespace, old: Entry | None, wanted: list[tuple[str, str]]) -> list[Segment]:
    committed = {part.block: part for part in (space.segments(old) if old else []) if part.block}
    container = space.container(request.account, request.container).id
    staged = {item.block: Segment(item.file, item.size, item.block) for item in space.staged(container, request.path) if item.block}
    sources = {"Committed": committed, "Uncommitted": staged, "Latest": committed | staged}
    try:
        return [sources[tag][block] for tag, block in wanted]
    except KeyError as error:
        raise StorageError("InvalidBlockList") from error


def get_block_list(request: Request, store: Store) -> Response:
    """GET ?comp=blocklist&blocklisttype=committed|uncommitted|all"""
    kind = request.query.get("blocklisttype", "committed").lower()
    if kind not in ("committed", "uncommitted", "all"):
        raise StorageError("InvalidQueryParameterValue", detail={"QueryParameterName": "blocklisttype", "QueryParameterValue": kind})
    with store.transaction() as space:
        container = space.container(request.account, request.container).id
        held = space.find(container, request.path)
        staged = [item for item in space.staged(container, request.path) if item.block]
        committed = space.segments(held) if held else []
    if held is None and not staged:
        raise StorageError("BlobNotFound")
    parts = ""
    if kind != "uncommitted":
        parts += f"<CommittedBlocks>{_blocks((part.block, part.size) for part in committed if part.block)}</CommittedBlocks>"
    if kind != "committed":
        parts += f"<UncommittedBlocks>{_blocks((item.block, item.size) for item in staged)}</UncommittedBlocks>"
    xml = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{parts}</BlockList>'
    size = {"x-ms-blob-content-length": str(held.size if held else 0)}
    return Response(200, {**(stamps(held) if held else {}), **size, "Content-Type": "application/xml"}, xml.encode())


def _blocks(items: Iterable[tuple[str | None, int]]) -> str:
    return "".join(f"<Block><Name>{escape(block or '')}</Name><Size>{size}</Size></Block>" for block, size in items)
