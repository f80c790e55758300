"""Upload local files to S3 or ADLS under keys made from a template, prove what arrived, announce it, and put the files away.

Many files go at the same time, large ones in parts. Each request carries the checksum of its bytes (S3: CRC64NVME, Azure: MD5 or CRC64), and the
store compares it before it takes them; an object becomes visible only when it is whole. A file that is written to meanwhile fails and stays.

Where it goes: the target and then the template, by default {layer}/{source}/{format}/{dataset}/{yyyy}/{mm}/{dd}/{filename}, which makes
Raw/Local/CSV/sales/2026/11/21/sales.csv of sales.csv. docs/uploading.md lists what a template may name. Date parts are of the moment at which
the job began, the same for all its attempts and for a retry of it. Two files that would get one key each get one: the later ones have `~` and
16 hexadecimal digits before their ending (twins).

When a target exists (overwrite):

  different    the same bytes there already: nothing is sent, and the file counts as uploaded (`skipped`); other bytes are replaced
  replace      it is replaced always
  skip         other bytes are left as they are, and the file stays where it is
  fail         with other bytes at any target nothing is uploaded at all
  apart        other bytes are left as they are, and the file gets a key of its own beside them, named like twins. A watched folder's default

What follows once a file has arrived, in this order:

  queue        a message is sent to an SQS queue, with the form of an S3 event notification; the queue is looked for before anything is uploaded
  after        the file is moved to done_folder (with a name of its own where another file has its name there), or deleted

A file that failed, or could not be announced, stays where it is. Where the reason may pass, the job's next attempt does what is left; else run the
job again, or retry it: what is left in the folder is done, and what was announced is not announced again. notices.ndjson and moved.ndjson among the
job's files tell what was announced and where each file is now.

Files are expected to be whole: a watched folder takes none that still grows; without one, min_age_s leaves out what changed a moment ago.

With reencode CSV files of any encoding become UTF-8; nothing else in them changes. Packed ones (.gz, .zst) and other files are sent as they are.

Examples:
  python -m engines.upload --source file:///srv/box/out/ --target s3://lake/ --dataset sales
  python -m engines.upload --source file:///srv/box/out/ --target s3://lake/ --queue arrivals --after move --done-folder file:///srv/box/done/
  python -m engines.upload --source file:///srv/box/a.csv --target s3://lake/ --template 'in/{path}' --create-bucket --dry-run
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Self
from zoneinfo import ZoneInfo

from pydantic import model_validator

from portal import engine
from portal.engine import JobContext, Result
from portal.planning import tiers
from portal.transfer.speed_params import SpeedParams
from portal.transfer.uploading import places
from portal.transfer.uploading.params import KeyParams, UploadParams

if TYPE_CHECKING:
    from portal.notices.sqs import NoticeQueue
    from portal.planning.planner import Planned
    from portal.planning.policies import Overwrite as PolicyOverwrite
    from portal.planning.preflight import Preflight
    from portal.transfer.migration import Migration
    from portal.transfer.side import Side
    from portal.transfer.uploading.after import FollowedMove, Following
    from portal.transfer.uploading.apart import Apart
    from portal.transfer.uploading.reencoding import Recoder


class Params(SpeedParams, UploadParams):
    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        wrong = places.refusal(self.source, self.target, self.after, self.done_folder)
        if self.create_queue and not self.queue:
            wrong = wrong or "create_queue needs a queue"
        if wrong := wrong or tiers.refusal(self.tier, self.target.scheme, self.endpoint):
            raise ValueError(wrong)
        return self


def run(params: Params, job: JobContext) -> Result:
    from portal.transfer.sides import side
    from portal.transfer.uploading import opening

    with (
        side(job, params.source, params.source_connection) as source,
        side(job, params.target, params.target_connection, endpoint=params.endpoint, stall_s=params.stall_s) as target,
    ):
        with job.interruptible():
            opening.refuse_done_folder(params.source, params.done_folder if params.after == "move" else None, source)
            queue = _queue(params, job) if params.queue else None
            kind = "s3" if params.target.scheme == "s3" else "adls"
            is_there = opening.bucket(target, job.connection(kind, params.target_connection), create=params.create_bucket, dry=job.dry_run)
        try:
            return _run(_migration(params, job, source, target, queue), params, job, is_there=is_there)
        finally:
            if queue:
                queue.close()


def _queue(params: Params, job: JobContext) -> NoticeQueue | None:
    from portal.transfer.uploading import told_queue

    connection = job.connection("s3", params.queue_connection)
    return told_queue.opened(params.queue, connection, job.check_cancelled, create=params.create_queue, dry=job.dry_run)


def _run(made: tuple[Migration, FollowedMove, Apart | None], params: Params, job: JobContext, *, is_there: bool) -> Result:
    from portal.planning import prices
    from portal.transfer.dry_run import dry_run
    from portal.transfer.uploading import after, outcome, there

    migration, mover, apart = made
    with job.interruptible():
        planned = migration.plan()
    if not planned.reused:
        (job.folder / after.AWAY_FILE).unlink(missing_ok=True)  # it names entries of a plan by their numbers
    job.log.info("plan: %s files (%s bytes), %s left out", f"{planned.listed:,}", f"{planned.survey.bytes:,}", f"{planned.survey.excluded:,}")
    job.so_far = Result(**outcome.facts(planned))
    if not (params.allow_empty or job.retry_of):
        outcome.refuse_nothing(planned, params.source)
    if not is_there:
        return Result(**outcome.imagined(planned, params.target, job.log))
    with job.interruptible():
        found = migration.preflight(planned)
        there.settle(found, planned, params.overwrite, migration.route.target.store)
        for one_by_one in ("bad name", "too large"):
            found.stops.pop(one_by_one, None)  # that file fails, and the others do not wait for it
        if apart and not found.stops:
            apart.settle(found, planned)
    job.so_far = Result(**outcome.facts(planned, report=found.report()))
    if job.dry_run:
        told = dry_run(migration, planned, found, prices.load(job.settings.home), job.log)
        job.so_far = Result(**outcome.facts(planned, report={**found.report(), "dry_run": told}))
    found.refuse(migration.policies)
    return job.so_far if job.dry_run else _moved(migration, mover, planned, found, params, job)


def _moved(migration: Migration, mover: FollowedMove, planned: Planned, found: Preflight, params: Params, job: JobContext) -> Result:
    """Upload everything; what cuts it short leaves the counts of what was done until then."""
    from portal.ledger.balance import Books
    from portal.transfer.uploading import outcome

    books = Books(migration.route.target.base)
    try:
        moved = migration.move(planned, found, books)
    except Exception:
        job.so_far = Result(**outcome.facts(planned, books, mover.followed))
        raise
    job.so_far = result = Result(**outcome.ended(planned, books, mover.followed, params.target))
    job.log.info("%s", ", ".join(f"{name} {count:,}" for name, count in result.counts.items() if count or name == "listed"))
    if error := outcome.failure(planned, books, mover.followed, retryable=moved.retryable):
        raise error
    return result


def _migration(
    params: Params, job: JobContext, source: Side, target: Side, queue: NoticeQueue | None
) -> tuple[Migration, FollowedMove, Apart | None]:  # fmt: skip
    from portal.planning.filters import Filters
    from portal.planning.policies import Policies
    from portal.transfer.migration import Migration
    from portal.transfer.route import Route
    from portal.transfer.uploading import opening
    from portal.transfer.uploading.after import FollowedMove
    from portal.transfer.uploading.apart import Apart
    from portal.transfer.uploading.template import Template
    from portal.transfer.uploading.there import SameBytes

    def tell(done: int, total: int | None, size: int, note: str) -> None:
        job.progress(done, total, "files", note, size)

    recoder, recoded_name = _recoding(params, job, source, target)
    writes: PolicyOverwrite = "different" if params.overwrite == "apart" else params.overwrite
    route = Route(
        source, target, writes, params.verify, recoder, params.md5, tier=params.tier, concurrency=params.concurrency,
        processes=params.processes, max_bandwidth=params.max_bandwidth, max_requests_s=params.max_requests_s, block_bytes=params.block_bytes,
        job_id=job.job_id,
    )  # fmt: skip
    first = opening.own_job(params.source) or job.retry_of or job.job_id
    begun = opening.begun(params.moment, ZoneInfo(params.time_zone), job.load_checkpoint() or {}, opening.checkpoint(job.earlier_folder), first)
    job.save_checkpoint(begun.kept())
    template = Template(params.template, begun.moment, params.layer, params.source_name, params.dataset, params.dates == "file")
    filters = Filters() if params.keys else opening.old_enough(params.filters, begun.at, params.min_age_s)
    rules = opening.rules(params.source, target, filters, template, bad_names=params.bad_names, recoded_name=recoded_name)
    same = SameBytes(source.store, recoder, job.check_cancelled)
    apart = Apart(rules, target, begun.first, same, job.check_cancelled) if params.overwrite == "apart" else None
    mover = FollowedMove(lambda: _following(params, job, source, target, queue), apart)
    policies = Policies("replace" if params.overwrite == "replace" else "different", params.twins)
    header = params.model_dump(mode="json", include=_SHAPE) | {"moment": begun.moment.isoformat()}
    keys = (lambda: iter(params.keys)) if params.keys else None
    # A retry looks at what is left in the folder: what the earlier job brought there and could not announce or put away is part of that.
    compared = None if params.overwrite == "replace" else same
    return Migration(route, rules, policies, job.folder, job.job_id, header, tell, job.check_cancelled, keys, None, mover, compared), mover, apart


def _recoding(params: Params, job: JobContext, source: Side, target: Side) -> tuple[Recoder | None, Callable[[str], str | None] | None]:
    """What re-encodes, and the names of what is; imported only where that was asked for."""
    if params.reencode == "none":
        return None, None
    from portal.transfer.uploading.reencoding import Recoder, recoded_name

    return Recoder(source.store, target.store, params.encoding, job.job_id, job.check_cancelled), recoded_name


def _following(params: Params, job: JobContext, source: Side, target: Side, queue: NoticeQueue | None) -> Following:
    from portal.stores.local_files import resolved
    from portal.transfer.uploading import opening
    from portal.transfer.uploading.after import Following
    from portal.transfer.uploading.announcing import About, Announcing, Sent
    from portal.transfer.uploading.putting_away import PuttingAway

    about = About(params.target, params.source, job.job_id, job.labels.get("trigger", ""), target.access().region)
    announce = Announcing(queue, Sent(job.folder, job.earlier_folder), about, target.store) if queue else None
    done = params.done_folder.key if params.done_folder else ""
    put_away = PuttingAway(params.after, params.source.key, done, resolved(source.access().roots)) if params.after != "keep" else None
    return Following(announce, put_away, job.folder, job.check_cancelled, own_folder=bool(opening.own_job(params.source)))


_SHAPE = {*KeyParams.model_fields, "reencode"} - {"create_bucket", "allow_empty", "endpoint", "tier", "moment"}
"""The parameters that a plan depends on."""


if __name__ == "__main__":
    engine.command(Params, run)
