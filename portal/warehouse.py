"""Snowflake: signing in, and loading Parquet so that doing it twice changes nothing. The only importer of snowflake.connector.

A load stages files by PUT, copies them into tables of its own and merges those in one transaction; what a load left behind when it was
cut off is replaced by the next one of the same id. (Snowflake's DDL ends a transaction, so all of it comes before.)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from portal.connections import SnowflakeConnection
from portal.errors import AccessDenied, PortalError, Unreachable, WarehouseError
from portal.warehouse_names import TableName, bare, identifier
from portal.warehouse_sign_in import arguments

STAGE = "PORTAL_LOADS"
"""Named stage that loads pass through unless another is named: made in the target's schema; a load's files are removed when it is done."""

_NETWORK_TIMEOUT_S = 180
_UNREACHABLE = (250001, 250003, 251005, 251006, 251007, 251011, 251012)
_SIGN_IN = range(390000, 391000)
_NO_SUCH_OBJECT = (2003, 2043)
_NOT_ALLOWED = (3001,)


@dataclass(frozen=True)
class Load:
    """One Parquet file to merge into a table: rows whose `key` the table has are left as they are.

    `columns` are {name: Snowflake type}, matched to the file's by name without case; `compare` names a column in which rows that are in
    both should be equal.
    """

    table: TableName
    columns: Mapping[str, str]
    key: tuple[str, ...]
    file: Path
    compare: str | None = None


@dataclass(frozen=True)
class Loaded:
    """What a load did to one table."""

    table: TableName
    staged: int
    """Rows in the file, as COPY counted them."""
    inserted: int
    present: int
    """Rows of the file that the table holds now, read back after the merge; anything but `staged` is an error."""
    differing: tuple[str, ...]
    """Keys (the first 20) of rows that the table had already, with another value in `compare`: they were left alone."""
    query_ids: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Place:
    """What a load keeps for itself meanwhile: a table, and a folder of the stage."""

    table: TableName
    load: Load
    stage: str
    folder: str

    @property
    def stage_sql(self) -> str:
        return f"{self.load.table.schema_sql}.{identifier(self.stage)}"

    @property
    def files(self) -> str:
        return f"@{self.stage_sql}/{self.folder}"


@dataclass(frozen=True)
class Answer:
    """The rows of a statement, the id that Snowflake knows it by, and how many rows it changed or returned."""

    rows: list[tuple[Any, ...]]
    query_id: str
    count: int
    columns: tuple[str, ...] = ()
    """Names of the columns."""


class Warehouse:
    """A session. Make one with `connect`; leave it by `with` or `close`."""

    def __init__(self, session: Any, label: str) -> None:
        self._session, self._label = session, label

    @classmethod
    def connect(cls, connection: SnowflakeConnection, *, query_tag: str = "", network_timeout_s: int = _NETWORK_TIMEOUT_S) -> Self:
        """Sign in by key pair if the connection has a key, else by password; every statement carries the query tag.

        Raises:
            SettingError: the connection names no account, user or credentials, or its key cannot be read.
            AccessDenied: wrong credentials.
            Unreachable: no answer within the connection's login_timeout_s.
        """
        how = arguments(connection, query_tag)
        import snowflake.connector

        with _translated(f"Signing in to Snowflake as {connection.label}"):
            limits = {"login_timeout": connection.login_timeout_s, "socket_timeout": connection.login_timeout_s, "network_timeout": network_timeout_s}
            session: Any = snowflake.connector.connect(**how, **limits)
        # Without it a server that accepts and never answers holds a login for a minute; statements are answered only after up to 45 s.
        session._socket_timeout = None
        return cls(session, connection.label)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        with suppress(Exception):
            self._session.close()

    def query(self, sql: str, values: Sequence[Any] = (), *, what: str = "", stream: Any = None) -> Answer:
        """Run one statement. Raises WarehouseError, AccessDenied, Unreachable, naming `what` was being done."""
        with _translated(what or "Asking Snowflake"), self._session.cursor() as cursor:
            cursor.execute(sql, tuple(values) or None, **({"file_stream": stream} if stream else {}))
            rows = cursor.fetchall()
            return Answer(rows, cursor.sfqid or "", cursor.rowcount or 0, tuple(column.name for column in cursor.description or ()))

    def identity(self) -> dict[str, str | None]:
        """Who the session is: user, role, warehouse, database and schema, None where none is set."""
        names = ("user", "role", "warehouse", "database", "schema")
        row = self.query(f"select {', '.join(f'current_{name}()' for name in names)}").rows[0]
        return dict(zip(names, row, strict=True))

    def columns(self, table: TableName) -> list[str]:
        """Return the names of a table's columns, none when there is no such table."""
        source = f"{identifier(table.database)}.information_schema.columns"
        sql = f"select column_name from {source} where table_schema = %s and table_name = %s order by ordinal_position"  # noqa: S608
        return [row[0] for row in self.query(sql, (bare(table.schema), bare(table.table)), what=f"Looking at {table}").rows]

    def count(self, table: TableName) -> int:
        return int(self.query(f"select count(*) from {table.sql}", what=f"Counting {table}").rows[0][0])  # noqa: S608 - quoted names

    def ensure_table(self, table: TableName, columns: Mapping[str, str]) -> None:
        """Make a table unless it is there, and add the columns it lacks."""
        there = self.columns(table)
        if not there:
            self.query(_create(table, columns, "create table if not exists"), what=f"Making the table {table}")
            return
        for name in (name for name in columns if bare(name) not in there):
            self.query(f"alter table {table.sql} add column {identifier(name)} {columns[name]}", what=f"Adding {name} to {table}")

    def load(self, loads: Sequence[Load], load_id: str, *, stage: str = STAGE) -> list[Loaded]:
        """Merge files into their tables, all in one transaction. Repeatable: rows that are there are left as they are.

        Args:
            load_id: names what the load keeps meanwhile; the same id replaces what an earlier try left behind.
            stage: name of the stage.

        Raises:
            WarehouseError: a statement failed, or a table does not hold what was merged; nothing of the load is in the tables then.
        """
        names = [f"{load_id}_{number}" for number in range(len(loads))]
        places = [_Place(replace(load.table, table=f"{STAGE}_{name}"), load, stage, name) for name, load in zip(names, loads, strict=True)]
        try:
            for place in places:
                self._fill(place)
            return self._merge_all(places)
        finally:
            for place in places:
                self._clear(place)

    def _merge_all(self, places: Sequence[_Place]) -> list[Loaded]:
        self.query("begin")
        try:
            done = [self._merged(place) for place in places]
            self.query("commit", what="Committing")
        except BaseException:
            with suppress(Exception):
                self.query("rollback")
            raise
        return done

    def _clear(self, place: _Place) -> None:
        with suppress(PortalError):  # what is left is replaced when the load is tried again
            self.query(f"drop table if exists {place.table.sql}")
            self.query(f"remove {place.files}")

    def _fill(self, place: _Place) -> None:
        load = place.load
        self.ensure_table(load.table, load.columns)
        self.query(_create(place.table, load.columns, "create or replace table"), what=f"Making the table {place.table}")
        self.query(f"create stage if not exists {place.stage_sql}", what=f"Making the stage {place.stage}")
        with load.file.open("rb") as file:
            put = f"put file://{load.file.name} {place.files} auto_compress=false overwrite=true"
            answer = self.query(put, what=f"Uploading {load.file.name}", stream=file)
        if not answer.rows or answer.rows[0][6] != "UPLOADED":
            raise WarehouseError(f"Snowflake did not take {load.file.name}: {answer.rows}.")

    def _merged(self, place: _Place) -> Loaded:
        load, staging = place.load, place.table
        shape = "file_format = (type = parquet use_logical_type = true) match_by_column_name = case_insensitive on_error = abort_statement"
        copied = self.query(f"copy into {staging.sql} from {place.files} {shape}", what=f"Copying into {staging}")
        differing = self._differing(load, staging)
        names = [identifier(name) for name in load.columns]
        match = _match(load)
        merged = self.query(
            f"merge into {load.table.sql} t using {staging.sql} s on {match} "  # noqa: S608 - quoted names
            f"when not matched then insert ({', '.join(names)}) values ({', '.join(f's.{name}' for name in names)})",
            what=f"Merging into {load.table}",
        )
        both = f"select count(*) from {load.table.sql} t join {staging.sql} s on {match}"  # noqa: S608 - quoted names
        present = int(self.query(both, what=f"Reading back from {load.table}").rows[0][0])
        staged = self.count(staging)
        if present != staged:
            raise WarehouseError(f"{load.table} holds {present} of the {staged} rows that were merged.", hint="Are its keys unique?")
        inserted = int(merged.rows[0][0]) if merged.rows else 0
        return Loaded(load.table, staged, inserted, present, differing, {"copy": copied.query_id, "merge": merged.query_id})

    def _differing(self, load: Load, staging: TableName) -> tuple[str, ...]:
        if load.compare is None:
            return ()
        key, value = identifier(load.key[0]), identifier(load.compare)
        sql = f"select t.{key} from {load.table.sql} t join {staging.sql} s on {_match(load)} where t.{value} <> s.{value} order by 1 limit 20"  # noqa: S608
        return tuple(str(row[0]) for row in self.query(sql, what=f"Comparing with {load.table}").rows)


def _match(load: Load) -> str:
    return " and ".join(f"t.{identifier(name)} = s.{identifier(name)}" for name in load.key)


def _create(table: TableName, columns: Mapping[str, str], how: str) -> str:
    return f"{how} {table.sql} ({', '.join(f'{identifier(name)} {kind}' for name, kind in columns.items())})"


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """Turn the connector's errors into the portal's."""
    from snowflake.connector.errors import Error

    try:
        yield
    except Error as error:
        raise _as_ours(what, error) from error


def _as_ours(what: str, error: Any) -> Exception:
    number, asked = int(error.errno or -1), f" (query {error.sfqid})" if getattr(error, "sfqid", None) else ""
    if number in _SIGN_IN:
        hint = "Check user, password or key pair, role, and that the user is not locked."
        return AccessDenied(f"{what}: Snowflake refused the credentials.", hint=hint)
    if number in _UNREACHABLE:
        return Unreachable(f"{what}: Snowflake did not answer.", hint="Check account, host and port, the network and any proxy; then try again.")
    if number in _NOT_ALLOWED:
        return AccessDenied(f"{what}: the role may not do this{asked}.", hint="Grant it the privilege, or name another role.")
    if number in _NO_SUCH_OBJECT:
        return WarehouseError(f"{what}: there is no such object, or the role may not see it{asked}.", hint="Check database, schema, table and role.")
    return WarehouseError(f"{what} failed{asked}.")
