"""Totals over every finished job, at a cost that does not grow with the archive.

`archive/.metrics/<day>.json` keeps the totals of each of the last days, `totals.json` those of all days before; of a day that is still
open only the records are read that came since the last look. All of it is derived: it may be deleted, and is made again from the
records. But as long as it is there it never counts less than it did. When records are removed (retention), what finished has finished,
and a counter that falls looks to Prometheus as if everything had happened once more.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from portal import audit_days
from portal.durable import make_folder, publish
from portal.metrics import totals
from portal.metrics.totals import Totals
from portal.spool.layout import Layout
from portal.spool.reading import archived_ids

VERSION = 1
"""Of the kept files; raise it when something else is counted, and they are made again."""

FOLDER = ".metrics"

_CLOSED_AFTER = timedelta(hours=1)
_WATCHED = timedelta(days=7)
"""How long after its end a day is still looked at for records that come late."""
_SETTLED_NS = 2_000_000_000
"""A folder that changed a shorter time ago may change again without its time telling."""
_SAVE_AFTER = 200
"""New records that the file of an open day is written again for."""
_SAVE_EVERY_S = 5.0


@dataclass
class _Day:
    """The totals of `count` records of one day: those in `seen`; None once the day is closed."""

    totals: Totals = field(default_factory=dict)
    count: int = 0
    changed_ns: int = 0
    """Of its folder, when it was looked at; 0 when it may have changed since."""
    seen: set[str] | None = field(default_factory=set)
    unsaved: int = 0


class ArchiveTotals:
    """The totals of one archive, as one process remembers them between two looks. Not for two threads at once."""

    def __init__(self, layout: Layout, engines: Callable[[], Collection[str]]) -> None:
        """Make an empty memory; `engines` tells the names of the engines there are."""
        self._layout, self._engines = layout, engines
        self._folder = layout.archive / FOLDER
        self._until: date | None = None
        self._before: Totals = {}
        """Of all days up to and with `_until`."""
        self._days: dict[date, _Day] = {}
        self._saved_s = time.monotonic()

    def look(self, now: datetime | None = None) -> Totals:
        """Return the totals of now. The first look at an archive reads every record once; it can be cut off and goes on where it was.

        Raises:
            OSError: a record is there and cannot be read.
        """
        if self._until is None:
            self._until, self._before = self._load_before()
        today = ((now or datetime.now(UTC)).astimezone(UTC) - _CLOSED_AFTER).date()
        for day in self._young_days(self._until):
            self._update(day, closed=day < today)
            if day < today - _WATCHED:
                self._fold(day)
        self._save_before()
        whole = dict(self._before)
        for known in self._days.values():
            totals.add(whole, known.totals)
        return whole

    def _young_days(self, until: date) -> list[date]:
        """The days after `until`: of the archive, and those that are kept though their folder is gone."""
        kept = set(self._days)
        for path in self._folder.glob("????-??-??.json"):
            with suppress(ValueError):
                kept.add(date.fromisoformat(path.stem))
        first = until + timedelta(days=1)
        return sorted(day for day in {*kept, *audit_days.days(self._layout.archive, first)} if day >= first)

    def _update(self, day: date, *, closed: bool) -> None:
        known = self._days.get(day) or self._load(day) or _Day()
        changed_ns = _changed_ns(self._layout.day(day))
        if changed_ns != known.changed_ns:
            known = self._taken_in(day, known)
            known.changed_ns = changed_ns if time.time_ns() - changed_ns > _SETTLED_NS else 0
        self._days[day] = known
        ends = closed and known.seen is not None and known.changed_ns
        if ends:
            known.seen = None
        if ends or known.unsaved >= _SAVE_AFTER:
            self._save(day, known)

    def _taken_in(self, day: date, known: _Day) -> _Day:
        """Count the records that came since."""
        listed = archived_ids(self._layout, day)
        if known.seen is None:
            if len(listed) <= known.count:
                return known
            known = _Day()
        seen: set[str] = known.seen if known.seen is not None else set()
        engines = self._engines()
        for job_id in listed:
            if job_id not in seen:
                with suppress(FileNotFoundError):
                    record = (self._layout.day(day) / f"{job_id}.json").read_bytes()
                    totals.add(known.totals, totals.of(record, engines))
                    seen.add(job_id)
                    known.unsaved += 1
        known.count = len(seen)
        return known

    def _fold(self, day: date) -> None:
        """Add a day to those before. The days come in order, so none is left out."""
        self._until = day
        totals.add(self._before, self._days.pop(day).totals)
        if time.monotonic() - self._saved_s > _SAVE_EVERY_S:
            self._save_before()

    def _load_before(self) -> tuple[date, Totals]:
        data = self._read("totals.json")
        try:
            return date.fromisoformat(data["until"]), _numbers(data["totals"])
        except (KeyError, TypeError, ValueError):
            return date.min, {}

    def _save_before(self) -> None:
        """Keep the totals of the days before, then drop the files of these days."""
        self._saved_s = time.monotonic()
        until = self._until or date.min
        if until == date.min or self._read("totals.json").get("until") == until.isoformat():
            return
        if self._write("totals.json", {"until": until.isoformat(), "totals": self._before}):
            for path in self._folder.glob("????-??-??.json"):
                if path.stem <= until.isoformat():
                    path.unlink(missing_ok=True)

    def _load(self, day: date) -> _Day | None:
        data = self._read(f"{day}.json")
        try:
            seen = None if data["seen"] is None else set(map(str, data["seen"]))
            return _Day(_numbers(data["totals"]), int(data["count"]), int(data["changed_ns"]), seen)
        except (KeyError, TypeError, ValueError):
            return None

    def _save(self, day: date, known: _Day) -> None:
        data = {"count": known.count, "changed_ns": known.changed_ns, "totals": known.totals, "seen": known.seen and sorted(known.seen)}
        if self._write(f"{day}.json", data):
            known.unsaved = 0

    def _read(self, name: str) -> dict[str, Any]:
        try:
            data: Any = json.loads((self._folder / name).read_bytes())
        except (OSError, ValueError):
            return {}
        return data if isinstance(data, dict) and data.get("version") == VERSION else {}

    def _write(self, name: str, data: dict[str, Any]) -> bool:
        """Keep something; a reader without the right to write, or on a full disk, still gets its totals."""
        try:
            make_folder(self._folder)
            publish(self._folder / name, json.dumps({"version": VERSION, **data}).encode(), self._layout.archive_tmp, replace=True)
        except OSError:
            return False
        return True


def _numbers(values: dict[str, Any]) -> Totals:
    return {str(name): value for name, value in values.items() if isinstance(value, int | float)}


def _changed_ns(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except FileNotFoundError:
        return 0
