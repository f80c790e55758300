"""Roles of AWS: temporary credentials from STS, asked for anew before they end. One process asks once for each connection.

AssumeRole: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from botocore import exceptions as boto
from botocore.config import Config
from botocore.credentials import CredentialProvider, CredentialResolver, RefreshableCredentials

from portal.connections import S3Connection
from portal.errors import AccessDenied, PortalError, SettingError, StoreError, Throttled, Unreachable
from portal.stores.s3_answers import ended
from portal.stores.s3_errors import NO_CREDENTIALS, UNREACHABLE, Answer

DEFAULT_SESSION_NAME = "data-operations-portal"
_WRONG_KEYS = {"InvalidClientTokenId", "SignatureDoesNotMatch", "UnrecognizedClientException", "InvalidAccessKeyId", "IncompleteSignature"}
_ENDED = {"ExpiredToken", "ExpiredTokenException"}
_BUSY = {"Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests"}
_MALFORMED = {"ValidationError", "InvalidParameterValue", "RegionDisabledException"}

OpenSession = Callable[[S3Connection], tuple[Any, dict[str, str]]]
"""Opens the session that signs in without the role, and the keys that the connection itself names for it."""


class _Assumed(CredentialProvider):  # type: ignore[misc]
    """The only source of credentials of a session that plays a role."""

    METHOD = "assume-role"

    def __init__(self, credentials: Any) -> None:
        super().__init__()
        self._credentials = credentials

    def load(self) -> Any:
        return self._credentials


def resolver(connection: S3Connection, open_session: OpenSession) -> Any:
    """Return botocore's `credential_provider` of the connection's role. The role is assumed here and now, so that a refusal is told at once.

    Raises:
        AccessDenied: the role may not be assumed, or there are no credentials to ask with
        SettingError: the role, its external id or session name is malformed
        Unreachable, Throttled, StoreError
    """
    return CredentialResolver([_Assumed(_credentials(connection, open_session))])


@lru_cache(maxsize=32)
def _credentials(connection: S3Connection, open_session: OpenSession) -> Any:
    def ask() -> dict[str, str]:
        return _assume(connection, open_session)

    return RefreshableCredentials.create_from_metadata(ask(), refresh_using=ask, method=_Assumed.METHOD)


def _assume(connection: S3Connection, open_session: OpenSession) -> dict[str, str]:
    """Ask STS for credentials of the role, by keys that are read anew: a credentials file may hold others by now."""
    session, keys = open_session(connection)
    wanted = {"RoleArn": connection.role_arn, "RoleSessionName": connection.role_session_name or DEFAULT_SESSION_NAME}
    if connection.external_id:
        wanted["ExternalId"] = connection.external_id
    with _told(connection):
        sts = session.client("sts", endpoint_url=_endpoint(connection), config=_CONFIG, **keys)
        try:
            found = sts.assume_role(**wanted)["Credentials"]
        finally:
            sts.close()
    return {
        "access_key": found["AccessKeyId"], "secret_key": found["SecretAccessKey"], "token": found["SessionToken"],
        "expiry_time": found["Expiration"].isoformat(),
    }  # fmt: skip


_CONFIG = Config(retries={"mode": "standard", "total_max_attempts": 5}, connect_timeout=10, read_timeout=30)


def _endpoint(connection: S3Connection) -> str | None:
    """A service that speaks S3 and no AWS has its STS at the same address (MinIO, Ceph); an endpoint of S3 in AWS has none."""
    if connection.sts_endpoint_url or not connection.endpoint_url:
        return connection.sts_endpoint_url or None
    host = urlsplit(connection.endpoint_url).hostname or ""
    return None if host.endswith((".amazonaws.com", ".amazonaws.com.cn")) else connection.endpoint_url


@contextmanager
def _told(connection: S3Connection) -> Iterator[None]:
    role = connection.role_arn
    try:
        yield
    except boto.ClientError as error:
        raise _refusal(str(error.response.get("Error", {}).get("Code", "")), connection) from Answer(error, "STS")
    except NO_CREDENTIALS as error:
        hint = "Give the connection keys, a profile or a credentials file, or sign in with the AWS CLI."
        raise AccessDenied(f"Assuming the role {role} needs credentials to ask with, and there are none.", hint=hint) from error
    except UNREACHABLE as error:
        hint = "Check sts_endpoint_url, network and proxy: STS is another address than S3."
        raise Unreachable(f"Assuming the role {role} failed: STS did not answer.", hint=hint) from error
    except (boto.BotoCoreError, ValueError) as error:
        raise SettingError(f"The role {role} cannot be asked for.", hint="Check role_arn, external_id, role_session_name and region.") from error


def _refusal(code: str, connection: S3Connection) -> PortalError:
    role = connection.role_arn
    if code in _ENDED:
        return AccessDenied(ended(connection.expires_at), hint=f"They ask for the role {role}. Get new ones and submit the job again.")
    if code in _WRONG_KEYS:
        return AccessDenied(f"Assuming the role {role} was refused: the credentials that ask for it are wrong.", hint="Check keys and session token.")
    if code in _BUSY:
        return Throttled(f"Assuming the role {role} failed for now.", hint="Try again later.")
    if code in _MALFORMED:
        return SettingError(f"STS does not take the role {role}.", hint="Check role_arn, external_id, role_session_name and region.")
    if code in ("AccessDenied", "AccessDeniedException"):
        hint = "The role's trust policy must name who asks, and the external id if it wants one; who asks needs sts:AssumeRole on it."
        return AccessDenied(f"The role {role} may not be assumed with these credentials.", hint=hint)
    return StoreError(f"Assuming the role {role} failed.")
