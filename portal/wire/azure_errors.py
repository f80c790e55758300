"""Refusals of Azure Storage on the thin path: what an answer means, with the service's own words as the cause."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from urllib.parse import parse_qs

from portal.errors import AccessDenied, PortalError, ProofFailed, SourceChanged, SourceRefused, StoreError, Throttled, Unreachable, visible
from portal.stores.azure_answers import refusal
from portal.wire.answer import Answer
from portal.wire.ends import Access
from portal.wire.http_values import retry_after_s
from portal.wire.words import code_of, line_of

_MAX_BODY = 256 << 10
_MESSAGE = re.compile(r"<Message>([^<]*)|\"message\"\s*:\s*\"((?:[^\"\\]|\\.)*)")
_HEADER_NAME = re.compile(r"<HeaderName>([^<]*)")
_SOURCE_CODES = {
    "CannotVerifyCopySource", "InvalidSourceBlobUrl", "InvalidSourceBlobType", "CopyAcrossAccountsNotSupported", "InvalidSourceUri",
    "UnsupportedHeader", "PublicAccessNotPermitted", "BlobArchived", "BlobBeingRehydrated",
}  # fmt: skip
"""Either the service could not read the source, or it cannot fetch from URLs at all."""
_BUSY = ("429", "503")


class Answered(StoreError):
    """What the service said, in one line."""


class Refused:
    """A refusal, read whole: the connection can be used again."""

    def __init__(self, answer: Answer, access: Access) -> None:
        self._access, self.status, self.code = access, answer.status, code_of(answer.header("x-ms-error-code"))
        self.header = answer.header
        self.body = answer.content(_MAX_BODY).decode("utf-8", "replace")

    @property
    def said(self) -> Answered:
        """The service's words, without secrets."""
        found = _MESSAGE.search(self.body)
        text = (found[1] or found[2] or "") if found else ""
        return Answered(line_of("Azure", self.status, self.code, text.replace("\\n", "\n"), self._access))


def error_of(refused: Refused, access: Access, what: str, key: str, needs: str = "") -> PortalError:
    """Return the error that a refusal means, its cause set.

    Args:
        what: what was tried, e.g. "Reading"
        key: the object, '' for the container
        needs: what would have to be granted, e.g. "read (r)"
    """
    place = f"abfss://{access.container}@{access.account}/{visible(key)}"
    found = refusal(refused.status, refused.code, what, place, container=access.container, account=access.account, needs=needs)
    if isinstance(found, AccessDenied) and (ended := _ended(access)):
        found = AccessDenied(f"{what} {place} was refused: the {ended}.", hint="Get new credentials and submit the job again.")
    if isinstance(found, Throttled):
        milliseconds = refused.header("x-ms-retry-after-ms")
        usable = milliseconds.isascii() and milliseconds.isdigit()
        found.retry_after_s = int(milliseconds[:9]) / 1000 if usable else retry_after_s(refused.header("retry-after"))
    found.__cause__ = refused.said
    return found


def source_error(refused: Refused, place: str) -> PortalError | None:
    """Return what a refusal says of the source that the service was to fetch, None when it is about the target. Never with the source's URL."""
    code = refused.code
    if passing := _passing(code_of(refused.header("x-ms-copy-source-status-code")), place):
        found: PortalError = passing
    elif code in ("SourceConditionNotMet", "InvalidRange") or refused.header("x-ms-copy-source-status-code") in ("412", "416"):
        found = SourceChanged(f"The source of {place} was replaced or deleted after it was listed.", hint="Run the job again.")
    elif code in ("Md5Mismatch", "Crc64Mismatch"):
        found = ProofFailed(f"What the service read for {place} has not the checksum that the source stores.", hint="Try again.")
    elif code in _SOURCE_CODES or refused.status == 501 or refused.header("x-ms-copy-source-status-code") or _blames_source(refused):
        found = SourceRefused(f"The service could not read the source of {place}{_told(refused)}.", hint="It can be copied through this machine.")
    else:
        return None
    found.__cause__ = refused.said
    return found


def _passing(status: str, place: str) -> Unreachable | None:
    """Return what a source's answer means that will be another one later: it is no reason to give pulling up."""
    if status in _BUSY:
        return Throttled(f"The source of {place} asked to slow down: it answered the service with {status}.", hint="Try again later.")
    if status.startswith("5") or status == "408":
        return Unreachable(f"The source of {place} did not serve the service: it answered {status}.", hint="Try again later.")
    return None


def _blames_source(refused: Refused) -> bool:
    """Nothing but the source and the container need be there, and only the source has headers of its own that may be wrong."""
    if refused.status == 404:
        return not refused.code.startswith(("Container", "Filesystem"))
    named = _HEADER_NAME.search(refused.body)
    return named is not None and named[1].lower().startswith(("x-ms-copy-source", "x-ms-source-"))


def _told(refused: Refused) -> str:
    status, code = code_of(refused.header("x-ms-copy-source-status-code")), code_of(refused.header("x-ms-copy-source-error-code"))
    return f" (the source answered {status} {code}".rstrip() + ")" if status else f" ({refused.status} {refused.code})"


def _ended(access: Access) -> str:
    """`SAS ended at …` when the credentials are past their end, else ''."""
    ends = parse_qs(access.sas).get("se", [""])[0]
    try:
        moment = datetime.fromisoformat(ends)
    except ValueError:
        return ""
    ended = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() <= time.time()
    return f"SAS ended at {ends}" if ended else ""
