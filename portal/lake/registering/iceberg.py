"""One Iceberg table: created, refreshed, or left as it is because Snowflake has its current state; then counted and compared."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from posixpath import dirname
from typing import Literal

from portal.errors import AlreadyExists, ProofFailed, WarehouseError
from portal.lake.catalogs.files import Files
from portal.lake.registering import places, sources, statements
from portal.lake.registering.access import Access, Wanted
from portal.lake.registering.counting import Counted, counted
from portal.lake.registering.places import Place, readable
from portal.lake.registering.session import Script, Session
from portal.lake.registering.sources import Table
from portal.lake.registering.sql_text import exact
from portal.lake.registering.volumes import Volume
from portal.lake.table_outcome import TableOutcome
from portal.warehouse_names import TableName, bare

Existing = Literal["refuse", "replace"]
_REPLACE = "Drop it, name another schema, or let it be replaced (existing=replace; that takes away grants on it)."


def plan(
    table: Table, target: TableName, wanted: Wanted, files: Files, count: bool, check: Callable[[], None], script: Script
) -> TableOutcome:
    """Write down what would be done, without asking Snowflake whether it has the table: the statements do both. Raises TableRefused."""
    volume = wanted.planned(table.url, script)
    if wanted.create_integration:
        script.add("the way to tables by their metadata files", statements.create_integration(wanted.integration))
    path = _within(volume, table)
    place = volume.locations[0].place
    expected = counted(files, table.metadata, table.location, place, check) if count and place else None
    sql = statements.create_table(target, exact(volume.name), wanted.integration, path, guarded=True)
    script.add(f"{target} by {table.location}; the volume must lead to {volume.locations[0].url}", sql)
    script.add(f"when {target} was there already", statements.refresh_table(target, path))
    rows = f"{expected.rows} rows" if expected else "as many rows as there are"
    told = f"{rows} by the metadata{f', snapshot {table.snapshot_id}' if table.snapshot_id else ''}"
    script.add(told, statements.count(target))
    facts = {"rows_by_metadata": expected.rows} if expected else {}
    return TableOutcome(
        str(table.name), "excluded", reason=statements.ONLY_WRITTEN, target=str(target), way="ddl", metadata_location=table.location,
        location=str(table.metadata.get("location", "")), snapshot_id=table.snapshot_id, facts=facts,
    )  # fmt: skip


@dataclass(frozen=True)
class There:
    """A table that Snowflake has already."""

    volume: str
    metadata: str
    """URL of the metadata file that Snowflake read last, as it writes it."""


@dataclass(frozen=True)
class Registrar:
    """What all tables of a job are registered with."""

    session: Session
    access: Access
    files: Files
    existing: Existing
    count: bool
    """Count the rows on both sides."""
    check: Callable[[], None]
    """Called now and then; may raise."""

    def register(self, table: Table, target: TableName) -> TableOutcome:
        """Make Snowflake's table what the metadata file says. Raises PortalError, naming what is in the way."""
        there = self._there(target)
        replacing = there is not None and self._is_anothers(table, there, target)
        kept = there is not None and not replacing
        volume = self._old_volume(there) if there and kept else self.access.volume(table.url)
        path = _within(volume, table)
        expected = self._expected(table, volume)  # before anything is written: what Snowflake could not read is refused
        if there and kept:
            way = "unchanged" if _same(there.metadata, table) else "refresh"
            if way == "refresh":
                self.session.do(statements.refresh_table(target, path), f"refresh {target} to {table.location}")
        else:
            way = "replace" if replacing else "create"
            sql = statements.create_table(target, exact(volume.name), exact(self.access.integration()), path, replace=replacing)
            try:
                self.session.do(sql, f"{way} {target} by {table.location}")
            except WarehouseError:
                if there or self._there(target) is None:
                    raise
                return self.register(table, target)  # somebody else has made it meanwhile
        return self._proved(table, target, volume, way, expected)

    def _there(self, target: TableName) -> There | None:
        """Return the table as Snowflake has it, None when there is none. Raises AlreadyExists when the name is another object's."""
        if self.session.no_schema:
            return None
        rows = self.session.ask(statements.show_table(target), f"Looking for {target}")
        own = [row for row in rows if row["name"] == bare(target.table)]
        if own:
            return There(str(own[0].get("external_volume_name") or ""), self._shown(target))
        if self.session.value(statements.tables_called(target), f"Looking for {target}"):
            raise AlreadyExists(f"{target} is something else at Snowflake: no Iceberg table.", hint="Drop it, or name another schema.")
        return None

    def _shown(self, target: TableName) -> str:
        """Return the metadata file that Snowflake shows, '' when it names none."""
        try:
            told = json.loads(str(self.session.value(statements.information(target), f"Looking at {target}")))
        except ValueError:
            return ""
        return str(told.get("metadataLocation") or "") if isinstance(told, dict) else ""

    def _is_anothers(self, table: Table, there: There, target: TableName) -> bool:
        """Tell whether Snowflake's table is to be replaced. Raises AlreadyExists when it may not be, WarehouseError when it is newer."""
        url = readable(there.metadata, table.url)
        known = sources.earlier(self.files, url) if url else None
        why = ""
        if known is None:
            if not url or (dirname(url.key) != dirname(table.url.key) and not sources.logged(table.metadata, places.told(there.metadata))):
                why = f"it shows the table of {there.metadata or 'no metadata file'}"
        elif str(known.get("table-uuid", "")) != table.uuid:
            why = f"it shows another table, that of {there.metadata}"
        elif sources.is_newer(known, there.metadata, table):
            raise WarehouseError(
                f"{target} shows a newer state of the table than {table.location}.", hint="Register its current metadata file, or migrate it again."
            )
        volume = self.access.volumes.get(exact(there.volume)) if not why else None
        if not why and (volume is None or volume.path(_place(table)) is None):
            why = f"it reads through the external volume {there.volume}, in which {table.location} does not lie"
        if why and self.existing == "refuse":
            raise AlreadyExists(f"{target} is there already, and {why}.", hint=_REPLACE)
        return bool(why)

    def _old_volume(self, there: There) -> Volume:
        found = self.access.volumes.get(exact(there.volume))
        if found is None:
            raise WarehouseError(f"The external volume {there.volume} is gone, or the role may not see it.", hint="Grant the role USAGE on it.")
        return found

    def _expected(self, table: Table, volume: Volume) -> Counted | None:
        """Count what Snowflake should read, unless nothing is to be counted. Raises TableRefused."""
        if not self.count:
            return None
        base = next(one.place for one in volume.used if one.place and _place(table).below(one.place) is not None)
        return counted(self.files, table.metadata, table.location, base, self.check)

    def _proved(self, table: Table, target: TableName, volume: Volume, way: str, expected: Counted | None) -> TableOutcome:
        """Read back what Snowflake has. Raises ProofFailed when it is not what the metadata says."""
        outcome = TableOutcome(
            str(table.name), "unchanged" if way == "unchanged" else "done", target=str(target), way=way, location=str(table.metadata["location"]),
            metadata_location=table.location, snapshot_id=table.snapshot_id, snapshots=len(table.metadata.get("snapshots") or ()),
            facts={"volume": volume.name},
        )  # fmt: skip
        if self.session.planning:
            return outcome
        shown = self._shown(target)
        if not _same(shown, table):
            raise ProofFailed(f"{target} shows {shown or 'no metadata file'}, not {table.location}.", hint="Does somebody else refresh it, too?")
        if expected is None:
            return outcome
        rows = int(self.session.value(statements.count(target), f"Counting {target}"))
        if rows != expected.rows:
            raise ProofFailed(
                f"{target} has {rows} rows at Snowflake, and {expected.rows} by its metadata {table.location}.",
                hint="It is left for inspection: compare the snapshots, and look at docs/snowflake.md for what Snowflake cannot read.",
            )
        facts = {**outcome.facts, "rows_by_metadata": expected.rows, "delete_files": expected.delete_files}
        return replace(outcome, rows=rows, files=expected.files, bytes=expected.bytes, facts=facts)


def _place(table: Table) -> Place:
    place = Place.of(table.url)
    if place is None:
        raise WarehouseError(f"Snowflake does not reach {table.location}.", hint="Bring the table to Azure first: migrate_iceberg does.")
    return place


def _within(volume: Volume, table: Table) -> str:
    path = volume.path(_place(table))
    if path is None:
        where = ", ".join(one.url for one in volume.used)
        what = f"{table.location} does not lie in the external volume {volume.name}, which leads to {where}."
        raise WarehouseError(what, hint="Name another volume, or one that is to be made.")
    return path


def _same(told: str, table: Table) -> bool:
    return places.told(told) == Place.of(table.url)
