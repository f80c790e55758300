"""The boto3 session and client of a connection: credentials, endpoint, retries. A client may be shared by threads.

Retries are botocore's `standard` mode: up to 5 attempts of a request, exponential backoff with jitter, for throttling, 5xx and broken
connections.
"""

from __future__ import annotations

import time
from functools import cache
from typing import Any

import boto3
import botocore.loaders
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ProfileNotFound

from portal import aws_credentials, clock
from portal.connections import S3Connection
from portal.errors import AccessDenied, SettingError
from portal.stores import aws_role
from portal.stores.s3_answers import ended

DEFAULT_REGION = "us-east-1"
_CONNECTIONS = 64


def expiry(connection: S3Connection) -> str:
    """When the connection's temporary credentials end (RFC 3339), or ''."""
    return connection.expires_at or (_from_file(connection.credentials_file)[1] if connection.credentials_file else "")


def client(connection: S3Connection) -> Any:
    """Make a client; see `opened`."""
    return opened(connection)[0]


def opened(connection: S3Connection) -> tuple[Any, Any]:
    """Make a client, and return it with the boto3 session it was made from.

    Raises:
        SettingError, AccessDenied, Unreachable: see `session`.
    """
    made, keys = session(connection)
    try:
        client = made.client("s3", endpoint_url=connection.endpoint_url or None, config=_config(connection), **keys)
    except (BotoCoreError, ValueError) as error:
        raise SettingError("The S3 connection cannot be used.", hint="Check its endpoint (http://… or https://…) and region.") from error
    return client, made


def session(connection: S3Connection) -> tuple[Any, dict[str, str]]:
    """Return a boto3 session that signs in as the connection says, and what its `client(…)` must be told: region, and keys that are named.

    Clients of any service of AWS can be made from it. Keys are empty where the session itself gives them: default chain, profile, role.

    Raises:
        SettingError: the profile, credentials file or role cannot be used.
        AccessDenied: the temporary credentials have ended, or the role may not be assumed.
        Unreachable: the service that gives the role's credentials does not answer.
    """
    if not connection.role_arn:
        return _plain_session(connection)
    made, region = _boto3_session(connection, aws_role.resolver(connection, _plain_session))
    return made, {"region_name": region}


def _plain_session(connection: S3Connection) -> tuple[Any, dict[str, str]]:
    keys, expires_at = named_credentials(connection)
    _refuse_ended(expires_at)
    made, region = _boto3_session(connection)
    return made, {"region_name": region, **keys}


def _boto3_session(connection: S3Connection, credentials: Any = None) -> tuple[Any, str]:
    """Return a session and its region; `credentials` stand for those that it would look for."""
    inner = botocore.session.Session()
    inner.register_component("data_loader", _loader())
    if credentials:
        inner.register_component("credential_provider", credentials)
    try:
        made = boto3.Session(profile_name=connection.profile or None, region_name=connection.region or None, botocore_session=inner)
        return made, made.region_name or DEFAULT_REGION  # both look for the profile
    except ProfileNotFound as error:
        raise SettingError(f"There is no AWS profile {connection.profile!r}.", hint="`aws configure list-profiles` shows those there are.") from error


@cache
def _loader() -> Any:
    """What botocore knows of S3, read once a process: it is most of the time that making a client takes."""
    return botocore.loaders.create_loader()


def _config(connection: S3Connection) -> Config:
    return Config(
        retries={"mode": "standard", "total_max_attempts": 5},
        connect_timeout=10,
        read_timeout=60,
        max_pool_connections=_CONNECTIONS,
        signature_version="s3v4",
        s3={"addressing_style": "path" if connection.endpoint_url else "auto"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )


def named_credentials(connection: S3Connection) -> tuple[dict[str, str], str]:
    """Return the keys that a connection itself names, by the names of boto3's arguments, and when they end; {} leaves it to the default chain."""
    if connection.access_key_id:
        keys = {
            "aws_access_key_id": connection.access_key_id,
            "aws_secret_access_key": connection.secret_access_key.get_secret_value(),
            "aws_session_token": connection.session_token.get_secret_value(),
        }
        return {name: value for name, value in keys.items() if value}, connection.expires_at
    if connection.credentials_file:
        keys, expires_at = _from_file(connection.credentials_file)
        return keys, connection.expires_at or expires_at
    return {}, connection.expires_at


def _from_file(path: str) -> tuple[dict[str, str], str]:
    found = aws_credentials.read(path)
    keys = {"aws_access_key_id": found.access_key_id, "aws_secret_access_key": found.secret_access_key, "aws_session_token": found.session_token}
    return {name: value for name, value in keys.items() if value}, found.expires_at


def _refuse_ended(expires_at: str) -> None:
    if not expires_at:
        return
    try:
        moment = clock.parse_ms(expires_at)
    except ValueError as error:
        raise SettingError("The expiry of the temporary credentials cannot be read.", hint="Write it as 2026-11-21T10:58:31Z.") from error
    if moment <= time.time() * 1000:
        raise AccessDenied(ended(expires_at), hint="Get new ones and submit the job again.")
