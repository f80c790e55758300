"""How to reach one bucket: what a named connection becomes for the thin path. Only the parent process makes these.

Endpoint, addressing and region are what boto3 would use: it is made to build a request, which is looked at and not sent.
"""

from __future__ import annotations

import re
import time
from typing import Any
from urllib.parse import quote, urlsplit

from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.exceptions import NoCredentialsError

from portal import clock
from portal.connections import S3Connection
from portal.errors import SettingError
from portal.stores import s3_client
from portal.stores.s3_errors import translated
from portal.stores.url import StoreURL
from portal.wire import tls
from portal.wire.ends import Access

_SCOPE = re.compile(r"Credential=[^,]*/\d{8}/([^/,]+)/s3/aws4_request")
_EMPTY = b'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"></ListBucketResult>'
_MARGIN_S = 9 * 60
"""botocore renews credentials that have less than ten minutes left."""
_FILE_MARGIN_S = 5 * 60


def access(url: StoreURL, connection: S3Connection) -> Access:
    """Return how to reach the bucket of a URL, credentials included.

    Raises:
        SettingError: the connection cannot be used, or the bucket is a directory bucket
        AccessDenied: no credentials, or ended ones
        Unreachable: the service that gives credentials does not answer
    """
    if url.container.endswith("--x-s3"):
        raise SettingError(f"{url.container} is a directory bucket (S3 Express One Zone), which objects are not moved from or to.")
    client, session = s3_client.opened(connection)
    try:
        with translated("Signing in to", bucket=url.container):
            keys, renew_at = _keys(connection, session)
            asked, scope = _looked_at(client, url.container)
    finally:
        client.close()
    parts = urlsplit(asked)
    base, path_style = _base(parts.path, url.container)
    return Access(
        "s3", url.container, parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80), base, scope, path_style,
        keys, ca_file=_ca_file(session), renew_at=renew_at, expires_at=s3_client.expiry(connection),
    )  # fmt: skip


def _looked_at(client: Any, bucket: str) -> tuple[str, str]:
    """Return the URL that boto3 would ask for the bucket's objects, and the region it signs for."""
    seen: list[AWSRequest] = []

    def answered(request: AWSRequest, **_: Any) -> AWSResponse:
        seen.append(request)
        return AWSResponse(request.url, 200, {}, _Raw())

    client.meta.events.register_first("before-send.s3.ListObjectsV2", answered)
    client.list_objects_v2(Bucket=bucket)
    signed = seen[-1].headers.get("Authorization", b"")
    found = _SCOPE.search(signed.decode() if isinstance(signed, bytes) else signed)
    return str(seen[-1].url), found[1] if found else str(client.meta.region_name)


class _Raw:
    """The body of an answer that nobody gave."""

    def stream(self) -> Any:
        yield _EMPTY


def _base(path: str, bucket: str) -> tuple[str, bool]:
    """Return what stands before the bucket or the key in every path, and whether the bucket stands in it."""
    place = path.rstrip("/")
    tail = f"/{quote(bucket)}"
    return (place.removesuffix(tail), True) if place.endswith(tail) else (place, False)


def _keys(connection: S3Connection, session: Any) -> tuple[tuple[str, str, str], float]:
    """Return the keys and when others are to be had. Raises NoCredentialsError and what else botocore's chain does."""
    named, expires_at = s3_client.named_credentials(connection)
    if named and not connection.role_arn:
        renewable = connection.credentials_file and not connection.access_key_id and expires_at
        renew_at = max(time.time() + 60, clock.parse_ms(expires_at) / 1000 - _FILE_MARGIN_S) if renewable else float("inf")
        return (named["aws_access_key_id"], named["aws_secret_access_key"], named.get("aws_session_token", "")), renew_at
    found = session.get_credentials()
    if found is None:
        raise NoCredentialsError
    frozen = found.get_frozen_credentials()
    ends = getattr(found, "_expiry_time", None)  # set by credentials that renew themselves; nothing public tells it
    renew_at = max(time.time() + 60, ends.timestamp() - _MARGIN_S) if ends else float("inf")
    return (frozen.access_key, frozen.secret_key, frozen.token or ""), renew_at


def _ca_file(session: Any) -> str:
    return str(session._session.get_config_variable("ca_bundle") or tls.ca_file())
