"""Make Iceberg tables on Azure known to Snowflake, or folders of Parquet as external tables; count them there and compare.

Iceberg tables come from a catalog (tables: names and patterns, as sales.orders or sales.*) or by their metadata files (metadata: NAME=URL). For each
Snowflake gets `CREATE ICEBERG TABLE … METADATA_FILE_PATH`, or `ALTER ICEBERG TABLE … REFRESH` when it has the table already; when it shows the
current metadata file already, nothing is changed. Snowflake reads the files where they are and never writes to them.

Folders of Parquet (folders: NAME=URL) become external tables; folders like year=2026 become columns by which the table is partitioned.

  volume       Snowflake reaches the files by an external volume. Without a name, the one that leads closest to the metadata is taken
  make it      create_volume and azure_tenant_id make one that leads to the container. An administrator must then let Snowflake in: the job says
               how, and goes on when it is run again
  integration  a catalog integration for files in object storage; create_integration makes it

A table that Snowflake cannot read is left out, with the reason (`excluded`): deletes by equality, files that are not Parquet or lie outside of the
volume, types it does not know. docs/snowflake.md lists these limits. A name that another table or view has is refused, unless existing=replace.

Afterwards the metadata file that Snowflake shows, and its number of rows, are compared with the table's own. Unequal: the table fails, and is left as
it is for inspection. One table that fails stops none of the others; running the job again does what is left.

--ddl-only writes all statements to register.sql, prints them, and sends nothing to Snowflake. Catalog and metadata are read all the same, to refuse
what Snowflake cannot read; with --check none the statements of metadata files that are named are written without reaching anything.

Examples:
  python -m engines.register_snowflake --tables 'sales.*' --catalog azure --database LAKE --schema-name SALES
  python -m engines.register_snowflake --metadata orders=abfss://lake@account/wh/orders/metadata/00004-….metadata.json --ddl-only
  python -m engines.register_snowflake --folders flights=abfss://lake@account/curated/flights/ --database LAKE --schema-name RAW
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import field_validator, model_validator

from portal import engine
from portal.engine import EngineParams, JobContext, Result, param
from portal.errors import BadParameters, Cancelled, NothingMatched, PortalError
from portal.lake.table_name import TableName
from portal.lake.table_name import parts as name_parts
from portal.stores.url import StoreURL

if TYPE_CHECKING:
    from portal.lake.registering.batch import Batch, Item
    from portal.lake.registering.session import Script
    from portal.lake.table_outcome import TableOutcome

SCRIPT = "register.sql"
_TOLD = 100
"""Warnings of each kind; tables.ndjson has all."""


class _What(EngineParams):
    tables: tuple[str, ...] = param((), help="Tables of the catalog: names and patterns, as sales.orders or sales.*", group="Source")
    catalog: str = param("", help="Connection of the Iceberg catalog; none: the default", group="Source")
    metadata: tuple[str, ...] = param(
        (), group="Source", placeholder="orders=abfss://lake@account/wh/orders/metadata/00004-….metadata.json",
        help="Tables by their metadata files: NAME=URL. NAME is the table's at Snowflake",
    )  # fmt: skip
    folders: tuple[str, ...] = param(
        (), help="Folders of Parquet files, as external tables: NAME=URL", group="Source", placeholder="flights=abfss://lake@account/curated/flights/"
    )
    adls_connection: str = param(
        "", help="Connection that metadata files and folders are read with; none: the default. A catalog names its own", group="Source", advanced=True
    )


class _Where(_What):
    connection: str = param("", help="Connection of Snowflake; none: the default", group="Target")
    database: str = param("", help="Database; empty: that of the connection", group="Target")
    schema_name: str = param("", help="Schema; empty: that of the connection", group="Target", title="Schema")
    create_schema: bool = param(False, help="Make the schema when there is none", group="Target")
    names: Literal["table", "namespace_table"] = param(
        "table", help="Names at Snowflake: those of the tables, or with their namespaces before them (SALES_ORDERS)", group="Target"
    )
    existing: Literal["refuse", "replace"] = param(
        "refuse", group="Target",
        help="When Snowflake has another Iceberg or external table of the name: refuse lets it fail, replace takes its place (grants are lost)",
    )  # fmt: skip


class Params(_Where):
    volume: str = param("", help="External volume; empty: the one that leads closest to each metadata file", group="Access")
    create_volume: bool = param(False, help="Make the external volume (for folders: the storage integration) when there is none", group="Access")
    azure_tenant_id: str = param("", help="Directory (tenant) id of Entra ID, to make one", group="Access")
    volume_base: StoreURL | None = param(
        None, help="Folder that a volume leads to which is made, or is only written down; none: the container", group="Access", advanced=True
    )
    integration: str = param("PORTAL_OBJECT_STORE", help="Catalog integration for files in object storage", group="Access", min_length=1)
    create_integration: bool = param(False, help="Make the catalog integration when there is none", group="Access")
    storage_integration: str = param("", help="Storage integration of folders; empty: one that may read them", group="Access", advanced=True)
    check: Literal["rows", "none"] = param(
        "rows", help="rows: read the manifests (of folders: the footers), and compare the rows with Snowflake's; none: only which metadata it shows",
        group="Check",
    )  # fmt: skip
    ddl_only: bool = param(False, help="Write the statements down and send none", group="Check")

    @field_validator("metadata", "folders")
    @classmethod
    def _named_urls(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            named_url(text)
        return value

    @field_validator("tables")
    @classmethod
    def _are_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            if len(name_parts(text)) < 2:
                raise ValueError(f"{text!r} names no database: write database.table")
        return value

    @model_validator(mode="after")
    def _tenant(self) -> Self:
        if self.create_volume and not self.azure_tenant_id:
            raise ValueError("create_volume needs azure_tenant_id, the directory (tenant) id of Entra ID")
        return self


def named_url(text: str) -> tuple[str, StoreURL]:
    """Split NAME=URL. Raises ValueError."""
    name, equals, url = text.partition("=")
    if not equals or not name.strip():
        raise ValueError(f"{text!r} is not NAME=URL")
    return name.strip(), StoreURL.parse(url.strip())


def run(params: Params, job: JobContext) -> Result:
    from portal.lake import packages, table_outcome
    from portal.lake.registering.session import Script

    packages.need("pyiceberg", "fastavro")
    if not (params.tables or params.metadata or params.folders):
        raise NothingMatched("Nothing is named that could be registered.", hint="Name tables of a catalog, metadata files or folders.")
    script = Script()
    with ExitStack() as stack:
        batch = _batch(params, job, stack)
        if not batch.items and not batch.outcomes:
            raise NothingMatched("There are no tables to register.", hint="Name tables of a catalog, metadata files or folders; check the patterns.")
        if params.ddl_only:
            outcomes = _written(batch, script, job)
        else:
            outcomes = _registered(params, batch, script, job, stack)
    _write_script(job, script)
    table_outcome.write(job.folder, outcomes)
    return _result(params, job, outcomes, batch, script)


def _batch(params: Params, job: JobContext, stack: ExitStack) -> Batch:
    """Find the tables and their names at Snowflake."""
    from portal.lake.registering.access import Wanted
    from portal.lake.registering.batch import Batch

    wanted = Wanted(
        params.volume, params.volume_base, params.create_volume, params.azure_tenant_id, params.integration, params.create_integration,
        params.storage_integration,
    )  # fmt: skip
    batch = Batch(*_target(params, job), params.names, wanted, params.existing, params.check == "rows", job.check_cancelled)
    if params.tables:
        _add_catalog(params, job, stack, batch)
    if params.metadata:
        files = _files(job, params, stack)
        for name, url in map(named_url, params.metadata):
            batch.add_metadata(TableName((), name), str(url), files)
    for name, url in map(named_url, params.folders):
        store = stack.enter_context(_closing(job.store(url, params.adls_connection if url.scheme == "abfss" else "")))
        batch.add_folder(TableName((), name), url, store)
    batch.refuse_unnamed()
    batch.refuse_twins()
    return batch


def _add_catalog(params: Params, job: JobContext, stack: ExitStack, batch: Batch) -> None:
    from portal.lake.catalogs.files import Files
    from portal.lake.catalogs.opening import open_catalog

    connection = job.connection("catalog", params.catalog)
    files = stack.enter_context(_closing(Files.of(connection, job.connection)))
    catalog = stack.enter_context(_closing(open_catalog(connection, files)))
    for pattern in batch.add_catalog(catalog, params.tables, files):
        job.log.warning("%s means no table of the catalog %s", pattern, catalog.label)


def _files(job: JobContext, params: Params, stack: ExitStack) -> Any:
    from portal.lake.catalogs.files import Files

    return stack.enter_context(_closing(Files(job.connection, adls=params.adls_connection)))


def _closing(thing: Any) -> Any:
    from contextlib import closing

    return closing(thing)


def _target(params: Params, job: JobContext) -> tuple[str, str]:
    """Database and schema."""
    if params.database and params.schema_name:
        return params.database, params.schema_name
    connection = job.connection("snowflake", params.connection)
    database, schema = params.database or connection.database, params.schema_name or connection.schema_name
    for missing, value, variable in (("database", database, "SNOWFLAKE_DATABASE"), ("schema", schema, "SNOWFLAKE_SCHEMA")):
        if not value:
            hint = f"Give it as a parameter, or put {variable}=… into .env."
            raise BadParameters(f"Nothing says in which {missing} the tables are to be.", hint=hint)
    return database, schema


def _written(batch: Batch, script: Script, job: JobContext) -> list[TableOutcome]:
    """Write every statement down, without Snowflake."""
    outcomes = list(batch.outcomes)
    for item in _told(batch.items, job):
        outcomes.append(batch.tried(item, lambda item=item: item.plan(script)))  # type: ignore[misc]
    return outcomes


def _registered(params: Params, batch: Batch, script: Script, job: JobContext, stack: ExitStack) -> list[TableOutcome]:
    from portal.lake.registering.session import Session
    from portal.warehouse import Warehouse

    outcomes = list(batch.outcomes)
    warehouse = stack.enter_context(Warehouse.connect(job.connection("snowflake", params.connection), query_tag=job.job_id))
    session = Session(warehouse, script, planning=job.dry_run)
    batch.connect(session, create_schema=params.create_schema)
    try:
        for item in _told(batch.items, job):
            outcome = batch.tried(item, item.register)
            outcomes.append(outcome)
            if outcome.arrived:
                job.log.info("%s: %s is %s, %s rows", outcome.table, outcome.target, outcome.way, "?" if outcome.rows is None else outcome.rows)
            else:
                job.log.warning("%s: %s, %s", outcome.table, outcome.outcome, outcome.reason)
    except Cancelled:
        job.so_far = _so_far(outcomes)
        raise
    return outcomes


def _told(items: list[Item], job: JobContext) -> Iterator[Item]:
    for number, item in enumerate(items):
        job.progress(number, len(items), "tables", str(item.name))
        yield item
    job.progress(len(items), len(items), "tables")


def _write_script(job: JobContext, script: Script) -> None:
    from portal.durable import write_durably

    what = "were sent" if not job.dry_run else "would be sent"
    head = [f"Statements of register_snowflake, job {job.job_id}. They {what} to Snowflake in this order; running them again changes nothing."]
    write_durably(job.artefact(SCRIPT), script.text(head).encode())


def _so_far(outcomes: list[TableOutcome]) -> Result:
    from portal.lake import table_outcome

    counts = {**table_outcome.counts(outcomes), "rows": sum(item.rows or 0 for item in outcomes if item.arrived)}
    return Result(counts=counts, report=table_outcome.told(outcomes))


def _result(params: Params, job: JobContext, outcomes: list[TableOutcome], batch: Batch, script: Script) -> Result:
    so_far = _so_far(outcomes)
    failed = [item for item in outcomes if item.outcome == "failed"]
    if failed and len(failed) == len(outcomes):
        job.so_far = so_far
        what = f"None of the {len(failed)} tables could be registered. {failed[0].table}:" if len(failed) > 1 else f"{failed[0].table}:"
        error = PortalError(f"{what} {failed[0].reason}", hint=batch.hint)
        error.retryable = any(item.retryable for item in failed)
        raise error
    if params.ddl_only:
        print(script.text([f"Nothing was sent to Snowflake; this is {SCRIPT} of job {job.job_id}."]))
    left_out = [item for item in outcomes if item.outcome == "excluded" and item.way != "ddl"]
    warnings = (*batch.warnings[:_TOLD], *(f"{item.table} was left out: {item.reason}" for item in left_out[:_TOLD]))
    outputs = () if job.dry_run or params.ddl_only else tuple(_output(item) for item in outcomes if item.arrived)
    report = {**so_far.report, "query_ids": batch.query_ids[-100:], **({"plan": _planned(outcomes)} if job.dry_run or params.ddl_only else {})}
    return Result("partial" if failed else "succeeded", counts=so_far.counts, outputs=outputs, warnings=warnings, report=report)


def _planned(outcomes: list[TableOutcome]) -> dict[str, str]:
    return {item.table: f"{item.way} {item.target}" if item.arrived else f"{item.outcome}: {item.reason}" for item in outcomes[:1000]}


def _output(item: TableOutcome) -> dict[str, Any]:
    return {
        "url": f"snowflake://{item.target}", "table": item.target, "metadata_location": item.metadata_location, "snapshot_id": item.snapshot_id,
        "rows": item.rows,
    }  # fmt: skip


if __name__ == "__main__":
    engine.command(Params, run)
