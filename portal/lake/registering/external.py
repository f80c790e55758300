"""One folder of Parquet files as an external table: created, refreshed, then counted and compared."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

from portal.errors import AlreadyExists, ProofFailed, WarehouseError
from portal.lake.registering import statements
from portal.lake.registering.access import Wanted
from portal.lake.registering.columns import columns, partition_names
from portal.lake.registering.folders import Folder
from portal.lake.registering.iceberg import Existing
from portal.lake.registering.integrations import Integrations
from portal.lake.registering.places import Place, base_url
from portal.lake.registering.session import Script, Session
from portal.lake.registering.sql_text import text
from portal.lake.table_outcome import Ended, TableOutcome
from portal.warehouse_names import TableName, bare

_MARK = "definition "


@dataclass(frozen=True)
class Defined:
    """The statements of one external table. `mark` tells this definition from another one of the same name."""

    stage: TableName
    url: str
    table: TableName
    folder: Folder

    @property
    def mark(self) -> str:
        return hashlib.sha256(f"{self.url}\n{self.create(replace=False, marked=False)}".encode()).hexdigest()[:16]

    def create(self, *, replace: bool, marked: bool = True) -> str:
        sql = statements.create_external(self.table, self.stage, columns(self.folder), partition_names(self.folder), replace=replace)
        return sql.replace(text(statements.COMMENT), text(f"{statements.COMMENT}, {_MARK}{self.mark}")) if marked else sql


def defined(folder: Folder, target: TableName) -> Defined:
    """Raises TableRefused for columns that Snowflake does not know."""
    stage = TableName(target.database, target.schema, f'"{bare(target.table).replace(chr(34), chr(34) * 2)}_FILES"')
    return Defined(stage, base_url(folder.url), target, folder)


def plan(name: str, folder: Folder, target: TableName, wanted: Wanted, existing: Existing, script: Script) -> TableOutcome:
    """Write down what would be done, without asking Snowflake: unless they may replace, the statements fail where the names are taken."""
    replace = existing == "replace"
    made, integration = defined(folder, target), wanted.storage_integration or wanted.storage_name(folder.url)
    if wanted.create_volume:
        script.add(f"the way to {folder.url}; then DESCRIBE it, open its AZURE_CONSENT_URL and accept", wanted.creating_storage(folder.url))
    script.add(f"where the files of {target} are", statements.create_stage(made.stage, made.url, integration, replace=replace))
    script.add(f"{target} over {folder.url}", made.create(replace=replace))
    script.add(f"{folder.rows} rows of {folder.filled} files, {folder.first} to {folder.last}", statements.seen(target))
    return TableOutcome(name, "excluded", reason=statements.ONLY_WRITTEN, target=str(target), way="ddl", location=str(folder.url))


@dataclass(frozen=True)
class FolderRegistrar:
    """What all folders of a job are registered with."""

    session: Session
    integrations: Integrations
    existing: Existing

    def register(self, name: str, folder: Folder, target: TableName) -> TableOutcome:
        """Make Snowflake's table show the files that are there now. Raises PortalError, naming what is in the way."""
        if Place.of(folder.url) is None or folder.url.scheme != "abfss":
            raise WarehouseError(f"Folders are registered from Azure, and {folder.url} is not there.")
        made = defined(folder, target)
        way, stage = self._way(made), self._stage(made)
        if way == "refresh" and stage != "kept":
            way = "replace"  # the table hangs on the stage as it was, not on its name
        if way == "refresh":
            changed = self.session.answer(statements.refresh_external(target), f"refresh {target}")
            way = "refresh" if changed or self.session.planning else "unchanged"
        else:
            if stage != "kept":
                integration = self.integrations.storage(folder.url)
                sql = statements.create_stage(made.stage, made.url, integration, replace=stage == "another")
                self.session.do(sql, f"where the files of {target} are")
            self.session.do(made.create(replace=way == "replace"), f"{way} {target} over {folder.url}")
        return self._proved(name, made, way)

    def _way(self, made: Defined) -> str:
        if self.session.no_schema:
            return "create"
        rows = self.session.ask(statements.show_external(made.table), f"Looking for {made.table}")
        own = [row for row in rows if row["name"] == bare(made.table.table)]
        if not own:
            if self.session.value(statements.tables_called(made.table), f"Looking for {made.table}"):
                raise AlreadyExists(f"{made.table} is something else at Snowflake: no external table.", hint="Drop it, or name another schema.")
            return "create"
        comment = str(own[0].get("comment") or "")
        if comment.endswith(f"{_MARK}{made.mark}"):
            return "refresh"
        if not comment.startswith(statements.COMMENT) and self.existing == "refuse":
            raise AlreadyExists(f"{made.table} is there already, and it was not registered from here.", hint="Drop it, or give existing=replace.")
        return "replace"

    def _stage(self, made: Defined) -> Literal["none", "kept", "another"]:
        """Look for the stage: one of the name may lead elsewhere. Raises AlreadyExists when such a one may not be replaced."""
        if self.session.no_schema:
            return "none"
        rows = self.session.ask(statements.show_stages(made.stage), f"Looking for the stage {made.stage}")
        own = next((row for row in rows if row["name"] == bare(made.stage.table)), None)
        if own is None:
            return "none"
        url = str(own.get("url") or "")
        if _leads(url) == _leads(made.url):
            return "kept"
        if self.existing == "refuse":
            raise AlreadyExists(
                f"The stage {made.stage} is there already, and it leads to {url or 'files inside Snowflake'}, not to {made.url}.",
                hint="Name the table otherwise, drop the stage, or give existing=replace: other tables over that stage lose their files then.",
            )
        return "another"

    def _proved(self, name: str, made: Defined, way: str) -> TableOutcome:
        """Count at Snowflake. Raises ProofFailed when there are not as many rows as in the files, or they are from other files."""
        ended: Ended = "unchanged" if way == "unchanged" else "done"
        folder, table = made.folder, made.table
        facts = {"partitions": partition_names(folder), "rows_by_files": folder.rows, "columns": len(folder.columns)}
        if self.session.planning:
            return TableOutcome(name, "done", target=str(table), way=way, location=str(folder.url), facts=facts)
        seen = self.session.ask(statements.seen(table), f"Counting {table}")[0]
        rows, files = int(seen["row_count"]), int(seen["file_count"])
        if rows != folder.rows:
            raise ProofFailed(f"{table} has {rows} rows at Snowflake, and {folder.rows} are in the files of {folder.url}.", hint="Run it again.")
        ends = [(str(seen[name] or ""), key) for name, key in (("first_file", folder.first), ("last_file", folder.last))]
        if files != folder.filled or not all(_is_file(told, key) for told, key in ends):
            shown, listed = (f"{count} from {ends[0][at]} to {ends[1][at]}" for at, count in enumerate((files, folder.filled)))
            raise ProofFailed(
                f"{table} has its rows from other files than those of {folder.url}: {shown}; listed are {listed}.",
                hint="Run it again; when it stays so, drop the table and its stage before.",
            )
        return TableOutcome(
            name, ended, target=str(table), way=way, rows=rows, files=folder.files, bytes=folder.bytes, location=str(folder.url), facts=facts
        )


def _leads(url: str) -> Place | None:
    """Return where a stage leads, with or without a slash at its end: Snowflake shows it as it was given."""
    return Place.of_base(url.rstrip("/"))


def _is_file(told: str, key: str) -> bool:
    """Tell whether Snowflake's name of a file is that of a key: its path in the container, whatever is before it."""
    return f"/{told}".endswith(f"/{key}")
