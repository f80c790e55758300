"""Export the audit to Snowflake, or to Parquet or CSV files in a store.

One row per finished job of a period, as the archive tells it, and the seals of the archive, so that the proof that nobody changed it rests
outside this machine too. Repeating an export changes nothing: into Snowflake, rows are staged as Parquet, copied into a table of the
load's own and merged on the job's id, all in one transaction; rows that are there already are left as they are, and told of when they differ.
In a store there is one file per day, written again only when it differs. The export's own job is not in it: it has not finished yet.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import field_validator, model_validator

from portal import engine
from portal.engine import EngineParams, JobContext, Result, param
from portal.errors import BadParameters
from portal.jobs import ID_PATTERN
from portal.stores.url import StoreURL

if TYPE_CHECKING:
    from portal.audit_export import Selection
    from portal.seal import Seal
    from portal.warehouse_names import TableName

SNOWFLAKE = "snowflake"


class Params(EngineParams):
    target: str = param(SNOWFLAKE, help=f"'{SNOWFLAKE}', or the URL of a folder in a store", group="Target", placeholder="abfss://lake@account/audit")
    target_connection: str = param("", help="Connection of the target; empty: the default of its kind", group="Target")
    since: date | None = param(None, help="First day (UTC) on which jobs finished; empty: six days before the last", group="What")
    until: date | None = param(None, help="Last day (UTC), included; empty: today", group="What")
    job_ids: tuple[str, ...] = param((), help="Only these jobs of the period; empty: all", group="What", advanced=True)
    database: str = param("", help="Database; empty: that of the connection", group="Snowflake")
    schema_name: str = param("", help="Schema; empty: that of the connection", group="Snowflake", title="Schema")
    table: str = param("PORTAL_JOBS", help="Table of the audit rows; made if it is not there", group="Snowflake", min_length=1)
    seals_table: str = param("PORTAL_SEALS", help="Table of the archive's seals", group="Snowflake", min_length=1, advanced=True)
    stage: str = param("PORTAL_LOADS", help="Stage the rows pass through; made if it is not there", group="Snowflake", min_length=1, advanced=True)
    format: Literal["parquet", "csv"] = param("parquet", help="Shape of the files in a store", group="Store")

    @field_validator("target")
    @classmethod
    def _target(cls, value: str) -> str:
        return value if value == SNOWFLAKE else str(StoreURL.parse(value))

    @field_validator("job_ids")
    @classmethod
    def _ids(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for job_id in value:
            if not ID_PATTERN.fullmatch(job_id):
                raise ValueError(f"{job_id!r} is not the id of a job")
        return tuple(sorted(set(value)))

    @model_validator(mode="after")
    def _period(self) -> Self:
        if self.since and self.until and self.since > self.until:
            raise ValueError(f"since ({self.since}) is after until ({self.until})")
        return self

    def period(self, today: date) -> tuple[date, date]:
        """The first and the last day."""
        last = self.until or max(today, self.since or today)
        return self.since or last - timedelta(days=6), last


def run(params: Params, job: JobContext) -> Result:
    from portal.audit_export import Selection

    selection = Selection(job.settings, *params.period(datetime.now(UTC).date()), params.job_ids)
    total = selection.count()
    plan = {"since": str(selection.since), "until": str(selection.until), "rows": total, "target": params.target}
    job.log.info("%s rows of the jobs that finished from %s to %s", total, selection.since, selection.until)
    chain, warnings = _chain(job)
    if job.dry_run:
        return Result(counts={"rows": 0}, report={"plan": plan})
    job.progress(0, total, "rows")
    with TemporaryDirectory(dir=job.folder, prefix=".export-") as folder:
        send = _to_snowflake if params.target == SNOWFLAKE else _to_store
        result = send(params, job, selection, chain, Path(folder))
    job.progress(total, total, "rows")
    warnings += result.warnings
    report = {**result.report, "plan": plan, "chain_head": _head(chain)}
    return replace(result, outcome="partial" if warnings else "succeeded", warnings=warnings, report=report)


def _chain(job: JobContext) -> tuple[list[Seal], tuple[str, ...]]:
    from portal import seal

    try:
        return seal.chain(job.settings), ()
    except seal.ChainBroken as error:
        job.log.warning("%s", error)
        return [], (f"No seals were exported: {error}",)


def _head(chain: list[Seal]) -> dict[str, Any] | None:
    from portal import seal

    return asdict(seal.head_of(chain[-1])) if chain else None


def _to_snowflake(params: Params, job: JobContext, selection: Selection, chain: list[Seal], folder: Path) -> Result:
    from portal.audit_export import rows_load, seals_load
    from portal.warehouse import Warehouse

    connection = job.connection(SNOWFLAKE, params.target_connection)
    rows_table, seals_table = (_table(params, connection, name) for name in (params.table, params.seals_table))
    loads = [rows_load(selection, rows_table, folder / "rows.parquet")]
    if chain:
        loads.append(seals_load(chain, seals_table, folder / "seals.parquet"))
    with Warehouse.connect(connection, query_tag=job.job_id) as warehouse:
        job.check_cancelled()
        done = warehouse.load(loads, job.job_id, stage=params.stage)
        total = warehouse.count(rows_table)
    rows = done[0]
    job.log.info("%s: %s rows merged, %s of them new; the table holds %s", rows.table, rows.staged, rows.inserted, total)
    warnings = (_differing(rows.differing, rows.table),) if rows.differing else ()
    return Result(
        counts={"rows": rows.staged, "rows_inserted": rows.inserted, "rows_read_back": rows.present, "rows_in_table": total, "seals": len(chain)},
        outputs=tuple({"url": f"snowflake://{item.table}", "table": str(item.table), "rows": item.staged} for item in done),
        warnings=warnings, report={"query_ids": {str(item.table): dict(item.query_ids) for item in done}, "differing": list(rows.differing)},
    )  # fmt: skip


def _table(params: Params, connection: Any, name: str) -> TableName:
    from portal.warehouse_names import TableName

    database, schema = params.database or connection.database, params.schema_name or connection.schema_name
    for missing, value, variable in (("database", database, "SNOWFLAKE_DATABASE"), ("schema", schema, "SNOWFLAKE_SCHEMA")):
        if not value:
            raise BadParameters(f"Nothing says which {missing} to export to.", hint=f"Give it as a parameter, or put {variable}=… into .env.")
    return TableName(database, schema, name)


def _differing(job_ids: tuple[str, ...], table: object) -> str:
    return (
        f"{table} holds other rows for jobs {', '.join(job_ids)} than the archive does now: their records were changed after they were exported. "
        "The exported rows were left alone; `python -m portal audit verify` tells what changed here."
    )


def _to_store(params: Params, job: JobContext, selection: Selection, chain: list[Seal], folder: Path) -> Result:
    from portal import seal
    from portal.audit_export import write_days, write_head

    url = StoreURL.parse(params.target)
    prefix = f"{url.key.rstrip('/')}/" if url.key else ""
    store = job.store(url, params.target_connection)
    try:
        total = selection.count()
        written = write_days(selection, store, prefix, params.format, folder, lambda rows: job.progress(rows, total, "rows"))
        if chain:
            written.append(write_head(seal.head_of(chain[-1]), store, prefix, folder))
    finally:
        store.close()
    return Result(
        counts={"rows": sum(item.rows for item in written), "files": len(written), "files_changed": sum(item.changed for item in written)},
        bytes=sum(item.size_bytes for item in written if item.changed),
        outputs=tuple({"url": str(url.at(item.key)), "rows": item.rows, "size_bytes": item.size_bytes} for item in written),
    )


if __name__ == "__main__":
    engine.command(Params, run)
