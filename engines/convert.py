"""Convert CSV, JSON and NDJSON files to Parquet without changing a value.

Each file is read twice: first all of it, to find for every column the one type that holds each of its values exactly (ids with leading zeros and
integers beyond 64 bits stay text), then again to write under that schema. The Parquet file is read back from the target and compared: bytes,
schema, rows and a checksum per column. Rows in = rows out + rejected rows, counted apart from the reader that feeds the writer.

What does not fit fails the file, with line, column, value and reason; on_reject=keep puts such rows into a rejects file of the job instead. What
was decided is in columns.ndjson, one line a file: types and why, nulls, checksums, how the file was read. Every object ends in the ledger as in
migrate. A second attempt goes on where the first ended; with something failed the job is partial, with everything failed it fails.

Nulls: an empty unquoted value is no value everywhere. NA, NULL and the like are no value in columns whose other values are all numbers, booleans
or dates; in text columns only when null_values lists them. A quoted empty value is an empty text in text columns. In JSON, null and a missing
name are no value.

Examples:
  python -m engines.convert --source s3://raw/2026/ --target abfss://lake@account/tables/
  python -m engines.convert --source s3://raw/orders.csv --target file:///data/out/ --types '{"zip": "string", "total": "decimal(12,2)"}' --dry-run
  python -m engines.convert --source file:///data/old/ --target file:///data/out/ --encoding cp1252 --delimiter ';' --on-reject keep
"""

from __future__ import annotations

import json
import threading
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import model_validator

from portal import engine
from portal.engine import JobContext, Result, param
from portal.errors import ConversionFailed, NothingMatched
from portal.planning.filters import Filters
from portal.planning.formats import Format as SourceFormat
from portal.planning.selection import SourceParams
from portal.stores.url import StoreURL
from portal.tabular.options import TYPED_NULLS, Compression, ConvertOptions, Format, Header, OnReject, target_name

if TYPE_CHECKING:
    from portal.ledger.balance import Books
    from portal.planning.planner import Planned
    from portal.planning.preflight import Preflight
    from portal.transfer.migration import Migration, Outcome
    from portal.transfer.side import Side

COLUMNS_FILE = "columns.ndjson"
_PREVIEWS = 3
_FILES_SHOWN = 20


class Params(SourceParams):
    formats: tuple[SourceFormat, ...] = param(
        ("csv", "json"), group="Source",
        help="Only files of these formats, told by their names (csv: also .tsv; json: also .ndjson, .jsonl; .gz and .zst too)",
    )  # fmt: skip
    keys: tuple[str, ...] = param((), help="Only these objects: whole keys, as a listing shows them, whatever their names end in", group="Source")

    target: StoreURL = param(help="Where the Parquet files go: a container and folder", group="Target", placeholder="abfss://container@account/folder/")
    target_connection: str = param("", help="Connection of the target; none: the default of its kind", group="Target")
    overwrite: Literal["fail", "skip", "replace"] = param(
        "fail", help="When a target exists: fail stops before anything is written, skip leaves it, replace overwrites it", group="Target"
    )

    format: Format = param("auto", help="What the files are; auto: by name, else by the first character", group="Reading")
    encoding: str = param("auto", help="auto: UTF-8, or what the byte order mark says; others, like cp1252, must be asked for", group="Reading")
    delimiter: str = param("", help="One character between values; none: found out from the file ('\\t' is a tab)", group="Reading", max_length=2)
    quote: str = param('"', help="Character around values; none: quotes mean nothing", group="Reading", advanced=True, max_length=1)
    header: Header = param("auto", help="Whether the first row holds the columns' names; auto: judged by the first rows", group="Reading")
    skip_lines: int = param(0, help="Lines to pass over before the header", group="Reading", unit="lines", advanced=True, ge=0)
    null_values: tuple[str, ...] = param(("",), help="Unquoted texts that mean 'no value' in every column", group="Reading")
    typed_null_values: tuple[str, ...] = param(
        TYPED_NULLS, help="Texts that mean 'no value' only in columns of numbers, booleans or dates", group="Reading", advanced=True
    )

    types: dict[str, str] = param(
        {}, group="Types", placeholder='{"zip": "string", "total": "decimal(12,2)"}',
        help="Types that are set, by column: string, boolean, int32, int64, float64, decimal(P,S), date, timestamp, timestamp[UTC], json",
    )  # fmt: skip
    dates: bool = param(True, help="Read columns of ISO dates and timestamps as such", group="Types")
    on_reject: OnReject = param("fail", help="A row that does not fit: fail the file, or keep such rows in a rejects file of the job", group="Types")
    max_rejects: int = param(1000, help="Rejected rows of a file beyond which it fails", group="Types", unit="rows", ge=0)

    compression: Compression = param("zstd", help="Compression of the Parquet files", group="Writing")
    row_group_rows: int = param(100_000, help="Rows in a row group", group="Writing", unit="rows", advanced=True, ge=1, le=10_000_000)
    concurrency: int = param(2, help="Files converted at the same time", group="Writing", advanced=True, ge=1, le=64)

    @model_validator(mode="after")
    def _target_is_a_folder(self) -> Self:
        if self.target.key.lower().endswith(".parquet"):
            raise ValueError(f"target is the folder that the Parquet files go to, not a file ({self.target})")
        return self

    @property
    def options(self) -> ConvertOptions:
        values = {name: getattr(self, name) for name in ConvertOptions.model_fields if name in type(self).model_fields}
        return ConvertOptions(**{**values, "delimiter": "\t" if self.delimiter == "\\t" else self.delimiter})


def run(params: Params, job: JobContext) -> Result:
    from portal.transfer.sides import side

    with side(job, params.source, params.source_connection) as source, side(job, params.target, params.target_connection) as target:
        return _run(params, job, source, target)


def _run(params: Params, job: JobContext, source: Side, target: Side) -> Result:
    migration = _migration(params, job, source, target)
    with job.interruptible():
        planned = migration.plan()
    survey = planned.survey
    job.log.info("plan: %s files to convert (%s bytes), %s excluded", f"{survey.converting:,}", f"{survey.bytes:,}", f"{survey.excluded:,}")
    job.so_far = Result(counts={"listed": planned.listed}, report={"plan": planned.report()})
    if not (survey.moving or survey.failing or planned.redone):
        hint = "Files are told by their names (.csv, .tsv, .json, .ndjson, .jsonl, also .gz and .zst); name others in keys, or say their format."
        raise NothingMatched(f"Nothing to convert at {params.source}; {survey.excluded} objects were left out.", hint=hint)
    with job.interruptible():
        found = migration.preflight(planned)
    found.refuse(migration.policies)
    if job.dry_run:
        return _dry_run(planned, params, job, source.store)
    outcome = _moved(migration, planned, found, job)
    return _closed(planned, outcome.books, params, job, outcome.retryable)


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
    failed = books.outcomes["failed"]
    result = Result(
        outcome="partial" if failed else "succeeded", counts=books.counts(planned.listed), bytes=books.bytes, warnings=tuple(books.notes),
        outputs=({"url": str(params.target), "objects": books.moved, "bytes": books.bytes}, *(books.outputs if len(books.outputs) <= 1000 else ())),
        report={"plan": planned.report(), "proof": dict(books.proofs), "failures": books.failures, "files": _files(job)},
    )  # fmt: skip
    job.log.info("%s", ", ".join(f"{name} {count:,}" for name, count in result.counts.items() if count or name == "listed"))
    if failed and not (books.moved or books.outcomes["skipped"]):
        job.so_far = result
        error = ConversionFailed(f"None of {failed} files was converted. {books.failures[0]['key']}: {books.failures[0]['reason']}")
        error.retryable = retryable
        raise error
    return result


def _files(job: JobContext) -> list[Any]:
    """Return what was decided for the first files."""
    path = job.artefact(COLUMNS_FILE)
    if not path.exists():
        return []
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line, _ in zip(file, range(_FILES_SHOWN), strict=False)]


def _dry_run(planned: Planned, params: Params, job: JobContext, source: Any) -> Result:
    from portal.tabular.converting import preview_object

    previews = []
    for line in planned.survey.sample[:_PREVIEWS]:
        info = source.stat(line["source"])
        preview = preview_object(source, info, params.options, check=job.check_cancelled, scratch=job.folder)
        job.log.info("%s → %s: %s rows", line["source"], line["target"], f"{preview.rows_in:,}")
        for column in preview.columns:
            job.log.info("  %s: %s%s", column.name, column.type, f" ({column.note})" if column.note else "")
        for row in preview.rows:
            job.log.info("  %s", row)
        previews.append({**line, **asdict(preview)})
    return Result(counts={"listed": planned.listed}, report={"dry_run": True, "plan": planned.report(), "previews": previews})


def _migration(params: Params, job: JobContext, source: Side, target: Side) -> Migration:
    from portal.planning.planning import Rules
    from portal.planning.policies import Policies
    from portal.transfer.migration import Migration
    from portal.transfer.route import Route

    filters = params.filters if params.format == "auto" else replace(params.filters, formats=())
    rules = Rules(
        params.source.key, params.target.key, params.target.scheme, Filters() if params.keys else filters, converted_name=target_name
    )  # fmt: skip

    def tell(done: int, total: int | None, size: int, note: str) -> None:
        job.progress(done, total, "files", note, size)

    header = params.model_dump(mode="json", include=_SHAPE)
    convert = _converter(params, job, source.store, target.store)
    route = Route(source, target, params.overwrite, convert=convert, concurrency=params.concurrency, job_id=job.job_id)
    keys = (lambda: iter(params.keys)) if params.keys else None
    return Migration(route, rules, Policies(params.overwrite), job.folder, job.job_id, header, tell, job.check_cancelled, keys, job.earlier_folder)


_SHAPE = {*SourceParams.model_fields, "keys", "target", "target_connection", "format"}
"""The parameters that a plan depends on."""


def _converter(params: Params, job: JobContext, source: Any, target: Any) -> Any:
    from portal.tabular.converting import clear_scratch, convert_object
    from portal.transfer.carry import mark_of

    clear_scratch(job.folder)
    options = params.options
    columns = job.artefact(COLUMNS_FILE)
    if job.attempt == 1:
        columns.unlink(missing_ok=True)
    lock = threading.Lock()

    def convert(entry: Any, info: Any, *, overwrite: bool, moved: Any) -> Any:
        done = convert_object(
            source, info, target, entry.target_key, options, overwrite=overwrite, rejects=job.artefact(f"rejects-{entry.n}.ndjson"),
            check=job.check_cancelled, progress=moved, scratch=job.folder, mark=mark_of(job.job_id, entry.n),
        )  # fmt: skip
        names = {"source": str(source.url.at(entry.key)), "target": str(target.url.at(entry.target_key))}
        line = json.dumps({**names, **done.report()}, ensure_ascii=False)
        with lock, columns.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        return done

    return convert


if __name__ == "__main__":
    engine.command(Params, run)
