"""What the tests of the movers share: a bucket, a container and a folder, and plans of whole listings moved between them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from portal.connections import KIND_OF_SCHEME, Connections
from portal.ledger import ledger
from portal.ledger.balance import Books
from portal.ledger.journal import JOURNAL_FILE, Journal
from portal.planning.plan import Page, Verdict
from portal.stores.opening import open_account
from portal.stores.url import StoreURL
from portal.transfer.moving import move
from portal.transfer.route import Route
from portal.transfer.side import Side
from portal.wire.access import access_of
from portal.wire.opening import open_end
from tests.transferring import Clouds

JOB = "01J0000000000000000000TEST"


@dataclass
class Outcome:
    rows: Mapping[str, Any]
    """By source key."""
    books: Books
    retryable: bool
    told: list[int]
    """Objects and bytes."""


class Trip:
    """From one place to another, over as many attempts as a test makes. `pages` may be changed before `run`."""

    def __init__(self, clouds: Clouds, source: str, target: str, *, endpoint: Any = "blob", **route: Any) -> None:
        self.clouds = clouds
        self.folder = Path(tempfile.mkdtemp(prefix="trip-", dir=clouds.home / "logs"))
        self.source, self.target = self._side(source, "blob"), self._side(target, endpoint)
        self.route = Route(self.source, self.target, **{"mode": "stream", "job_id": JOB, **route})
        self.pages = [self._page()]
        self.verdicts = bytearray(self.count)

    def _side(self, text: str, endpoint: Any) -> Side:
        url = StoreURL.parse(text)
        connection: Any = Connections.load(self.clouds.config).get(KIND_OF_SCHEME[url.scheme])
        store = open_account(connection).store(url.container)
        return Side(url, store, lambda: access_of(url, connection, endpoint=endpoint))

    def _page(self) -> Page:
        prefix = self.source.url.key
        end = open_end(self.source.access())
        found = end.list_page(prefix)
        end.close()
        kept = [n for n, folder in enumerate(found.folders) if not folder]
        columns = (found.keys, found.sizes, found.etags, found.modified, found.classes)
        keys, sizes, etags, modified, classes = ([column[n] for n in kept] for column in columns)  # type: ignore[attr-defined]
        targets = [self.target.url.key + key[len(prefix) :] for key in keys]
        nothing = [""] * len(keys)
        return Page(0, keys, sizes, etags, modified, targets, ["copy"] * len(keys), list(nothing), classes, list(nothing), [""] * len(keys))

    @property
    def count(self) -> int:
        return sum(len(page) for page in self.pages)

    def n(self, key: str) -> int:
        return self.pages[0].keys.index(key)

    def verdict(self, verdict: Verdict) -> None:
        self.verdicts = bytearray([verdict]) * self.count

    def journal(self) -> Journal:
        return Journal(self.folder / JOURNAL_FILE, self.count)

    def run(self, tell: Callable[[int, int], None] = lambda objects, size: None) -> Outcome:
        """Move everything; the books must balance."""
        told = [0, 0]

        def tells(objects: int, size: int) -> None:
            told[0] += objects
            told[1] += size
            tell(objects, size)

        with self.journal() as journal:
            retryable = move(self.route, self.pages, self.verdicts, journal, tells)
        outcome = self.outcome(retryable, told)
        outcome.books.refuse_imbalance(self.count)
        return outcome

    def outcome(self, retryable: bool = False, told: list[int] | None = None) -> Outcome:
        """What the journal says now."""
        books = Books(self.target.base)
        path = self.folder / ledger.LEDGER_FILE
        with self.journal() as journal:
            ledger.write(path, books.through(journal.rows()), source_base=self.source.base, target_base=self.target.base)
        return Outcome({row["source_key"]: row for row in ledger.read(path).to_pylist()}, books, retryable, told or [0, 0])


def folder_url(path: Path) -> str:
    path.mkdir(parents=True, exist_ok=True)
    return f"file://{path}/"
