"""What the parent and the processes that move objects tell each other, and how: pickled values behind their length, over a socket of their own.

Both ends of the socket are this program; nobody else can write to it.
"""

from __future__ import annotations

import pickle
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from portal.errors import (
    AccessDenied,
    AlreadyExists,
    Archived,
    Cancelled,
    DiskNearlyFull,
    NameNotAllowed,
    NotFound,
    PortalError,
    ProofFailed,
    RowsDoNotFit,
    SourceChanged,
    StoreFull,
    TargetLeased,
    Throttled,
    Unreachable,
    UploadGone,
    explain,
)
from portal.redact import Redactor
from portal.wire.ends import Access

_LENGTH_BYTES = 4
_READ_BYTES = 1 << 16


@dataclass(frozen=True)
class Options:
    """What is the same for every object of a job."""

    job_id: str = ""
    source_root: str = ""
    """URL of the source's container, ending in '/'."""
    verify: Literal["none", "crc", "md5"] = "none"
    md5: bool = False
    mode: Literal["auto", "server", "stream"] = "auto"
    accept_size: bool = False
    carry: bool = True
    carry_tags: bool = True
    tier: str = ""
    threads: int = 32
    """At most, of one process."""
    adapts: bool = True
    """False: so many threads from the beginning."""
    max_bandwidth: float = 0
    """Bytes a second, of one process; 0: no cap."""
    max_requests_s: float = 0
    whole_bytes: int = 8 << 20
    """Objects of at most so many bytes are one request."""
    block_bytes: int = 4 << 20
    buffer_bytes: int = 1 << 30
    """At most so much memory for blocks that are larger than usual, of one process (one such block at a time goes through in any case)."""
    backoff_s: float = 0.2
    """The first wait is at most twice that, each next one twice as long."""


@dataclass(frozen=True)
class Setup:
    """The first message to a process."""

    source: Access
    target: Access
    options: Options


class Item(NamedTuple):
    """An object to move."""

    n: int
    key: str
    size_bytes: int
    etag: str
    target_key: str
    replace: bool = False
    """What is at the target may be replaced."""
    look: bool = False
    """An earlier attempt was cut off and may have written the target: look before anything is moved."""
    ours: str = ""
    """Marks, parted by spaces, that the earlier jobs which this one retries may have left at the target."""
    doubts: bool = False
    """An earlier attempt found other bytes at the target than were sent: what stands there is not taken for done."""


class Moved(NamedTuple):
    """What became of an object; the names of the fields are the ledger's, but for the last ones."""

    n: int
    outcome: str
    target_size: int | None = None
    target_etag: str | None = None
    source_version: str | None = None
    crc64nvme: str | None = None
    md5: str | None = None
    source_checksum: str | None = None
    proof: str = "none"
    reason: str = ""
    cause: str = ""
    attempts: int = 1
    started_at: int = 0
    finished_at: int = 0
    duration_s: float = 0
    mode: str = ""
    bytes_through: int = 0
    resumed_bytes: int = 0
    carried: str = ""
    """What found no place at the target, as a line of carried.ndjson."""
    retryable: bool = False


class Unit(NamedTuple):
    """A step of a large object; `kind` is one of those of `blocks`."""

    number: int
    kind: str
    item: Item
    told: Mapping[str, Any]


class Failure(NamedTuple):
    """An error as it travels: without what cannot be pickled."""

    cause: str
    reason: str
    retryable: bool
    kind: str = ""
    """Name of the error's class."""


class Answered(NamedTuple):
    """What came of a Unit: values, or a failure."""

    number: int
    told: Mapping[str, Any] = {}
    failure: Failure | None = None


class Renewed(NamedTuple):
    """Credentials that replace those of the Setup."""

    source: Access
    target: Access


class Stop(NamedTuple):
    """Take nothing up any more, report, and end."""


@dataclass
class Report:
    """From a process to the parent."""

    moved: list[tuple[Any, ...]] = field(default_factory=list)
    """The fields of Moved: plain tuples are pickled in a third of the time."""
    answered: list[Answered] = field(default_factory=list)
    threads: int = 0
    logged: list[tuple[int, str]] = field(default_factory=list)


PROOF_FAILED = "proof-failed"
_CAUSES: tuple[tuple[type[PortalError], str], ...] = (
    (SourceChanged, "source-changed"), (AccessDenied, "access-denied"), (NotFound, "not-found"), (AlreadyExists, "exists"),
    (Throttled, "throttled"), (Unreachable, "unreachable"), (ProofFailed, PROOF_FAILED), (NameNotAllowed, "name"), (TargetLeased, "leased"),
    (StoreFull, "full"), (DiskNearlyFull, "full"), (RowsDoNotFit, "rows"), (Archived, "archived"), (Cancelled, "cancelled"), (UploadGone, "other"),
)  # fmt: skip


def cause_of(error: BaseException) -> str:
    """Return the ledger's short code for an error."""
    return next((code for kind, code in _CAUSES if isinstance(error, kind)), "other")


def failure_of(error: BaseException) -> Failure:
    """What is kept of an error: never with a secret that this process was told (see `keep_secret`), nor with what looks like one."""
    return Failure(cause_of(error), _hidden.redact(explain(error)), getattr(error, "retryable", False), type(error).__name__)


class _Hidden:
    """What this process must not tell."""

    def __init__(self) -> None:
        self.secrets: set[str] = set()
        self.redact = Redactor()


_hidden = _Hidden()


def keep_secret(*accesses: Access) -> None:
    """Have the credentials of these masked in every failure from now on."""
    _hidden.secrets.update(secret for access in accesses for secret in access.secrets)
    _hidden.redact = Redactor(_hidden.secrets)


def disproved(failure: Failure) -> Failure:
    """Return the failure of an object that may still stand wrong at its target, whatever went wrong last: later attempts are to know that."""
    if failure.cause == PROOF_FAILED:
        return failure
    return failure._replace(cause=PROOF_FAILED, reason=f"The target had other bytes than were sent, and then: {failure.reason}")


class Channel:
    """One end of the socket. Many threads may send, one receives."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._lock = threading.Lock()
        self._unread = bytearray()

    def fileno(self) -> int:
        return self._sock.fileno()

    def send(self, value: Any) -> None:
        """Raises OSError when nobody is at the other end."""
        data = pickle.dumps(value, protocol=5)
        with self._lock:
            self._sock.sendall(len(data).to_bytes(_LENGTH_BYTES, "little") + data)

    def received(self) -> list[Any] | None:
        """Wait for something and return the values that are whole; None at the end, when the other side is gone."""
        try:
            read = self._sock.recv(_READ_BYTES)
        except ConnectionError:
            return None
        self._unread += read
        return self._values() if read else None

    def _values(self) -> list[Any]:
        values, start = [], 0
        with memoryview(self._unread) as unread:
            while len(unread) >= (body := start + _LENGTH_BYTES):
                end = body + int.from_bytes(unread[start:body], "little")
                if len(unread) < end:
                    break
                values.append(pickle.loads(unread[body:end]))  # noqa: S301
                start = end
        del self._unread[:start]
        return values

    def close(self) -> None:
        self._sock.close()
