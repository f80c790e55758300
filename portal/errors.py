"""Every error the portal raises on purpose: one root, and a class per thing that a caller can do something about.

A class's docstring is its message when none is given. A message says what happened, to what and why; `hint` says what
to do next. `explain()` is the only way an error becomes text for a person.
"""

from __future__ import annotations

import re
from collections.abc import Iterator


class PortalError(Exception):
    """The portal could not do what it was asked."""

    retryable = False
    """True when the same call may go through later without anybody changing anything."""

    def __init__(self, message: str = "", *, hint: str = "") -> None:
        super().__init__(message or (type(self).__doc__ or "").strip().splitlines()[0])
        self.hint = hint

    @property
    def message(self) -> str:
        return str(self.args[0])


class SettingError(PortalError):
    """A setting is missing or cannot be used."""


class BadParameters(PortalError):
    """The parameters of a job do not fit its engine."""


class BadJobFile(PortalError):
    """A job file cannot be read."""


class JobNotFound(PortalError):
    """No job has this id."""


class TriggerNotFound(PortalError):
    """No trigger has this name."""


class QueueRefused(PortalError):
    """The queue does not accept jobs now."""


class DiskNearlyFull(QueueRefused):
    """The disk under the queue is nearly full."""


class Cancelled(PortalError):
    """The job was cancelled."""


class StoreError(PortalError):
    """A store could not do what it was asked."""


class NotFound(StoreError):
    """There is no such bucket, container or object."""


class AccessDenied(StoreError):
    """The store refused the credentials, or what they may do."""


class AlreadyExists(StoreError):
    """The target exists already."""


class SourceChanged(StoreError):
    """The source was replaced or deleted after it was listed."""


class NameNotAllowed(StoreError):
    """The target store cannot hold this name."""


class TargetLeased(StoreError):
    """Somebody holds a lease on the target."""


class StoreFull(StoreError):
    """The target has no room left."""


class UploadGone(StoreError):
    """The blocks that were staged for this object are no longer there."""

    retryable = True


class SourceRefused(StoreError):
    """The target's service could not read the source."""


class Archived(StoreError):
    """The object is archived and must be restored before it can be read."""


class Unreachable(StoreError):
    """The service did not answer."""

    retryable = True


class Throttled(Unreachable):
    """The service asked to slow down."""

    retry_after_s = 0.0
    """How long it asked to be left alone; 0 when it did not say."""


class ProofFailed(PortalError):
    """What arrived is not what was sent."""

    retryable = True


class NothingMatched(PortalError):
    """No object matched."""


class TransferFailed(PortalError):
    """No object arrived."""


class BooksDoNotBalance(PortalError):
    """listed is not copied + skipped + failed + excluded."""


class ConversionFailed(PortalError):
    """A file could not be converted without changing its values."""


class RowsDoNotFit(ConversionFailed):
    """Rows of a file do not fit its columns."""


class NotTold(PortalError):
    """The receiver did not take the message."""


class WarehouseError(PortalError):
    """The warehouse could not do what it was asked."""


class CatalogError(PortalError):
    """The catalog could not do what it was asked."""


class TableChanged(CatalogError):
    """The table was changed by somebody else meanwhile."""


_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def visible(name: str) -> str:
    """Return the name of an object as it is shown: line breaks, escapes and other characters that nobody sees as `\\n`, `\\x1b` …"""
    return name if name.isprintable() else "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def tame(text: str) -> str:
    """Return a text of lines with every control character but tabs and line feeds made visible: what others say must not drive a terminal."""
    return _CONTROLS.sub(lambda found: visible(found[0]), text)


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and then what caused it, outermost first, each once."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)


def explain(error: BaseException) -> str:
    """Return the error for a person: what, why (the chain of causes) and what to do next, never a traceback."""
    lines: list[str] = []
    hint = ""
    for cause in causes(error):
        text = str(cause).strip() or type(cause).__name__
        named = text if isinstance(cause, PortalError) else f"{type(cause).__name__}: {text}"
        if not any(named in line or text in line for line in lines):
            lines.append(named)
        hint = hint or getattr(cause, "hint", "")
    first, *rest = lines
    text = "\n".join([first, *(f"  because: {line}" for line in rest), *([f"  what to do: {hint}"] if hint else [])])
    return tame(text)
