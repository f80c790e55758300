"""Iceberg tables of metadata files: read with pyiceberg through their external volume when they are created or refreshed.

Snowflake reads the files at each query; here the rows of the current snapshot are copied into fakesnow's database, so that any query of fakesnow
reads them. What the metadata leads to is read for real either way, deletes included.
"""

from __future__ import annotations

import json
from typing import Any

from embedded.snowflake.answers import CANNOT_READ, EQUALITY_DELETES, NOT_THERE, READ_ONLY, SYNTAX, Refused, rows_sql, status_sql, there_already
from embedded.snowflake.objects import Name, Objects
from embedded.snowflake.rows import fill, quoted
from embedded.snowflake.statement import Statement, name_in
from embedded.snowflake.storage import Place, Storage
from embedded.snowflake.volumes import CATALOG, SINCE, Volumes, like, paged

KIND = "ICEBERG TABLE"
_SHOWN = (
    "created_on", "name", "database_name", "schema_name", "owner", "external_volume_name", "catalog_name", "iceberg_table_type", "base_location",
    "can_write_metadata", "comment",
)  # fmt: skip


class IcebergTables:
    def __init__(self, objects: Objects, storage: Storage, volumes: Volumes) -> None:
        self._objects, self._storage, self._volumes = objects, storage, volumes

    def answer(self, statement: Statement, name: Name, duck: Any) -> str:
        """Return a statement that answers. Raises Refused.

        Args:
            name: of three parts.
            duck: a connection to fakesnow's databases.
        """
        doing = {"CREATE": self._create, "ALTER": self._refresh, "DROP": self._drop}.get(statement.verb)
        if doing is None:
            raise Refused(SYNTAX, f"SQL compilation error:\nUnsupported feature '{statement.verb} {KIND}'.")
        return doing(statement, name, duck)

    def show(self, statement: Statement) -> str:
        scope = tuple(statement.options.get("IN", ()))
        pattern = str(statement.options.get("LIKE", "%"))
        rows = [
            [SINCE, name[2], name[0], name[1], "", facts["volume"], facts["catalog"], "UNMANAGED", "", "N", facts["comment"]]
            for name, facts in self._objects.all(KIND)
            if name[: len(scope)] == scope and like(name[2], pattern)
        ]
        return rows_sql(_SHOWN, paged(rows, statement.options))

    def information(self, name: Name) -> str:
        facts = self._objects.need(KIND, name)
        told = {"metadataLocation": facts["metadata"], "status": "success"}
        return rows_sql(["SYSTEM$GET_ICEBERG_TABLE_INFORMATION"], [[json.dumps(told)]])

    def refuse_change(self, name: Name) -> None:
        """Raises Refused when a table is one of metadata files, which is not Snowflake's to change."""
        if self._objects.get(KIND, name) is not None:
            what = f"Iceberg table {name[-1]} with an external catalog integration is a read-only table and cannot be modified"
            raise Refused(READ_ONLY, f"SQL Compilation error:\n{what}")

    def _create(self, statement: Statement, name: Name, duck: Any) -> str:
        options = statement.options
        if not isinstance(path := options.get("METADATA_FILE_PATH"), str):
            raise Refused(SYNTAX, "SQL compilation error:\nMissing option(s): [METADATA_FILE_PATH]")
        there = self._objects.get(KIND, name) is not None
        if (there or _is_table(duck, name)) and not statement.replace:
            return status_sql(self._objects.create(KIND, name, {}, guarded=statement.guarded)) if there else _occupied(name, statement.guarded)
        volume, catalog = (name_in(str(options.get(key) or "?"))[0] for key in ("EXTERNAL_VOLUME", "CATALOG"))
        self._objects.need(CATALOG, (catalog,))
        facts = {"volume": volume, "catalog": catalog, "metadata": self._read(volume, path, name, duck), "comment": str(options.get("COMMENT", ""))}
        self._objects.put(KIND, name, facts)
        return status_sql(f"Iceberg table {name[-1]} successfully created.")

    def _refresh(self, statement: Statement, name: Name, duck: Any) -> str:
        if not isinstance(path := statement.options.get("REFRESH"), str) or not path:
            raise Refused(SYNTAX, "SQL compilation error:\nREFRESH of a table of metadata files needs the path of one.")
        if self._objects.get(KIND, name) is None and statement.guarded:
            return status_sql("Statement executed successfully.")
        facts = self._objects.need(KIND, name)
        facts = {**facts, "metadata": self._read(facts["volume"], path, name, duck)}
        self._objects.put(KIND, name, facts)
        return status_sql("Statement executed successfully.")

    def _drop(self, statement: Statement, name: Name, duck: Any) -> str:
        told = self._objects.drop(KIND, name, guarded=statement.guarded)
        duck.execute(f"drop table if exists {quoted(name)}")
        return status_sql(told)

    def _read(self, volume: str, path: str, name: Name, duck: Any) -> str:
        """Fill a table with the rows of the metadata's current snapshot; returns the metadata's URL as Snowflake tells it."""
        location = self._volumes.locations((volume,))[0]
        base = self._volumes.base((volume,))
        if path.startswith("/"):
            raise Refused(SYNTAX, f"SQL compilation error:\nMETADATA_FILE_PATH '{path}' must not begin with a slash.")
        inside = "/".join(part for part in (base.path.strip("/"), path) if part)
        table = _table(self._storage, base, f"abfss://{base.container}@{base.account}.dfs.core.windows.net/{inside}")
        try:
            fill(duck, name, table.scan().to_arrow_batch_reader(), upper=True)
        except Refused:
            raise
        except Exception as error:
            if "equality" in str(error).lower():
                raise Refused(EQUALITY_DELETES, "Equality deletes on Iceberg tables are not supported.") from error
            raise Refused(CANNOT_READ, f"The files of {path} cannot be read: {error}") from error
        return f"{location['STORAGE_BASE_URL'].rstrip('/')}/{path}"


def _occupied(name: Name, guarded: bool) -> str:
    if guarded:
        return status_sql(f"{name[-1]} already exists, statement succeeded.")
    raise there_already(".".join(name))


def _is_table(duck: Any, name: Name) -> bool:
    where = "upper(table_catalog) = upper(?) and upper(table_schema) = upper(?) and upper(table_name) = upper(?)"
    return bool(duck.execute(f"select 1 from system.information_schema.tables where {where}", list(name)).fetchone())  # noqa: S608 - no names in it


def _table(storage: Storage, base: Place, url: str) -> Any:
    """Open a table by its metadata file. Raises Refused; its packages are an extra, which the box tells as well."""
    try:
        from pyiceberg.serializers import FromInputFile
        from pyiceberg.table import StaticTable

        from embedded.snowflake.volume_files import VolumeFiles
    except ImportError as error:
        raise Refused(CANNOT_READ, f"The box reads Iceberg tables with pyiceberg, which is in requirements-lake.txt: {error}") from error
    from pyiceberg.catalog.noop import NoopCatalog

    files = VolumeFiles(storage, base)
    try:
        metadata = FromInputFile.table_metadata(files.new_input(url))
    except FileNotFoundError as error:
        raise Refused(NOT_THERE, f"Metadata file {url.partition('net/')[2]} is not found in the external volume's storage location.") from error
    except (ValueError, OSError) as error:
        raise Refused(CANNOT_READ, f"Metadata file {url.partition('net/')[2]} cannot be read: {error}") from error
    return StaticTable(("static-table", url), metadata, url, files, NoopCatalog("static-table"))
