"""All tables of one job: found, planned, brought over one after the other in one Spark session. One that fails stops no other."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from portal.connections_catalogs import CatalogConnection
from portal.errors import AlreadyExists, Cancelled, NotFound, NothingMatched, PortalError, SettingError, explain
from portal.lake.catalogs.spark_conf import spark_conf
from portal.lake.hive.metastore import Metastore
from portal.lake.hive.table import HivePartition, HiveTable
from portal.lake.ingesting import old_dates
from portal.lake.ingesting.choosing import readable
from portal.lake.ingesting.java_class import java_class
from portal.lake.ingesting.java_threads import talking
from portal.lake.ingesting.leftovers import Leftovers
from portal.lake.ingesting.places import Places
from portal.lake.ingesting.planning import Options, Planned
from portal.lake.ingesting.table import Ingestion
from portal.lake.ingesting.target import Target
from portal.lake.selection import is_pattern
from portal.lake.spark.session import spark_session
from portal.lake.table_name import TableName, parts
from portal.lake.table_outcome import TableOutcome
from portal.redact import Redactor

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from portal.context import JobContext

_UTC = ("UTC", "Etc/UTC", "Z", "GMT", "Etc/GMT", "Etc/UCT", "UCT", "Zulu")
_LOOK_EVERY_S = 0.5


class Params(Protocol):
    """What the engine is told; see there."""

    @property
    def tables(self) -> tuple[str, ...]: ...
    @property
    def target_namespace(self) -> str: ...
    @property
    def way(self) -> Any: ...
    @property
    def dropped(self) -> Any: ...
    @property
    def timestamps(self) -> str: ...
    @property
    def time_zone(self) -> str: ...
    @property
    def old_dates(self) -> Any: ...
    @property
    def compression(self) -> str: ...
    @property
    def check(self) -> Any: ...
    @property
    def on_mismatch(self) -> Any: ...


class Ingest:
    """One job. `outcomes` and `warnings` grow while it runs."""

    def __init__(
        self, params: Params, job: JobContext, metastore: Metastore, source: CatalogConnection, target: CatalogConnection
    ) -> None:  # fmt: skip
        self.params, self.job, self.metastore, self.source, self.target = params, job, metastore, source, target
        self.names: list[TableName] = []
        self.outcomes: list[TableOutcome] = []
        self.warnings: list[str] = []
        self.planned: list[dict[str, Any]] = []
        self._leftovers = Leftovers(int(time.time() * 1000))

    def find(self) -> None:
        """Find the tables that are meant. Raises NothingMatched; a name without a table is a failure of its own."""
        self.names, missing = self.metastore.find(self.params.tables)
        if not self.names:
            hint = "Names are database.table, as SHOW TABLES tells them; sales.* means all of a database."
            raise NothingMatched(f"{self.source.label} has no table {', '.join(missing)}.", hint=hint)
        for name in missing:
            if is_pattern(name):
                self._warn(f"{name}: no table's name is like that.")
            else:
                self.outcomes.append(TableOutcome(name, "failed", reason="There is no such table.", cause="not-found"))

    def plan(self) -> list[TableOutcome]:
        """Tell what would be done with each table; nothing is made."""
        with self._spark() as (spark, catalog):
            for ingestion in self._ingestions(spark, catalog):
                self._look(ingestion)
        return self.outcomes

    def _look(self, ingestion: Ingestion) -> None:
        if self._is_excluded(ingestion):
            return
        try:
            found = self._planned(ingestion)
        except Cancelled:
            raise
        except Exception as error:
            self._failed(ingestion, self._known(error))
            return
        told = self._told(ingestion, found)
        self.planned.append(told)
        self.job.log.info("%s -> %s: %s", told["table"], told["target"], json.dumps({key: told[key] for key in ("way", "reason", "load", "delete")}))

    def _told(self, ingestion: Ingestion, found: Planned) -> dict[str, Any]:
        loading = found.changes.loading
        return {
            "table": str(ingestion.table.name), "target": str(ingestion.target.name), "exists": found.exists, "way": found.way,
            "reason": found.chosen.reason, "load": len(loading), "unchanged": found.changes.unchanged, "delete": len(found.changes.dropped),
            "files": sum(unit.files.count for unit in loading), "bytes": sum(unit.files.bytes for unit in loading),
            "columns": [column.told() for column in found.columns.each],
        }  # fmt: skip

    def run(self) -> list[TableOutcome]:
        """Bring all tables over. Raises Cancelled, and what keeps Spark or the metastore from working at all."""
        with self._spark() as (spark, catalog):
            for ingestion in self._ingestions(spark, catalog):
                if not self._is_excluded(ingestion):
                    self._bring(ingestion)
        return self.outcomes

    def _bring(self, ingestion: Ingestion) -> None:
        began = time.monotonic()
        try:
            for warning in self._leftovers.clear(ingestion):
                self._warn(warning)
            outcome = ingestion.bring(self._planned(ingestion))
        except Cancelled:
            raise
        except Exception as error:
            self._failed(ingestion, self._known(error), time.monotonic() - began)
            return
        self.outcomes.append(outcome)
        self.job.log.info(
            "%s -> %s: %s, %s (%s), %s rows", outcome.table, outcome.target, outcome.outcome, outcome.way, outcome.reason, f"{outcome.rows or 0:,}"
        )  # fmt: skip

    def _planned(self, ingestion: Ingestion) -> Planned:
        if self.target.type == "hive" and not ingestion.target.exists():
            self._refuse_taken(ingestion.target.name)
        places = Places(ingestion.spark, self.job.settings.allowed_roots)
        places.source(ingestion.table)
        found = ingestion.plan()
        properties = ingestion.target.properties() if found.exists else {}
        places.target(ingestion.target.name, found.location or self.target.warehouse, properties)
        return found

    def _partitions(self, spark: SparkSession, table: HiveTable) -> Iterator[HivePartition]:
        """Ask the metastore. Raises PortalErrors for a partition that may not be read."""
        places = Places(spark, self.job.settings.allowed_roots)
        yield from readable(table, places.partitions(table, self.metastore.partitions(table)))

    def _refuse_taken(self, name: TableName) -> None:
        """A name in a metastore may belong to a table that is not Iceberg's."""
        with Metastore.of(self.target) as metastore:
            try:
                found = metastore.table(name)
            except NotFound:
                return
        raise AlreadyExists(f"{name} is there already: a table of Hive ({found.kind}).", hint="Choose another target_namespace.")

    def _is_excluded(self, ingestion: Ingestion) -> bool:
        outcome = ingestion.excluded()
        if outcome is None:
            return False
        self.outcomes.append(outcome)
        self._warn(f"{outcome.table} is excluded: {outcome.reason}.")
        return True

    def _failed(self, ingestion: Ingestion, error: PortalError, seconds: float = 0.0) -> None:
        reason = explain(error)
        self.job.log.error("%s: %s", ingestion.table.name, reason)
        self.outcomes.append(TableOutcome(
            str(ingestion.table.name), "failed", reason=reason, target=str(ingestion.target.name), seconds=round(seconds, 3),
            cause=_word(error), retryable=error.retryable,
        ))  # fmt: skip

    def _known(self, error: Exception) -> PortalError:
        """What nobody foresaw fails its table, too, and no other one."""
        if isinstance(error, PortalError):
            return old_dates.in_words(error)
        place = self.job.artefact(f"traceback-{self.job.attempt}-{len(self.outcomes)}.txt")
        redact = Redactor(self.job.connections.secrets())
        place.write_text(redact("".join(traceback.format_exception(error))), "utf-8", "backslashreplace")
        return PortalError(f"It failed in a way that nobody knows: {type(error).__name__}.", hint=f"The traceback is in {place}; please report it.")

    def _ingestions(self, spark: SparkSession, catalog: str) -> Iterator[Ingestion]:
        """Yield what is to be done, table by table; a table that was dropped meanwhile fails."""
        done = len(self.outcomes)
        total = done + len(self.names)
        for number, name in enumerate(self.names, done):
            self._tell(number, total, str(name))
            try:
                table = self.metastore.table(name)
            except NotFound as error:
                self.outcomes.append(TableOutcome(str(name), "failed", reason=explain(error), cause="not-found"))
                continue
            yield self._ingestion(spark, catalog, table, number, total)
        self._tell(total, total, "")

    def _ingestion(self, spark: SparkSession, catalog: str, table: HiveTable, number: int, total: int) -> Ingestion:
        def tell(done: int, of: int, what: str) -> None:
            self._tell(number + (done / of if of else 0), total, f"{table.name} {what}".strip())

        database = table.name.namespace[0]
        namespace = tuple(part.replace("{db}", database) for part in parts(self.params.target_namespace))
        target = Target(spark, catalog, TableName(namespace, table.name.table))
        return Ingestion(spark, table, target, self._options(), tell, lambda: self._partitions(spark, table))

    def _options(self) -> Options:
        zone: Any = "timestamp" if self.params.timestamps == "without_zone" else "timestamptz"
        properties = (("write.parquet.compression-codec", self.params.compression),)
        return Options(
            self._run_name(), self.params.way, zone, self.params.time_zone, self.params.check, self.params.on_mismatch, self.params.dropped,
            properties, self.target.type != "hadoop",
        )  # fmt: skip

    def _run_name(self) -> str:
        """Return what all attempts at this job, and at those that it retries, have in common."""
        known = self.job.load_checkpoint() or self.job.load_earlier_checkpoint() or {}
        name = str(known.get("run") or re.sub(r"[^a-z0-9]", "_", self.job.job_id.lower()))
        if self.job.load_checkpoint() is None:
            self.job.save_checkpoint({"run": name})
        return name

    def _tell(self, done: float, total: int, note: str) -> None:
        self.job.progress(done, total, "tables", note)

    def _warn(self, text: str) -> None:
        self.warnings.append(text)
        self.job.log.warning("%s", text)

    @contextmanager
    def _spark(self) -> Iterator[tuple[SparkSession, str]]:
        """A session that reads the source's metastore, and the name by which it knows the target's catalog."""
        name = "portal_" + hashlib.sha256(self.target.model_dump_json().encode()).hexdigest()[:8]
        known = spark_conf(name, self.target)
        conf = {
            **known.conf, f"spark.sql.catalog.{name}.cache-enabled": "false", "spark.sql.catalogImplementation": "hive",
            "spark.hadoop.hive.metastore.uris": ",".join(self.source.uris), "spark.sql.session.timeZone": "UTC",
            "spark.sql.catalog.spark_catalog": "org.apache.iceberg.spark.SparkSessionCatalog", "spark.sql.catalog.spark_catalog.type": "hive",
            "spark.sql.hive.metastorePartitionPruningFallbackOnException": "true", **old_dates.conf(self.params.old_dates),
        }  # fmt: skip
        with spark_session(self.job.settings, app=f"ingest_hive {self.job.job_id}", conf=conf, check=self.job.check_cancelled) as spark:
            for key, value in known.secrets.items():
                spark.conf.set(key, value)
            _in_utc(spark)
            with _cancelled_with(self.job, spark):
                yield spark, name


def _in_utc(spark: SparkSession) -> None:
    """Have Java take clocks without a zone, as ORC and text files hold them, for UTC's: there every one exists, once. Raises SettingError."""
    zones = java_class(spark, "java.util.TimeZone")
    zones.setDefault(zones.getTimeZone("UTC"))
    if re.fullmatch(r"local(\[.*\])?", spark.sparkContext.master or ""):
        return  # the executor is this very Java
    found = spark.range(1).selectExpr("java_method('java.time.ZoneId', 'systemDefault') AS zone").collect()[0].zone
    if found not in _UTC:
        hint = "Put `spark.executor.extraJavaOptions -Duser.timezone=UTC` into spark-defaults.conf, or set TZ=UTC where the executors start."
        raise SettingError(f"Spark's executors run in the time zone {found}: timestamps would be read as other ones.", hint=hint)


@contextmanager
def _cancelled_with(job: JobContext, spark: SparkSession) -> Iterator[None]:
    """End what Spark does for this job once it is cancelled: whoever waits for Java hears of nothing else."""
    over = threading.Event()
    context = spark.sparkContext
    context.setJobGroup(job.job_id, "ingest_hive", interruptOnCancel=True)

    def watch() -> None:
        with talking():
            while not over.wait(_LOOK_EVERY_S):
                if job.cancelled():
                    context.cancelJobGroup(job.job_id)

    watcher = threading.Thread(target=watch, name="cancel", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _word(error: PortalError) -> str:
    """AlreadyExists: already-exists."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", type(error).__name__).lower()
