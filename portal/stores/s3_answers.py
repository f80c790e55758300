"""What the answers of S3 mean: its codes, as errors of ours that name the bucket or key. No SDK.

Codes: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html; a HEAD's answer has none, and its status stands for it.
"""

from __future__ import annotations

from portal import errors
from portal.errors import PortalError, visible

_WRONG_KEYS = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthFailure", "InvalidClientTokenId", "UnrecognizedClientException", "InvalidToken"}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
_DENIED = {"AccessDenied", "AllAccessDisabled", "AccountProblem", "403", "Forbidden", "KMS.AccessDeniedException", "NotSignedUp"}
_SLOW = {"SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests", "503", "ServiceUnavailable", "429"}
_BUSY = {"InternalError", "408", "500", "502", "504", "RequestTimeout", "OperationAborted", "ConditionalRequestConflict", "409", "IncompleteBody"}
_ELSEWHERE = {"PermanentRedirect", "AuthorizationHeaderMalformed", "301", "IllegalLocationConstraintException", "InvalidLocationConstraint",
              "TemporaryRedirect", "307"}  # fmt: skip
_NO_KEY = {"NoSuchKey", "404", "NotFound", "NoSuchVersion"}
_CORRUPT = {"BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch"}
_FULL = {"507", "InsufficientStorage", "QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "StorageQuotaExceeded"}
_UPLOAD_GONE = {"NoSuchUpload", "InvalidPart", "InvalidPartOrder"}


class NoBucket(errors.NotFound):
    """There is no such bucket."""


class OutOfRange(errors.StoreError):
    """The range begins behind the end of the object."""


def name_of(bucket: str, key: str = "") -> str:
    return f"s3://{bucket}/{visible(key)}" if key else f"the bucket {bucket!r}" if bucket else "the account"


def refusal(code: str, what: str, *, bucket: str, key: str = "", expires_at: str = "", region: str = "") -> PortalError:
    """Return the error that a code means.

    Arguments:
        what: what was tried, e.g. "Reading"
        expires_at: when the temporary credentials end, or ''
        region: that the answer names as the bucket's, or ''
    """
    place = name_of(bucket, key)
    if code == "NoSuchBucket":
        return NoBucket(f"There is no bucket {bucket!r}.", hint="Check the bucket's name, and that the connection leads to its account.")
    if code in _NO_KEY:
        return errors.NotFound(f"There is no object {place}.", hint="It was never there, or was deleted; list the bucket again.")
    if code in _EXPIRED:
        return errors.AccessDenied(ended(expires_at), hint="Get new ones and submit the job again.")
    if code in _WRONG_KEYS:
        return errors.AccessDenied(f"{what} {place} was refused: the credentials are wrong.", hint="Check access key, secret key and session token.")
    if code == "RequestTimeTooSkewed":
        return errors.AccessDenied(f"{what} {place} was refused: this machine's clock is wrong.", hint="Set the clock (NTP), then try again.")
    if code in _DENIED:
        return errors.AccessDenied(
            f"{what} {place} is not allowed with these credentials.", hint="Ask for the permission, or use another connection."
        )
    for codes, kind in ((_SLOW, errors.Throttled), (_BUSY, errors.Unreachable), (_CORRUPT, errors.ProofFailed)):
        if code in codes:
            return kind(f"{what} {place} failed for now.", hint="Try again later.")
    return _of_rare_answer(code, what, bucket, place, region)


def _of_rare_answer(code: str, what: str, bucket: str, place: str, region: str) -> PortalError:
    if code in ("PreconditionFailed", "412"):
        return errors.AlreadyExists(f"{place} exists already.", hint="Choose another name or allow overwriting.")
    if code in ("InvalidBucketName", "BucketAlreadyExists"):
        kind = errors.NameNotAllowed if code == "InvalidBucketName" else errors.AlreadyExists
        return kind(f"{bucket!r} cannot be the name of a new bucket.", hint="3 to 63 lower-case letters, digits and hyphens; unique in all of AWS.")
    if code == "KeyTooLongError":
        return errors.NameNotAllowed(f"{place} is too long a name.", hint="S3 keys have at most 1,024 bytes.")
    if code in _ELSEWHERE:
        where = f"in the region {region!r}" if region else "in another region"
        return errors.StoreError(f"{what} {place} failed: the bucket is {where}.", hint="Set the connection's region to the bucket's.")
    if code in ("InvalidRange", "416"):
        return OutOfRange(f"{place} is shorter than the range asked for.")
    if code == "InvalidObjectState":
        return errors.Archived(f"{place} is archived and cannot be read.", hint="Restore it from Glacier first.")
    return _of_write(code, what, place)


def _of_write(code: str, what: str, place: str) -> PortalError:
    if code in _FULL:
        return errors.StoreFull(f"{what} {place} failed: there is no room left.", hint="Free some space or raise the quota, then run the job again.")
    if code in _UPLOAD_GONE:
        return errors.UploadGone(f"{what} {place} failed: parts of it are no longer there.", hint="It is sent anew.")
    if code in ("EntityTooLarge", "EntityTooSmall"):
        return errors.StoreError(f"{what} {place} failed: S3 takes no objects or parts of this size.")
    if code == "MetadataTooLarge":
        return errors.NameNotAllowed(f"The metadata of {place} is longer than the 2 KB that S3 holds.")
    return errors.StoreError(f"{what} {place} failed.")


def ended(expires_at: str) -> str:
    return f"The temporary credentials ended at {expires_at}." if expires_at else "The temporary credentials have ended."
