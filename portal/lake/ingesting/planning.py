"""What a run has to do for a table: looked up at both sides before anything is done."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from portal.errors import AlreadyExists, PortalError
from portal.lake.hive.table import HivePartition, HiveTable
from portal.lake.hive.type_mapping import Zone
from portal.lake.ingesting import evolution, state
from portal.lake.ingesting.checking import Depth, Sides
from portal.lake.ingesting.choosing import IN_PLACE, Chosen, Way, choose, refused
from portal.lake.ingesting.columns import Columns, columns
from portal.lake.ingesting.footers import unknown_columns
from portal.lake.ingesting.listing import normal, with_files
from portal.lake.ingesting.meanings import meanings
from portal.lake.ingesting.state import Changes, State
from portal.lake.ingesting.target import MAIN, RUN, SOURCE, STATE, WAY, Target
from portal.lake.ingesting.units import Folder, Key, PartitionColumn, Unit, keyed, order, quoted, with_odd
from portal.lake.spark.failures import told

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

@dataclass(frozen=True)
class Options:
    """How tables are brought over."""

    run: str
    """Letters, digits and underscores: the same for all attempts at one job and its retries."""
    way: Literal["auto", "ctas", "snapshot", "add_files"] = "auto"
    zone: Zone = "timestamp"
    time_zone: str = "UTC"
    depth: Depth = "full"
    on_mismatch: Literal["drop", "keep"] = "drop"
    dropped: Literal["delete", "keep"] = "delete"
    properties: tuple[tuple[str, str], ...] = ()
    renames: bool = True
    """False: the catalog cannot rename a table."""


@dataclass(frozen=True)
class Planned:
    """What is known of a table before anything is done."""

    table: HiveTable
    units: dict[Key, Unit]
    chosen: Chosen
    columns: Columns
    location: str
    exists: bool
    changes: Changes
    before: str = ""
    """Where the state of the last run is kept."""
    head: int | None = None
    """The target's snapshot when its rows were looked at."""
    known: bool = False
    """The state that is kept is of what the target has."""

    @property
    def way(self) -> Way:
        return self.chosen.way


class Planner:
    """Of one table. `check` may raise Cancelled."""

    def __init__(self, spark: SparkSession, table: HiveTable, target: Target, options: Options, check: Callable[[], None]) -> None:
        self.spark, self.table, self.target, self.options, self.check = spark, table, target.at_one_moment(), options, check
        self.source = source_sql(table)
        self.formats = frozenset[str]()

    def plan(self, partitions: Iterable[HivePartition]) -> Planned:
        """Look at both sides; changes nothing. Raises PortalErrors."""
        with told(f"Reading {self.table.name}", cancelled=self.check):
            return self._plan(partitions)

    def _plan(self, partitions: Iterable[HivePartition]) -> Planned:
        self.spark.sql(f"REFRESH TABLE {self.source}")
        read = self.spark.table(self.source).schema
        zone_free = columns(self.spark, self.table, read, self.options.zone, self.options.time_zone)
        units = self.units(zone_free, partitions)
        self.formats = formats = formats_of(self.table, units)
        exists = self.target.exists()
        location = self._location(exists)
        if exists:
            chosen = self._as_before()
        else:
            chosen = choose(self.table, self.options.way, location or "", formats)
        if not exists:
            chosen = self._shareable(chosen, units.values(), self.options.way == "auto")
        self._refuse(chosen, formats, location)
        mapping = self._columns(chosen.way, read, with_odd(zone_free.partitions, units.values()))
        if not exists:
            return Planned(self.table, units, chosen, mapping, location, False, Changes(_ordered(units)))
        before, head = self.target.properties().get(STATE, ""), self.target.head()
        known = self._known(before)
        changes = self._changes(units, mapping, chosen.way, known)
        self._shareable(chosen, changes.loading, False)
        return Planned(self.table, units, chosen, mapping, location, True, changes, before, head, known is not None)

    def _shareable(self, chosen: Chosen, units: Iterable[Unit], auto: bool) -> Chosen:
        """Return the way, another one when that may be and the files are not to be shared. Raises PortalError when it may not be."""
        why = unknown_columns(self.spark, self.table, list(units)) if chosen.way in IN_PLACE else ""
        if why and not auto:
            raise PortalError(f"{self.table.name} cannot be brought over by {chosen.way}: {why}.", hint="Take the way ctas for a new target.")
        return Chosen("ctas", why) if why else chosen

    def replanned(self, planned: Planned, way: Way) -> Planned:
        """Return the same plan for another way."""
        self.formats = formats_of(self.table, planned.units)
        with told(f"Reading {self.table.name}", cancelled=self.check):
            mapping = self._columns(way, self.spark.table(self.source).schema, planned.columns.partitions)
        return replace(planned, chosen=Chosen(way, ""), columns=mapping)

    def units(self, mapping: Columns, partitions: Iterable[HivePartition]) -> dict[Key, Unit]:
        """Return the units of the source with what lies in their folders."""
        return with_files(self.spark, self._units(mapping, partitions), self.check)

    def _units(self, mapping: Columns, partitions: Iterable[HivePartition]) -> dict[Key, Unit]:
        if not self.table.partition_keys:
            return {(): Unit((), (Folder((), self.table.location, self.table.format),))}
        folders = (Folder(item.values, item.location, item.storage.format) for item in partitions)
        return keyed(mapping.partitions, folders, partial(meanings, self.spark))

    def _columns(self, way: Way, read: Any, partitions: tuple[PartitionColumn, ...]) -> Columns:
        # Iceberg's snapshot makes the table itself, with the types that Spark reads.
        zone: Zone = "timestamptz" if way == "snapshot" else self.options.zone
        return replace(columns(self.spark, self.table, read, zone, self.options.time_zone, self.formats), partitions=partitions)

    def _location(self, exists: bool) -> str:
        return str(self.target.table().location()) if exists else self.target.place()

    def _as_before(self) -> Chosen:
        properties = self.target.properties()
        if properties.get(SOURCE) != str(self.table.name):
            made_of = properties.get(SOURCE)
            raise AlreadyExists(
                f"{self.target.name} is there already and was {f'made of {made_of}' if made_of else 'not made by an ingestion'}.",
                hint="Choose another target_namespace, or drop or rename that table.",
            )
        way: Way = "add_files" if properties.get(WAY) == "add_files" else "snapshot" if properties.get(WAY) == "snapshot" else "ctas"
        return Chosen(way, "as it began")

    def _refuse(self, chosen: Chosen, formats: frozenset[str], location: str) -> None:
        if why := refused(self.table, chosen.way, formats):
            raise PortalError(f"{self.table.name} cannot be brought over so: {why}.")
        source, target = f"{normal(self.spark, self.table.location)}/", f"{normal(self.spark, location)}/" if location else ""
        if target and (target.startswith(source) or source.startswith(target)):
            raise PortalError(
                f"The target's folder {location} and the source's {self.table.location} lie in each other: the target's files would be the source's.",
                hint="Choose another target_namespace, or give the target catalog another warehouse.",
            )

    def _known(self, before: str) -> State | None:
        """Return the state of the last run, None when it is gone, or is not of what the target has now."""
        known = None
        if before:
            with suppress(Exception):  # a clean-up of files that no table names may have taken it
                known = State.from_bytes(self.target.read_file(before))
        return known if known is not None and self._is_ours_since(known.head) else None

    def _is_ours_since(self, head: int | None) -> bool:
        """Tell whether nobody but an earlier attempt at this run wrote to the target after a snapshot."""
        for number, summary in self.target.ancestry():
            if number == head:
                return True
            if summary.get(RUN) != self.options.run:
                return False
        return head is None

    def _changes(self, units: dict[Key, Unit], mapping: Columns, way: Way, known: State | None) -> Changes:
        if known is not None and known.schema == schema_text(self.table):
            return state.compared(known.units, units)
        # Files that are only shared may be gone: then the target's rows cannot be read, and to share files anew costs little.
        if (known is None and way in IN_PLACE) or evolution.differences(self.target, mapping).changed:
            has = self.target.keys(mapping.partitions)
            return Changes(
                tuple(unit for unit in _ordered(units) if unit.key not in has), tuple(unit for unit in _ordered(units) if unit.key in has),
                tuple(sorted(has - set(units), key=order)),
            )  # fmt: skip
        # Who wrote to the target may have changed any value: counts would not tell.
        found, keys = Sides(self.spark, self.source, self.target, MAIN, mapping).compare(None, all_keys=True)
        return state.unlike(units, keys) if found.different else Changes(unchanged=len(units))


def formats_of(table: HiveTable, units: dict[Key, Unit]) -> frozenset[str]:
    """Return what the files of a table's partitions are; without any, what they would be."""
    return frozenset(folder.format for unit in units.values() for folder in unit.folders) or frozenset((table.format,))


def source_sql(table: HiveTable) -> str:
    """Return a table of Hive as Spark's SQL takes it."""
    return ".".join(quoted(part) for part in ("spark_catalog", *table.name.identifier))


def schema_text(table: HiveTable) -> str:
    """Return names and types of a table's columns as one text."""
    return json.dumps([[column.name, column.type] for column in table.columns])


def _ordered(units: dict[Key, Unit]) -> tuple[Unit, ...]:
    return tuple(sorted(units.values(), key=lambda unit: order(unit.key)))
