"""Bring Iceberg tables to Azure, or to any other store, with their whole history.

Every snapshot that is chosen goes over: its data files byte for byte, by the same transfers that move objects (a ledger row and a proof for each),
and its metadata, manifest lists, manifests, position deletes and deletion vectors written anew with the target's paths. Branches, tags, schemas,
partition specs, sort orders, statistics, sequence numbers and row lineage stay what they are. Nothing is written at the source.

What happens to a table, in this order:

  look       a table of that name at the target must be the one that an earlier run brought there, unchanged since; else it is left as it is
             what that run brought must still be there, each file with its size; what was lost is brought again
  walk       every file of the chosen snapshots is found, each once
  move       what the target lacks is copied; files that are there as copies of this very version stay
  write      position deletes, manifests, manifest lists and last the metadata file
  compare    both sides are read by pyiceberg, an independent reader: every new snapshot's files, counts, sequence numbers and bounds; with
             check=rows also every value of every row
  commit     the target catalog learns of it: registered when new, else its metadata replaced, provided that nobody changed it meanwhile

Only the last step is seen by readers, and it is done or not done: whatever ends the job before leaves the target's catalog as it was. The next
attempt, or the next job, goes on where it ended. Run again after commits at the source, it brings the new snapshots and their files alone; when
there are none the table is `unchanged`. One table that fails holds up none of the others.

How much of the history (history):

  all                     every snapshot that the source still has
  current                 what is there now
  since 3051729675574597  that snapshot and what came after it
  since 2026-01-31        what was current at that moment, and what came after it

A migrated table is for reading: what is committed to it at the target would be lost by the next run, which therefore refuses. docs/iceberg.md
tells what goes over, what is refused and why.

Examples:
  python -m engines.migrate_iceberg --catalog etl --tables sales.orders --target-catalog lake --target abfss://lake@account/warehouse/
  python -m engines.migrate_iceberg --catalog etl --tables 'sales.*' --target-catalog lake --target-namespace sales_azure --check rows
  python -m engines.migrate_iceberg --catalog etl --tables sales.orders --target-catalog lake --history current --dry-run
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import field_validator, model_validator

from portal import engine
from portal.engine import JobContext, Result, param
from portal.lake.iceberg.history import History
from portal.lake.table_name import parts
from portal.planning.policies import Verify
from portal.stores.url import StoreURL
from portal.transfer.run_on import RunOnParams
from portal.transfer.speed_params import SpeedParams

if TYPE_CHECKING:
    from portal.connections import CatalogConnection
    from portal.lake.catalogs.base import Catalog
    from portal.lake.catalogs.files import Files
    from portal.lake.migrating.choosing import Place
    from portal.lake.migrating.data_files import Moving
    from portal.lake.migrating.tables import Migrated
    from portal.transfer.migration import Mover
    from portal.transfer.route import Route
    from portal.transfer.side import Side


class Params(RunOnParams, SpeedParams):
    catalog: str = param("", help="Catalog that has the tables: a connection of kind catalog; none: the default", group="Source")
    tables: tuple[str, ...] = param(
        help="Tables, and patterns with * ? [ ]: sales.orders sales.* (parts with dots in backquotes)", group="Source", placeholder="sales.orders",
        min_length=1,
    )  # fmt: skip
    history: str = param("all", help="Snapshots that go over: all, current, since SNAPSHOT_ID, since 2026-01-31", group="Source")

    elsewhere: tuple[StoreURL, ...] = param(
        (), group="Source", placeholder="s3://other-bucket/folder/",
        help="Other containers, or folders in them, that files of the tables may lie in; none: only the container of a table's own metadata",
    )  # fmt: skip

    target_catalog: str = param("", help="Catalog that the tables are registered in; none: the default", group="Target")
    target: StoreURL | None = param(
        None, help="Folder that gets a folder for each namespace and table; none: the target catalog's warehouse", group="Target",
        placeholder="abfss://container@account/warehouse/",
    )  # fmt: skip
    target_namespace: str = param(
        "", help="Namespace of the tables at the target, made when it is not there; {db} is the source's; none: just that", group="Target"
    )  # fmt: skip
    target_connection: str = param(
        "", help="Connection of the target's store; none: the one that the target catalog names, else the default of its kind", group="Target",
        advanced=True,
    )  # fmt: skip

    check: Literal["counts", "rows", "none"] = param(
        "counts", group="Proof",
        help="Before the commit: counts compares all files, counts and statistics of every new snapshot; rows also reads and compares all values",
    )  # fmt: skip
    verify: Verify = param(
        "none", help="Read every data file again and compare CRC64 or MD5; none still compares every block and the source's stored checksum",
        group="Proof", advanced=True,
    )  # fmt: skip
    mode: Literal["auto", "server", "stream"] = param(
        "auto", help="How bytes go: server fetches them from S3 by Azure itself, stream takes them through this machine; auto: server where proven",
        group="How", advanced=True,
    )  # fmt: skip
    accept_size: bool = param(
        False, help="Copy files that store no CRC64 server-side too: of those only the length is then proven", group="Proof", advanced=True
    )

    @field_validator("history")
    @classmethod
    def _can_be_read(cls, value: str) -> str:
        return str(History.parse(value))

    @field_validator("target_namespace")
    @classmethod
    def _has_levels(cls, value: str) -> str:
        if value:
            parts(value)
        return value

    @model_validator(mode="after")
    def _names_tables(self) -> Self:
        for text in self.tables:
            parts(text)
        return self


def run(params: Params, job: JobContext) -> Result:
    from portal.lake import packages
    from portal.lake.catalogs.files import Files
    from portal.lake.catalogs.opening import open_catalog

    packages.need("pyiceberg", "fastavro")
    if params.run_on == "spark":
        from portal.lake.spark.placing import refuse_unready

        refuse_unready(job.settings)
    ours, theirs = job.connection("catalog", params.catalog), job.connection("catalog", params.target_catalog)
    source_files = Files.of(ours, job.connection)
    target_files = Files(job.connection, s3=params.target_connection or theirs.s3_connection, adls=params.target_connection or theirs.adls_connection)
    with ExitStack() as opened:
        opened.callback(source_files.close)
        opened.callback(target_files.close)
        with job.interruptible():
            source = open_catalog(ours, source_files)
            opened.callback(source.close)
            target = _target(theirs, target_files, job)
            opened.callback(target.close)
        moving = _moving(params, job, source_files, target_files, opened.enter_context(_mover(params, job)))
        return _run(params, job, source, _place(params, target, theirs.warehouse), moving)


def _target(connection: CatalogConnection, files: Files, job: JobContext) -> Catalog:
    from portal.errors import NotFound
    from portal.lake.catalogs.none_yet import NoneYet
    from portal.lake.catalogs.opening import open_catalog

    try:
        return open_catalog(connection, files, create=not job.dry_run)
    except NotFound:
        if not job.dry_run:
            raise
        return NoneYet(connection.label)


def _run(params: Params, job: JobContext, source: Catalog, place: Place, moving: Moving) -> Result:
    from portal.errors import NothingMatched
    from portal.lake.migrating.choosing import chosen
    from portal.lake.migrating.ledgers import merged
    from portal.lake.migrating.tables import Migrated, Tables
    from portal.redact import Redactor

    with job.interruptible():
        names, missing = chosen(source, params.tables)
    if not names:
        raise NothingMatched(f"No Iceberg table in the catalog {source.label} is meant by {', '.join(params.tables)}.", hint="Look at the spelling.")
    for pattern in missing:
        job.log.warning("no table is meant by %s", pattern)
    done = Migrated()
    redact = Redactor(job.connections.secrets())
    tables = Tables(source, place, moving, History.parse(params.history), params.check, job.folder, job.progress, params.elsewhere, redact)
    try:
        tables.run(names, done, dry=job.dry_run)
    finally:
        merged(job.artefact("ledger.parquet"), tables.ledgers())
        told = {"transfers": _dry_run(done, job)} if job.dry_run else {}
        job.so_far = _result(done, job, (*(f"no table is meant by {pattern}" for pattern in missing), *_elsewhere(done)), told)
    _refuse_failure(done)
    return job.so_far


def _result(done: Migrated, job: JobContext, warnings: tuple[str, ...], told: dict[str, Any]) -> Result:
    from portal.lake import table_outcome

    outcomes = done.outcomes
    table_outcome.write(job.folder, outcomes)
    arrived = [one for one in outcomes if one.arrived]
    sums = {"rows": sum(one.rows or 0 for one in arrived), **{key: sum(getattr(one, key) for one in outcomes) for key in ("files", "snapshots")}}
    outputs = () if job.dry_run else tuple(
        {"url": one.location, "table": one.target, "metadata_location": one.metadata_location, "snapshot_id": one.snapshot_id, "rows": one.rows}
        for one in arrived[:1000]
    )  # fmt: skip
    failed = any(one.outcome == "failed" for one in outcomes)
    return Result(
        outcome="partial" if failed else "succeeded", counts={**table_outcome.counts(outcomes), **sums}, bytes=done.bytes, outputs=outputs,
        warnings=warnings, report={**table_outcome.told(outcomes), **told},
    )  # fmt: skip


def _elsewhere(done: Migrated) -> tuple[str, ...]:
    """Tell of files that come from other containers than their table's, which somebody has allowed."""
    return tuple(
        f"{one.table}: {place['files']:,} files ({place['bytes']:,} bytes) come from {place['container']}, which is not the table's own container"
        for one in done.outcomes for place in one.facts.get("elsewhere", [])
    )  # fmt: skip


def _refuse_failure(done: Migrated) -> None:
    from portal.errors import TransferFailed

    failed = [one for one in done.outcomes if one.outcome == "failed"]
    if not failed or len(failed) < len(done.outcomes):
        return
    why, _, hint = failed[0].reason.partition("\n  what to do: ")
    error = TransferFailed(f"None of {len(failed):,} tables arrived. {failed[0].table}: {why}", hint=hint or _HINT)
    error.retryable = any(one.retryable for one in failed)
    raise error


_HINT = "The report tells the reason of each table. What has arrived of their files stays for the next run; no catalog knows of them."


def _dry_run(done: Migrated, job: JobContext) -> dict[str, Any]:
    """Tell what would be moved and what that would cost, by table and container."""
    from portal.planning import prices
    from portal.transfer.dry_run import dry_run

    found = {}
    for name, (migration, planned) in done.transfers:
        job.log.info("%s: from %s", name, migration.route.source.url)
        with job.interruptible():
            checked = migration.preflight(planned)
        told = dry_run(migration, planned, checked, prices.load(job.settings.home), job.log)
        found[f"{name} from {migration.route.source.url}"] = {key: told[key] for key in ("actions", "conflicts_by_class", "time_s", "cost")}
    return found


def _place(params: Params, target: Catalog, warehouse: str) -> Place:
    from portal.lake.migrating.choosing import Place

    return Place(target, params.target, warehouse, params.target_namespace)


@contextmanager
def _mover(params: Params, job: JobContext) -> Iterator[Mover]:
    """Yield what moves the files: processes of this machine, or one Spark session for all tables."""
    from portal.transfer.moving import move

    if params.run_on == "local" or job.dry_run:
        yield move
        return
    from portal.lake.spark.distributing import spark_mover
    from portal.lake.spark.session import spark_session

    with spark_session(job.settings, app=f"portal {job.job_id}", iceberg=False, check=job.check_cancelled) as session:
        yield spark_mover(session)


def _moving(params: Params, job: JobContext, source: Files, target: Files, mover: Mover) -> Moving:
    from portal.lake.migrating.data_files import Moving

    def route(ours: Side, theirs: Side) -> Route:
        from portal.transfer.route import Route

        return Route(
            ours, theirs, "different", params.verify, mode=params.mode, accept_size=params.accept_size, carry_tags=False,
            concurrency=params.concurrency, processes=params.processes, max_bandwidth=params.max_bandwidth,
            max_requests_s=params.max_requests_s, block_bytes=params.block_bytes, job_id=job.job_id,
        )  # fmt: skip

    return Moving(source, target, job.connection, route, mover, job.job_id, job.check_cancelled, params.stall_s)


if __name__ == "__main__":
    engine.command(Params, run)
