"""What the Blob endpoint and the dfs endpoint have in common: requests to one container, reading, describing."""

from __future__ import annotations

import re
from base64 import b64encode
from email.utils import formatdate
from urllib.parse import quote

from portal.errors import NameNotAllowed, NotFound, PortalError, ProofFailed, SourceChanged, Unreachable, visible
from portal.stores.azure_answers import ConditionFailed, NoContainer
from portal.wire.answer import Answer
from portal.wire.azure_about import found_of
from portal.wire.azure_errors import Refused, error_of
from portal.wire.connection import Connection
from portal.wire.ends import Access, Found, Pin
from portal.wire.header_lines import header_lines

VERSION = "2023-11-03"
"""x-ms-version: the oldest that has everything used here, so that every cloud knows it."""
_DOTS = re.compile(r"(?:^|/)\.\.?(?:/|$)")
_TOTAL = re.compile("bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")


class AzureEnd:
    """One thread's connection to a container. See `portal.wire.ends.End` for what its methods do."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self._connection = Connection(access, timeout_s=access.stall_s)
        self._root = f"{access.base_path}/{quote(access.container)}"
        self._base = f"{self._root}/"
        self._only = f"?{access.sas}" if access.sas else ""
        self._and = f"&{access.sas}" if access.sas else ""
        self._common = f"x-ms-version: {VERSION}\r\nUser-Agent: data-operations-portal\r\n"
        if access.bearer:
            self._common += header_lines([("Authorization", f"Bearer {access.bearer}")])

    def close(self) -> None:
        self._connection.close()

    def _path(self, key: str) -> str:
        """The key percent-encoded, '/' kept. Raises NameNotAllowed for what an address cannot hold."""
        if "." in key and _DOTS.search(key):
            # On the way these are resolved like folders, and lead out of the container.
            raise NameNotAllowed(f"{self._place(key)} cannot be a name in ADLS: a part of it is '.' or '..'.")
        try:
            return self._base + quote(key, safe="/~")
        except UnicodeEncodeError:
            raise NameNotAllowed(f"{self._place(key)!r} cannot be a name in ADLS: it is no valid Unicode.") from None

    def _place(self, key: str) -> str:
        return f"abfss://{self.access.container}@{self.access.account}/{visible(key)}"

    def _send(self, method: str, target: str, lines: str = "", body: bytes | memoryview = b"") -> Answer:
        if self.access.bearer:
            lines += f"x-ms-date: {formatdate(usegmt=True)}\r\n"
        return self._connection.request(method, target, self._common + lines, body)

    def _refused(self, answer: Answer, what: str, key: str, needs: str) -> PortalError:
        return error_of(Refused(answer, self.access), self.access, what, key, needs)

    def _ask(self, method: str, target: str, lines: str, body: bytes | memoryview, *, what: str, key: str, needs: str) -> Answer:
        """Send a request; return its answer, drained, if it is a success. Raises what the refusal means."""
        answer = self._send(method, target, lines, body)
        if answer.status >= 300:
            raise self._refused(answer, what, key, needs)
        answer.drain()
        return answer

    def read(self, pin: Pin, buffer: memoryview, *, start: int = 0) -> Found:
        wanted = len(buffer)
        whole = start == 0 and wanted == pin.size_bytes
        lines = if_match(pin.etag)
        if not whole:
            if not wanted:
                return Found(pin.size_bytes, pin.etag, pin.version_id)
            lines += f"x-ms-range: bytes={start}-{start + wanted - 1}\r\n"
        answer = self._send("GET", self._path(pin.key) + self._of_version(pin.version_id), lines)
        if answer.status >= 300:
            raise self._unreadable(self._refused(answer, "Reading", pin.key, "read (r)"), pin.key, answer.status)
        self._check_range(answer, pin, start, wanted, whole)
        answer.into(buffer)
        if answer.length is None and answer.content():
            raise self._changed(pin.key, f"has more than the {pin.size_bytes} bytes now that were listed")
        return found_of(answer.headers(), pin.size_bytes, self._place(pin.key)) if whole else Found(pin.size_bytes, answer.header("etag").strip('"'))

    def _check_range(self, answer: Answer, pin: Pin, start: int, wanted: int, whole: bool) -> None:
        """Raises SourceChanged when the object has another size than the pinned one, Unreachable when these are other bytes than were asked for."""
        if whole:
            size = pin.size_bytes if answer.length is None else answer.length
        else:
            found = _TOTAL.fullmatch(answer.header("content-range"))
            if not found or (int(found[1]), int(found[2])) != (start, min(start + wanted, int(found[3])) - 1):
                raise Unreachable(f"Reading {self._place(pin.key)}: the service answered with another range than was asked for.", hint="Try again.")
            size = int(found[3])
        if size != pin.size_bytes:
            if pin.etag and answer.header("etag").strip('"') == pin.etag:  # the same object cannot have another size: the answer is wrong
                raise Unreachable(f"Reading {self._place(pin.key)}: {size} bytes were announced; it has {pin.size_bytes}.", hint="Try again.")
            raise self._changed(pin.key, f"has {size} bytes now; {pin.size_bytes} were listed")

    def _unreadable(self, error: PortalError, key: str, status: int) -> PortalError:
        if isinstance(error, ConditionFailed) or status == 416:
            return self._changed(key, "was replaced after it was listed", error)
        if isinstance(error, NotFound) and not isinstance(error, NoContainer):
            return self._changed(key, "was deleted after it was listed", error)
        return error

    def _changed(self, key: str, how: str, error: PortalError | None = None) -> SourceChanged:
        found = SourceChanged(f"{self._place(key)} {how}.", hint="Run the job again to take what is there now.")
        found.__cause__ = error.__cause__ if error else None
        return found

    def find(self, key: str, *, version_id: str = "") -> Found:
        answer = self._ask("HEAD", self._path(key) + self._of_version(version_id), "", b"", what="Looking at", key=key, needs="read (r)")
        return found_of(answer.headers(), answer.length or 0, self._place(key))

    def _of_version(self, version_id: str) -> str:
        return f"?versionid={quote(version_id, safe='')}{self._and}" if version_id else self._only

    def part_sizes(self, pin: Pin, parts: int) -> list[int]:
        return []

    def _deleted(self, target: str, key: str, etag: str) -> None:
        lines = if_match(etag)
        try:
            self._ask("DELETE", target, lines, b"", what="Deleting", key=key, needs="delete (d)")
        except ConditionFailed as error:
            raise SourceChanged(f"{self._place(key)} is another object than the one that was to be deleted.") from error
        except NoContainer:
            raise
        except NotFound:
            return

    def _checked(self, answer: Answer, crc64: int, key: str) -> bool:
        """Whether the service says that it got what we sent: beside refusing what does not fit, it tells what it computed. Raises ProofFailed."""
        got = answer.header("x-ms-content-crc64")
        if got and got != crc_text(crc64):
            raise ProofFailed(f"Writing {self._place(key)}: the service got other bytes than were sent.", hint="Try again.")
        return bool(got)


def if_match(etag: str, name: str = "If-Match") -> str:
    """The line of a condition, '' without an ETag. Raises StoreError for an ETag that is none."""
    return header_lines([(name, f'"{etag}"')]) if etag else ""


def crc_text(crc64: int) -> str:
    """A CRC64 as headers carry it: base64 of the eight bytes, least significant first."""
    return b64encode(crc64.to_bytes(8, "little")).decode()


