"""Convert CSV, JSON, NDJSON and Parquet files to Parquet, CSV or NDJSON without changing a value.

The columns' types are decided by samples from head, middle and tail of a file (by all of it with full_scan), then frozen, and the file is written
under them strictly: a value either is in the target as it was, or its row does not fit. Ids with leading zeros and integers beyond 64 bits stay
text. What was written is read back from the target and compared: bytes, schema, rows and a checksum per column. Rows in = rows out + rejected
rows + rows that `where` left out, counted apart from the reader that feeds the writer.

What does not fit (on_reject):

  fail     the file fails, with line, column, value and reason, and nothing of it appears at the target
  keep     such rows go into a rejects file of the job, up to max_rejects; beyond, the file fails
  widen    the file is begun again with a wider type, e.g. text for a column that only seemed to hold numbers, and the result says so

What was decided is in columns.ndjson, one line a file: types and why, nulls, checksums, how the file was read, the schema. The schema is written
beside the result too (_NAME.schema.json), and schema_from takes it for later files; or a Parquet file to be like.

Each file becomes one file of the same name with another ending; with partition_by or split_bytes a folder of files. With dataset all files
become one data set in the target folder: one schema, all or nothing.

Nulls: an empty unquoted value is no value everywhere. NA, NULL and the like are no value in columns whose other values are all numbers, booleans
or dates; in text columns only when null_values lists them. A quoted empty value is an empty text in text columns. In JSON, null and a missing
name are no value.

Parquet files are a source too: where, columns, rename and types choose, filter and cast what is saved again, and output=csv or ndjson is the way
back. A cast that would change a value (a fraction to an integer, an integer that is too large) is a row that does not fit.

With run_on=spark the executors of a cluster convert, each file by one task, a data set as a whole by one.

Every object ends in the ledger as in migrate. A second attempt goes on where the first ended; with something failed the job is partial, with
everything failed it fails. A dry run shows what would be done, and of the first files the columns, their types and why, the first rows, and what
would not fit, by samples alone.

Examples:
  python -m engines.convert --source s3://raw/2026/ --target abfss://lake@account/tables/
  python -m engines.convert --source s3://raw/orders.csv --target file:///data/out/ --types '{"zip": "string", "total": "decimal(12,2)"}' --dry-run
  python -m engines.convert --source file:///data/old/ --target file:///data/out/ --encoding cp1252 --delimiter ';' --on-reject keep
  python -m engines.convert --source s3://raw/2026/ --target abfss://lake@account/orders/ --dataset --partition-by country --full-scan
  python -m engines.convert --source abfss://lake@account/tables/ --formats parquet --target file:///data/out/ --where "amount > 10" --output csv
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import model_validator

from portal import engine
from portal.engine import JobContext, Result, param
from portal.errors import ConversionFailed, NothingMatched
from portal.planning.filters import Filters
from portal.planning.formats import Format as SourceFormat
from portal.planning.selection import SourceParams
from portal.stores.url import StoreURL
from portal.tabular.options import ConvertOptions, Output, written_name
from portal.tabular.params import ConversionParams
from portal.transfer.run_on import RunOnParams

if TYPE_CHECKING:
    from portal.ledger.balance import Books
    from portal.planning.planner import Planned
    from portal.planning.planning import Rules
    from portal.planning.preflight import Preflight
    from portal.transfer.migration import Migration, Outcome
    from portal.transfer.side import Side


class _Places(SourceParams):
    formats: tuple[SourceFormat, ...] = param(
        ("csv", "json"), group="Source",
        help="Only files of these formats, told by their names (csv: also .tsv; json: also .ndjson, .jsonl; .gz and .zst too)",
    )  # fmt: skip
    keys: tuple[str, ...] = param((), help="Only these objects: whole keys, as a listing shows them, whatever their names end in", group="Source")

    target: StoreURL = param(help="Where the results go: a container and folder", group="Target", placeholder="abfss://container@account/folder/")
    target_connection: str = param("", help="Connection of the target; none: the default of its kind", group="Target")
    overwrite: Literal["fail", "skip", "replace"] = param(
        "fail", help="When a target exists: fail stops before anything is written, skip leaves it, replace overwrites it", group="Target"
    )
    output: Output = param("parquet", help="What is written", group="Target")
    dataset: bool = param(
        False, group="Target", title="One data set",
        help="Make one data set of all files in the target folder: one schema, all or nothing. Else each file becomes a file",
    )  # fmt: skip


_SCHEMAS = "_*.schema.json"
"""What a conversion puts beside its results is no source of another one."""


class Params(RunOnParams, ConversionParams, _Places):
    concurrency: int = param(2, help="Files converted at the same time; on Spark: one a task", group="Writing", advanced=True, ge=1, le=64)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.target.key.lower().endswith((".parquet", ".csv", ".ndjson")):
            raise ValueError(f"target is the folder that the results go to, not a file ({self.target})")
        if self.dataset and self.overwrite == "skip":
            raise ValueError("overwrite=skip leaves single files as they are; a data set is written whole: use fail or replace")
        if self.dataset and not _folder(self):
            raise ValueError(f"a data set needs a folder of its own: write one behind {self.target}")
        return self

    @property
    def filters(self) -> Filters:
        """Files whose format is said need no name that tells it."""
        return replace(super().filters, formats=self.formats if self.format == "auto" else (), exclude=(*self.exclude, _SCHEMAS))


def run(params: Params, job: JobContext) -> Result:
    from portal.transfer.converter import settled
    from portal.transfer.sides import side

    if params.run_on == "spark":
        from portal.lake.spark.placing import refuse_unready

        refuse_unready(job.settings)
    with side(job, params.source, params.source_connection) as source, side(job, params.target, params.target_connection) as target:
        options = settled(params, job.store, (source.store, target.store))
        with _placed(_migration(params, options, job, source, target), params, options, job) as migration:
            return _run(params, migration, job)


def _placed(migration: Migration, params: Params, options: ConvertOptions, job: JobContext) -> AbstractContextManager[Migration]:
    """Give the conversion to whichever machines shall do it."""
    if params.run_on == "local":
        return nullcontext(migration)
    from portal.lake.spark.converting import Converting, bring_to, place
    from portal.lake.spark.placing import data_set_on_spark, on_spark

    route = migration.route

    def converting() -> Converting:
        return Converting(place(route.source), place(route.target), options, as_one=params.dataset)

    bring = bring_to(job.folder)
    if params.dataset:
        return data_set_on_spark(migration, job.settings, conversion=converting, bring=bring, folder=_folder(params))
    return on_spark(migration, job.settings, conversion=converting, bring=bring)


def _run(params: Params, migration: Migration, job: JobContext) -> Result:
    from portal.planning import prices
    from portal.transfer import dataset
    from portal.transfer.dry_run import dry_run

    # In the middle of a call to Java nothing may be cut off: a listing on Spark looks itself whether it is to end.
    with job.interruptible() if params.run_on == "local" else nullcontext():
        planned = migration.plan()
    survey = planned.survey
    job.log.info("plan: %s files to convert (%s bytes), %s excluded", f"{survey.converting:,}", f"{survey.bytes:,}", f"{survey.excluded:,}")
    job.so_far = Result(counts={"listed": planned.listed}, report={"plan": planned.report()})
    if not (survey.moving or survey.failing or planned.redone):
        if not planned.listed:
            raise NothingMatched(f"There is nothing at {params.source}.", hint="Is the folder or name misspelt? `list` shows what is there.")
        hint = "Files are told by their names (formats: csv and json; parquet when it is asked for); name others in keys, or say their format."
        raise NothingMatched(f"Nothing to convert at {params.source}; {survey.excluded} objects were left out.", hint=hint)
    with job.interruptible():
        found = dataset.checked(migration, planned, _folder(params)) if params.dataset else migration.preflight(planned)
    if job.dry_run:
        told = dry_run(migration, planned, found, prices.load(job.settings.home), job.log)
        job.so_far = Result(counts={"listed": planned.listed}, report={"plan": planned.report(), **found.report(), "dry_run": told})
    found.refuse(migration.policies, _hints(params))
    if job.dry_run:
        _refuse_hopeless(job.so_far)
        return job.so_far
    outcome = _moved(migration, planned, found, job)
    return _closed(planned, outcome.books, params, job, outcome.retryable)


def _hints(params: Params) -> dict[str, str]:
    """What to do about what stands in the way, of what a conversion has."""
    return {
        "exists": f"Choose another target folder, or {'overwrite=replace' if params.dataset else 'overwrite=skip or replace'}.",
        "clash": "Leave one of each out with exclude, or convert them to different target folders.",
        "bad name": "Rename the sources, or leave them out with exclude.",
        "too large": "Leave them out with max_bytes.",
        "archived": "Restore them first, or leave them out with storage_classes.",
    }


def _refuse_hopeless(found: Result) -> None:
    """Raises ConversionFailed when none of the files that a dry run looked at could be converted."""
    previews = found.report["dry_run"].get("previews") or []
    if previews and all("error" in each for each in previews):
        first = previews[0]
        raise ConversionFailed(f"No file that was looked at could be converted. {first['source']}: {first['error']}", hint=first["hint"])


def _moved(migration: Migration, planned: Planned, found: Preflight, job: JobContext) -> Outcome:
    """Convert everything; what cuts it short leaves the counts of what was done until then."""
    from portal.ledger.balance import Books

    books = Books(migration.route.target.base)
    try:
        return migration.move(planned, found, books)
    except Exception:
        job.so_far = replace(job.so_far or Result(), counts=books.counts(planned.listed), bytes=books.bytes)
        raise


def _closed(planned: Planned, books: Books, params: Params, job: JobContext, retryable: bool) -> Result:
    from portal.transfer.columns_file import files_told

    failed, files = books.outcomes["failed"], files_told(job.folder)
    result = Result(
        outcome="partial" if failed else "succeeded", counts=books.counts(planned.listed), bytes=books.bytes, warnings=tuple(books.notes),
        outputs=({"url": str(params.target), "objects": _objects(books, files, params), **_written(books, files, params)}, *_each(books, params)),
        report={"plan": planned.report(), "proof": dict(books.proofs), "failures": books.failures, "files": files},
    )  # fmt: skip
    job.log.info("%s", ", ".join(f"{name} {count:,}" for name, count in result.counts.items() if count or name == "listed"))
    if failed and not (books.moved or books.outcomes["skipped"]):
        job.so_far = result
        error = ConversionFailed(f"None of {failed} files was converted. {books.failures[0]['key']}: {books.failures[0]['reason']}")
        error.retryable = retryable
        raise error
    return result


def _objects(books: Books, files: list[dict[str, Any]], params: Params) -> int:
    """How many objects were written, schemas not counted."""
    return len(files[-1]["parts"]) if params.dataset and files and books.moved else books.moved


def _written(books: Books, files: list[dict[str, Any]], params: Params) -> dict[str, int]:
    """How many bytes were written, schemas not counted; nothing when there are too many objects to know each."""
    if params.dataset and files and books.moved:
        return {"bytes": sum(part["size_bytes"] for part in files[-1]["parts"])}
    sizes = [output["bytes"] for output in books.outputs]
    return {"bytes": sum(sizes)} if len(sizes) == books.moved and None not in sizes else {}


def _each(books: Books, params: Params) -> list[dict[str, Any]]:
    """The outputs one by one; of a data set the folder says all."""
    return [] if params.dataset or len(books.outputs) > 1000 else books.outputs


def _migration(params: Params, options: ConvertOptions, job: JobContext, source: Side, target: Side) -> Migration:
    from portal.planning.policies import Policies
    from portal.transfer.converter import Converter
    from portal.transfer.dataset import DataSet
    from portal.transfer.migration import Migration
    from portal.transfer.moving import move
    from portal.transfer.route import Route

    converter = Converter(job, source.store, target.store, options, as_one=params.dataset)
    mover = DataSet(converter, _folder(params)) if params.dataset else move

    def tell(done: int, total: int | None, size: int, note: str) -> None:
        job.progress(done, total, "files", note, size)

    concurrency = params.concurrency if params.run_on == "local" else 0
    route = Route(source, target, params.overwrite, convert=converter, concurrency=concurrency, job_id=job.job_id)
    keys = (lambda: iter(params.keys)) if params.keys else None
    policies, header = Policies(params.overwrite), _header(params)
    return Migration(route, _rules(params), policies, job.folder, job.job_id, header, tell, job.check_cancelled, keys, job.earlier_folder, mover)


def _rules(params: Params) -> Rules:
    from portal.planning.planning import Rules

    filters = Filters() if params.keys else params.filters
    as_folder = bool(params.partition_by or params.split_bytes)
    if params.dataset:
        parent, _, name = _folder(params).rpartition("/")
        return Rules(params.source.key, parent, params.target.scheme, filters, converted_name=lambda _: name)
    return Rules(
        params.source.key, params.target.key, params.target.scheme, filters,
        converted_name=lambda name: written_name(name, params.output, folder=as_folder),
    )  # fmt: skip


def _folder(params: Params) -> str:
    return params.target.key.strip("/")


def _header(params: Params) -> dict[str, Any]:
    """What a plan is made for: the later parameters only where they are set, so that what earlier versions left undone can be retried."""
    return params.model_dump(mode="json", include=_SHAPE) | params.model_dump(mode="json", include=_LATER, exclude_defaults=True)


_SHAPE = {*SourceParams.model_fields, "keys", "target", "target_connection", "format"}
_LATER = {"output", "dataset", "partition_by", "split_bytes"}
"""The parameters that a plan depends on."""


if __name__ == "__main__":
    engine.command(Params, run)
