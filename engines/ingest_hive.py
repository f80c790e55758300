"""Bring Hive tables into Iceberg tables, checked value by value, without touching the source.

The tables of a Hive Metastore, named or by patterns, become Iceberg tables in a namespace of a target catalog, by Spark. For each table one way is
taken, and the report says why:

  ctas       Spark reads the rows and writes new Parquet files: any format, any type; the target is on its own
  add_files  the target takes the source's files as they are, partition by partition: no byte is copied, and the target needs those files for ever
  snapshot   the same, all at once, by Iceberg's own procedure; types are those that Spark reads (timestamps with a zone)
  auto       add_files or snapshot for external Parquet tables whose types Iceberg reads as they are, ctas for all others

Nobody sees a table that is half done: a new one is made under a name of its own, checked there and then renamed; what an existing one gets is
written to a branch of it, checked there, and becomes what readers see in one commit. Checked are the columns' types, the rows of each partition and
a checksum of each column, on both sides; what is not equal fails, and is dropped or kept for a look as on_mismatch says.

The next run does only what changed: new partitions are added, those whose files changed are replaced, those that Hive dropped are deleted from the
target too, unless dropped=keep. Names, sizes and times of the files tell what changed; they are kept beside the target. Columns that the source got
since are added, wider types followed; other changes of columns fail and say so.

Views, transactional tables, tables of other formats and types that Iceberg cannot hold are excluded, each with its reason. A table that fails
stops no other one. A killed run leaves nothing that readers see; the next attempt at the same job goes on with the partitions that are left.

The source is only read. Files that source and target share are safe from the target: gc.enabled=false makes DROP … PURGE on it fail.

Examples:
  python -m engines.ingest_hive --tables sales.orders
  python -m engines.ingest_hive --tables 'sales.*' 'web.clicks_20??' --target-catalog lake --target-namespace '{db}_iceberg' --dry-run
  python -m engines.ingest_hive --tables sales.orders --way ctas --on-mismatch keep
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, field_validator

from portal import engine
from portal.engine import EngineParams, JobContext, Result, param
from portal.lake.table_name import parts

if TYPE_CHECKING:
    from portal.lake.ingesting.run import Ingest

DATABASE = "{db}"


def _pattern(value: str) -> str:
    if len(parts(value)) != 2:
        raise ValueError(f"{value!r} names no table of Hive: write database.table, with * and ? for any letters")
    return value


Pattern = Annotated[str, AfterValidator(_pattern)]


class Params(EngineParams):
    catalog: str = param("", help="Connection of the Hive Metastore (kind catalog, type hive); empty: HIVE_METASTORE_URI", group="Source")
    tables: tuple[Pattern, ...] = param(
        help="Tables, as database.table; * and ? stand for any letters: sales.*, web.clicks_20??", group="Source", placeholder="sales.*", min_length=1
    )
    target_catalog: str = param("", help="Connection of the catalog that gets the Iceberg tables; empty: the same metastore", group="Target")
    target_namespace: str = param(
        f"{DATABASE}_iceberg", help=f"Namespace of the Iceberg tables, made when it is not there; {DATABASE} is the source's database",
        group="Target", min_length=1,
    )  # fmt: skip
    way: Literal["auto", "ctas", "snapshot", "add_files"] = param(
        "auto", group="How",
        help="ctas writes new files; add_files and snapshot take the source's files as they are; auto chooses for each table and says why",
    )  # fmt: skip
    dropped: Literal["delete", "keep"] = param(
        "delete", group="How",
        help="Partitions that the source had at the last run and has no more: delete their rows at the target too, or keep them (ctas only: "
        "shared files are gone with their partition)",
    )  # fmt: skip
    timestamps: Literal["without_zone", "with_zone"] = param(
        "without_zone", group="How", advanced=True,
        help="What Hive's timestamp becomes: a clock without a zone, as Hive means it (Iceberg's timestamp), or a moment (timestamptz)",
    )  # fmt: skip
    time_zone: str = param(
        "UTC", group="How", advanced=True, placeholder="Europe/Berlin",
        help="Time zone of the servers whose Hive wrote timestamps into Parquet files: those hold moments, this zone makes clocks of them again",
    )  # fmt: skip
    old_dates: Literal["fail", "proleptic", "julian"] = param(
        "fail", group="How", advanced=True,
        help="Dates before 1582 and timestamps before 1900 in Parquet files that do not tell their calendar: fail says so; proleptic reads them as "
        "Spark 3, Impala, Trino and pyarrow write them, julian as Hive 2 and Spark 2 did",
    )  # fmt: skip
    compression: Literal["zstd", "snappy", "gzip", "lz4"] = param("zstd", help="Compression of new Parquet files", group="How", advanced=True)
    check: Literal["full", "counts"] = param(
        "full", group="Check", help="full: rows of each partition and a checksum of each column on both sides; counts: rows alone"
    )
    on_mismatch: Literal["drop", "keep"] = param(
        "drop", help="What is written and then not equal to the source: drop it, or keep it under a name that readers do not use", group="Check"
    )

    @field_validator("tables")
    @classmethod
    def _tables(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(value))

    @field_validator("target_namespace")
    @classmethod
    def _namespace(cls, value: str) -> str:
        parts(value.replace(DATABASE, "db"))
        return value

    @field_validator("time_zone")
    @classmethod
    def _zone(cls, value: str) -> str:
        from zoneinfo import ZoneInfo

        try:
            ZoneInfo(value)
        except (ValueError, OSError) as error:
            raise ValueError(f"{value!r} is no time zone: write one as Europe/Berlin or UTC") from error
        return value


def run(params: Params, job: JobContext) -> Result:
    from portal.lake import packages, table_outcome
    from portal.lake.hive.metastore import Metastore
    from portal.lake.ingesting.run import Ingest

    packages.need("pyiceberg", "pyspark")
    source = job.connection("catalog", params.catalog)
    target = job.connection("catalog", params.target_catalog or params.catalog)
    with Metastore.of(source) as metastore:
        work = Ingest(params, job, metastore, source, target)
        with job.interruptible():
            work.find()
        outcomes = work.plan() if job.dry_run else work.run()
    if not job.dry_run:
        table_outcome.write(job.folder, outcomes)
    return _closed(work, job)


def _closed(work: Ingest, job: JobContext) -> Result:
    from portal.errors import TransferFailed

    result = _result(work)
    job.log.info("%s", ", ".join(f"{name} {count:,}" for name, count in result.counts.items() if count or name == "selected"))
    failed = [item for item in work.outcomes if item.outcome == "failed"]
    if failed and not any(item.arrived for item in work.outcomes):
        job.so_far = result
        first = failed[0]
        error = TransferFailed(f"None of {len(failed):,} tables arrived. {first.table}: {first.reason}", hint="See the report for each.")
        error.retryable = any(item.retryable for item in failed)
        raise error
    return result


def _result(work: Ingest) -> Result:
    from portal.lake.table_outcome import counts, told

    outcomes = work.outcomes
    ended: Any = "partial" if any(item.outcome == "failed" for item in outcomes) else "succeeded"
    outputs = tuple(
        {"url": item.location, "table": item.target, "metadata_location": item.metadata_location, "snapshot_id": item.snapshot_id, "rows": item.rows}
        for item in outcomes if item.arrived and item.location
    )  # fmt: skip
    return Result(
        outcome=ended, counts={**counts(outcomes), "rows": sum(item.rows or 0 for item in outcomes)}, bytes=sum(item.bytes for item in outcomes),
        outputs=outputs, warnings=tuple(work.warnings), report={**told(outcomes), **({"plan": work.planned} if work.planned else {})},
    )  # fmt: skip


if __name__ == "__main__":
    engine.command(Params, run)
