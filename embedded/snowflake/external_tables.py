"""Stages on Azure and external tables over the Parquet files in them, filled when they are created or refreshed.

The expressions of a table's columns are evaluated: sqlglot turns them into DuckDB's SQL, `GET(VALUE, 'name')` being the file's column and
METADATA$FILENAME the file's path in the container. It is a column that `SELECT *` shows here, and at Snowflake does not.
"""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa
from pyarrow import parquet
from sqlglot import exp, parse_one

from embedded.snowflake.answers import CANNOT_READ, READ_ONLY, SYNTAX, Refused, rows_sql, status_sql
from embedded.snowflake.objects import Name, Objects
from embedded.snowflake.rows import quoted
from embedded.snowflake.statement import Stage, Statement
from embedded.snowflake.storage import Place, Storage, buffered
from embedded.snowflake.volumes import SINCE, STORAGE, like, paged

KIND, STAGE = "EXTERNAL TABLE", "STAGE"
_FILENAME = "METADATA$FILENAME"
_SHOWN = ("created_on", "name", "database_name", "schema_name", "invalid", "owner", "comment", "stage", "location", "file_format_type")


class ExternalTables:
    def __init__(self, objects: Objects, storage: Storage) -> None:
        self._objects, self._storage = objects, storage

    def make_stage(self, statement: Statement, name: Name) -> str | None:
        """Answer a stage with a URL on Azure; None for any other, which fakesnow makes. Raises Refused."""
        url = str(statement.options.get("URL", ""))
        if not url.startswith("azure://"):
            return None
        integration = self._objects.need(STORAGE, (str(statement.options.get("STORAGE_INTEGRATION", "")),))
        allowed = integration.get("STORAGE_ALLOWED_LOCATIONS", [])
        if not any(one == "*" or Place.parse(f"{url.rstrip('/')}/").within(Place.parse(one)) for one in allowed):
            raise Refused(SYNTAX, f"SQL compilation error:\nLocation '{url}' is not allowed by integration.")
        return status_sql(self._objects.create(STAGE, name, {"url": url}, replace=statement.replace, guarded=statement.guarded))

    def describe_stage(self, name: Name) -> str | None:
        """Answer DESCRIBE STAGE of one on Azure; None for any other."""
        found = self._objects.get(STAGE, name)
        if found is None:
            return None
        columns = ("parent_property", "property", "property_type", "property_value", "property_default")
        return rows_sql(columns, [("STAGE_LOCATION", "URL", "String", f'["{found["url"]}"]', "")])

    def show_stages(self, statement: Statement) -> str | None:
        """Answer SHOW STAGES … LIKE with those on Azure; None when there is none, so that fakesnow shows its own."""
        scope, pattern = tuple(statement.options.get("IN", ())), str(statement.options.get("LIKE", "%"))
        found = [(name, facts) for name, facts in self._objects.all(STAGE) if name[: len(scope)] == scope and like(name[2], pattern)]
        rows = [[SINCE, name[2], name[0], name[1], facts["url"], "EXTERNAL", "AZURE"] for name, facts in found]
        return rows_sql(("created_on", "name", "database_name", "schema_name", "url", "type", "cloud"), rows) if rows else None

    def answer(self, statement: Statement, name: Name, duck: Any) -> str:
        """Return a statement that answers CREATE, ALTER … REFRESH or DROP. Raises Refused."""
        if statement.verb == "CREATE":
            return self._create(statement, name, duck)
        if statement.verb == "ALTER" and "REFRESH" in statement.options:
            facts = self._objects.need(KIND, name)
            before, now = facts["files"], self._fill(name, facts, duck)
            changes = [(file, "UNREGISTERED", "File unregistered successfully.") for file in before if file not in now]
            changes += [(file, "REGISTERED_NEW", "File registered successfully.") for file in now if before.get(file) != now[file]]
            return rows_sql(("file", "status", "description"), changes)
        if statement.verb == "DROP":
            told = self._objects.drop(KIND, name, guarded=statement.guarded)
            duck.execute(f"drop table if exists {quoted(name)}")
            return status_sql(told)
        raise Refused(SYNTAX, f"SQL compilation error:\nUnsupported feature '{statement.verb} {KIND}'.")

    def show(self, statement: Statement) -> str:
        scope, pattern = tuple(statement.options.get("IN", ())), str(statement.options.get("LIKE", "%"))
        found = [(name, facts) for name, facts in self._objects.all(KIND) if name[: len(scope)] == scope and like(name[2], pattern)]
        rows = [[SINCE, name[2], name[0], name[1], "false", "", facts["comment"], facts["stage"], facts["url"], "PARQUET"] for name, facts in found]
        return rows_sql(_SHOWN, paged(rows, statement.options))

    def refuse_change(self, name: Name) -> None:
        """Raises Refused when a table is an external one."""
        if self._objects.get(KIND, name) is not None:
            raise Refused(READ_ONLY, f"SQL compilation error:\nExternal table {name[-1]} is read-only and cannot be modified.")

    def _create(self, statement: Statement, name: Name, duck: Any) -> str:
        location = statement.options.get("LOCATION")
        if not isinstance(location, Stage) or dict(statement.options.get("FILE_FORMAT") or {}).get("TYPE") != "PARQUET":
            raise Refused(SYNTAX, "SQL compilation error:\nThe box's external tables need LOCATION = @stage and FILE_FORMAT = (TYPE = PARQUET).")
        stage = (*name[: 3 - len(location.name)], *location.name)
        url = self._objects.need(STAGE, stage)["url"].rstrip("/")
        columns = _columns(statement.sql)
        facts: dict[str, Any] = {
            "url": f"{url}/{location.path}" if location.path else url, "stage": ".".join(stage), "columns": columns,
            "comment": str(statement.options.get("COMMENT", "")), "pattern": str(statement.options.get("PATTERN", "")), "files": {},
        }  # fmt: skip
        if self._objects.get(KIND, name) is None or statement.replace:
            self._fill(name, facts, duck, empty=statement.options.get("REFRESH_ON_CREATE") is False)
            return status_sql(f"Table {name[-1]} successfully created.")
        return status_sql(self._objects.create(KIND, name, facts, guarded=statement.guarded))

    def _fill(self, name: Name, facts: dict[str, Any], duck: Any, *, empty: bool = False) -> dict[str, str]:
        """Replace a table's rows by those of the files that are there now; returns the files with their ETags."""
        place = Place.parse(f"{facts['url'].rstrip('/')}/")
        fits = re.compile(facts["pattern"] or ".*", re.DOTALL).fullmatch  # over the path below the table's location
        files = {} if empty else {file: etag for file, etag in self._storage.list(place) if fits(file.removeprefix(place.path))}
        duck.execute("begin")
        try:
            columns = ", ".join(f"{quoted((column,))} {kind}" for column, kind, _ in facts["columns"])
            duck.execute(f"create or replace table {quoted(name)} ({columns}, {quoted((_FILENAME,))} varchar)")
            told = _told_by_names(facts["columns"], list(files), duck)
            for file in files:
                self._add(name, facts["columns"], Place(place.account, place.container, file), told[file], duck)
            duck.execute("commit")
        except BaseException:
            duck.execute("rollback")
            raise
        self._objects.put(KIND, name, {**facts, "files": files})
        return files

    def _add(self, name: Name, columns: list[tuple[str, str, str]], place: Place, told: dict[str, Any], duck: Any) -> None:
        try:
            with parquet.ParquetFile(buffered(self._storage.open(place))) as file:
                there = set(file.schema_arrow.names)
                chosen = ", ".join("?" if column in told else _duck_sql(text, there) for column, _, text in columns)
                reader = pa.RecordBatchReader.from_batches(file.schema_arrow, file.iter_batches(1 << 16))
                duck.register("arriving", reader)
                rows = f"select *, ? as {quoted((_FILENAME,))} from arriving"  # noqa: S608 - a quoted name
                into = f"insert into {quoted(name)} select {chosen}, {quoted((_FILENAME,))} from ({rows})"  # noqa: S608
                duck.execute(into, [*told.values(), place.path])
                duck.unregister("arriving")
        except (pa.ArrowException, OSError) as error:
            raise Refused(CANNOT_READ, f"File {place.path} cannot be read as Parquet: {error}") from error


def _told_by_names(columns: list[tuple[str, str, str]], files: list[str], duck: Any) -> dict[str, dict[str, Any]]:
    """Return by file the values of the columns that the names of files alone tell: planning such expressions takes long, and here it is done once."""
    own = {column: text for column, _, text in columns if parse_one(text, read="snowflake").find(exp.GetExtract) is None}
    chosen = ", ".join([quoted((_FILENAME,)), *(_duck_sql(text, set()) for text in own.values())])
    duck.register("names", pa.table({_FILENAME: pa.array(files, pa.string())}))
    rows = duck.execute(f"select {chosen} from names").fetchall()  # noqa: S608 - a quoted name
    duck.unregister("names")
    return {file: dict(zip(own, values, strict=True)) for file, *values in rows}


def _columns(sql: str) -> list[tuple[str, str, str]]:
    """Return name, DuckDB type and expression (Snowflake's SQL) of each column. Raises Refused."""
    parsed = parse_one(sql, read="snowflake")
    found = []
    for column in parsed.find_all(exp.ColumnDef):
        value = column.find(exp.ComputedColumnConstraint)
        kind = column.args.get("kind")
        if value is None or kind is None:
            raise Refused(SYNTAX, f"SQL compilation error:\nColumn {column.name} of an external table needs a type and AS (expression).")
        name = column.this.this if column.this.args.get("quoted") else column.name.upper()
        found.append((name, kind.sql("duckdb"), value.this.sql("snowflake")))
    if not found:
        raise Refused(SYNTAX, "SQL compilation error:\nThe box's external tables need columns.")
    return found


def _duck_sql(text: str, there: set[str]) -> str:
    """Turn a column's expression into DuckDB's SQL over a file that has certain columns; those that it lacks are null."""

    def turned(node: exp.Expression) -> exp.Expression:
        if isinstance(node, exp.GetExtract) and node.this.sql().upper() == "VALUE":
            name = node.expression.this
            return exp.column(exp.to_identifier(name, quoted=True)) if name in there else exp.null()
        if isinstance(node, exp.Column) and node.name.upper() == _FILENAME:
            return exp.column(exp.to_identifier(_FILENAME, quoted=True))
        return node

    tree = parse_one(text, read="snowflake").transform(turned)
    for part in list(tree.find_all(exp.SplitPart)):  # else each becomes a CASE that has its text three times, and so have those within it
        part.replace(exp.Anonymous(this="split_part", expressions=[part.this, part.args["delimiter"], part.args["part_index"]]))
    return tree.sql("duckdb")
