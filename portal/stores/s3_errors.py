"""What botocore raises, as errors of ours that name the bucket or key."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore import exceptions as boto

from portal import errors
from portal.errors import PortalError
from portal.redact import answered
from portal.stores.s3_answers import name_of, refusal

UNREACHABLE = (
    boto.EndpointConnectionError, boto.ConnectionClosedError, boto.HTTPClientError, boto.ResponseStreamingError, boto.ReadTimeoutError,
    boto.IncompleteReadError,
)  # fmt: skip
NO_CREDENTIALS = (
    boto.NoCredentialsError, boto.PartialCredentialsError, boto.CredentialRetrievalError, boto.TokenRetrievalError, boto.SSOError,
    boto.UnauthorizedSSOTokenError, boto.NoAuthTokenError,
)  # fmt: skip
BUCKET_NAMES = "Names of buckets have 3 to 63 lower-case letters, digits, dots and hyphens."
_BAD_BUCKET = "Invalid bucket name"
"""botocore goes on with its regular expression, which tells nobody anything."""


@contextmanager
def translated(what: str, *, bucket: str, key: str = "", expires_at: str = "") -> Iterator[None]:
    """Turn what botocore raises inside into a PortalError that says `what` (e.g. "Reading") failed on which object.

    Raises:
        NotFound, AccessDenied, AlreadyExists, NameNotAllowed, ProofFailed, Throttled, Unreachable, StoreError
    """
    try:
        yield
    except boto.ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        raise refusal(code, what, bucket=bucket, key=key, expires_at=expires_at) from Answer(error)
    except (*NO_CREDENTIALS, *UNREACHABLE, boto.FlexibleChecksumError, boto.ParamValidationError, boto.BotoCoreError) as error:
        found = _of_client(error, what, bucket, key)
        raise found from (None if found.hint == BUCKET_NAMES else error)


class Answer(errors.StoreError):
    """What the service said, without botocore's preamble and without what quotes the request."""

    def __init__(self, error: boto.ClientError, service: str = "S3") -> None:
        told = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", "")
        super().__init__(answered(service, status, str(told.get("Code", "")), str(told.get("Message", ""))))


def _of_client(error: Exception, what: str, bucket: str, key: str) -> PortalError:
    place = name_of(bucket, key)
    if isinstance(error, NO_CREDENTIALS):
        return errors.AccessDenied(
            f"{what} {place} needs credentials, and there are none.",
            hint="Put AWS_ACCESS_KEY_ID=… and AWS_SECRET_ACCESS_KEY=… into .env (or fill in the connection that the job names), "
            "or sign in with the AWS CLI.",
        )
    if isinstance(error, UNREACHABLE):
        return errors.Unreachable(f"{what} {place} failed: the service did not answer.", hint="Check endpoint, network and proxy.")
    if isinstance(error, boto.FlexibleChecksumError):
        return errors.ProofFailed(f"{place} did not arrive as it is stored.", hint="Try again; if it stays, the stored object is damaged.")
    if isinstance(error, boto.ParamValidationError):
        if _BAD_BUCKET in str(error):
            return errors.NameNotAllowed(f"{bucket!r} cannot be the name of a bucket.", hint=BUCKET_NAMES)
        return errors.NameNotAllowed(f"{place} cannot be a name in S3.")
    return errors.StoreError(f"{what} {place} failed.")


def status_of(error: Any) -> int:
    """HTTP status of a ClientError; 0 when there is none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
