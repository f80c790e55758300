"""What the Azure libraries raise, as errors of ours that name the container or path."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from azure.core import exceptions as azure

from portal import errors
from portal.errors import PortalError

_NO_CONTAINER = {"FilesystemNotFound", "ContainerNotFound", "FilesystemBeingDeleted", "ContainerBeingDeleted"}
_EXISTS = {"PathAlreadyExists", "BlobAlreadyExists", "PathConflict", "ResourceTypeMismatch", "DestinationPathIsBeingDeleted", "InvalidFlushOperation"}
_BAD_NAME = {"InvalidResourceName", "InvalidUri", "InvalidSourceUri", "InvalidDestinationPath", "OutOfRangeInput", "InvalidPathName"}
_CORRUPT = {"Md5Mismatch", "Crc64Mismatch"}
_BAD_KEY = {"AuthenticationFailed", "InvalidAuthenticationInfo", "NoAuthenticationInformation"}


class NoContainer(errors.NotFound):
    """There is no such container."""


class ConditionFailed(errors.StoreError):
    """The object is not the one that was expected."""


class Answer(errors.StoreError):
    """What the service said, in one line."""

    def __init__(self, error: azure.HttpResponseError) -> None:
        said = (error.message or "").splitlines()
        super().__init__(f"Azure answered {error.status_code} {code_of(error)}: {said[0] if said else ''}".strip(": "))


def code_of(error: azure.HttpResponseError) -> str:
    """The service's own error code; a HEAD has it only in a header."""
    code = getattr(error, "error_code", None)
    code = getattr(code, "value", code)
    if not code:
        code = getattr(error.response, "headers", {}).get("x-ms-error-code")
    return str(code or "")


@contextmanager
def translated(what: str, *, container: str, account: str, key: str = "") -> Iterator[None]:
    """Turn what the Azure libraries raise inside into a PortalError that says `what` (e.g. "Reading") failed on which path.

    Raises:
        NotFound, AccessDenied, AlreadyExists, ConditionFailed, NameNotAllowed, ProofFailed, Throttled, Unreachable, StoreError
    """
    place = f"abfss://{container}@{account}/{key}" if container else f"the storage account {account!r}"
    try:
        yield
    except azure.ClientAuthenticationError as error:
        if error.response is None:
            message = f"{what} {place} needs a sign-in, and it failed."
            hint = (
                "Put AZURE_STORAGE_KEY=… or AZURE_STORAGE_SAS_TOKEN=… (or a service principal: AZURE_TENANT_ID, AZURE_CLIENT_ID and "
                "AZURE_CLIENT_SECRET) into .env, or fill in the connection that the job names, or run `az login`."
            )
            raise errors.AccessDenied(message, hint=hint) from error
        raise _of_answer(error, what, place, container, account) from Answer(error)
    except azure.HttpResponseError as error:
        if isinstance(error, azure.IncompleteReadError) or error.status_code is None:
            raise _unreachable(what, place) from error
        raise _of_answer(error, what, place, container, account) from Answer(error)
    except (azure.ServiceRequestError, azure.ServiceResponseError) as error:
        raise _unreachable(what, place) from error
    except azure.AzureError as error:
        raise errors.StoreError(f"{what} {place} failed.") from error


def _unreachable(what: str, place: str) -> PortalError:
    return errors.Unreachable(f"{what} {place} failed: the service did not answer.", hint="Check the account's name, endpoint, network and proxy.")


def _of_answer(error: azure.HttpResponseError, what: str, place: str, container: str, account: str) -> PortalError:
    code, status = code_of(error), error.status_code or 0
    if code in _NO_CONTAINER:
        return NoContainer(f"There is no container {container!r} in the account {account!r}.", hint="Check its name, or create it first.")
    if code in _BAD_KEY or status == 401:
        return errors.AccessDenied(f"{what} {place} was refused: the credentials are wrong or have expired.", hint="Check key, SAS or sign-in.")
    if status == 403:
        hint = "Ask for a role (Storage Blob Data Contributor) or a SAS that allows it; a firewall of the account also answers so."
        return errors.AccessDenied(f"{what} {place} is not allowed with these credentials.", hint=hint)
    if code in _CORRUPT:
        return errors.ProofFailed(f"{what} {place}: a block did not arrive as it was sent.", hint="Try again.")
    if code in _BAD_NAME:
        return errors.NameNotAllowed(f"{place} cannot be a name in ADLS.")
    return _of_status(error, what, place)


def _of_status(error: azure.HttpResponseError, what: str, place: str) -> PortalError:
    code, status = code_of(error), error.status_code or 0
    if status == 412:
        return ConditionFailed(f"{place} is not the one that was expected.")
    if status == 404:
        return errors.NotFound(f"There is no {place}.", hint="It was never there, or was deleted; list the container again.")
    if code in _EXISTS or status == 409:
        return errors.AlreadyExists(f"{place} exists already, as a file or folder.", hint="Choose another name or allow overwriting.")
    if status in (429, 503):
        return errors.Throttled(f"{what} {place}: the account asks to slow down.", hint="Try again later, or with less concurrency.")
    if status >= 500 or status == 408:
        return errors.Unreachable(f"{what} {place} failed for now.", hint="Try again later.")
    return errors.StoreError(f"{what} {place} failed.")
