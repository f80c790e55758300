"""Copy objects from one store to another, prove what arrived, and account for every one.

Copies between S3, ADLS and local folders, in any direction; first of all from S3 to ADLS. The source is listed into a plan, the plan is checked
before the first byte moves, then objects are copied many at a time. An object becomes visible at the target only when it is whole. Reads are
pinned to the version that was listed: an object that is replaced or deleted meanwhile is reported as failed, never mixed.

How the bytes go (mode):

  server       Azure fetches them from S3 itself, block by block: none passes through this machine
  stream       they pass through this machine and are checked on the way
  auto         server where that can be proven, else stream; the ledger says for each object which it was, and why it streamed

Source and target must not overlap: neither may be the other, lie inside it, or be the same folder by another endpoint or link.

Every object ends in the ledger (ledger.parquet) as copied, converted, skipped, failed or excluded, with the reason and the level of its proof:

  read-back    the target was read again and is equal (verify=crc, verify=md5)
  end-to-end   the checksum that the source stores fits the bytes that arrived, and the target compared every block with ours; of a server-side
               copy: the checksums of what Azure fetched, combined, are the one that the source stores
  streamed     the target compared every block with ours, and the source stores no checksum that could be used
  converted    the source's checksum was compared where it has one, the Parquet file was read back, and the rows balance
  size         only the lengths are equal: this is not called verified. It is what a local target gets without verify=crc, since no file system
               compares, and a server-side copy with accept_size

What is in the way before the first byte, and what is done about it: targets that exist (overwrite), names that the target cannot hold
(bad_names), several sources of one target name and files that would be folders (twins), objects that must be restored first (archived), and
objects beyond the target's limit (too_large). With fail nothing moves at all, and conflicts.csv lists every one; skip leaves them out; rename
gives them another name, reversible but where a name is too long, and names.csv and the target's metadata (source_url) keep both.

With mirror the target becomes what the source is: what differs is copied again, and what only the target has is listed in extras.csv. It is
deleted only with delete_extra, after everything else went well, as it was listed and not when it changed meanwhile, and never more than
max_deletes; each deletion is in the ledger. While anything at the source cannot be looked at (a link whose disk is away), nothing is deleted.

The source's content type and other headers, its metadata and tags are carried along (carry), and its URL, ETag, version, time and checksum are
written into the target's metadata; what finds no place there is kept in carried.ndjson. docs/metadata.md tells the names and limits.

A second attempt goes on where the first ended, within the listing and within large objects too, and a retry of the job redoes only what failed.
With everything failed the job fails, with something failed it is partial. A dry run lists and checks all of this and says what would be done,
how long it would take and what it would cost, by prices that prices.toml in the home folder can change.

Examples:
  python -m engines.migrate --source s3://sales/2026/ --target abfss://lake@account/sales/
  python -m engines.migrate --source s3://sales --target abfss://lake@account --layout flat --keys 2026/a.csv 2026/b.csv --verify md5
  python -m engines.migrate --source s3://sales/2026/ --target abfss://lake@account/sales/ --convert parquet --dry-run
  python -m engines.migrate --source s3://sales/ --target abfss://lake@account/sales/ --formats any --mirror --dry-run
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Self

from pydantic import model_validator

from portal import engine
from portal.engine import JobContext, Result, param
from portal.planning import tiers
from portal.planning.policies import Overwrite
from portal.planning.selection import SourceParams
from portal.stores.url import StoreURL
from portal.tabular.params import ConversionParams
from portal.transfer.copying.params import CopyParams
from portal.transfer.run_on import RunOnParams
from portal.transfer.speed_params import SpeedParams

if TYPE_CHECKING:
    from portal.planning.planner import Planned
    from portal.planning.preflight import Preflight
    from portal.transfer.conversions import Convert
    from portal.transfer.migration import Migration, Outcome
    from portal.transfer.route import Route
    from portal.transfer.side import Side


class Params(RunOnParams, SpeedParams, ConversionParams, CopyParams):
    write_schema: bool = param(
        False, help="Put the schema beside each converted file, as _NAME.schema.json: the source has no such file", group="Writing", advanced=True
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        wrong = _of_mirror(self) or _of_deleting(self) or tiers.refusal(self.tier, self.target.scheme, self.endpoint)
        if wrong:
            raise ValueError(wrong)
        return self

    @property
    def policy(self) -> Overwrite:
        """What happens to a target that exists."""
        return "different" if self.mirror and "overwrite" not in self.model_fields_set else self.overwrite


def _of_mirror(params: Params) -> str:
    if not params.mirror:
        return "delete_extra needs mirror" if params.delete_extra else ""
    if params.keys or params.keys_file:
        return "mirror cannot be combined with chosen keys: everything else at the target would count as extra"
    if params.layout == "flat" or params.convert != "none":
        return "mirror needs names that follow from the source's: it cannot be combined with layout=flat or convert"
    if params.modified_since or params.modified_until or params.storage_classes:
        return "mirror cannot be combined with modified_since, modified_until or storage_classes: nobody can tell which of those the extras had"
    return ""


def _of_deleting(params: Params) -> str:
    if params.delete_extra and params.confirm_delete != str(params.target):
        return f"delete_extra deletes at {params.target}: write that URL in confirm_delete too, exactly"
    return ""


def run(params: Params, job: JobContext) -> Result:
    from portal.planning.names import target_folder
    from portal.transfer import overlap
    from portal.transfer.sides import side

    if params.run_on == "spark":
        from portal.lake.spark.placing import refuse_unready

        refuse_unready(job.settings)
    with (
        side(job, params.source, params.source_connection, stall_s=params.stall_s) as source,
        side(job, params.target, params.target_connection, endpoint=params.endpoint, stall_s=params.stall_s) as target,
    ):
        with job.interruptible():
            overlap.refuse(source, target, target_folder(params.target.key, params.flat_folder if params.layout == "flat" else None))
        with _placed(_migration(params, job, source, target), params, job, source, target) as migration:
            return _run(migration, params, job)


def _run(migration: Migration, params: Params, job: JobContext) -> Result:
    from portal.planning import prices
    from portal.transfer.copying import outcome
    from portal.transfer.dry_run import dry_run

    # In the middle of a call to Java nothing may be cut off: a listing on Spark looks itself whether it is to end.
    with job.interruptible() if params.run_on == "local" else nullcontext():
        planned = migration.plan()
    job.log.info("%s", outcome.planned_text(planned))
    job.so_far = Result(**outcome.facts(planned))
    outcome.refuse_nothing(planned, params)
    with job.interruptible():
        found = migration.preflight(planned)
    job.so_far = Result(**outcome.facts(planned, report=found.report()))
    if job.dry_run:
        told = dry_run(migration, planned, found, prices.load(job.settings.home), job.log)
        job.so_far = Result(**outcome.facts(planned, report={**found.report(), "dry_run": told}))
    found.refuse(migration.policies)
    if job.dry_run:
        return job.so_far
    return _closed(planned, _moved(migration, planned, found, params, job), params, job)


def _placed(migration: Migration, params: Params, job: JobContext, source: Side, target: Side) -> AbstractContextManager[Migration]:
    """Give the transfer to whichever machines shall list and move the objects."""
    if params.run_on == "local":
        return nullcontext(migration)
    from portal.lake.spark.converting import Converting, bring_to, place
    from portal.lake.spark.placing import on_spark
    from portal.transfer.converter import settled

    if params.convert == "none":
        return on_spark(migration, job.settings)
    options = settled(params, job.store, (source.store, target.store))

    def converting() -> Converting:
        return Converting(place(source), place(target), options)

    return on_spark(migration, job.settings, conversion=converting, bring=bring_to(job.folder))


def _moved(migration: Migration, planned: Planned, found: Preflight, params: Params, job: JobContext) -> Outcome:
    """Move everything; what cuts it short leaves the counts of what was done until then."""
    from portal.ledger.balance import Books
    from portal.transfer.copying import outcome

    books = Books(migration.route.target.base)
    try:
        return migration.move(planned, found, books)
    except Exception:
        job.so_far = Result(**outcome.facts(planned, books, report=outcome.told(books, job.folder, _found_before(job))))
        raise


def _closed(planned: Planned, moved: Outcome, params: Params, job: JobContext) -> Result:
    from portal.transfer.copying import outcome

    result = Result(**outcome.ended(planned, moved, params.target, outcome.told(moved.books, job.folder, _found_before(job))))
    job.log.info("%s", ", ".join(f"{name} {count:,}" for name, count in result.counts.items() if count or name == "listed"))
    if error := outcome.failure(moved, params):
        job.so_far = result
        raise error
    return result


def _found_before(job: JobContext) -> Mapping[str, Any]:
    return job.so_far.report if job.so_far else {}


def _migration(params: Params, job: JobContext, source: Side, target: Side) -> Migration:
    from portal.planning import limits
    from portal.planning.filters import Filters
    from portal.planning.planning import Rules
    from portal.planning.policies import Policies
    from portal.transfer.migration import Migration

    keys = _keys(params, job)
    rules = Rules(
        params.source.key, params.target.key, params.target.scheme, Filters() if keys else params.filters,
        flat_folder=params.flat_folder if params.layout == "flat" else None, bad_names=params.bad_names, too_large=params.too_large,
        limit_bytes=limits.largest(target.store, params.target.key), converted_name=_converted_name(params),
    )  # fmt: skip

    def tell(done: int, total: int | None, size: int, note: str) -> None:
        job.progress(done, total, "objects", note, size)

    policies = Policies(params.policy, params.twins, params.archived, params.mirror, params.delete_extra, params.max_deletes)
    route = _route(params, job, source, target)
    return Migration(route, rules, policies, job.folder, job.job_id, _header(params), tell, job.check_cancelled, keys, job.earlier_folder)


def _route(params: Params, job: JobContext, source: Side, target: Side) -> Route:
    from portal.transfer.route import Route

    return Route(
        source, target, params.policy, params.verify, _converter(params, job, source.store, target.store),
        params.md5, params.mode, params.accept_size, params.carry, params.carry_tags, params.tier, params.concurrency, params.processes,
        params.max_bandwidth, params.max_requests_s, params.block_bytes, job.job_id,
    )  # fmt: skip


_SHAPE = {
    *SourceParams.model_fields, "keys", "keys_file", "target", "target_connection", "layout", "flat_folder", "bad_names", "twins", "archived",
    "too_large", "convert",
}  # fmt: skip
"""The parameters that a plan depends on."""


def _header(params: Params) -> dict[str, Any]:
    return params.model_dump(mode="json", include=_SHAPE)


def _converted_name(params: Params) -> Callable[[str], str | None] | None:
    from portal.tabular.options import suits, written_name

    as_folder = bool(params.partition_by or params.split_bytes)
    return (lambda name: written_name(name, folder=as_folder) if suits(name) else None) if params.convert == "parquet" else None


def _converter(params: Params, job: JobContext, source: Any, target: Any) -> Convert | None:
    if params.convert == "none":
        return None
    from portal.transfer.converter import Converter, settled

    return Converter(job, source, target, settled(params, job.store, (source, target)))


def _keys(params: Params, job: JobContext) -> Callable[[], Iterator[str]] | None:
    """Return what gives the chosen keys, the same ones each time; None when everything is meant."""
    from portal.planning.key_file import read_keys

    if params.keys_file is None:
        return (lambda: iter(params.keys)) if params.keys else None

    def keys(file: StoreURL = params.keys_file) -> Iterator[str]:
        yield from params.keys
        store = job.store(file)
        try:
            yield from read_keys(store, file.key)
        finally:
            store.close()

    return keys


if __name__ == "__main__":
    engine.command(Params, run)
