"""What is checked before byte one: names, sizes, archives, twins, files that would be folders, and what exists at the target."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from portal.errors import AccessDenied, AlreadyExists, NameNotAllowed, NotFound, TransferFailed
from portal.planning import limits, names, plan
from portal.planning.compare import Comparison, SameBytes
from portal.planning.extras import EXTRAS_FILE, Extras
from portal.planning.listing import Lister
from portal.planning.looking import LOOKERS, Looker, each
from portal.planning.names import as_folder
from portal.planning.plan import ARCHIVED, Change, Entry, Verdict
from portal.planning.planner import Planned
from portal.planning.planning import Rules
from portal.planning.policies import Policies
from portal.planning.problems import CONFLICTS_FILE, Problems
from portal.planning.survey import may_be_archived
from portal.planning.targets import Targets, ancestors
from portal.stores.base import Store

_HINTS = {
    "bad name": "Let them be renamed or skipped (bad_names=rename, bad_names=skip), rename the sources, or leave them out with exclude.",
    "too large": "Leave them out with max_bytes or too_large=skip.",
    "archived": "Restore them first, or leave them out with archived=skip or storage_classes.",
    "clash": "Let one of each be renamed or skipped (twins=rename, twins=skip), or leave it out with exclude; layout=prefix keeps folders.",
    "exists": "Choose another target, or overwrite=skip, newer, different, checksum or replace.",
    "in the way": "Choose another target, or remove what is in the way there.",
}


@dataclass
class Preflight:
    """What was found. `verdicts` has one byte per entry, see `plan.Verdict`."""

    verdicts: bytearray
    stops: dict[str, int] = field(default_factory=dict)
    """Number of problems on account of which nothing may move, by class."""
    shown: list[str] = field(default_factory=list)
    """The first of them."""
    counts: dict[str, int] = field(default_factory=dict)
    """Number of problems by class and what is done about them."""
    occupied: list[str] = field(default_factory=list)
    """The first targets that exist already."""
    extras: int = 0
    extra_bytes: int = 0
    extras_path: Path | None = None
    looked: int = 0
    listing_requests: int = 0

    @property
    def existing(self) -> int:
        return len(self.verdicts) - self.verdicts.count(Verdict.NEW) - self.verdicts.count(Verdict.UNKNOWN)

    def report(self) -> dict[str, Any]:
        told: dict[str, Any] = {"conflicts": self.shown, "conflicts_by_class": self.counts, "occupied": self.occupied}
        if self.extras_path:
            told["extras"] = {"objects": self.extras, "bytes": self.extra_bytes, "file": EXTRAS_FILE}
        return told

    def refuse(self, policies: Policies, hints: Mapping[str, str] | None = None) -> None:
        """Raises NameNotAllowed, AlreadyExists or TransferFailed, listing what stands in the way; nothing has moved yet. `hints`: instead of those
        for transfers, by class of problem and `exists`."""
        known = {**_HINTS, **(hints or {})}
        if self.stops:
            more = sum(self.stops.values()) - len(self.shown)
            listed = [*self.shown, *([f"and {more:,} more, see {CONFLICTS_FILE}"] if more > 0 else [])]
            kinds = ", ".join(f"{count:,} {kind}" for kind, count in self.stops.items())
            hint = " ".join(known[kind] for kind in self.stops)
            raise NameNotAllowed(_listing(f"Nothing was moved: what stands in the way ({kinds})", listed), hint=hint)
        if policies.overwrite == "fail" and self.existing:
            more = self.existing - len(self.occupied)
            listed = [*self.occupied, *([f"and {more:,} more"] if more > 0 else [])]
            raise AlreadyExists(_listing("Nothing was moved: targets that exist already", listed), hint=known["exists"])
        if policies.delete_extra and self.extras > policies.max_deletes:
            raise TransferFailed(
                f"Nothing was moved: {self.extras:,} objects at the target have no source, and at most {policies.max_deletes:,} may be deleted.",
                hint=f"See {EXTRAS_FILE} of the job. If all of them are to go, raise max_deletes.",
            )


def _listing(title: str, lines: list[str]) -> str:
    return f"{title}:\n" + "\n".join(f"  - {line}" for line in lines)


@dataclass
class Check:
    """Inspects a complete plan."""

    planned: Planned
    rules: Rules
    policies: Policies
    folder: Path
    """Of the job: where the files about what was found are put."""
    target: Store
    lister: Lister
    """Lists the target."""
    looker: Looker
    """Looks at the target."""
    source: Looker
    """Looks at the source."""
    is_ours: Callable[[int], bool]
    """Tells of an entry whether an earlier attempt of this job may have written its target already."""
    check: Callable[[], None] = lambda: None
    tells: bool = False
    """The target's listing tells metadata."""
    same_bytes: SameBytes | None = None
    """See `compare.Comparison`."""

    def run(self) -> Preflight:
        """Raises NotFound when the target's container is not there."""
        with Problems(self.folder) as problems:
            self._settle_archived(problems)
            self._settle_clashes(problems)
            survey = self.planned.survey
            if survey.troubled:
                problems.take_plan(self.planned.path)
            if self.target.url.scheme != "s3":
                self._look_above(problems)
            found = self._compare()
            for key, why in found.obstacles.items():
                problems.add("in the way", "", key, why, "stops")
        extras = found.extras
        return Preflight(
            found.verdicts, {**problems.stops}, problems.shown, dict(problems.counts), found.occupied, extras.count if extras else 0,
            extras.bytes if extras else 0, extras.path if extras else None, found.looked, self.lister.requests,
        )  # fmt: skip

    def _changed(self, changes: Iterator[Change]) -> None:
        plan.rewrite(self.planned.path, changes)
        self.planned.look_again()

    def _settle_archived(self, problems: Problems) -> None:
        if not self.planned.survey.archived:
            return
        skip = self.policies.archived == "skip"
        archived = self._archived()
        if skip:
            self._changed(Change(entry.n, "", "exclude", f"{ARCHIVED}{why}") for entry, why in archived)
            return
        for entry, why in archived:
            problems.add("archived", entry.key, entry.target_key, f"{entry.key} is archived: {why}", "stops")

    def _archived(self) -> Iterator[tuple[Entry, str]]:
        """Yield what moves and cannot be read now. What is in an archive may have been restored; a listing does not tell."""
        entries = (entry for entry in plan.read(self.planned.path) if entry.moves and may_be_archived(entry.storage_class))

        def look(entry: Entry) -> tuple[Entry, bool]:
            found = None if self.is_ours(entry.n) else self.source.find(entry.key)
            return entry, found is not None and found.archived

        for entry, archived in each(entries, look, LOOKERS):
            self.check()
            if archived:
                yield entry, f"it is in {entry.storage_class} and has not been restored"

    def _settle_clashes(self, problems: Problems) -> None:
        """Names that come in order show clashes by themselves; only otherwise, or when there are some, are all of them gathered."""
        targets = self.planned.survey.targets
        fold = limits.folding(self.target, self.rules.target_prefix)
        has_folders = self.target.url.scheme != "s3"
        if fold is None and targets.order and not (targets.clash and has_folders):
            return
        with Targets(self.folder / ".targets.sqlite", fold, folders=has_folders) as base:
            base.fill(plan.pages(self.planned.path))
            for clash, done in base.settle(self.policies.twins, self.rules.set_apart):
                if done == "stops":
                    problems.add("clash", clash.source, clash.target, clash.why, done)
            if base.changed:
                self._changed(base.changes())

    def _look_above(self, problems: Problems) -> None:
        for folder in ancestors(as_folder(self.rules.folder)):
            try:
                if self.target.stat(folder).is_folder:
                    continue
            except NotFound:
                return
            except AccessDenied:
                continue  # above what these credentials may see, or above the local roots
            why = f"{self.target.url.at(folder)} is a file, and the target needs a folder of that name"
            problems.add("in the way", "", folder, why, "stops")

    def _compare(self) -> Comparison:
        survey = self.planned.survey
        mirror = self.policies.mirror and not self.planned.redone and not self.planned.is_one_object(self.rules.source_prefix)
        extras = Extras(self.folder / EXTRAS_FILE, self.rules.folder, self.rules.filters) if mirror else None
        found = Comparison(
            self.planned.path, bytearray(survey.listed), self.target, self.lister, self.looker, self.source, self.policies.overwrite, self.is_ours,
            extras, self.rules.names, self.tells, self.same_bytes,
        )  # fmt: skip
        orders = found.orders() if mirror else survey.targets.orders
        if survey.moving or mirror:
            with extras or nullcontext():
                below = self.rules.folder if mirror else survey.common_folder or self.rules.folder
                found.run(below, orders, self.folder / ".there.sqlite", survey.moving)
        if extras and 0 < extras.count <= self.policies.max_deletes:
            extras.spare(self._named, limits.folding(self.target, self.rules.target_prefix))
        return found

    def _named(self) -> Iterator[set[str]]:
        """Yield every name that an entry has at the target, or would have or has had there although it is left out now."""
        rules, twins = self.rules, self.policies.twins
        for page in plan.pages(self.planned.path):
            self.check()
            found = {*page.targets, *map(rules.names.target, page.keys)}
            if rules.bad_names == "rename" or twins == "rename":
                left_out = [key for key, target in zip(page.keys, page.targets, strict=True) if not target]
                for key in left_out:
                    encoded = rules.renamed(names.below(key, rules.source_prefix) or "")
                    found.update([encoded, *(names.set_apart(rules.target_scheme, one, key) for one in (encoded, rules.names.target(key)))])
            yield found
