"""Resolves a named connection, its credentials included, into what a process that moves objects must know. In the parent process only."""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import Any, Literal

from portal.connections import KIND_OF_SCHEME
from portal.errors import SettingError
from portal.stores.local_files import resolved
from portal.stores.url import StoreURL
from portal.wire import tls
from portal.wire.ends import Access


def access_of(url: StoreURL, connection: Any, *, endpoint: Literal["blob", "dfs"] = "blob") -> Access:
    """Return how to reach the container of a URL.

    Arguments:
        endpoint: of an Azure account, which of its two services

    Raises:
        SettingError: the connection is of another kind, or cannot be used
        AccessDenied: no credentials, ended ones, or a sign-in that failed
        Unreachable: the service that gives credentials does not answer
    """
    if KIND_OF_SCHEME[url.scheme] != connection.kind:
        hint = f"Name a connection of kind {KIND_OF_SCHEME[url.scheme]}."
        raise SettingError(f"{url} cannot be reached through a connection of kind {connection.kind}.", hint=hint)
    if connection.kind == "local":
        return Access("file", scheme="file", roots=tuple(str(root) for root in resolved(connection.roots)))
    if connection.kind == "s3":
        return _made("portal.wire.s3_access", url, connection)
    return _trusting(_made("portal.wire.azure_access", url, connection, endpoint))


def _made(module: str, *arguments: Any) -> Access:
    """The SDK of the one cloud takes half a second to import: the other's is not."""
    made: Access = importlib.import_module(module).access(*arguments)
    return made


def _trusting(access: Access) -> Access:
    return access if access.ca_file or access.scheme != "https" else replace(access, ca_file=tls.ca_file())
