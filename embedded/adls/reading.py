"""GET and HEAD of a path, the same for both endpoints, and the check before an overwrite."""

from __future__ import annotations

from embedded.adls import conditions, leasing
from embedded.adls.errors import StorageError
from embedded.adls.properties import path_headers
from embedded.adls.request import Request
from embedded.adls.schema import Entry
from embedded.adls.store import Store
from embedded.adls.transfer import outgoing
from embedded.adls.wire import Response


def get(request: Request, store: Store) -> Response:
    """Get Blob, Path Read."""
    _no_snapshot(request)
    with store.transaction() as space:
        held = space.get(space.container(request.account, request.container).id, request.path)
        conditions.check_read(request, held)
        leasing.check_given(request, space, held)
        leased = leasing.headers(space, held)
        segments = space.segments(held)
        files = [segment.file for segment in segments]
        store.content.pin(files)
    try:
        response = outgoing(request, store, segments, held.size, _headers(request, held) | leased)
    except BaseException:
        store.content.unpin(files)
        raise
    response.release = files
    return response


def head(request: Request, store: Store) -> Response:
    """Get Blob Properties."""
    _no_snapshot(request)
    with store.transaction() as space:
        held = space.get(space.container(request.account, request.container).id, request.path)
        conditions.check_read(request, held)
        leasing.check_given(request, space, held)
        leased = leasing.headers(space, held)
    return Response(200, {**_headers(request, held), **leased, "Accept-Ranges": "bytes"}, length=held.size)


def may_overwrite(request: Request, held: Entry | None) -> None:
    """Raises StorageError UnauthorizedBlobOverwrite when the credentials may create but not write."""
    if request.grant:
        request.grant.check_overwrite(held is not None)


def _headers(request: Request, held: Entry) -> dict[str, str]:
    overrides = request.grant.overrides if request.grant else {}
    return path_headers(held, request.endpoint) | overrides


def _no_snapshot(request: Request) -> None:
    for name in ("snapshot", "versionid"):
        if name in request.query:
            raise StorageError("FeatureNotYetSupportedForHierarchicalNamespaceAccounts")
