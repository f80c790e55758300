"""The queue that is told of what arrives."""

from __future__ import annotations

from collections.abc import Callable

from portal.connections import S3Connection
from portal.notices.sqs import NoticeQueue
from portal.notices.sqs_errors import NoQueue


def opened(name: str, connection: S3Connection, check: Callable[[], None], *, create: bool, dry: bool) -> NoticeQueue | None:
    """Open the queue; None when it would be created if this were no dry run. Raises what `NoticeQueue.open` does, NoQueue above all."""
    try:
        return NoticeQueue.open(connection, name, create=create and not dry, check=check)
    except NoQueue as error:
        if create:
            return None
        hint = "Nothing was uploaded, and every file is where it was. Check its name, region and account, or allow it to be created: create_queue."
        raise NoQueue(error.message, hint=hint) from error
