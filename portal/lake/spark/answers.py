"""What a call on an executor comes back with: its value, or its error in a form that travels."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple

from portal import errors
from portal.errors import PortalError, causes
from portal.lake.spark.failures import SparkFailed
from portal.redact import Redactor

log = logging.getLogger("portal.lake")


class Failed(NamedTuple):
    """An error on its way."""

    kind: str
    message: str
    causes: tuple[str, ...]
    hint: str
    trace: str = ""
    """Of an error that nobody foresaw."""


class _Cause(Exception):
    """What caused an error on an executor."""


def answered(call: Callable[[Any, Any, int], Any], common: Any, argument: Any, tried: int) -> tuple[bool, Any]:
    """Call; whatever is raised comes back as a value: else Spark would try again what fails each time, and log the whole of it."""
    try:
        return True, call(common, argument, tried)
    except Exception as error:
        redact = Redactor()
        known = isinstance(error, PortalError)
        first, *rest = (redact(str(cause) or type(cause).__name__) for cause in causes(error))
        trace = "" if known else redact(traceback.format_exc())
        message = first if known else f"{type(error).__name__}: {first}"
        return False, Failed(type(error).__name__ if known else "", message, tuple(rest), getattr(error, "hint", ""), trace)


def value_of(answer: tuple[bool, Any]) -> Any:
    """Return what the call returned. Raises what it raised: one of the portal's errors as what it was, any other as SparkFailed."""
    went_well, value = answer
    if went_well:
        return value
    failed: Failed = value
    if failed.trace:
        log.error("a call on an executor failed in a way it does not know: %s", failed.trace)
    kind = getattr(errors, failed.kind, None) if failed.kind else None
    error = kind(failed.message, hint=failed.hint) if kind else SparkFailed(f"On an executor: {failed.message}", hint=failed.hint)
    cause: Exception = error
    for text in failed.causes:
        cause.__cause__ = _Cause(text)
        cause = cause.__cause__
    raise error
