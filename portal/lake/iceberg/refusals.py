"""What cannot be done with a table, and why."""

from __future__ import annotations

from portal.errors import PortalError, ProofFailed


class TableRefused(PortalError):
    """The table has something that cannot be brought over."""


class TableBroken(PortalError):
    """The table's metadata cannot be read."""


class TargetIncomplete(PortalError):
    """The target no longer has what an earlier run brought there."""


class TablesDiffer(ProofFailed):
    """The table at the target is not the one at the source."""

    retryable = False


def encrypted(what: str) -> TableRefused:
    return TableRefused(
        f"{what} is encrypted (Iceberg's table encryption): its keys belong to the source's key service, and copied files could not be read.",
        hint="Write the table into an unencrypted one with the engine that has the keys, and migrate that.",
    )
