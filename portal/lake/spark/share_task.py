"""A share of a plan on an executor: the very same `move` as on one machine, with a journal of its own, whose lines are what comes back."""

from __future__ import annotations

import importlib
import json
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol, overload

from portal.errors import Cancelled
from portal.lake.spark.shares import cut
from portal.ledger.journal import JOURNAL_FILE, Journal
from portal.planning.plan import Page
from portal.stores.base import Store
from portal.stores.url import StoreURL
from portal.transfer.carry_file import CARRIED_FILE
from portal.transfer.conversions import Convert
from portal.transfer.moving import move
from portal.transfer.route import Route
from portal.transfer.side import Side
from portal.wire import tls
from portal.wire.ends import Access

_FEED_OBJECTS = 256
_AFTER_RENEWAL_S = 45.0
"""Credentials are renewed some minutes before they end: so much later whoever still has them stops."""


class Opened(NamedTuple):
    """What a conversion works with."""

    source: Store
    target: Store
    convert: Convert


class Conversion(Protocol):
    """What converts on an executor: made by the driver, pickled, opened there."""

    def opened(self, folder: Path, job_id: str) -> AbstractContextManager[Opened]:
        """`folder`: where the conversion puts what it tells; its files are brought back."""
        ...


@dataclass(frozen=True)
class Order:
    """What all shares of a job have in common, credentials too."""

    source: StoreURL
    target: StoreURL
    source_access: Access = field(repr=False)
    target_access: Access = field(repr=False)
    how: Mapping[str, Any]
    """The fields of Route beside its sides and its conversion."""
    conversion: Conversion | None = None


class Task(NamedTuple):
    """A share as it travels."""

    pages: tuple[Page, ...]
    first: int
    spread: int
    """How many numbers there are from the first entry's on."""
    verdicts: bytes
    """Of those numbers."""
    seed: bytes
    """Lines of a journal: what is known of these entries from before."""
    soft_s: float
    """After so long nothing more is begun."""
    hard_s: float
    """After so long it stops, within large objects too."""


class Brought(NamedTuple):
    """What comes back."""

    lines: list[bytes]
    """The lines of the journal that were written here."""
    carried: list[str]
    retryable: bool
    files: list[tuple[str, bytes]]
    """What a conversion told, by name."""


class _Window(Sequence[int]):
    """The verdicts of a part of a plan, by the numbers of the whole."""

    def __init__(self, first: int, values: bytes) -> None:
        self._first, self._values = first, values

    @overload
    def __getitem__(self, place: int) -> int: ...
    @overload
    def __getitem__(self, place: slice) -> bytes: ...
    def __getitem__(self, place: int | slice) -> int | bytes:
        if isinstance(place, slice):
            return self._values[place.start - self._first : place.stop - self._first]
        return self._values[place - self._first]

    def __len__(self) -> int:
        return self._first + len(self._values)


def moved(order: Order, task: Task, tried: int) -> Brought:
    """Bring a share to its end, or stop in time: what is left then is not in the lines.

    `tried`: how often Spark began this task before, on executors that were lost. What those did nobody knows: every target is looked at first.
    """
    with tempfile.TemporaryDirectory(prefix="share-", dir=scratch()) as name:
        folder = Path(name)
        seed = task.seed + (_begun(task.pages) if tried else b"")
        (folder / JOURNAL_FILE).write_bytes(seed)
        clock = _Clock(order, task)
        with Journal(folder / JOURNAL_FILE, task.spread, task.first) as journal, _opened(order, folder) as route:
            try:
                retryable = move(route, clock.feed(task.pages), _Window(task.first, task.verdicts), journal, clock.tell)
            except Cancelled:
                retryable = False
        return Brought(_lines(folder, len(seed)), _texts(folder / CARRIED_FILE), retryable, _files(folder))


def _begun(pages: Iterable[Page]) -> bytes:
    numbers = [n for page in pages for n in range(page.first, page.first + len(page))]
    return json.dumps({"begin": numbers}).encode() + b"\n"


class _Clock:
    """Says when to stop."""

    def __init__(self, order: Order, task: Task) -> None:
        now = time.monotonic()
        renew_at = min(order.source_access.renew_at, order.target_access.renew_at) + _AFTER_RENEWAL_S
        ends_in = max(_AFTER_RENEWAL_S, renew_at - time.time())
        self._soft = now + min(task.soft_s, ends_in / 2)
        converts = any(action == "convert" for page in task.pages for action in page.actions)
        # A conversion cannot be gone on with, and signs in by itself.
        self._hard = now + (float("inf") if converts else min(task.hard_s, ends_in))

    def feed(self, pages: Iterable[Page]) -> Iterator[Page]:
        """Yield them little by little, as long as there is time; at least the first."""
        fed = False
        for page in pages:
            for start in range(0, len(page), _FEED_OBJECTS):
                if fed and time.monotonic() > self._soft:
                    return
                fed = True
                yield cut(page, start, min(len(page), start + _FEED_OBJECTS))

    def tell(self, objects: int, size_bytes: int) -> None:
        if time.monotonic() > self._hard:
            raise Cancelled


@contextmanager
def _opened(order: Order, folder: Path) -> Iterator[Route]:
    """The same route as on one machine. Its credentials are not renewed here: who needs others stops, and is sent again with them."""
    source, target = (_here(access) for access in (order.source_access, order.target_access))
    converting = order.conversion.opened(folder, str(order.how["job_id"])) if order.conversion else nullcontext(Opened(None, None, None))  # type: ignore[arg-type]
    with converting as opened:
        yield Route(
            Side(order.source, opened.source, lambda: source), Side(order.target, opened.target, lambda: target), convert=opened.convert, **order.how
        )  # fmt: skip


def _here(access: Access) -> Access:
    """The certificates that the driver trusts may lie elsewhere on this machine."""
    ca_file = access.ca_file if not access.ca_file or Path(access.ca_file).exists() else tls.ca_file()
    return replace(access, renew_at=float("inf"), ca_file=ca_file)


def scratch() -> str:
    """A folder that goes with the executor, however that ends."""
    return str(Path(importlib.import_module("pyspark").SparkFiles.getRootDirectory()).resolve())


def _lines(folder: Path, start: int) -> list[bytes]:
    with (folder / JOURNAL_FILE).open("rb") as file:
        file.seek(start)
        return file.read().splitlines()


def _texts(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines() if path.exists() else []


def _files(folder: Path) -> list[tuple[str, bytes]]:
    told = (path for path in sorted(folder.iterdir()) if path.is_file() and path.name not in (JOURNAL_FILE, CARRIED_FILE))
    return [(path.name, path.read_bytes()) for path in told]
