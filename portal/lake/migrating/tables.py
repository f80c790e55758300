"""The tables of a job, one after another: a table that fails holds up none of the others."""

from __future__ import annotations

import json
import logging
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from portal.durable import write_durably
from portal.errors import Cancelled, PortalError, explain
from portal.lake.catalogs.base import Catalog
from portal.lake.iceberg.history import History
from portal.lake.migrating.choosing import Place, clashes
from portal.lake.migrating.data_files import Moving
from portal.lake.migrating.table import Check, TableMigration, Wanted
from portal.lake.table_name import TableName
from portal.lake.table_outcome import TableOutcome
from portal.movers.messages import cause_of
from portal.stores.url import StoreURL

FOLDER = "tables"
"""Among a job's files: a folder for each table, by number, and names.json that says which is whose."""
_NAMES_FILE, _OUTCOME_FILE = "names.json", "outcome.json"

Progress = Callable[[float, float | None, str, str, int], None]
"""Told done, total, unit, note and bytes; raises Cancelled when the job shall stop."""

log = logging.getLogger("portal.engine")


@dataclass
class Migrated:
    """What came of all tables, as far as the job got."""

    outcomes: list[TableOutcome] = field(default_factory=list)
    transfers: list[tuple[TableName, Any]] = field(default_factory=list)
    """Of a dry run: the transfers that would be made."""

    @property
    def bytes(self) -> int:
        return sum(one.bytes for one in self.outcomes)


@dataclass(frozen=True)
class Tables:
    """How the tables of a job are brought over."""

    source: Catalog
    place: Place
    moving: Moving
    history: History
    check: Check
    folder: Path
    """Of the job."""
    progress: Progress
    elsewhere: tuple[StoreURL, ...] = ()
    """See `table.Wanted`."""
    redact: Callable[[str], str] = str
    """Masks secrets in what libraries say."""

    def ledgers(self) -> list[Path]:
        """Return the ledgers of all transfers of the job, of those in earlier attempts and of tables that failed, too."""
        return sorted((self.folder / FOLDER).glob("*/*/ledger.parquet"))

    def run(self, names: Sequence[TableName], done: Migrated, *, dry: bool = False) -> None:
        """Bring every table to its end; what has ended is in `done`, whatever happens. Raises Cancelled."""
        clashing = clashes(names, self.place)
        numbers = _numbered(self.folder / FOLDER, names)
        for place, name in enumerate(names):
            if name in clashing:
                outcome = TableOutcome(str(name), "failed", clashing[name], cause="name")
            else:
                outcome = self._one(name, self.folder / FOLDER / str(numbers[name]), f"{place + 1} of {len(names)}", done, dry)
            done.outcomes.append(outcome)
            (log.error if outcome.outcome == "failed" else log.info)("%s: %s; %s", name, outcome.outcome, outcome.reason)

    def _one(self, name: TableName, scratch: Path, place: str, done: Migrated, dry: bool) -> TableOutcome:
        ended, begun = scratch / _OUTCOME_FILE, time.monotonic()
        if ended.exists():
            return TableOutcome(**json.loads(ended.read_text("utf-8")))  # an earlier attempt at this job brought it over
        try:
            outcome = self._brought(name, scratch, place, done, dry)
        except Cancelled:
            raise
        except PortalError as error:
            outcome = _failed(name, error, self.redact(explain(error)))
        except Exception as error:  # the others do not wait for it
            scratch.mkdir(parents=True, exist_ok=True)
            trace = scratch / "traceback.txt"
            trace.write_text(self.redact("".join(traceback.format_exception(error))), "utf-8", "backslashreplace")
            told = f"It failed in a way that is not known: {type(error).__name__}: {error}. The traceback is in {trace}."
            outcome = _failed(name, error, self.redact(told))
        outcome = replace(outcome, seconds=round(time.monotonic() - begun, 3))
        if outcome.outcome == "done" and not dry:
            write_durably(ended, json.dumps(asdict(outcome)).encode())
        return outcome

    def _brought(self, name: TableName, scratch: Path, place: str, done: Migrated, dry: bool) -> TableOutcome:
        target = self.place.name(name)
        wanted = Wanted(name, target, self.place.folder(target), self.history, self.check, self.elsewhere)

        def tell(what: str, count: int, total: int | None, size: int) -> None:
            self.progress(count, total, "files", f"{name} ({place}): {what}", size)

        migration = TableMigration(wanted, self.source, self.place.catalog, self.moving, scratch, tell)
        if dry:
            outcome, transfers = migration.planned()
            done.transfers += [(name, one) for one in transfers]
            return outcome
        return migration.run()


def _failed(name: TableName, error: Exception, told: str) -> TableOutcome:
    return TableOutcome(str(name), "failed", told, cause=cause_of(error), retryable=getattr(error, "retryable", False))


def _numbered(folder: Path, names: Sequence[TableName]) -> dict[TableName, int]:
    """Give each table a number that it keeps in later attempts, whatever other tables are there by then."""
    path = folder / _NAMES_FILE
    try:
        known: dict[str, int] = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        known = {}
    for name in names:
        known.setdefault(str(name), len(known))
    folder.mkdir(parents=True, exist_ok=True)
    write_durably(path, json.dumps(known).encode())
    return {name: known[str(name)] for name in names}
