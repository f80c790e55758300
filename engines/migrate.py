"""Copy objects from one store to another, prove what arrived, and account for every one.

Copies from S3, ADLS or a local folder to any of them; first of all from S3 to ADLS. The source is listed into a plan, the plan is checked
before the first byte moves (names that the target cannot hold, two sources with one target name, targets that exist), then objects are copied
many at a time. An object becomes visible at the target only when it is whole. Reads are pinned to the version that was listed: an object that is
replaced or deleted meanwhile is reported as failed, never mixed.

Every object ends in the ledger (ledger.parquet) as copied, converted, skipped, failed or excluded, with the reason and the level of its proof:

  read-back    the target was read again and is equal (verify=crc, verify=md5)
  end-to-end   the checksum that the source stores fits the bytes that passed, and the target compared every block with ours
  streamed     the target compared every block with ours, and the source stores no checksum that could be used
  converted    the source's checksum was compared where it has one, the Parquet file was read back, and the rows balance
  size         only the lengths are equal: this is not called verified

The source's URL, ETag, version, time and own metadata are written into the target's metadata (source_url, source_etag, source_version,
source_modified; characters that ADLS does not allow in a name become '_'), its content type is kept.

A second attempt goes on where the first ended, and a retry of the job redoes only what failed. With everything failed the job fails, with
something failed it is partial.

Examples:
  python -m engines.migrate --source s3://sales/2026/ --target abfss://lake@account/sales/
  python -m engines.migrate --source s3://sales --target abfss://lake@account --layout flat --keys 2026/a.csv 2026/b.csv --verify md5
  python -m engines.migrate --source s3://sales/2026/ --target abfss://lake@account/sales/ --convert parquet --dry-run
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from portal import engine
from portal.engine import JobContext, Result, param
from portal.stores.url import StoreURL
from portal.tabular.options import Compression, OnReject
from portal.transfer.filters import Filters
from portal.transfer.selection import SourceParams

if TYPE_CHECKING:
    from portal.transfer.balance import Books
    from portal.transfer.migration import Migration, Planned
    from portal.transfer.moving import Convert
    from portal.transfer.preflight import Preflight


class Params(SourceParams):
    keys: tuple[str, ...] = param(
        (), help="Only these objects: whole keys, as a listing shows them; formats and patterns then do not matter", group="Source"
    )
    keys_file: StoreURL | None = param(
        None, help="The same from a text file with one key a line, or from a Parquet inventory of the list engine (column key)",
        group="Source", advanced=True,
    )  # fmt: skip
    allow_empty: bool = param(False, help="Succeed when nothing matches, instead of failing", group="Source", advanced=True)

    target: StoreURL = param(help="Where it goes: a container and folder", group="Target", placeholder="abfss://container@account/folder/")
    target_connection: str = param("", help="Connection of the target; none: the default of its kind", group="Target")
    layout: Literal["prefix", "flat"] = param(
        "prefix", group="Target",
        help="prefix keeps the folders below the source; flat puts every file into one folder (see flat_folder) under its last name part",
    )  # fmt: skip
    flat_folder: str = param(
        "raw_data", help="The folder below the target that layout=flat fills; empty: the target itself", group="Target", advanced=True
    )
    overwrite: Literal["fail", "skip", "replace"] = param(
        "fail", help="When a target exists: fail stops before anything moves and lists them, skip leaves them, replace overwrites them",
        group="Target",
    )  # fmt: skip
    bad_names: Literal["fail", "skip"] = param(
        "fail", help="When the target cannot hold a name: fail stops before anything moves, skip leaves those objects out",
        group="Target", advanced=True,
    )  # fmt: skip

    verify: Literal["none", "crc", "md5"] = param(
        "none", help="Read every target again and compare CRC64 or MD5; none still compares every block and the source's stored checksum",
        group="Proof",
    )  # fmt: skip

    convert: Literal["none", "parquet"] = param("none", help="Write CSV and JSON files as Parquet; other files are copied", group="Conversion")
    compression: Compression = param("zstd", help="Compression of the Parquet files", group="Conversion", advanced=True)
    on_reject: OnReject = param(
        "fail", help="A row that does not fit its column: fail the file, or keep such rows in a rejects file of the job",
        group="Conversion", advanced=True,
    )  # fmt: skip
    max_rejects: int = param(1000, help="Rejected rows of a file beyond which it fails", group="Conversion", advanced=True, ge=0)

    concurrency: int = param(8, help="Objects moved at the same time", group="Speed", advanced=True, ge=1, le=128)


def run(params: Params, job: JobContext) -> Result:
    source = job.store(params.source, params.source_connection)
    target = job.store(params.target, params.target_connection)
    try:
        return _run(_migration(params, job, source, target), params, job)
    finally:
        source.close()
        target.close()


def _run(migration: Migration, params: Params, job: JobContext) -> Result:
    planned = migration.plan()
    job.log.info("%s", _planned_text(planned))
    _refuse_nothing(planned, params, job)
    job.so_far = _result(planned)
    found = migration.preflight(planned)
    job.so_far = _result(planned, report={"conflicts": [*found.bad_names, *found.conflicts], "occupied": found.occupied})
    if job.dry_run:
        _print_plan(planned, found, job)
    found.refuse(params.overwrite)
    if job.dry_run:
        return _result(planned, report={"dry_run": True, "occupied": found.occupied, "sample": planned.sample})
    books, retryable = migration.move(planned, found)
    return _closed(planned, books, params, job, retryable)


def _closed(planned: Planned, books: Books, params: Params, job: JobContext, retryable: bool) -> Result:
    from portal.errors import TransferFailed

    outputs = ({"url": str(params.target), "objects": books.moved, "bytes": books.bytes}, *(books.outputs if len(books.outputs) <= 1000 else ()))
    report = {"proof": dict(books.proofs), "failures": books.failures, "excluded": dict(books.excluded)}
    result = _result(planned, books, report=report, outputs=outputs)
    failed = books.outcomes["failed"]
    job.log.info("%s", ", ".join(f"{name} {count:,}" for name, count in result.counts.items() if count or name == "listed"))
    if not failed:
        return result
    if books.moved or books.outcomes["skipped"]:
        return _result(planned, books, report=report, outputs=outputs, outcome="partial")
    job.so_far = result
    first = books.failures[0]
    hint = "" if "what to do:" in first["reason"] else "See the ledger for each, and list the source again."
    error = TransferFailed(f"None of {failed} objects arrived. {first['key']}: {first['reason']}", hint=hint)
    error.retryable = retryable
    raise error


def _result(
    planned: Planned, books: Books | None = None, *, report: dict[str, Any] | None = None, outputs: tuple[Any, ...] = (), outcome: Any = "succeeded"
) -> Result:
    counts = books.counts(planned.listed) if books else {"listed": planned.listed}
    return Result(
        outcome=outcome, counts=counts, bytes=books.bytes if books else 0, outputs=outputs, warnings=tuple(books.notes) if books else (),
        report={"plan": planned.report(), **(report or {})},
    )  # fmt: skip


def _refuse_nothing(planned: Planned, params: Params, job: JobContext) -> None:
    from portal.errors import NothingMatched

    if planned.moving or planned.failing or params.allow_empty or planned.redone:
        return
    job.so_far = _result(planned)
    left_out = f" {planned.excluded} objects were found and left out by formats, patterns, sizes or dates." if planned.excluded else ""
    hint = "Check the source's prefix and filters (formats=any takes every file), or allow it with allow_empty."
    raise NothingMatched(f"Nothing matched at {params.source}.{left_out}", hint=hint)


def _planned_text(planned: Planned) -> str:
    told = planned.report()
    return (
        f"plan: {told['listed']:,} objects listed; {told['to_copy']:,} to copy, {told['to_convert']:,} to convert ({told['bytes']:,} bytes), "
        f"{told['excluded']:,} excluded, {told['cannot_be_copied']:,} that cannot be copied"
    )


def _print_plan(planned: Planned, found: Preflight, job: JobContext) -> None:
    for line in planned.sample:
        job.log.info("%s %s → %s (%s bytes)", line["action"], line["source"], line["target"], f"{line['bytes']:,}")
    if planned.moving > len(planned.sample):
        job.log.info("… and %s more, see %s", f"{planned.moving - len(planned.sample):,}", planned.path)
    for problem in (*found.bad_names, *found.conflicts):
        job.log.warning("conflict: %s", problem)
    for url in found.occupied:
        job.log.warning("exists already: %s", url)


def _migration(params: Params, job: JobContext, source: Any, target: Any) -> Migration:
    from portal.transfer.migration import Migration
    from portal.transfer.moving import Route
    from portal.transfer.planning import Rules

    keys = _keys(params, job)
    filters = Filters() if keys else params.filters
    rules = Rules(
        params.source.key, params.target.key, params.target.scheme, filters, flat_folder=params.flat_folder if params.layout == "flat" else None,
        skip_bad_names=params.bad_names == "skip", **({"converted_name": _converted_name} if params.convert == "parquet" else {}),
    )  # fmt: skip

    def tell(done: int, total: int | None, size: int, note: str) -> None:
        job.progress(done, total, "objects", note, size)

    convert = _converter(params, job, source, target) if params.convert == "parquet" else None
    return Migration(
        Route(source, target, params.overwrite, params.verify, convert), rules, job.folder, job.job_id, _header(params), params.concurrency, tell,
        keys, job.earlier_folder,
    )  # fmt: skip


_SHAPE = {
    "source", "source_connection", "keys", "keys_file", "formats", "include", "exclude", "min_bytes", "max_bytes", "modified_since", "modified_until",
    "target", "target_connection", "layout", "flat_folder", "bad_names", "convert",
}  # fmt: skip
"""The parameters that a plan depends on."""


def _header(params: Params) -> dict[str, Any]:
    return params.model_dump(mode="json", include=_SHAPE)


def _converted_name(name: str) -> str | None:
    from portal.tabular.options import suits, target_name

    return target_name(name) if suits(name) else None


def _converter(params: Params, job: JobContext, source: Any, target: Any) -> Convert:
    from portal.tabular.converting import ConvertOptions, clear_scratch, convert_object

    clear_scratch(job.folder)
    options = ConvertOptions(compression=params.compression, on_reject=params.on_reject, max_rejects=params.max_rejects)

    def convert(entry: Any, info: Any, *, overwrite: bool, moved: Any) -> Any:
        rejects = job.artefact(f"rejects-{entry.n}.ndjson")
        rejects.unlink(missing_ok=True)
        return convert_object(
            source, info, target, entry.target_key, options, overwrite=overwrite, rejects=rejects, check=job.check_cancelled, progress=moved,
            scratch=job.folder,
        )  # fmt: skip

    return convert


def _keys(params: Params, job: JobContext) -> tuple[str, ...]:
    from portal.transfer.key_file import read_keys

    if params.keys_file is None:
        return params.keys
    store = job.store(params.keys_file)
    try:
        return (*params.keys, *read_keys(store, params.keys_file.key))
    finally:
        store.close()


if __name__ == "__main__":
    engine.command(Params, run)
