"""How to reach one container of Azure Storage: what a named connection becomes for the thin path. Only the parent process makes these.

An account key is never handed on: it signs a SAS for the container. Source: https://learn.microsoft.com/rest/api/storageservices/create-service-sas.
"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from azure.storage.blob import ContainerSasPermissions, generate_container_sas

from portal.connections import AdlsConnection
from portal.errors import SettingError
from portal.stores import adls_client
from portal.stores.adls_errors import translated
from portal.stores.azure_endpoint import Service, account_of, endpoint_of, is_loopback, refuse_ended
from portal.stores.url import StoreURL
from portal.wire.ends import Access

SAS_LIFE = timedelta(days=3)
_CLOCK_SKEW = timedelta(minutes=15)
_PERMISSIONS = "racwdltme"
"""Read, add, create, write, delete, list, tags, and for the dfs endpoint move and execute."""
_SCOPE = "https://storage.azure.com/.default"
_TOKEN_MARGIN_S = 240
"""The libraries give a fresh token from five minutes before the old one's end."""


def access(url: StoreURL, connection: AdlsConnection, endpoint: Service = "blob") -> Access:
    """Return how to reach the container of a URL, credentials included.

    Raises:
        SettingError: no account, another one than the connection's, or an endpoint that credentials must not go to
        AccessDenied: an ended SAS, or a sign-in that failed
    """
    account = account_of(connection, url.account)
    parts = urlsplit(endpoint_of(connection, url.account, endpoint))
    host = parts.hostname or ""
    plain = Access(
        kind=endpoint, container=url.container, scheme=parts.scheme, host=host, port=parts.port or (443 if parts.scheme == "https" else 80),
        base_path=parts.path.rstrip("/"), account=account,
    )  # fmt: skip
    if connection.account_key.get_secret_value():
        return _with_key(plain, connection)
    if token := connection.sas_token.get_secret_value().strip().lstrip("?"):
        return replace(plain, sas=_checked(token), expires_at=refuse_ended(token, account))
    return _with_token(plain, connection)


def _checked(token: str) -> str:
    if not (token.isascii() and token.isprintable()) or " " in token or "#" in token:
        raise SettingError("The SAS of the ADLS connection cannot be used: it has spaces or line breaks in it.", hint="Copy it again, whole.")
    return token


def _with_key(plain: Access, connection: AdlsConnection) -> Access:
    now = datetime.now(UTC)
    protocol: dict[str, Any] = {} if is_loopback(plain.host) else {"protocol": "https"}
    try:
        token = generate_container_sas(
            plain.account, plain.container, account_key=connection.account_key.get_secret_value(),
            permission=ContainerSasPermissions.from_string(_PERMISSIONS), start=now - _CLOCK_SKEW, expiry=now + SAS_LIFE, **protocol,
        )  # fmt: skip
    except ValueError as error:
        raise SettingError("The account key of the ADLS connection cannot be used: it is no base64.", hint="Copy it again, whole.") from error
    return replace(plain, sas=token, renew_at=(now + SAS_LIFE / 2).timestamp())


def _with_token(plain: Access, connection: AdlsConnection) -> Access:
    with translated("Signing in to", container=plain.container, account=plain.account):
        found = adls_client.credential(connection, plain.account).get_token(_SCOPE)
    return replace(plain, bearer=found.token, renew_at=max(time.time() + 60, found.expires_on - _TOKEN_MARGIN_S))
