"""Rename of files and folders: atomic, within an account. Source: "Path - Create" with x-ms-rename-source.

The reference does not say what becomes of a lease on the source, given with x-ms-source-lease-id: here it ends, as if the source were deleted.
"""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import unquote

from embedded.adls import conditions, leasing
from embedded.adls.errors import StorageError
from embedded.adls.namespace import Namespace
from embedded.adls.properties import decode_properties, stamps
from embedded.adls.reading import may_overwrite
from embedded.adls.request import Request, normal_path
from embedded.adls.schema import Entry
from embedded.adls.source import check_source
from embedded.adls.store import Store
from embedded.adls.wire import Response


def rename(request: Request, store: Store) -> Response:
    """PUT with x-ms-rename-source: /filesystem/path[?SAS], percent-encoded."""
    container_name, source_path = _source(request, store)
    properties = decode_properties(request)
    with store.transaction() as space:
        target_container = space.container(request.account, request.container)
        source = _find_source(request, space, container_name, source_path)
        conditions.check_write(request, source, prefix="x-ms-source-", code="SourceConditionNotMet")
        leasing.check_write(request, space, source, header="x-ms-source-lease-id")
        leasing.check_tree(space, source)
        target = space.find(target_container.id, request.path)
        conditions.check_write(request, target)
        leasing.check_write(request, space, target)
        may_overwrite(request, target)
        if target and target.id == source.id and not source.directory:
            return Response(201, stamps(source))
        _make_room(space, source, target, target_container.id, request.path)
        moved = space.rename(source, target_container.id, request.path)
        space.set_lease(moved, None)
        if properties is not None:
            moved = space.update(moved, replace(moved.attributes, metadata=properties))
    return Response(201, stamps(moved))


def _find_source(request: Request, space: Namespace, container_name: str, path: str) -> Entry:
    try:
        source = space.get(space.container(request.account, container_name).id, path)
    except StorageError as error:
        raise StorageError("SourcePathNotFound") from error
    if not source.path:
        raise StorageError("InvalidSourceUri")
    return source


def _make_room(space: Namespace, source: Entry, target: Entry | None, container_id: int, path: str) -> None:
    """Check that the source may take the target's place, and clear it."""
    if source.directory and source.container == container_id and f"{path}/".startswith(f"{source.path}/"):
        raise StorageError("InvalidRenameSourcePath")
    if target:
        if target.directory != source.directory:
            raise StorageError("InvalidSourceOrDestinationResourceType")
        if target.directory and not space.is_empty(target):
            raise StorageError("BlobAlreadyExists")
        space.delete(target)
        return
    parent = space.find(container_id, path.rpartition("/")[0])
    if parent is None:
        raise StorageError("RenameDestinationParentPathNotFound")
    if not parent.directory:
        raise StorageError("ResourceTypeMismatch")
    space.replace_staged(container_id, path, ())


def _source(request: Request, store: Store) -> tuple[str, str]:
    """Container and path of the source, after the check that the credentials cover it."""
    raw, _, token = request.header("x-ms-rename-source").partition("?")
    try:
        container, slash, path = unquote(raw, errors="strict").lstrip("/").partition("/")
    except UnicodeDecodeError as error:
        raise StorageError("InvalidSourceUri") from error
    path = normal_path(path)
    if not slash or not path:
        raise StorageError("InvalidSourceUri")
    check_source(request, store, token, (request.account, container, path), "md")
    return container, path
