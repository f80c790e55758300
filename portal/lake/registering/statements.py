"""The statements that registering takes, as text: https://docs.snowflake.com/en/sql-reference/sql/create-iceberg-table-iceberg-files etc.

None can be given its values apart from its text: Snowflake binds no variables in DDL. So each value goes through `sql_text`.
"""

from __future__ import annotations

from collections.abc import Sequence

from portal.lake.registering.sql_text import flag, like, named, text
from portal.warehouse_names import TableName, bare, identifier

ONLY_WRITTEN = "Only its statements were written down."
COMMENT = "Registered by the Data Operations Portal"


def create_schema(table: TableName) -> str:
    return f"CREATE SCHEMA IF NOT EXISTS {table.schema_sql}"


def schemas_called(table: TableName) -> str:
    """Counts the schemas of a name."""
    source = f"{identifier(table.database)}.INFORMATION_SCHEMA.SCHEMATA"
    return f"SELECT COUNT(*) FROM {source} WHERE SCHEMA_NAME = {text(bare(table.schema))}"  # noqa: S608 - quoted names


def show_volumes() -> str:
    return "SHOW EXTERNAL VOLUMES"


def describe_volume(name: str) -> str:
    return f"DESCRIBE EXTERNAL VOLUME {identifier(name)}"


def create_volume(name: str, location: str, base_url: str, tenant_id: str) -> str:
    """Make a volume with one location on Azure. Snowflake writes nothing to it: the tables are not its own."""
    place = f"NAME = {text(location)} STORAGE_PROVIDER = 'AZURE' STORAGE_BASE_URL = {text(base_url)} AZURE_TENANT_ID = {text(tenant_id)}"
    return f"CREATE EXTERNAL VOLUME IF NOT EXISTS {identifier(name)} STORAGE_LOCATIONS = (({place})) ALLOW_WRITES = FALSE COMMENT = {text(COMMENT)}"


def verify_volume(name: str) -> str:
    return f"SELECT SYSTEM$VERIFY_EXTERNAL_VOLUME({named(name)})"


def show_integrations() -> str:
    return "SHOW CATALOG INTEGRATIONS"


def create_integration(name: str) -> str:
    what = "CATALOG_SOURCE = OBJECT_STORE TABLE_FORMAT = ICEBERG ENABLED = TRUE"
    return f"CREATE CATALOG INTEGRATION IF NOT EXISTS {identifier(name)} {what} COMMENT = {text(COMMENT)}"


def describe_integration(name: str) -> str:
    return f"DESCRIBE CATALOG INTEGRATION {identifier(name)}"


def show_table(table: TableName) -> str:
    return f"SHOW ICEBERG TABLES LIKE {like(table.table)} IN SCHEMA {table.schema_sql}"


def information(table: TableName) -> str:
    return f"SELECT SYSTEM$GET_ICEBERG_TABLE_INFORMATION({text(table.sql)})"


def create_table(table: TableName, volume: str, integration: str, path: str, *, replace: bool = False, guarded: bool = False) -> str:
    """`path` is relative to the volume's base URL, without a leading slash."""
    begin = f"CREATE {'OR REPLACE ' if replace else ''}ICEBERG TABLE {'IF NOT EXISTS ' if guarded else ''}{table.sql}"
    where = f"EXTERNAL_VOLUME = {named(volume)} CATALOG = {named(integration)} METADATA_FILE_PATH = {text(path)}"
    return f"{begin} {where} COMMENT = {text(COMMENT)}"


def refresh_table(table: TableName, path: str) -> str:
    return f"ALTER ICEBERG TABLE {table.sql} REFRESH {text(path)}"


def tables_called(table: TableName) -> str:
    """Counts the tables and views of a name."""
    source = f"{identifier(table.database)}.INFORMATION_SCHEMA.TABLES"
    where = f"TABLE_SCHEMA = {text(bare(table.schema))} AND TABLE_NAME = {text(bare(table.table))}"
    return f"SELECT COUNT(*) FROM {source} WHERE {where}"  # noqa: S608 - quoted names


def count(table: TableName) -> str:
    return f"SELECT COUNT(*) FROM {table.sql}"  # noqa: S608 - a quoted name


def show_storage_integrations() -> str:
    return "SHOW STORAGE INTEGRATIONS"


def describe_storage_integration(name: str) -> str:
    return f"DESCRIBE STORAGE INTEGRATION {identifier(name)}"


def create_storage_integration(name: str, base_url: str, tenant_id: str) -> str:
    where = f"ENABLED = TRUE AZURE_TENANT_ID = {text(tenant_id)} STORAGE_ALLOWED_LOCATIONS = ({text(base_url)})"
    begin = f"CREATE STORAGE INTEGRATION IF NOT EXISTS {identifier(name)} TYPE = EXTERNAL_STAGE STORAGE_PROVIDER = 'AZURE'"
    return f"{begin} {where} COMMENT = {text(COMMENT)}"


def create_stage(stage: TableName, url: str, integration: str, *, guarded: bool = False) -> str:
    """`guarded`: left alone when there is one, for a name that nothing but this URL has."""
    begin = f"CREATE STAGE {'IF NOT EXISTS ' if guarded else ''}{stage.sql}"
    return f"{begin} URL = {text(url)} STORAGE_INTEGRATION = {identifier(integration)} COMMENT = {text(COMMENT)}"


def show_stages(stage: TableName) -> str:
    return f"SHOW STAGES LIKE {like(stage.table)} IN SCHEMA {stage.schema_sql}"


def show_external(table: TableName) -> str:
    return f"SHOW EXTERNAL TABLES LIKE {like(table.table)} IN SCHEMA {table.schema_sql}"


def create_external(
    table: TableName, stage: TableName, columns: Sequence[tuple[str, str, str]], partitions: Sequence[str], pattern: str, *, replace: bool
) -> str:  # fmt: skip
    """Make an external table over the Parquet files of a stage, which shows them at once: nobody sees it empty.

    Args:
        columns: name, type and expression of each.
        partitions: names of those that the table is partitioned by.
        pattern: regular expression of the files that are data.
    """
    listed = ", ".join(f"{identifier(name)} {kind} AS ({expression})" for name, kind, expression in columns)
    by = f" PARTITION BY ({', '.join(identifier(name) for name in partitions)})" if partitions else ""
    begin = f"CREATE {'OR REPLACE ' if replace else ''}EXTERNAL TABLE {table.sql} ({listed}){by}"
    how = f"REFRESH_ON_CREATE = {flag(True)} AUTO_REFRESH = {flag(False)} PATTERN = {text(pattern)} FILE_FORMAT = (TYPE = PARQUET)"
    return f"{begin} LOCATION = @{stage.sql} {how} {'COPY GRANTS ' if replace else ''}COMMENT = {text(COMMENT)}"


def seen(table: TableName) -> str:
    """Tells how many rows an external table has, and from which files."""
    name = "METADATA$FILENAME"
    files = f"COUNT(DISTINCT {name}) AS FILE_COUNT, MIN({name}) AS FIRST_FILE, MAX({name}) AS LAST_FILE"
    return f"SELECT COUNT(*) AS ROW_COUNT, {files} FROM {table.sql}"  # noqa: S608 - a quoted name


def refresh_external(table: TableName) -> str:
    return f"ALTER EXTERNAL TABLE {table.sql} REFRESH"
