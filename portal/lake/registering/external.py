"""One folder of Parquet files as an external table: created, refreshed, then counted and compared."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from portal.errors import AlreadyExists, ProofFailed, WarehouseError
from portal.lake.registering import statements
from portal.lake.registering.access import Wanted
from portal.lake.registering.columns import columns, partition_names
from portal.lake.registering.data_files import pattern
from portal.lake.registering.folders import Folder
from portal.lake.registering.iceberg import Existing
from portal.lake.registering.integrations import Integrations
from portal.lake.registering.places import Place, base_url
from portal.lake.registering.session import Script, Session
from portal.lake.registering.sql_text import exact, text
from portal.lake.table_outcome import Ended, TableOutcome
from portal.warehouse_names import TableName, bare

_MARK = "definition "
_REPLACE = "Drop it, name another schema, or give existing=replace."
_LETTERS = 8


@dataclass(frozen=True)
class Defined:
    """The statements of one external table."""

    stage: TableName
    url: str
    table: TableName
    folder: Folder

    @property
    def mark(self) -> str:
        """Tells this definition from another one of the same name: by its folder, then by the rest."""
        return f"{self.place_mark}-{_digest(self.create(replace=False, marked=False))}"

    @property
    def place_mark(self) -> str:
        return _digest(self.url)

    def create(self, *, replace: bool, marked: bool = True) -> str:
        listed, by, files = columns(self.folder), partition_names(self.folder), pattern(self.folder.url)
        sql = statements.create_external(self.table, self.stage, listed, by, files, replace=replace)
        return sql.replace(text(statements.COMMENT), text(f"{statements.COMMENT}, {_MARK}{self.mark}")) if marked else sql


def defined(folder: Folder, target: TableName, *, beside: bool = False) -> Defined:
    """Return what makes a table over a folder. Raises TableRefused for columns that Snowflake does not know.

    Args:
        beside: the stage has a name that no other folder's has, because the usual one leads to another folder.
    """
    url = base_url(folder.url)
    stage = f"{bare(target.table)}_FILES" + (f"_{_digest(url).upper()}" if beside else "")
    return Defined(TableName(target.database, target.schema, exact(stage)), url, target, folder)


def _digest(known: str) -> str:
    return hashlib.sha256(known.encode()).hexdigest()[:_LETTERS]


def plan(name: str, folder: Folder, target: TableName, wanted: Wanted, existing: Existing, script: Script) -> TableOutcome:
    """Write down what would be done, without asking Snowflake: unless the table may be replaced, the statements fail where the names are taken."""
    replace = existing == "replace"
    made, integration = defined(folder, target, beside=replace), wanted.storage_integration or wanted.storage_name(folder.url)
    if wanted.create_volume:
        script.add(f"the way to {folder.url}; then DESCRIBE it, open its AZURE_CONSENT_URL and accept", wanted.creating_storage(folder.url))
    script.add(f"where the files of {target} are", statements.create_stage(made.stage, made.url, integration, guarded=replace))
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
        made, has_stage = self._placed(folder, target)
        found = self._way(made)
        if found == "refresh" and has_stage:
            changed = self.session.answer(statements.refresh_external(target), f"refresh {target}")
            return self._proved(name, made, "refresh" if changed or self.session.planning else "unchanged")
        way = "create" if found == "create" else "replace"  # also when its stage is gone: the table hangs on the stage as it was, not on its name
        try:
            self._make(made, way, has_stage)
        except WarehouseError:
            if (self._placed(folder, target), self._way(made)) == ((made, has_stage), found):
                raise
            return self.register(name, folder, target)  # somebody else has made stage or table meanwhile
        return self._proved(name, made, way)

    def _make(self, made: Defined, way: str, has_stage: bool) -> None:
        """A stage is never replaced: a table over it would lose its files, and nobody could read it until it is made anew."""
        if not has_stage:
            integration = self.integrations.storage(made.folder.url)
            self.session.do(statements.create_stage(made.stage, made.url, integration), f"where the files of {made.table} are")
        self.session.do(made.create(replace=way == "replace"), f"{way} {made.table} over {made.folder.url}")

    def _way(self, made: Defined) -> str:
        if self.session.no_schema:
            return "create"
        rows = self.session.ask(statements.show_external(made.table), f"Looking for {made.table}")
        own = [row for row in rows if row["name"] == bare(made.table.table)]
        if not own:
            if self.session.value(statements.tables_called(made.table), f"Looking for {made.table}"):
                raise AlreadyExists(f"{made.table} is something else at Snowflake: no external table.", hint="Drop it, or name another schema.")
            return "create"
        known, _, mark = str(own[0].get("comment") or "").rpartition(_MARK)
        if known.startswith(statements.COMMENT) and mark == made.mark:
            return "refresh"
        ours = known.startswith(statements.COMMENT) and mark.startswith(made.place_mark)
        if not ours and self.existing == "refuse":
            raise AlreadyExists(f"{made.table} is there already, and it was not registered for {made.folder.url}.", hint=_REPLACE)
        return "replace"

    def _placed(self, folder: Folder, target: TableName) -> tuple[Defined, bool]:
        """Choose the stage, and tell whether it is there: one of the usual name may lead elsewhere. Raises AlreadyExists."""
        usual, beside = defined(folder, target), defined(folder, target, beside=True)
        there = self._stage(usual)
        if there is None or _leads(there) == _leads(usual.url):
            return usual, there is not None
        there = self._stage(beside)
        if there is not None and _leads(there) != _leads(usual.url):
            hint = "Drop that stage, or name the table otherwise."
            raise AlreadyExists(f"The stage {beside.stage} leads to {there or 'files inside Snowflake'}, not to {beside.url}.", hint=hint)
        return beside, there is not None

    def _stage(self, made: Defined) -> str | None:
        """Return where the stage leads, None when there is none."""
        if self.session.no_schema:
            return None
        rows = self.session.ask(statements.show_stages(made.stage), f"Looking for the stage {made.stage}")
        own = next((row for row in rows if row["name"] == bare(made.stage.table)), None)
        return None if own is None else str(own.get("url") or "")

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
