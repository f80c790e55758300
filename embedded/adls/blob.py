"""The blob endpoint's single blobs: put, properties, metadata, tier, delete, copy. Source: "Blob service REST API"."""

from __future__ import annotations

import base64
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import unquote, urlsplit

from embedded.adls import conditions, leasing
from embedded.adls.content import Piece
from embedded.adls.errors import StorageError
from embedded.adls.namespace import Namespace
from embedded.adls.properties import content_settings, stamps
from embedded.adls.reading import may_overwrite
from embedded.adls.request import Request, normal_path
from embedded.adls.schema import FOLDER, Attributes, Entry, Segment
from embedded.adls.source import check_source
from embedded.adls.store import Store
from embedded.adls.times import http_date
from embedded.adls.transfer import digest_headers, receive
from embedded.adls.wire import Response

MAX_PUT_BYTES = 5000 << 20
TIERS = {"Hot", "Cool", "Cold", "Archive"}


def put_blob(request: Request, store: Store) -> Response:
    """PUT with x-ms-blob-type: BlockBlob. With metadata hdi_isfolder=true and no bytes it makes a folder."""
    kind = request.header("x-ms-blob-type")
    if not kind:
        raise StorageError("MissingRequiredHeader", detail={"HeaderName": "x-ms-blob-type"})
    if kind != "BlockBlob":
        raise StorageError("NotImplemented", f"Only block blobs are kept here, not {kind}.")
    attributes = attributes_of(request)
    check_target(request, store)
    piece = receive(request, store, MAX_PUT_BYTES, md5=True)
    if attributes.metadata.get("hdi_isfolder", "").lower() == "true" and piece.size == 0:
        store.content.discard([piece.file])
        return _put_folder(request, store, attributes, piece)
    attributes.content.setdefault("content-md5", base64.b64encode(piece.md5 or b"").decode())
    segments = [Segment(piece.file, piece.size)] if piece.size else []
    made = commit(request, store, attributes, lambda space, old: segments, [piece.file])
    if not segments:
        store.content.discard([piece.file])
    return Response(201, {**stamps(made), **digest_headers(request, piece), "x-ms-request-server-encrypted": "true"})


def _put_folder(request: Request, store: Store, attributes: Attributes, piece: Piece) -> Response:
    metadata = {name: value for name, value in attributes.metadata.items() if name.lower() != "hdi_isfolder"}
    with store.transaction() as space:
        container = space.container(request.account, request.container)
        old = space.find(container.id, request.path)
        conditions.check_write(request, old)
        leasing.check_write(request, space, old)
        made = space.put(container.id, request.path, replace(FOLDER, metadata=metadata, origin="blob"), directory=True)
    return Response(201, {**stamps(made), **digest_headers(request, piece), "x-ms-request-server-encrypted": "true"})


def attributes_of(request: Request, *, plain: bool = True) -> Attributes:
    """What the headers of a Put Blob, Put Block List or Copy Blob say the blob will carry."""
    tier = request.header("x-ms-access-tier")
    if tier and tier not in TIERS:
        raise StorageError("InvalidHeaderValue", detail={"HeaderName": "x-ms-access-tier", "HeaderValue": tier})
    content = content_settings(request, "x-ms-blob-", plain=plain)
    return Attributes(content=content, metadata=request.metadata(), tier=tier, origin="blob")


def check_target(request: Request, store: Store) -> None:
    """Refuse before the body is read what would be refused after it."""
    with store.transaction() as space:
        old = space.find(space.container(request.account, request.container).id, request.path)
        conditions.check_write(request, old)
        leasing.check_write(request, space, old, settle=False)
        may_overwrite(request, old)
        if old and old.directory:
            raise StorageError("ResourceTypeMismatch")


def commit(
    request: Request,
    store: Store,
    attributes: Attributes,
    choose: Callable[[Namespace, Entry | None], list[Segment]],
    files: list[str],
) -> Entry:
    """Put a file in its place under the request's conditions.

    Args:
        choose: gives the segments, inside the transaction.
        files: discarded when the commit fails.
    """
    try:
        with store.transaction() as space:
            return _place(request, space, attributes, choose)
    except BaseException:
        store.content.discard(files)
        raise


def _place(request: Request, space: Namespace, attributes: Attributes, choose: Callable[[Namespace, Entry | None], list[Segment]]) -> Entry:
    container = space.container(request.account, request.container)
    old = space.find(container.id, request.path)
    conditions.check_write(request, old)
    leasing.check_write(request, space, old)
    may_overwrite(request, old)
    return space.put(container.id, request.path, attributes, choose(space, old))


def set_metadata(request: Request, store: Store) -> Response:
    return _change(request, store, lambda held: replace(held, metadata=_without_marker(request.metadata())))


def set_properties(request: Request, store: Store) -> Response:
    """Replaces all content settings; those not named are cleared."""
    return _change(request, store, lambda held: replace(held, content=content_settings(request, "x-ms-blob-")))


def set_tier(request: Request, store: Store) -> Response:
    tier = request.header("x-ms-access-tier")
    if tier not in TIERS:
        raise StorageError("InvalidHeaderValue", detail={"HeaderName": "x-ms-access-tier", "HeaderValue": tier})
    _change(request, store, lambda held: replace(held, tier=tier), touch=False)
    return Response(200)


def _change(request: Request, store: Store, change: Callable[[Attributes], Attributes], *, touch: bool = True) -> Response:
    with store.transaction() as space:
        held = space.get(space.container(request.account, request.container).id, request.path)
        conditions.check_write(request, held)
        (leasing.check_write if touch else leasing.check_given)(request, space, held)
        made = space.update(held, change(held.attributes), touch=touch)
    return Response(200, {**stamps(made), "x-ms-request-server-encrypted": "true"})


def delete(request: Request, store: Store) -> Response:
    """A file, or a folder that is empty."""
    for name in ("snapshot", "versionid"):
        if name in request.query:
            raise StorageError("FeatureNotYetSupportedForHierarchicalNamespaceAccounts")
    with store.transaction() as space:
        held = space.get(space.container(request.account, request.container).id, request.path)
        conditions.check_write(request, held)
        leasing.check_write(request, space, held)
        if held.directory and not space.is_empty(held):
            raise StorageError("DirectoryIsNotEmpty")
        space.delete(held)
    return Response(202, {"x-ms-delete-type-permanent": "true"})


def copy_blob(request: Request, store: Store) -> Response:
    """PUT with x-ms-copy-source inside the account: done before the answer; the bytes are shared, not copied."""
    account, container_name, path = _copy_source(request)
    try:
        check_source(request, store, urlsplit(request.header("x-ms-copy-source")).query, (account, container_name, path), "r")
    except StorageError as error:
        raise StorageError("CannotVerifyCopySource") from error
    wanted = attributes_of(request, plain=False)
    linked: dict[str, str] = {}
    try:
        with store.transaction() as space:
            source = _readable_source(request, space, container_name, path)
            pieces = space.segments(source)
            for file in {piece.file for piece in pieces}:
                linked[file] = store.content.link(file)
            attributes = _copied(request, source, wanted)
            made = _place(request, space, attributes, lambda space, old: [replace(piece, file=linked[piece.file]) for piece in pieces])
    except BaseException:
        store.content.discard(linked.values())
        raise
    return Response(202, {**stamps(made), "x-ms-copy-id": attributes.copy["x-ms-copy-id"], "x-ms-copy-status": "success"})


def abort_copy(request: Request, store: Store) -> Response:
    """PUT ?comp=copy&copyid=…: no copy is ever pending here."""
    with store.transaction() as space:
        space.get(space.container(request.account, request.container).id, request.path)
    raise StorageError("NoPendingCopyOperation")


def _readable_source(request: Request, space: Namespace, container_name: str, path: str) -> Entry:
    try:
        source = space.get(space.container(request.account, container_name).id, path)
    except StorageError as error:
        raise StorageError("CannotVerifyCopySource") from error
    if source.directory:
        raise StorageError("ResourceTypeMismatch")
    conditions.check_write(request, source, prefix="x-ms-source-", code="SourceConditionNotMet")
    return source


def _copied(request: Request, source: Entry, wanted: Attributes) -> Attributes:
    metadata = wanted.metadata or source.attributes.metadata
    return replace(wanted, content=dict(source.attributes.content), metadata=metadata, copy=copy_state(request, source.size))


def copy_state(request: Request, size: int) -> dict[str, str]:
    """What a copy's properties tell of where it came from; a signature in the source's URL is left out."""
    return {
        "x-ms-copy-id": str(uuid.uuid4()),
        "x-ms-copy-status": "success",
        "x-ms-copy-source": request.header("x-ms-copy-source").partition("?")[0],
        "x-ms-copy-progress": f"{size}/{size}",
        "x-ms-copy-completion-time": http_date(time.time_ns()),
    }


def in_account(request: Request) -> bool:
    """Whether the source of a copy lies in the request's own account, where the bytes need not be fetched."""
    url = urlsplit(request.header("x-ms-copy-source"))
    return not url.netloc or (url.netloc == request.header("host") and _copy_source(request)[0] == request.account)


def _copy_source(request: Request) -> tuple[str, str, str]:
    """Account, container and path of a source on this server."""
    url = urlsplit(request.header("x-ms-copy-source"))
    parts = unquote(url.path).lstrip("/").split("/", 2)
    if request.raw_path.startswith(f"/{request.account}/") and len(parts) == 3:
        return parts[0], parts[1], normal_path(parts[2])
    container, _, path = unquote(url.path).lstrip("/").partition("/")
    return request.account, container, normal_path(path)


def _without_marker(metadata: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in metadata.items() if name.lower() != "hdi_isfolder"}
