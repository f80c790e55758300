"""What pyiceberg says of a catalog's troubles, as the portal's own errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import requests
from pyiceberg import exceptions as iceberg
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from thrift.Thrift import TException
from thrift.transport.TTransport import TTransportException

from portal.errors import AccessDenied, AlreadyExists, CatalogError, NotFound, PortalError, TableChanged, Unreachable

_ACCESS = "Check the user, password, token or ticket of the catalog's connection, and what it may do there."
_REACH = "Check the uri of the catalog's connection, and that the service runs."


@contextmanager
def translated(what: str, label: str) -> Iterator[None]:
    """Raise what a library raises as a PortalError that begins with what was tried, as `Listing the tables of db`."""
    try:
        yield
    except PortalError:
        raise
    except (iceberg.UnauthorizedError, iceberg.ForbiddenError, iceberg.OAuthError, iceberg.AuthorizationExpiredError, PermissionError) as error:
        raise AccessDenied(f"{what} was refused by the catalog {label}: {told(error)}", hint=_ACCESS) from error
    except requests.HTTPError as error:
        if error.response is not None and error.response.status_code in (400, 401, 403):
            raise AccessDenied(f"{what} was refused by the catalog {label}: {told(error)}", hint=_ACCESS) from error
        raise Unreachable(f"{what} failed: the catalog {label} does not answer as it should: {told(error)}", hint=_REACH) from error
    except (iceberg.NoSuchTableError, iceberg.NoSuchNamespaceError, iceberg.NoSuchIcebergTableError, FileNotFoundError) as error:
        raise NotFound(f"{what} failed: {told(error)}") from error
    except (iceberg.TableAlreadyExistsError, iceberg.NamespaceAlreadyExistsError, FileExistsError) as error:
        raise AlreadyExists(f"{what} failed: {told(error)}") from error
    except iceberg.CommitFailedException as error:
        raise TableChanged(f"{what} failed: {told(error)}", hint="Run it again: it looks at what is there now.") from error
    except (iceberg.ServiceUnavailableError, iceberg.ServerError, iceberg.CommitStateUnknownException, iceberg.WaitingForLockException,
            requests.ConnectionError, requests.Timeout, TTransportException, OperationalError, OSError) as error:  # fmt: skip
        raise Unreachable(f"{what} failed: the catalog {label} does not answer as it should: {told(error)}", hint=_REACH) from error
    except (requests.RequestException, TException, SQLAlchemyError, iceberg.RESTError, Exception) as error:
        raise CatalogError(f"{what} failed at the catalog {label}: {told(error)}") from error


def told(error: Exception) -> str:
    """Return the first lines of what a library says, never a stack trace of the other side."""
    if isinstance(error, DBAPIError):
        return str(error.orig).strip()
    message = getattr(error, "message", None) or str(error)
    lines = [line.strip() for line in str(message).splitlines() if line.strip() and not line.strip().startswith(("at ", "Traceback"))]
    return " ".join(lines[:2])[:500] or type(error).__name__
