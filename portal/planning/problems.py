"""Everything that stands in the way of a transfer, counted by class and written to `conflicts.csv`; and the names that were changed."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TextIO

from portal.planning import plan
from portal.planning.plan import ARCHIVED, BAD_NAME, CLASH, RENAMED, TOO_LARGE

CONFLICTS_FILE = "conflicts.csv"
NAMES_FILE = "names.csv"
SHOWN = 20

Kind = Literal["bad name", "too large", "archived", "clash", "in the way"]
_KINDS: dict[str, Kind] = {BAD_NAME: "bad name", TOO_LARGE: "too large", ARCHIVED: "archived", CLASH: "clash"}


class Problems:
    """Collects problems. `stops` are those on account of which nothing moves."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, TextIO] = {}
        self.counts: Counter[str] = Counter()
        """By class and what is done: 'bad name, skipped'."""
        self.stops: Counter[str] = Counter()
        self.shown: list[str] = []
        """The first of those that stop."""

    def add(self, kind: Kind, source: str, target: str, why: str, done: str) -> None:
        """`done`: stops, skipped or renamed."""
        self.counts[f"{kind}, {done}"] += 1
        if done == "stops":
            self.stops[kind] += 1
            if len(self.shown) < SHOWN:
                self.shown.append(why)
        self._write(CONFLICTS_FILE, ["class", "source_key", "target_key", "why", "done"], [kind, source, target, why, done])

    def take_plan(self, path: Path) -> None:
        """Add what a plan says of its entries, and write the names that it changed."""
        for page in plan.pages(path):
            for n, reason in enumerate(page.reasons):
                if reason:
                    self._take(page.keys[n], page.targets[n], reason, "stops" if page.actions[n] == "fail" else "skipped")

    def _take(self, source: str, target: str, reason: str, done: str) -> None:
        if reason.startswith(RENAMED):
            why = reason.removeprefix(RENAMED)
            self.counts["renamed"] += 1
            self._write(NAMES_FILE, ["source_key", "target_key", "why"], [source, target, why])
            return
        kind = next((kind for beginning, kind in _KINDS.items() if reason.startswith(beginning)), None)
        if kind:
            self.add(kind, source, target, f"{source}: {reason}", done)

    def _write(self, name: str, header: list[str], values: list[Any]) -> None:
        if name not in self._files:
            self._files[name] = (self._folder / f".{name}").open("w", encoding="utf-8", newline="")
            csv.writer(self._files[name]).writerow(header)
        csv.writer(self._files[name]).writerow(values)

    def __enter__(self) -> Self:
        for name in (CONFLICTS_FILE, NAMES_FILE):
            (self._folder / name).unlink(missing_ok=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /) -> None:
        for name, file in self._files.items():
            file.close()
            (self._folder / f".{name}").replace(self._folder / name)
