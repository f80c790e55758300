"""The second path of a rename or copy: may the credentials touch it too?"""

from __future__ import annotations

import time
from urllib.parse import unquote_plus

from embedded.adls import sas
from embedded.adls.errors import StorageError
from embedded.adls.request import Request
from embedded.adls.store import Store


def check_source(request: Request, store: Store, query: str, resource: tuple[str, str, str], letters: str) -> None:
    """An account key reaches the whole account; a SAS request needs a SAS for the source, in its URL or its own.

    Args:
        query: of the source's URL.
        resource: account, container and path of the source.
        letters: permissions, any one of which is enough.

    Raises:
        StorageError: AuthenticationFailed or Authorization…Mismatch.
    """
    if request.grant is None or request.grant.permissions is None:
        return
    pairs = (pair.partition("=") for pair in query.split("&") if pair)
    own = {name.lower(): unquote_plus(value) for name, _, value in pairs}
    granted = sas.grant(own if "sig" in own else request.query, request, store.accounts[request.account], time.time(), resource=resource)
    if not granted.may(letters):
        raise StorageError("AuthorizationPermissionMismatch")
