"""Fetch what messages of an SQS queue tell of: each object of S3 becomes a file, and its message is deleted when the file is safe.

A message is a notice of the upload engine or an event notification of S3, as it is, in the envelope of an SNS topic, or from EventBridge. Events
of other kinds (a deletion, S3's test event) are ignored and their messages deleted. docs/notices.md describes all of them.

The job works until the queue was empty for wait_s. A message is kept in hand for as long as it is worked on (visible_s, extended again and
again). Its file is written under a hidden name, forced to the disk, read back and compared with what came, and with the checksum that S3 keeps or
the notice told; then it gets its name, the record of the job gets its line, and only then the message is deleted. Whatever ends the job before
that, the message comes again. An object that was announced twice is fetched once: the file is there and has these bytes.

What is fetched is the object as it is now, whichever version the message was sent for: messages come in any order, and an older version never
takes the place of a newer one.

What cannot be done is tried max_tries times, with a pause that doubles. Then the message goes to the dead letters, whole and with the reason: the
queue or folder that dead_letters names, else the dead-letter queue that the queue itself has, else the folder DeadLetters beside the target. A
message that is no notice goes there at once. What is not the message's fault (no answer, no room on the disk, refused credentials) is no try: it
waits in the queue, unless it came more than five times max_tries times and others of the job could be read. docs/notices.md tells how tries are
counted.

A message must not make the portal read just anything: sources names the buckets and folders whose objects may be fetched. Without it, every
bucket that the connection can read.

Every object ends in the ledger as copied, skipped (there already), excluded (ignored) or failed, with the reason; failed ones whose message went
to the dead letters are counted as dead_lettered, too. The proof of a copied one is read-back. With something failed the job is partial; when
nothing else could be done, it failed. An empty queue is no failure.

Examples:
  python -m engines.download --queue portal-notices --target file:///srv/box/DownloadedFromS3/
  python -m engines.download --queue portal-notices --target file:///srv/box/DownloadedFromS3/ --sources s3://sales/2026/ --layout key
  python -m engines.download --queue https://sqs.eu-west-1.amazonaws.com/123456789012/portal-notices --target file:///srv/box/in/ --dry-run
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import field_validator, model_validator

from portal import engine
from portal.engine import EngineParams, JobContext, Result, param
from portal.stores.url import StoreURL

if TYPE_CHECKING:
    from pathlib import Path

    from portal.errors import PortalError
    from portal.ledger.balance import Books
    from portal.notices.sqs import NoticeQueue
    from portal.transfer.downloading.dead_letters import DeadLetters
    from portal.transfer.downloading.record import Record

_DEAD_FOLDER = "DeadLetters"


class Params(EngineParams):
    queue: str = param(help="Name or URL of the SQS queue", group="Source", placeholder="portal-notices", min_length=1)
    queue_connection: str = param("", help="Connection of kind s3 that leads to SQS; none: the default", group="Source")
    source_connection: str = param("", help="Connection of kind s3 that the objects are read with; none: the default", group="Source")
    sources: tuple[StoreURL, ...] = param(
        (), help="Only objects in these buckets and folders may be fetched; none: all that the connection can read", group="Source",
        placeholder="s3://sales/2026/",
    )  # fmt: skip
    max_messages: int = param(
        100_000, help="Take at most so many messages; a trigger starts the next job for the others", group="Source", unit="messages", advanced=True,
        ge=1, le=10_000_000,
    )  # fmt: skip
    wait_s: float = param(10.0, help="End when the queue was empty for so long", group="Source", unit="s", ge=0, le=86_400)

    target: StoreURL = param(help="Folder that the files go to; it is made when it is missing", group="Target",
                             placeholder="file:///srv/box/DownloadedFromS3/")  # fmt: skip
    layout: Literal["bucket-key", "key", "flat"] = param(
        "bucket-key", group="Target",
        help="bucket-key: a folder for each bucket, the key below it; key: the key alone; flat: all files in one folder, under the last part of "
        "their key. Where files of several objects would have one name (key, flat), one that another object's file has gets a name of its own",
    )  # fmt: skip
    overwrite: Literal["different", "skip", "fail"] = param(
        "different", group="Target",
        help="When there is a file: different replaces one that has other bytes; skip leaves it; fail fails when it has other bytes",
    )  # fmt: skip

    max_tries: int = param(5, help="Dead-letter a message that failed so often", group="Failures", ge=1, le=1000)
    retry_s: float = param(
        10.0, help="Before a message that failed comes again; doubles each time, up to 15 minutes", group="Failures", unit="s", advanced=True,
        ge=0, le=900,
    )  # fmt: skip
    dead_letters: str = param(
        "", group="Failures", placeholder="portal-notices-dead",
        help="Name or URL of a queue, or a folder (file:///…); none: the dead-letter queue that the queue has, else DeadLetters beside the target",
    )  # fmt: skip
    visible_s: int = param(
        120, help="How long a message that is worked on stays hidden from others without a word from this job; extended meanwhile",
        group="Failures", unit="s", advanced=True, ge=2, le=43_200,
    )  # fmt: skip
    concurrency: int = param(0, help="Objects fetched at the same time; 0: 16", group="Speed", advanced=True, ge=0, le=64)

    @field_validator("target")
    @classmethod
    def _folder(cls, value: StoreURL) -> StoreURL:
        if value.scheme != "file":
            raise ValueError("files are downloaded to a folder of this machine, file:///…; between stores, use the migrate engine")
        return value

    @field_validator("sources")
    @classmethod
    def _in_s3(cls, value: tuple[StoreURL, ...]) -> tuple[StoreURL, ...]:
        if other := [str(url) for url in value if url.scheme != "s3"]:
            raise ValueError(f"{other[0]} is not in S3; write s3://bucket/folder/")
        return value

    @model_validator(mode="after")
    def _dead_elsewhere(self) -> Self:
        if self.dead_letters.rstrip("/") in (self.queue, str(self.target).rstrip("/")):
            raise ValueError("dead_letters must be another queue or folder than those that the job reads from and writes to")
        return self


def run(params: Params, job: JobContext) -> Result:
    from portal.notices.sqs import NoticeQueue
    from portal.stores.local_files import confined, resolved

    folder = confined(params.target.key, resolved(job.connection("local").roots))
    with job.interruptible():
        queue = NoticeQueue.open(job.connection("s3", params.queue_connection), params.queue)
    with queue, _dead_letters(params, job, queue, folder) as dead:
        waiting = queue.waiting()
        meant = ", ".join(map(str, params.sources)) or "any bucket of the connection"
        job.log.info("messages that wait in %s: about %s", queue.name, f"{waiting:,}")
        job.log.info("objects of %s go to file://%s/, dead letters to %s", meant, folder, dead.where)
        if job.dry_run:
            told = {"queue": queue.url, "waiting": waiting, "target": f"file://{folder}/", "sources": meant, "dead_letters": dead.where}
            return Result(counts={"waiting": waiting}, report={"plan": told})
        return _downloaded(params, job, queue, folder, dead)


@contextmanager
def _dead_letters(params: Params, job: JobContext, queue: NoticeQueue, folder: Path) -> Iterator[DeadLetters]:
    """Find out where dead letters go, before anything is received."""
    from portal.errors import BadParameters
    from portal.notices.sqs import NoticeQueue
    from portal.stores.local_files import confined, resolved
    from portal.transfer.downloading.dead_letters import DeadFolder, DeadQueue

    named = params.dead_letters or queue.dead_letters() or f"file://{folder.parent}/{_DEAD_FOLDER}/"
    if named.startswith("file:"):
        try:
            place = confined(StoreURL.parse(named).key, resolved(job.connection("local").roots))
        except ValueError as error:
            raise BadParameters(f"dead_letters: {error}") from None
        yield DeadFolder(place, queue.name, job.job_id)
        return
    with NoticeQueue.open(job.connection("s3", params.queue_connection), named) as other:
        if other.url == queue.url:
            raise BadParameters("dead_letters is the queue itself.", hint="Name another queue, or a folder.")
        yield DeadQueue(other, queue.name, job.job_id)


def _downloaded(params: Params, job: JobContext, queue: NoticeQueue, folder: Path, dead: DeadLetters) -> Result:
    import os

    from portal.errors import AccessDenied
    from portal.ledger import ledger
    from portal.ledger.balance import Books
    from portal.stores.local_files import translated
    from portal.transfer.downloading.record import RECORD_FILE, Record

    with translated(str(folder).lstrip("/")):
        folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):  # no message is to blame for it, and none shall be dead-lettered
        raise AccessDenied(f"file://{folder}/ may not be written to by this user.", hint="Give the folder to the user that the worker runs as.")
    record, books = Record(job.artefact(RECORD_FILE)), Books("file:///")
    try:
        trouble = _worked(params, job, queue, folder, dead, record)
    finally:
        record.close()
        ledger.write(job.artefact(ledger.LEDGER_FILE), books.through(record.columns()))
        job.so_far = _result(params, books, record)
    books.refuse_imbalance(record.listed)
    job.log.info("%s", ", ".join(f"{name} {count:,}" for name, count in job.so_far.counts.items() if count or name == "messages"))
    return _judged(job.so_far, books, trouble)


def _worked(params: Params, job: JobContext, queue: NoticeQueue, folder: Path, dead: DeadLetters, record: Record) -> PortalError | None:
    import threading
    from concurrent.futures import ThreadPoolExecutor

    from portal.transfer.downloading.downloads import Downloads, Limits
    from portal.transfer.downloading.ends import Ends
    from portal.transfer.downloading.fetching import Fetcher
    from portal.transfer.downloading.handling import Handler
    from portal.wire.access import access_of

    connection = job.connection("s3", params.source_connection)
    ends = Ends(lambda bucket: access_of(StoreURL("s3", bucket), connection))
    threads = params.concurrency or 16
    limits = Limits(params.max_messages, params.wait_s, params.visible_s, params.retry_s, threads)
    blocks = ThreadPoolExecutor(min(threads, 8), "blocks")
    fetcher = Fetcher(ends, folder, params.layout, params.overwrite, blocks, threading.Event())
    handler = Handler(fetcher, dead, params.sources, params.max_tries)
    downloads = Downloads(queue, handler, record, limits, lambda done, left, size: job.progress(done, done + left, "objects", "", size))
    try:
        return downloads.run()
    finally:
        blocks.shutdown(wait=downloads.quiet, cancel_futures=True)
        if downloads.quiet:  # else a thread still waits for a service that does not answer
            ends.close()


def _result(params: Params, books: Books, record: Record) -> Result:
    counts = {"messages": record.messages, **books.counts(record.listed), "dead_lettered": record.dead}
    report: dict[str, Any] = {
        "proof": dict(books.proofs), "modes": dict(books.modes), "causes": dict(books.causes), "failures": books.failures,
        "excluded": dict(books.excluded), "bytes_through": books.bytes_through,
    }  # fmt: skip
    outputs = ({"url": str(params.target), "objects": books.moved, "bytes": books.bytes}, *(books.outputs if len(books.outputs) <= 1000 else ()))
    return Result(counts=counts, bytes=books.bytes, outputs=outputs, warnings=tuple(books.notes), report=report)


def _judged(result: Result, books: Books, trouble: PortalError | None) -> Result:
    from dataclasses import replace

    from portal.errors import TransferFailed

    if trouble:
        raise trouble
    counts = result.counts
    if not counts["failed"]:
        return result
    if books.moved or books.outcomes["skipped"] or books.outcomes["excluded"] or counts["dead_lettered"] == counts["failed"]:
        return replace(result, outcome="partial")
    first = books.failures[0]
    error = TransferFailed(f"Nothing could be fetched; {_what_comes(counts['failed'], counts['dead_lettered'])}. {first['key']}: {first['reason']}")
    error.retryable = True
    raise error


def _what_comes(failed: int, dead: int) -> str:
    """What becomes of the messages of objects that failed. What to do about an object is said with its reason."""
    again = "its message comes again" if failed - dead == 1 else f"the messages of {failed - dead:,} objects come again"
    return f"{dead:,} went to the dead letters, and {again}" if dead else again


if __name__ == "__main__":
    engine.command(Params, run)
