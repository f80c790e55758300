"""One table of Hive becomes an Iceberg table, or brings one up to date: the steps, each of which may be the last of a process.

A new table is made under a name of its own and checked there; then it gets its name, at once. What a table that is there already gets is written to a
branch of it and checked there; then the branch becomes what readers see, at once. A process that dies leaves one of those two, and the next attempt
at the same job goes on with it.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING, Any

from portal.errors import PortalError
from portal.lake.hive.table import HivePartition, HiveTable
from portal.lake.ingesting import empty, evolution, state
from portal.lake.ingesting.checking import Compared, RowsDiffer, Sides
from portal.lake.ingesting.choosing import IN_PLACE, excluded
from portal.lake.ingesting.hives_readers import HivesReaders
from portal.lake.ingesting.landing import become, discard, emptied, refuse_elsewhere
from portal.lake.ingesting.loading import NAME_MAPPING, Loader, set_name_mapping
from portal.lake.ingesting.planning import Options, Planned, Planner, schema_text, source_sql
from portal.lake.ingesting.state import Changes, State
from portal.lake.ingesting.target import BATCH, KEPT, MAIN, PLAN, RUN, SOURCE, STATE, WAY, Target
from portal.lake.ingesting.units import Key, chunks, literal, order, quoted, shown
from portal.lake.spark.failures import SparkFailed, told
from portal.lake.table_name import STAGING
from portal.lake.table_outcome import Ended, TableOutcome

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_CHECKED_AT_ONCE = 500
"""Units whose rows are compared by one query when not all are."""


class TargetChanged(PortalError):
    """Somebody else changed the target meanwhile."""

    retryable = True


class Ingestion:
    """Of one table. `tell` is called with units done, units in all, what is being done; it may raise Cancelled. `partitions` asks the metastore."""

    def __init__(
        self, spark: SparkSession, table: HiveTable, target: Target, options: Options, tell: Callable[[int, int, str], None],
        partitions: Callable[[], Iterable[HivePartition]],
    ) -> None:  # fmt: skip
        self.spark, self.table, self.target, self.options, self.tell, self.partitions = spark, table, target, options, tell, partitions
        self.source = source_sql(table)

    def excluded(self) -> TableOutcome | None:
        """Return the outcome of a table that cannot be brought over, None for one that can."""
        why = excluded(self.table)
        return self._outcome("excluded", reason=why) if why else None

    def plan(self) -> Planned:
        """Look at both sides; changes nothing. Raises PortalErrors."""
        return Planner(self.spark, self.table, self.target, self.options, self._check).plan(self.partitions())

    def bring(self, planned: Planned) -> TableOutcome:
        """Do what was planned; where nobody asked for a way and sharing files does not do, write them anew. Raises PortalErrors."""
        try:
            return self.run(planned)
        except (RowsDiffer, SparkFailed) as error:
            if planned.exists or planned.way not in IN_PLACE or self.options.way != "auto" or error.retryable:
                raise
            self.drop_staging()
            again = Ingestion(self.spark, self.table, self.target, replace(self.options, way="ctas"), self.tell, self.partitions)
            anew = Planner(self.spark, self.table, self.target, again.options, self._check).replanned(planned, "ctas")
            return again.run(replace(anew, chosen=replace(anew.chosen, reason=f"{planned.way} was tried, and: {error}")))

    def drop_staging(self) -> None:
        """Drop what this run has made under a name of its own."""
        if (staging := self._staging()).exists():
            discard(staging, self.target, renames=self.options.renames)

    def run(self, planned: Planned) -> TableOutcome:
        """Do what was planned. Raises PortalErrors; RowsDiffer when the check fails."""
        began = time.monotonic()
        formats = {folder.format for unit in planned.units.values() for folder in unit.folders}
        with told(f"Bringing {self.table.name} to {self.target.name}", cancelled=self._check), HivesReaders(self.spark, len(formats) > 1):
            outcome = self._update(planned) if planned.exists else self._make(planned)
        return replace(outcome, seconds=round(time.monotonic() - began, 3))

    def _make(self, planned: Planned) -> TableOutcome:
        plan = self._mark(planned)
        staging = self._staging()
        self._make_ready(staging, planned, plan)
        loader = Loader(self.spark, self.source, planned.columns, staging, planned.way, MAIN, self.options.run)
        if planned.way != "snapshot" or not self.options.renames:
            loader.load(planned.changes.loading, set(), plan, self._loading)
        try:
            compared = self._checked(planned, staging, MAIN, None)
        except RowsDiffer as error:
            self._left(error, planned, staging)
            raise
        self._register(planned, staging, plan)
        return self._done(planned, plan, compared)

    def _register(self, planned: Planned, staging: Target, plan: str) -> None:
        """Have the table be there under its name. Raises TargetChanged when another run was faster."""
        self.tell(len(planned.units), len(planned.units), "renaming")
        try:
            if self.options.renames:
                self._remember(planned, staging, plan, staging.head())
                staging.rename(self.target.name.table)
            else:
                become(staging, self.target, lambda head: self._state(planned, planned.location, plan, head))
        except Exception:
            if not self.target.exists():
                raise
            self.drop_staging()
            hint = "What this run wrote was dropped; another attempt brings that table up to date."
            raise TargetChanged(f"{self.target.name} was made by somebody else meanwhile.", hint=hint) from None
        if not self.options.renames:
            self.drop_staging()

    def _staging(self) -> Target:
        return self.target.named(f"{self.target.name.table}{STAGING}{self.options.run}")

    def _make_ready(self, staging: Target, planned: Planned, plan: str) -> None:
        """Make the table under the name of this run, or find it as an earlier attempt left it."""
        if not staging.exists() or staging.properties().get(PLAN) != plan:
            self.drop_staging()
            self._create(staging, planned, self._properties(staging, planned, plan))
        if not self.options.renames:
            refuse_elsewhere(staging, self.target)
        self._name_columns(staging, planned)

    def _create(self, staging: Target, planned: Planned, properties: dict[str, str]) -> None:
        if planned.way == "snapshot" and self.options.renames:
            given = ", ".join(literal(text) for pair in properties.items() for text in pair)
            table = ".".join(quoted(part) for part in staging.name.identifier)
            place = f", location => {literal(planned.location)}" if planned.location else ""
            self.spark.sql(
                f"CALL {quoted(self.target.catalog)}.system.snapshot(source_table => {literal(self.source)}, table => {literal(table)}{place}, "
                f"properties => map({given}))"
            )
            return
        staging.create(planned.columns, planned.location if self.options.renames else "", properties)

    def _name_columns(self, target: Target, planned: Planned) -> None:
        if planned.way in IN_PLACE and NAME_MAPPING not in target.properties():
            set_name_mapping(target)

    def _properties(self, staging: Target, planned: Planned, plan: str) -> dict[str, str]:
        shared = {"gc.enabled": "false"} if planned.way in IN_PLACE else {}
        placed = {} if self.options.renames else emptied(staging, self.target)
        marks = {SOURCE: str(self.table.name), WAY: planned.way, RUN: self.options.run, PLAN: plan}
        return {"format-version": "2", **dict(self.options.properties), **shared, **placed, **marks}

    def _update(self, planned: Planned) -> TableOutcome:
        if not self.options.renames:
            self.drop_staging()  # of an attempt that ended as soon as the table was there
        changes, target = planned.changes, self.target
        plan, branch = self._mark(planned), f"portal_{self.options.run}"
        dropped = sorted(changes.dropped, key=order) if self._deletes(planned) else []
        if not changes.loading and not dropped:
            target.remove_branch(branch)
            if changes.dropped or not planned.known:
                self._remember(planned, target, plan, planned.head)
            return self._done(planned, "", None, "unchanged")
        evolution.follow(target, planned.columns)
        self._name_columns(target, planned)
        loader = Loader(self.spark, self.source, planned.columns, target, planned.way, branch, self.options.run)
        compared = None
        if not self._landed(loader, plan, changes):
            self._make_branch(planned, branch)
            for keys in chunks(dropped, _CHECKED_AT_ONCE):
                target.delete(planned.columns.partitions, keys, branch, self.options.run)
            loader.load(changes.loading, target.keys(planned.columns.partitions), plan, self._loading)
            try:
                compared = self._checked(planned, target, branch, [unit.key for unit in changes.loading] + dropped)
            except RowsDiffer as error:
                self._left(error, planned, None, branch)
                raise
            self._land(branch)
        self._remember(planned, target, plan, target.head(branch) or self._last_of(plan))
        target.remove_branch(branch)
        return self._done(planned, plan, compared)

    def _land(self, branch: str) -> None:
        try:
            self.target.land(branch)
        except Exception:
            if self.target.head() in [number for number, _ in self.target.ancestry(branch)]:
                raise
            raise self._changed_meanwhile() from None

    def _changed_meanwhile(self) -> TargetChanged:
        return TargetChanged(f"Somebody else changed {self.target.name} meanwhile.", hint="Another attempt begins with what it is now.")

    def _last_of(self, plan: str) -> int | None:
        """Return the last snapshot that a plan made."""
        return next((number for number, summary in self.target.ancestry() if summary.get(BATCH, "").startswith(f"{plan}:")), None)

    def _landed(self, loader: Loader, plan: str, changes: Changes) -> bool:
        """Tell whether an earlier attempt got as far as that readers see everything."""
        if not changes.loading:
            return False
        found = loader.loaded(plan, MAIN)
        return bool(found) and found >= loader.loaded(plan)

    def _make_branch(self, planned: Planned, branch: str) -> None:
        """Begin the branch, or go on with an earlier attempt's when the table is as planned. Raises TargetChanged when it is not."""
        now = self.target.head()
        if now != planned.head:
            raise self._changed_meanwhile()
        if self.target.head(branch) is None or now is None or now not in [number for number, _ in self.target.ancestry(branch)]:
            self.target.begin_branch(branch)

    def _deletes(self, planned: Planned) -> bool:
        """Files that the target only shares may be gone with their partition."""
        return self.options.dropped == "delete" or planned.way in IN_PLACE

    def _checked(self, planned: Planned, target: Target, branch: str, keys: list[Key] | None) -> Compared:
        self.tell(len(planned.units), len(planned.units), "comparing")
        evolution.compare(target, planned.columns)
        sides = Sides(self.spark, self.source, target, branch, planned.columns, self.options.depth, len(planned.units) <= _CHECKED_AT_ONCE)
        if keys is None or not planned.columns.partitions:
            found, _ = sides.compare(None)
        else:
            parts = [sides.compare(some)[0] for some in chunks(keys, _CHECKED_AT_ONCE)]
            found = reduce(Compared.__add__, parts)
        if found.different:
            raise RowsDiffer(f"{target.name} is not what {self.table.name} is: {found.text(planned.columns)}.")
        loaded = [unit for unit in planned.changes.loading if unit.files.bytes]
        if planned.columns.partitions and found.partitions < len(loaded):
            empty.check(self.spark, loaded, planned.columns, target, branch)
        return found

    def _left(self, error: RowsDiffer, planned: Planned, staging: Target | None, branch: str = "") -> None:
        """Drop or keep what is not equal, as told; say so in the error, and whether the source changed while it was read."""
        now = Planner(self.spark, self.table, self.target, self.options, self._check).units(planned.columns, self.partitions())
        error.retryable = {key: unit.files for key, unit in now.items()} != {key: unit.files for key, unit in planned.units.items()}
        said = "The source changed meanwhile: another attempt may do. " if error.retryable else ""
        if self.options.on_mismatch == "keep":
            if staging is not None:
                staging.set_properties(**{KEPT: "true"})
                error.hint = f"{said}It was kept as {staging.name}: drop it when you have looked at it."
            else:
                error.hint = f"{said}It was kept as the branch {branch} of {self.target.name}, which readers do not see."
            return
        if staging is not None:
            self.drop_staging()
        else:
            self.target.remove_branch(branch)
        error.hint = f"{said}What was written was dropped; on_mismatch=keep leaves it for a look."

    def _remember(self, planned: Planned, target: Target, plan: str, head: int | None) -> None:
        """Keep what the source looked like when a snapshot of the target was made of it, beside the table."""
        place, data = self._state(planned, str(target.table().location()), plan, head)
        target.write_file(place, data)
        target.set_properties(**{STATE: place})

    def _state(self, planned: Planned, location: str, plan: str, head: int | None) -> tuple[str, bytes]:
        state = State(schema_text(self.table), {key: unit.files for key, unit in planned.units.items()}, head)
        return f"{location.rstrip('/')}/portal/source-{self.options.run}-{plan}.json.gz", state.to_bytes()

    def _mark(self, planned: Planned) -> str:
        """Return a short name for all that is to be done: another attempt goes on only with the very same."""
        changes = planned.changes
        hashed = hashlib.sha256()
        done = (*map(repr, changes.loading), *map(repr, changes.dropped))
        for part in (schema_text(self.table), planned.way, planned.before, *planned.columns.expressions, *done):
            hashed.update(part.encode("utf-8", "surrogatepass") + b"\0")
        return hashed.hexdigest()[:24]

    def _done(self, planned: Planned, plan: str, compared: Compared | None, outcome: Ended = "done") -> TableOutcome:
        target = self.target.at_one_moment()
        table = target.table()
        snapshot = table.currentSnapshot()
        added = [summary for _, summary in target.ancestry() if plan and summary.get(BATCH, "").startswith(f"{plan}:")]
        facts: dict[str, Any] = {"columns": [column.told() for column in planned.columns.each if column.notes or len(planned.columns.each) <= 200]}
        if planned.table.partition_keys:
            dropping = "deleted" if self._deletes(planned) else "kept"
            facts["partitions"] = state.told(planned.changes, lambda key: shown(planned.columns.partitions, key), dropping)
        if compared is not None:
            facts["check"] = compared.told()
        return self._outcome(
            outcome, reason=planned.chosen.reason, way=planned.way, rows=target.rows(), location=str(table.location()), facts=facts,
            files=sum(int(summary.get("added-data-files", 0)) for summary in added),
            bytes=sum(int(summary.get("added-files-size", 0)) for summary in added),
            metadata_location=target.metadata_location(), snapshot_id="" if snapshot is None else str(snapshot.snapshotId()),
        )  # fmt: skip

    def _outcome(self, outcome: Ended, **values: Any) -> TableOutcome:
        return TableOutcome(str(self.table.name), outcome, target=str(self.target.name), **values)

    def _loading(self, done: int, total: int) -> None:
        self.tell(done, total, "loading")

    def _check(self) -> None:
        self.tell(0, 0, "")
