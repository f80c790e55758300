"""What Azure Storage says when it refuses, as errors of ours that name the container or path. Shared by the SDK's way and the thin one.

Source: https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes and …/common-rest-api-error-codes.
"""

from __future__ import annotations

from portal import errors
from portal.errors import PortalError

_NO_CONTAINER = {"FilesystemNotFound", "ContainerNotFound", "FilesystemBeingDeleted", "ContainerBeingDeleted", "ContainerDisabled"}
_EXISTS = {"PathAlreadyExists", "BlobAlreadyExists", "PathConflict", "ResourceTypeMismatch", "DestinationPathIsBeingDeleted", "InvalidFlushOperation"}
_BAD_NAME = {
    "InvalidResourceName", "InvalidUri", "RequestUrlFailedToParse", "InvalidSourceUri", "InvalidDestinationPath", "OutOfRangeInput",
    "InvalidPathName", "InvalidMetadata", "EmptyMetadataKey", "InvalidPropertyName", "MetadataTooLarge",
}  # fmt: skip
_CORRUPT = {"Md5Mismatch", "Crc64Mismatch"}
_BAD_KEY = {"AuthenticationFailed", "InvalidAuthenticationInfo", "NoAuthenticationInformation"}
_ELSEWHERE = {"AuthorizationSourceIPMismatch", "AuthorizationFailure", "AuthorizationProtocolMismatch"}
_CUSTOMER_KEY = {"BlobUsesCustomerSpecifiedEncryption", "PathUsesCustomerSpecifiedEncryption"}
_ARCHIVED = {"BlobArchived", "BlobBeingRehydrated"}
_BUSY = {"ServerBusy", "OperationTimedOut", "IngressLimitExceeded", "EgressLimitExceeded", "TooManyRequests"}
_NEVER = {"FeatureNotSupported", "NotImplemented"}
_LATER = {"AccountBeingCreated", "InternalError", "SystemInUse"}
_IN_THE_WAY = {
    "DirectoryIsNotEmpty": "it is a folder that is not empty",
    "DirectoryNotEmpty": "it is a folder that is not empty",
    "SnapshotsPresent": "it has snapshots, which would be lost",
    "BlobImmutableDueToPolicy": "a policy or legal hold keeps it as it is",
    "InvalidBlobOrBlock": "another program began to upload it and did not finish; what it left goes away after a week",
    "BlockCountExceedsLimit": "too many blocks of unfinished uploads wait there; they go away after a week",
    "InvalidBlobType": "it is no block blob",
}


class NoContainer(errors.NotFound):
    """There is no such container."""


class ConditionFailed(errors.StoreError):
    """The object is not the one that was expected."""


def refusal(status: int, code: str, what: str, place: str, *, container: str, account: str, needs: str = "") -> PortalError:
    """Return the error that an answer means.

    Args:
        status: of HTTP
        code: x-ms-error-code
        what: what was tried, e.g. "Reading"
        place: the object or container, as a person names it
        needs: what would have to be granted, e.g. "write (w)"
    """
    if code in _NO_CONTAINER:
        return NoContainer(f"There is no container {container!r} in the account {account!r}.", hint="Check its name, or create it first.")
    if code in _BAD_KEY or status == 401:
        return errors.AccessDenied(f"{what} {place} was refused: the credentials are wrong or have expired.", hint="Check key, SAS or sign-in.")
    if "Quota" in code or "CapacityLimit" in code or status == 507:
        return errors.StoreFull(f"{what} {place} failed: the storage account has no room left.", hint="Free space or raise the account's limit.")
    if code in _CUSTOMER_KEY:
        hint = "It can be copied only by somebody who has its key."
        return errors.AccessDenied(f"{place} is encrypted with a key that only its owner has.", hint=hint)
    if status == 403:
        return _denied(code, what, place, account, needs)
    if code in _CORRUPT:
        return errors.ProofFailed(f"{what} {place}: a block did not arrive as it was sent.", hint="Try again.")
    if code in _BAD_NAME:
        return _bad_name(code, place)
    return _of_state(status, code, what, place)


def _denied(code: str, what: str, place: str, account: str, needs: str) -> PortalError:
    if code == "AccountIsDisabled":
        return errors.AccessDenied(f"The storage account {account!r} is disabled.", hint="Ask its owner.")
    asked = f" that allows {needs}" if needs else " that allows it"
    hint = f"Ask for a role (Storage Blob Data Contributor; Reader is enough for a source) or a SAS{asked}"
    hint += "; a firewall of the account also answers so." if not code or code in _ELSEWHERE else "."
    return errors.AccessDenied(f"{what} {place} is not allowed with these credentials.", hint=hint)


def _bad_name(code: str, place: str) -> PortalError:
    if "Metadata" in code or code == "InvalidPropertyName":
        return errors.NameNotAllowed(f"Azure refuses the metadata of {place}.", hint="Names are letters, digits and '_'; 8 KiB in all.")
    return errors.NameNotAllowed(f"{place} cannot be a name in ADLS.")


def _of_state(status: int, code: str, what: str, place: str) -> PortalError:
    """What stands against it lies in the state of the object or of the service."""
    if code.startswith("Lease") or code in ("InfiniteLeaseDurationRequired", "ContainerLeased"):
        return errors.TargetLeased(f"{what} {place} is not possible: somebody holds a lease on it.", hint="Wait until it is released, or break it.")
    if code in _ARCHIVED:
        return errors.Archived(f"{place} is archived and cannot be read.", hint="Move it to an online tier first, and wait until that is done.")
    if code == "InvalidBlockList":
        return errors.UploadGone(f"{what} {place}: blocks of it are no longer there.", hint="It is uploaded again from its beginning.")
    if code in _IN_THE_WAY:
        return errors.StoreError(f"{what} {place} is not possible: {_IN_THE_WAY[code]}.", hint="Clear it away, or choose another name.")
    if code in _BUSY or status in (429, 503):
        return errors.Throttled(f"{what} {place}: the account asks to slow down.", hint="Try again later, or with less concurrency.")
    if code in _LATER or (status >= 500 and code not in _NEVER and status != 501) or status == 408:
        return errors.Unreachable(f"{what} {place} failed for now.", hint="Try again later.")
    return _of_status(status, code, what, place)


def _of_status(status: int, code: str, what: str, place: str) -> PortalError:
    if status == 412:
        return ConditionFailed(f"{place} is not the one that was expected.")
    if status == 404:
        return errors.NotFound(f"There is no {place}.", hint="It was never there, or was deleted; list the container again.")
    if code in _EXISTS or status == 409:
        return errors.AlreadyExists(f"{place} exists already, as a file or folder.", hint="Choose another name or allow overwriting.")
    return errors.StoreError(f"{what} {place} failed.")
