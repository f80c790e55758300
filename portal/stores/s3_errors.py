"""What botocore raises, as errors of ours that name the bucket or key."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore import exceptions as boto

from portal import errors
from portal.errors import PortalError

_WRONG_KEYS = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthFailure", "InvalidClientTokenId", "UnrecognizedClientException", "InvalidToken"}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
_DENIED = {"AccessDenied", "AllAccessDisabled", "AccountProblem", "403", "Forbidden", "KMS.AccessDeniedException", "NotSignedUp"}
_SLOW = {"SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests", "503", "ServiceUnavailable", "429"}
_BUSY = {"InternalError", "500", "502", "504", "RequestTimeout", "OperationAborted", "ConditionalRequestConflict", "409", "IncompleteBody"}
_ELSEWHERE = {"PermanentRedirect", "AuthorizationHeaderMalformed", "301", "IllegalLocationConstraintException", "InvalidLocationConstraint"}
_NO_KEY = {"NoSuchKey", "404", "NotFound", "NoSuchVersion"}
_CORRUPT = {"BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch"}

_UNREACHABLE = (
    boto.EndpointConnectionError, boto.ConnectionClosedError, boto.HTTPClientError, boto.ResponseStreamingError, boto.ReadTimeoutError,
    boto.IncompleteReadError,
)  # fmt: skip
_NO_CREDENTIALS = (
    boto.NoCredentialsError, boto.PartialCredentialsError, boto.CredentialRetrievalError, boto.TokenRetrievalError, boto.SSOError,
    boto.UnauthorizedSSOTokenError, boto.NoAuthTokenError,
)  # fmt: skip


class NoBucket(errors.NotFound):
    """There is no such bucket."""


class OutOfRange(errors.StoreError):
    """The range begins behind the end of the object."""


@contextmanager
def translated(what: str, *, bucket: str, key: str = "", expires_at: str = "") -> Iterator[None]:
    """Turn what botocore raises inside into a PortalError that says `what` (e.g. "Reading") failed on which object.

    Raises:
        NotFound, AccessDenied, AlreadyExists, NameNotAllowed, ProofFailed, Throttled, Unreachable, StoreError
    """
    try:
        yield
    except boto.ClientError as error:
        raise _of_answer(error, what, bucket, key, expires_at) from Answer(error)
    except (*_NO_CREDENTIALS, *_UNREACHABLE, boto.FlexibleChecksumError, boto.ParamValidationError, boto.BotoCoreError) as error:
        raise _of_client(error, what, bucket, key) from error


class Answer(errors.StoreError):
    """What the service said, without botocore's preamble."""

    def __init__(self, error: boto.ClientError) -> None:
        told = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", "")
        super().__init__(f"S3 answered {status} {told.get('Code', '')}: {told.get('Message', '')}".strip(": "))


def name_of(bucket: str, key: str = "") -> str:
    return f"s3://{bucket}/{key}" if key else f"the bucket {bucket!r}" if bucket else "the account"


def _of_answer(error: boto.ClientError, what: str, bucket: str, key: str, expires_at: str) -> PortalError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    place = name_of(bucket, key)
    if code == "NoSuchBucket":
        return NoBucket(f"There is no bucket {bucket!r}.", hint="Check the bucket's name, and that the connection leads to its account.")
    if code in _NO_KEY:
        return errors.NotFound(f"There is no object {place}.", hint="It was never there, or was deleted; list the bucket again.")
    if code in _EXPIRED:
        return errors.AccessDenied(ended(expires_at), hint="Get new ones and submit the job again.")
    if code in _WRONG_KEYS:
        return errors.AccessDenied(f"{what} {place} was refused: the credentials are wrong.", hint="Check access key, secret key and session token.")
    if code in _DENIED:
        return errors.AccessDenied(
            f"{what} {place} is not allowed with these credentials.", hint="Ask for the permission, or use another connection."
        )
    for codes, kind in ((_SLOW, errors.Throttled), (_BUSY, errors.Unreachable), (_CORRUPT, errors.ProofFailed)):
        if code in codes:
            return kind(f"{what} {place} failed for now.", hint="Try again later.")
    return _of_rare_answer(code, what, bucket, place)


def _of_rare_answer(code: str, what: str, bucket: str, place: str) -> PortalError:
    if code in ("PreconditionFailed", "412"):
        return errors.AlreadyExists(f"{place} exists already.", hint="Choose another name or allow overwriting.")
    if code in ("InvalidBucketName", "BucketAlreadyExists"):
        kind = errors.NameNotAllowed if code == "InvalidBucketName" else errors.AlreadyExists
        return kind(f"{bucket!r} cannot be the name of a new bucket.", hint="3 to 63 lower-case letters, digits and hyphens; unique in all of AWS.")
    if code == "KeyTooLongError":
        return errors.NameNotAllowed(f"{place} is too long a name.", hint="S3 keys have at most 1,024 bytes.")
    if code in _ELSEWHERE:
        return errors.StoreError(f"{what} {place} failed: the bucket is in another region.", hint="Set the connection's region to the bucket's.")
    if code == "InvalidRange":
        return OutOfRange(f"{place} is shorter than the range asked for.")
    if code == "InvalidObjectState":
        return errors.StoreError(f"{place} is archived and cannot be read.", hint="Restore it from Glacier first.")
    return errors.StoreError(f"{what} {place} failed.")


def _of_client(error: Exception, what: str, bucket: str, key: str) -> PortalError:
    place = name_of(bucket, key)
    if isinstance(error, _NO_CREDENTIALS):
        return errors.AccessDenied(
            f"{what} {place} needs credentials, and there are none.",
            hint="Put AWS_ACCESS_KEY_ID=… and AWS_SECRET_ACCESS_KEY=… into .env (or fill in the connection that the job names), "
            "or sign in with the AWS CLI.",
        )
    if isinstance(error, _UNREACHABLE):
        return errors.Unreachable(f"{what} {place} failed: the service did not answer.", hint="Check endpoint, network and proxy.")
    if isinstance(error, boto.FlexibleChecksumError):
        return errors.ProofFailed(f"{place} did not arrive as it is stored.", hint="Try again; if it stays, the stored object is damaged.")
    if isinstance(error, boto.ParamValidationError):
        return errors.NameNotAllowed(f"{place} cannot be a name in S3.")
    return errors.StoreError(f"{what} {place} failed.")


def ended(expires_at: str) -> str:
    return f"The temporary credentials ended at {expires_at}." if expires_at else "The temporary credentials have ended."


def status_of(error: Any) -> int:
    """HTTP status of a ClientError; 0 when there is none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
