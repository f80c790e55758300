"""Leases on files, folders and containers: the operations that give and take them, and the check before a change.

Source: "Lease Blob", "Lease Container", "Path - Lease", and `x-ms-lease-action` of "Path - Update".
"""

from __future__ import annotations

import re
import time
import uuid

from embedded.adls import conditions, leases
from embedded.adls.errors import StorageError
from embedded.adls.leases import Lease
from embedded.adls.namespace import Namespace
from embedded.adls.properties import stamps
from embedded.adls.request import Request
from embedded.adls.schema import Container, Entry
from embedded.adls.store import Store
from embedded.adls.wire import Response

_GUID = re.compile(r"\{?[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}\}?")
_WITH_WRITE = ("acquire", "auto-renew", "release", "acquire-release")


def now() -> int:
    return time.time_ns()


def run(request: Request, store: Store) -> Response:
    """PUT ?comp=lease, POST /filesystem/path: one of acquire, renew, change, release and break."""
    action = request.header("x-ms-lease-action").lower()
    with store.transaction() as space:
        container = space.container(request.account, request.container)
        held: Entry | Container = space.get(container.id, request.path) if request.path else container
        conditions.check_write(request, held)
        lease, seconds = _after(action, request, space.lease(held))
        space.set_lease(held, lease)
    headers = stamps(held)
    if action == "break":
        headers["x-ms-lease-time"] = str(seconds)
    elif lease:
        headers["x-ms-lease-id"] = lease.id
    return Response({"acquire": 201, "break": 202}.get(action, 200), headers)


def _after(action: str, request: Request, held: Lease | None) -> tuple[Lease | None, int]:
    """What an action makes of the lease, and the seconds that a break still takes."""
    given, moment = lease_id(request), now()
    if action == "acquire":
        return leases.acquire(held, _proposed(request) or str(uuid.uuid4()), _duration(request), moment), 0
    if action == "break":
        return leases.break_off(held, _number(request, "x-ms-lease-break-period", 0), moment)
    if action not in ("renew", "change", "release"):
        raise bad("x-ms-lease-action", action)
    if not given:
        raise StorageError("MissingRequiredHeader", detail={"HeaderName": "x-ms-lease-id"})
    if action == "renew":
        return leases.renew(held, given, moment), 0
    if action == "change":
        wanted = _proposed(request)
        if not wanted:
            raise StorageError("MissingRequiredHeader", detail={"HeaderName": "x-ms-proposed-lease-id"})
        return leases.change(held, given, wanted, moment), 0
    leases.release(held, given)
    return None, 0


def lease_id(request: Request, name: str = "x-ms-lease-id") -> str:
    """The id that came along, in the form ids are kept; '' for none. Raises StorageError InvalidHeaderValue."""
    text = request.header(name)
    if text and not _GUID.fullmatch(text):
        raise bad(name, text)
    return str(uuid.UUID(text)) if text else ""


def check_write(request: Request, space: Namespace, held: Entry | Container | None, *, settle: bool = True, header: str = "x-ms-lease-id") -> None:
    """Before a change.

    Args:
        settle: the change follows in this transaction: a lease that is over is forgotten by it, so that it cannot be renewed any more.
        header: which one has the id; the source of a rename has one of its own.

    Raises:
        StorageError: what leases.check raises.
    """
    given = lease_id(request, header)
    lease = space.lease(held) if held else None
    leases.check(lease, given, now(), "Container" if isinstance(held, Container) else "Blob")
    if settle and held and lease and not lease.active(now()):
        space.set_lease(held, None)


def check_given(request: Request, space: Namespace, held: Entry | Container) -> None:
    """Before a read, or a change that a lease does not lock: a lease id may be left out, but must not be wrong."""
    given = lease_id(request)
    if given:
        leases.check_given(space.lease(held), given, now(), "Container" if isinstance(held, Container) else "Blob")


def check_tree(space: Namespace, top: Entry) -> None:
    """A folder with leased files in it can neither go nor move. Raises StorageError LeaseIdMissing."""
    if top.directory and any(lease.active(now()) for lease in space.leases_below(top)):
        raise StorageError("LeaseIdMissing")


def before_append(request: Request, space: Namespace, held: Entry) -> None:
    """What x-ms-lease-action of an append or flush asks for, or else the usual check."""
    action = request.header("x-ms-lease-action").lower()
    if action and action not in _WITH_WRITE:
        raise bad("x-ms-lease-action", action)
    if action.startswith("acquire"):
        wanted = _proposed(request)
        if not wanted:
            raise StorageError("MissingRequiredHeader", detail={"HeaderName": "x-ms-proposed-lease-id"})
        space.set_lease(held, leases.acquire(space.lease(held), wanted, _duration(request), now()))
        return
    check_write(request, space, held)
    if action == "auto-renew":
        space.set_lease(held, leases.renew(space.lease(held), lease_id(request), now()))


def after_flush(request: Request, space: Namespace, held: Entry) -> None:
    if request.header("x-ms-lease-action").lower() in ("release", "acquire-release"):
        space.set_lease(held, None)


def headers(space: Namespace, held: Entry | Container) -> dict[str, str]:
    """x-ms-lease-status, -state and -duration."""
    return {f"x-ms-lease-{name}": value for name, value in leases.described(space.lease(held), now()).items()}


def _proposed(request: Request) -> str:
    return lease_id(request, "x-ms-proposed-lease-id")


def _duration(request: Request) -> int:
    found = _number(request, "x-ms-lease-duration", leases.INFINITE)
    if found is None:
        raise StorageError("MissingRequiredHeader", detail={"HeaderName": "x-ms-lease-duration"})
    if found != leases.INFINITE and found < 15:
        raise bad("x-ms-lease-duration", str(found))
    return found


def _number(request: Request, name: str, low: int) -> int | None:
    text = request.header(name)
    if not text:
        return None
    if not re.fullmatch(r"-?[0-9]{1,3}", text) or not low <= int(text) <= 60:
        raise bad(name, text)
    return int(text)


def bad(name: str, value: str) -> StorageError:
    return StorageError("InvalidHeaderValue", detail={"HeaderName": name, "HeaderValue": value})
