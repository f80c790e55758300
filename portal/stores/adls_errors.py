"""What the Azure libraries raise, as errors of ours that name the container or path."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from azure.core import exceptions as azure

from portal import errors
from portal.errors import PortalError
from portal.redact import answered
from portal.stores.azure_answers import ConditionFailed, NoContainer, refusal

__all__ = ["Answer", "ConditionFailed", "NoContainer", "code_of", "translated"]


class Answer(errors.StoreError):
    """What the service said, in one line; nothing where that quotes the request."""

    def __init__(self, error: azure.HttpResponseError) -> None:
        super().__init__(answered("Azure", error.status_code or "", code_of(error), error.message or ""))


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
    return refusal(error.status_code or 0, code_of(error), what, place, container=container, account=account)
