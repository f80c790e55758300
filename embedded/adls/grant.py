"""What credentials allow, and the check of an operation against it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from embedded.adls.errors import StorageError
from embedded.adls.request import Request
from embedded.adls.store import Store
from embedded.adls.wire import Response

LEVELS = {"account": "s", "container": "c", "path": "o"}


@dataclass(frozen=True)
class Operation:
    """A handler and the SAS permissions (any one of the letters) that allow it.

    `level` is the account SAS resource type: s(ervice), c(ontainer) or o(bject). `listing` marks what a service SAS may do
    on a container.
    """

    run: Callable[[Request, Store], Response]
    permissions: str
    level: str = "o"
    listing: bool = False


@dataclass(frozen=True)
class Grant:
    """`permissions` None is everything (the account key); `kind` is key, account, c, d or b (the SAS's resource)."""

    kind: str
    permissions: str | None = None
    levels: str = "sco"
    overrides: dict[str, str] = field(default_factory=dict)

    def may(self, letters: str) -> bool:
        return self.permissions is None or any(letter in self.permissions for letter in letters)

    def check(self, operation: Operation) -> None:
        """Raises StorageError AuthorizationResourceTypeMismatch or AuthorizationPermissionMismatch."""
        if self.permissions is None:
            return
        if operation.level not in self.levels:
            raise StorageError("AuthorizationResourceTypeMismatch")
        service_sas_beyond = self.kind in ("c", "d", "b") and operation.level != "o" and not operation.listing
        if service_sas_beyond or not self.may(operation.permissions):
            raise StorageError("AuthorizationPermissionMismatch")

    def check_overwrite(self, exists: bool) -> None:
        """A SAS with create but not write may only make what is not there. Raises StorageError UnauthorizedBlobOverwrite."""
        if exists and not self.may("w"):
            raise StorageError("UnauthorizedBlobOverwrite")


ACCOUNT_KEY = Grant("key")
