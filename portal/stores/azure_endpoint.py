"""Where a storage account's services are, and whether credentials may go there."""

from __future__ import annotations

import ipaddress
import re
from typing import Literal
from urllib.parse import parse_qs, urlsplit

from portal import clock
from portal.connections import AdlsConnection
from portal.errors import AccessDenied, SettingError

Service = Literal["blob", "dfs"]

_AZURE_HOSTS = (".core.windows.net", ".core.usgovcloudapi.net", ".core.chinacloudapi.cn", ".fabric.microsoft.com")
_HOST = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
_SERVICE = re.compile(r"(?<=\.)(blob|dfs)(?=\.)")


def account_of(connection: AdlsConnection, account: str = "") -> str:
    """Return the storage account's name, of a URL's (`name` or `name.dfs.core.windows.net`; '': the connection's).

    Raises:
        SettingError: no account, or another one than the connection's.
    """
    named = account.partition(".")[0] or connection.account
    if not named:
        raise SettingError("The ADLS connection names no storage account.", hint="Set AZURE_STORAGE_ACCOUNT, or account in connections.toml.")
    if connection.account and named != connection.account:
        message = f"The URL names the storage account {named!r}, but the connection leads to {connection.account!r}."
        raise SettingError(message, hint="Name the connection of that account.")
    return named


def endpoint_of(connection: AdlsConnection, account: str = "", service: Service = "dfs") -> str:
    """Return the URL of an account's service, without a '/' at its end. `ACCOUNT.dfs.…` and `ACCOUNT.blob.…` lead to each other.

    Raises:
        SettingError: as `account_of`, and an endpoint that would send secrets in the clear or to a host of the URL's choice.
    """
    named = account_of(connection, account)
    endpoint = connection.endpoint_url or _azure(account or named)
    _refuse_clear_text(endpoint)
    parts = urlsplit(endpoint)
    return parts._replace(netloc=_SERVICE.sub(service, parts.netloc, count=1)).geturl()


def _azure(account: str) -> str:
    if "." not in account and _HOST.fullmatch(account):
        return f"https://{account}.dfs.core.windows.net"
    named = _SERVICE.sub("dfs", account, count=1)
    known = tuple(f".dfs{host}" for host in _AZURE_HOSTS)
    if not named.endswith(known) or not _HOST.fullmatch(account):
        # A URL must not lead credentials to a host of its choice; a connection may.
        raise SettingError(f"{account} is no host of Azure Storage.", hint="Write container@account, and put the endpoint into the connection.")
    return f"https://{named}"


def _refuse_clear_text(endpoint: str) -> None:
    parts = urlsplit(endpoint)
    if parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or "")):
        return
    raise SettingError(f"The ADLS endpoint {endpoint} is not https.", hint="Plain http is accepted for this machine (127.0.0.1) only.")


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def refuse_ended(token: str, account: str) -> str:
    """Return when a SAS ends, as it says itself ('' when it does not); the service's answer does not tell. Raises AccessDenied when it has."""
    ends = parse_qs(token.lstrip("?")).get("se", [""])[0]
    try:
        ended = bool(ends) and clock.parse_ms(ends) <= clock.now_ms()
    except ValueError:  # a day without a time: the service judges
        return ends
    if ended:
        raise AccessDenied(f"The SAS for the storage account {account!r} ended at {ends}.", hint="Get a new one and submit the job again.")
    return ends
