"""The DataLake service client of a connection: endpoint, credentials, retries. A client may be shared by threads.

Retries are the SDK's exponential policy: up to 4 after the first try, waiting about 1, 3, 5 and 9 seconds, for throttling, 5xx and broken
connections.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
from azure.storage.filedatalake import DataLakeServiceClient, ExponentialRetry

from portal import clock
from portal.connections import AdlsConnection
from portal.errors import AccessDenied, SettingError

BLOCK_BYTES = 8 << 20
_AZURE_HOSTS = (".dfs.core.windows.net", ".dfs.core.usgovcloudapi.net", ".dfs.core.chinacloudapi.cn", ".dfs.fabric.microsoft.com")
_HOST = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")


def client(connection: AdlsConnection, account: str = "") -> DataLakeServiceClient:
    """Make a client for a storage account, named as in a URL (`name` or `name.dfs.core.windows.net`; '': the connection's).

    Raises:
        SettingError: no account, another account than the connection's, or an endpoint that would send secrets in the clear.
    """
    named = account.partition(".")[0] or connection.account
    if not named:
        raise SettingError("The ADLS connection names no storage account.", hint="Set AZURE_STORAGE_ACCOUNT, or account in connections.toml.")
    if connection.account and named != connection.account:
        message = f"The URL names the storage account {named!r}, but the connection leads to {connection.account!r}."
        raise SettingError(message, hint="Name the connection of that account.")
    endpoint = connection.endpoint_url or _endpoint(account or named)
    _refuse_clear_text(endpoint)
    try:
        return DataLakeServiceClient(
            endpoint, credential=_credential(connection, named), retry_policy=_retries(), connection_timeout=10, read_timeout=60,
            max_single_get_size=BLOCK_BYTES, max_chunk_get_size=BLOCK_BYTES,
        )  # fmt: skip
    except ValueError as error:
        raise SettingError("The ADLS connection cannot be used.", hint="Check its endpoint, key and SAS.") from error


def _retries() -> ExponentialRetry:
    return ExponentialRetry(initial_backoff=1, increment_base=2, retry_total=4, random_jitter_range=1, retry_connect=2)


def _endpoint(account: str) -> str:
    if "." not in account and _HOST.fullmatch(account):
        return f"https://{account}.dfs.core.windows.net"
    if not account.endswith(_AZURE_HOSTS) or not _HOST.fullmatch(account):
        # A URL must not lead credentials to a host of its choice; a connection may.
        raise SettingError(f"{account} is no host of Azure Storage.", hint="Write container@account, and put the endpoint into the connection.")
    return f"https://{account}"


def _refuse_clear_text(endpoint: str) -> None:
    parts = urlsplit(endpoint)
    if parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname or "")):
        return
    raise SettingError(f"The ADLS endpoint {endpoint} is not https.", hint="Plain http is accepted for this machine (127.0.0.1) only.")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _refuse_ended(token: str, account: str) -> None:
    """A SAS says itself when it ends; the service's answer does not. Raises AccessDenied."""
    ends = parse_qs(token.lstrip("?")).get("se", [""])[0]
    try:
        ended = bool(ends) and clock.parse_ms(ends) <= clock.now_ms()
    except ValueError:  # a day without a time: the service judges
        return
    if ended:
        raise AccessDenied(f"The SAS for the storage account {account!r} ended at {ends}.", hint="Get a new one and submit the job again.")


def _credential(connection: AdlsConnection, account: str) -> Any:
    if key := connection.account_key.get_secret_value():
        return AzureNamedKeyCredential(account, key)
    if token := connection.sas_token.get_secret_value():
        _refuse_ended(token, account)
        return AzureSasCredential(token.lstrip("?"))
    from azure import identity  # slow to import, and only this way of signing in needs it

    if connection.tenant_id and connection.client_id and (secret := connection.client_secret.get_secret_value()):
        return identity.ClientSecretCredential(connection.tenant_id, connection.client_id, secret)
    return identity.DefaultAzureCredential(managed_identity_client_id=connection.client_id or None)
