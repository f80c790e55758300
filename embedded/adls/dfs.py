"""The dfs endpoint's paths: create, rename, append, flush, properties, access control, delete, list.

Source: "Azure Data Lake Storage Gen2 REST API", Path and Filesystem operations.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from embedded.adls import conditions, leasing, reading
from embedded.adls.access import access_from_headers
from embedded.adls.errors import StorageError
from embedded.adls.namespace import Namespace
from embedded.adls.properties import access_headers, content_settings, decode_properties, path_headers, stamps
from embedded.adls.request import Request
from embedded.adls.schema import FOLDER, Attributes, Container, Entry, Segment, Staged
from embedded.adls.store import Store
from embedded.adls.times import etag, filetime, http_date
from embedded.adls.tokens import decode_token, encode_token
from embedded.adls.transfer import digest_headers, receive
from embedded.adls.wire import Response

MAX_APPEND_BYTES = 4000 << 20


def held_container(request: Request, space: Namespace) -> Container:
    return space.container(request.account, request.container)


def create(request: Request, store: Store) -> Response:
    """PUT ?resource=file|directory"""
    directory = request.query["resource"] == "directory"
    if request.query["resource"] not in ("file", "directory"):
        raise StorageError("InvalidQueryParameterValue", detail={"QueryParameterName": "resource"})
    if request.body.remaining:
        raise StorageError("ContentLengthMustBeZero")
    attributes = Attributes(**{**(FOLDER if directory else Attributes()).__dict__, "origin": "dfs"})
    attributes = replace(attributes, content=content_settings(request, "x-ms-"), metadata=decode_properties(request) or {})
    attributes = access_from_headers(request, attributes, directory=directory)
    with store.transaction() as space:
        container = held_container(request, space)
        old = space.find(container.id, request.path)
        conditions.check_write(request, old)
        leasing.check_write(request, space, old)
        reading.may_overwrite(request, old)
        made = space.put(container.id, request.path, attributes, directory=directory)
    return Response(201, {**stamps(made), "x-ms-request-server-encrypted": "true"})


def append(request: Request, store: Store) -> Response:
    """PATCH ?action=append&position=N: keeps the bytes aside until a flush takes them in."""
    position = request.number("position")
    if request.body.declared == 0:
        raise StorageError("InvalidHeaderValue", detail={"HeaderName": "Content-Length", "HeaderValue": "0"})
    with store.transaction() as space:
        leasing.lease_id(request)
        _appendable(request, space, position)
    piece = receive(request, store, MAX_APPEND_BYTES)
    item = Staged("", position, piece.file, piece.size)
    headers = {**digest_headers(request, piece), "x-ms-request-server-encrypted": "true"}
    try:
        with store.transaction() as space:
            held = _appendable(request, space, position)
            leasing.before_append(request, space, held)
            space.stage(held.container, held.path, item)
            if request.flag("flush"):
                headers |= stamps(_flush(request, space, held, position + piece.size, keep=False))
                leasing.after_flush(request, space, held)
    except BaseException:
        store.content.discard([piece.file])
        raise
    return Response(202, headers)


def _appendable(request: Request, space: Namespace, position: int) -> Entry:
    held = space.get(held_container(request, space).id, request.path)
    if held.directory:
        raise StorageError("ResourceTypeMismatch")
    if position < held.size:
        raise StorageError("InvalidQueryParameterValue", detail={"QueryParameterName": "position", "QueryParameterValue": str(position)})
    return held


def flush(request: Request, store: Store) -> Response:
    """PATCH ?action=flush&position=N: what was appended up to N becomes the file."""
    position = request.number("position")
    if request.body.remaining or request.body.chunked:
        raise StorageError("ContentLengthMustBeZero")
    with store.transaction() as space:
        held = space.get(held_container(request, space).id, request.path)
        if held.directory:
            raise StorageError("ResourceTypeMismatch")
        conditions.check_write(request, held)
        leasing.before_append(request, space, held)
        made = _flush(request, space, held, position, keep=request.flag("retainuncommitteddata"))
        leasing.after_flush(request, space, held)
    return Response(200, {**stamps(made), "x-ms-request-server-encrypted": "true"})


def _flush(request: Request, space: Namespace, held: Entry, position: int, *, keep: bool) -> Entry:
    staged = space.staged(held.container, held.path)
    if held.attributes.origin != "dfs" or any(item.block for item in staged):
        raise StorageError("InvalidFlushOperation")
    taken, end = [], held.size
    for item in staged:
        if item.position != end or end >= position:
            break
        taken.append(item)
        end += item.size
    if end != position:
        raise StorageError("InvalidFlushPosition")
    rest = staged[len(taken) :] if keep else []
    attributes = replace(held.attributes, content={**held.attributes.content, **content_settings(request, "x-ms-")})
    if taken and "x-ms-content-md5" not in request.head.headers:
        attributes.content.pop("content-md5", None)
    return space.append(held, attributes, [Segment(item.file, item.size) for item in taken], rest)


def set_properties(request: Request, store: Store) -> Response:
    """PATCH ?action=setProperties"""
    with store.transaction() as space:
        held = space.get(held_container(request, space).id, request.path)
        conditions.check_write(request, held)
        leasing.check_write(request, space, held)
        metadata = decode_properties(request)
        changed = replace(
            held.attributes,
            content={**held.attributes.content, **content_settings(request, "x-ms-")},
            metadata=held.attributes.metadata if metadata is None else metadata,
        )
        made = space.update(held, changed)
    return Response(200, stamps(made))


def set_access(request: Request, store: Store) -> Response:
    """PATCH ?action=setAccessControl: kept and given back; account keys and SAS are not subject to it."""
    with store.transaction() as space:
        held = space.get(held_container(request, space).id, request.path)
        conditions.check_write(request, held)
        leasing.check_given(request, space, held)
        made = space.update(held, access_from_headers(request, held.attributes, directory=held.directory))
    return Response(200, stamps(made))


def set_access_recursive(request: Request, store: Store) -> Response:
    """PATCH ?action=setAccessControlRecursive&mode=set: one round trip for the whole tree."""
    if request.query.get("mode") != "set":
        raise StorageError("NotImplemented", "Only mode=set is served.")
    with store.transaction() as space:
        container = held_container(request, space)
        top = space.get(container.id, request.path)
        prefix = f"{top.path}/" if top.path else ""
        tree = [top, *space.list_tree(container.id, prefix, prefix, -1)]
        for held in tree:
            space.update(held, access_from_headers(request, held.attributes, directory=held.directory), touch=False)
    folders = sum(held.directory for held in tree)
    counts = {"directoriesSuccessful": folders, "filesSuccessful": len(tree) - folders, "failureCount": 0, "failedEntries": []}
    return Response(200, {"Content-Type": "application/json;charset=utf-8"}, json.dumps(counts).encode())


def head(request: Request, store: Store) -> Response:
    """HEAD ?action=getStatus|getAccessControl|checkAccess"""
    with store.transaction() as space:
        held = space.get(held_container(request, space).id, request.path)
        conditions.check_read(request, held)
        leasing.check_given(request, space, held)
        leased = leasing.headers(space, held)
    action = request.query.get("action", "getStatus").lower()
    if action == "getaccesscontrol":
        return Response(200, {**stamps(held), **access_headers(held.attributes)})
    return Response(200, path_headers(held, "dfs") | leased, length=held.size)


def delete(request: Request, store: Store) -> Response:
    """DELETE [?recursive=true[&paginated=true&continuation=…]]"""
    recursive, paginated = request.flag("recursive"), request.flag("paginated")
    with store.transaction() as space:
        held = space.get(held_container(request, space).id, request.path)
        if not held.path:
            raise StorageError("InvalidUri", "The root folder cannot be deleted; delete the filesystem.")
        conditions.check_write(request, held)
        leasing.check_write(request, space, held)
        leasing.check_tree(space, held)
        if held.directory and not recursive and not space.is_empty(held):
            raise StorageError("DirectoryIsNotEmpty")
        if held.directory and recursive and paginated and _delete_page(space, held, store.page):
            return Response(200, {"x-ms-continuation": encode_token(held.path)})
        space.delete(held)
    return Response(200)


def _delete_page(space: Namespace, top: Entry, size: int) -> bool:
    """Delete one page of what is under `top`, deepest first; False when the rest fits into one more step."""
    prefix = top.path + "/"
    page = space.list_tree(top.container, prefix, prefix, size + 1)
    if len(page) <= size:
        return False
    for held in sorted(page[:size], key=lambda held: held.path, reverse=True):
        if not held.directory or space.is_empty(held):
            space.delete(held)
    return True


def list_paths(request: Request, store: Store) -> Response:
    """GET /filesystem?resource=filesystem&recursive=…"""
    if "recursive" not in request.query:
        raise StorageError("MissingRequiredQueryParameter", detail={"QueryParameterName": "recursive"})
    folder = "/".join(part for part in request.query.get("directory", "").split("/") if part)
    prefix = f"{folder}/" if folder else ""
    limit = min(request.number("maxresults", store.page, low=1), store.page)
    after = decode_token(request.query.get("continuation", ""), "continuation") or prefix
    with store.transaction() as space:
        container = held_container(request, space)
        top = space.get(container.id, folder)
        if not top.directory:
            raise StorageError("ResourceTypeMismatch")
        if request.flag("recursive"):
            found = space.list_tree(container.id, prefix, after, limit + 1)
        else:
            found = space.list_folder(container.id, folder, prefix, after, limit + 1)
    headers = {**stamps(container), "Content-Type": "application/json;charset=utf-8"}
    if len(found) > limit:
        headers["x-ms-continuation"] = encode_token(found[limit - 1].path)
    return Response(200, headers, json.dumps({"paths": [_item(held) for held in found[:limit]]}).encode())


def _item(held: Entry) -> dict[str, Any]:
    item: dict[str, Any] = {
        "name": held.path,
        "contentLength": str(held.size),
        "creationTime": str(filetime(held.created)),
        "etag": etag(held.etag),
        "lastModified": http_date(held.modified),
        "owner": held.attributes.owner,
        "group": held.attributes.group,
        "permissions": held.attributes.permissions,
    }
    return {**item, "isDirectory": "true"} if held.directory else item
