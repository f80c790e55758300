"""What a full queue and a long archive cost: one turn of a worker, claims, look-ups, lists, reports, and what a page reads at each poll.

`python -m bench.queue_scale [--waiting 20000] [--blocked 2000] [--delayed 2000] [--records 50000] [--days 60] [--many 100000]` prints
milliseconds, a line a figure. All lies in a temporary folder; the files are written without waiting for the disk, what is measured waits for it
as usual. `--only submits claims` measures some parts.
"""

from __future__ import annotations

import argparse
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from portal import audit, clock, seal, settings
from portal.jobs import Attempt, Job, Status
from portal.settings import CODE_ROOT
from portal.spool import Spool, claiming
from portal.spool.layout import delayed_name, ready_name
from portal.spool.ready_index import ReadyIndex
from portal.ui import health, job_rows, job_search
from portal.ui.job_search import Filters
from portal.worker import Worker
from tests.archives import finished_job

_PLACEHOLDER = "0" * 26
_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_DAY_MS = 86_400_000
_CLAIMS = 100
_AMORTISED, _SLOTS = 1000, 2
_SUBMITS = 400


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.queue_scale", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--waiting", type=int, default=20_000, help="jobs that are ready")
    parser.add_argument("--blocked", type=int, default=2_000, help="jobs that share one limit, which is taken")
    parser.add_argument("--delayed", type=int, default=2_000, help="jobs that are not due yet")
    parser.add_argument("--records", type=int, default=50_000, help="finished jobs")
    parser.add_argument("--days", type=int, default=60, help="days they finished on")
    parser.add_argument("--many", type=int, default=100_000, help="jobs that are ready where the cost of a claim is measured")
    parser.add_argument("--only", nargs="+", choices=("queue", "blocked", "archive", "submits", "claims"), help="measure only this")
    given = parser.parse_args()
    parts: dict[str, Callable[[Path], None]] = {
        "submits": lambda home: submits(home, given.delayed),
        "claims": lambda home: claims(home, given.many),
        "queue": lambda home: queue(home, given.waiting, given.delayed),
        "blocked": lambda home: blocked(home, given.blocked),
        "archive": lambda home: archive(home, given.records, given.days),
    }
    for name in given.only or parts:
        with tempfile.TemporaryDirectory(prefix="bench-queue-") as folder:
            parts[name](Path(folder, "home"))
    return 0


def submits(home: Path, delayed: int) -> None:
    """Submits, each beside one of the same system calls without a queue, in turn and in the same folders, so that both meet the same disk.

    The folders matter: ext4 looks for a free inode near the folder, and passes over those that were freed in the last minutes one by one.
    """
    print(f"submits: {_SUBMITS} of each kind in turn, medians, {delayed:,} jobs delayed")
    spool = spool_at(home)
    put_waiting(spool, delayed, delayed=True)
    bare, ours = [], []
    for _ in range(_SUBMITS):
        job = Job(an_id(clock.now_ms(), secrets.randbits(60)), "migrate", {"source": "s3://demo-data/raw/"}, clock.iso(clock.now_ms()), "bench")
        data = job.to_json().encode()
        bare.append(seconds(lambda data=data: write_link_sync(spool.layout.queue, data)))
        ours.append(seconds(lambda job=job: spool.submit(job)))
    least, taken_s = statistics.median(bare), statistics.median(ours)
    told("bare write, fsync, link, fsync of the folder", least)
    told("submit", taken_s)
    print(f"  {'submits a second, as a part of the bare loop':<74}{least / taken_s:>10.2f} x", flush=True)


def write_link_sync(folder: Path, data: bytes) -> None:
    fresh, name = f"{folder}/tmp/{secrets.token_hex(10)}", f"{folder}/.bare-{secrets.token_hex(10)}"
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
    os.write(descriptor, data)
    os.fsync(descriptor)
    os.close(descriptor)
    os.link(fresh, name)
    os.unlink(fresh)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(descriptor)
    os.close(descriptor)


def claims(home: Path, many: int) -> None:
    """What one claim costs a worker with few and with many jobs waiting, in turn, over many claims; its listings are told apart."""
    print(f"claims: {_AMORTISED:,} by one worker, {_SLOTS} a look, the attempt recorded; as many jobs come as go")
    few, more = (Waiting(home / f"{count}", count) for count in (100, many))
    for _ in range(_AMORTISED // _SLOTS):
        few.look()
        more.look()
    for queue_of in (few, more):
        told(f"{queue_of.count:,} waiting: a claim, on average, listings included", statistics.mean(queue_of.looks_s) / _SLOTS)
        told(f"{queue_of.count:,} waiting: a claim, median", statistics.median(queue_of.looks_s) / _SLOTS)
    print(f"  {f'one of {many:,} against one of 100':<74}{statistics.mean(more.looks_s) / statistics.mean(few.looks_s):>10.2f} x", flush=True)


class Waiting:
    """A queue of so many jobs, and a worker's memory of it."""

    def __init__(self, home: Path, count: int) -> None:
        self.count, self.looks_s = count, list[float]()
        self.spool = spool_at(home)
        put_waiting(self.spool, count)
        os.sync()
        self.index = ReadyIndex(self.spool.layout)
        self.index.hear(())
        figure(f"{count:,} waiting: the first listing", self.index.refresh)

    def look(self) -> None:
        self.index.hear([ready_name(Job(job_id, "", {}, "")) for job_id in put_waiting(self.spool, _SLOTS)])
        self.looks_s.append(seconds(lambda: taken(self.spool, _SLOTS, self.index)))


def opened(job: Job) -> Job:
    return job.evolve(status=Status.RUNNING, attempts=(Attempt(1, "bench", "bench", job.submitted_at),))


def seconds(work: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def told(what: str, taken_s: float) -> None:
    print(f"  {what:<74}{taken_s * 1000:>10,.2f} ms", flush=True)


def an_id(moment_ms: int, number: int) -> str:
    """A ULID of a moment; ids of one moment differ by number."""
    value = moment_ms << 80 | number
    return "".join(_DIGITS[value >> shift & 31] for shift in range(125, -1, -5))


def spool_at(home: Path) -> Spool:
    home.mkdir(parents=True)
    return Spool(settings.load(home))


def figure(what: str, work: Callable[[], Any], *, each: int = 1) -> Any:
    """Time one call, print it in milliseconds (for `each` things: of one of them), and return what it gave."""
    begun = time.perf_counter()
    found = work()
    told(what, (time.perf_counter() - begun) / each)
    return found


def put_waiting(spool: Spool, count: int, *, delayed: bool = False, **changes: Any) -> list[str]:
    """Write job files by hand, in the order of their ids; returns the ids."""
    now_ms = clock.now_ms()
    params = {"source": "s3://demo-data/raw/", "target": "abfss://lake@account/raw/", "formats": ["csv", "json", "parquet"]}
    text = Job(_PLACEHOLDER, "migrate", params, clock.iso(now_ms), "bench", **changes).to_json()
    job = Job.from_json(text)
    ids = [an_id(now_ms, number + (1 << 40) * delayed) for number in range(count)]
    for number, job_id in enumerate(ids):
        one = job.evolve(id=job_id)
        path = spool.layout.delayed / delayed_name(job_id, now_ms + _DAY_MS + number) if delayed else spool.layout.queue / ready_name(one)
        path.write_text(text.replace(_PLACEHOLDER, job_id))
    return ids


def queue(home: Path, waiting: int, delayed: int) -> None:
    print(f"queue: {waiting:,} jobs ready, {delayed:,} delayed")
    spool = spool_at(home)
    ids = put_waiting(spool, waiting)
    put_waiting(spool, delayed, delayed=True)
    with a_worker(spool) as worker:
        figure("worker turn, nothing to do, with the housekeeping", lambda: worker.turn(claim=False))
        time.sleep(1)  # for the warm spares, and until the folders are old enough to be believed
        told("worker turn, nothing to do, median", statistics.median(seconds(lambda: worker.turn(claim=False)) for _ in range(_CLAIMS)))
        figure("counts", spool.counts)
        figure("waiting(limit=50)", lambda: spool.waiting(50))
        figure("find: a job in the middle of the queue", lambda: spool.find(ids[len(ids) // 2]))
        figure("find: a job that is nowhere", lambda: spool.find(an_id(clock.now_ms(), 7 << 60)))
        figure("cancel one", lambda: spool.cancel(ids[-1], "bench"))
        figure("worker turn that archives the cancelled one", lambda: worker.turn(claim=False))
    figure("submit one", lambda: spool.submit(Job(an_id(clock.now_ms(), 9 << 60), "migrate", {}, clock.iso(clock.now_ms()))))
    pages(spool)
    command(home, "jobs")
    command(home, "jobs", "--status", "queued", "--limit", "5", "--json")
    command(home, "show", ids[-2][-12:])
    figure("look at the queue and claim 2", lambda: taken(spool, 2))
    figure(f"claim, each of {_CLAIMS} from one look", lambda: taken(spool, _CLAIMS), each=_CLAIMS)


def taken(spool: Spool, count: int, index: ReadyIndex | None = None) -> None:
    for claim in islice(claiming.claims(spool.layout, index=index, opening=opened), count):
        claim.let_go()


@contextmanager
def a_worker(spool: Spool, **options: Any) -> Iterator[Worker]:
    worker = Worker(spool.settings, **options)
    try:
        yield worker
    finally:
        worker.leave()


def blocked(home: Path, count: int) -> None:
    print(f"limits: {count:,} jobs that share a limit with one that runs")
    spool = spool_at(home)
    put_waiting(spool, count, limits=("table:sales",))
    claim = next(iter(claiming.claims(spool.layout)))
    with a_worker(spool) as worker:
        worker.turn(claim=False)
        figure("worker turn that finds no job it may start: the first", worker.turn)
        figure("worker turn that finds no job it may start: the second", worker.turn)
        told("worker turn that finds no job it may start: the next, median", statistics.median(seconds(worker.turn) for _ in range(_CLAIMS)))
    claim.let_go()


def put_records(spool: Spool, count: int, days: int) -> tuple[str, str]:
    """Write archive records, one in fifty failed; returns the ids of the oldest and the newest."""
    today = datetime.now(UTC).date()
    text = finished_job("2026-01-01T10:00:09.000Z", id=_PLACEHOLDER).to_json()
    per_day = -(-count // days)
    oldest = newest = ""
    for number in range(count):
        day = today - timedelta(days=days - 1 - number // per_day)
        newest = an_id(int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000), number)
        oldest = oldest or newest
        folder = spool.layout.day(day)
        if number % per_day == 0:
            folder.mkdir(parents=True)
            dated = text.replace("2026-01-01", day.isoformat()).replace("2026-11-20", day.isoformat())
            failed = dated.replace('"status": "succeeded"', '"status": "failed"')
        with open(f"{folder}/{newest}.json", "w") as file:
            file.write((failed if number % 50 == 0 else dated).replace(_PLACEHOLDER, newest))
    return oldest, newest


def archive(home: Path, count: int, days: int) -> None:
    print(f"archive: {count:,} records over {days} days")
    spool = spool_at(home)
    oldest, newest = put_records(spool, count, days)
    today = datetime.now(UTC).date()
    figure("find: the oldest job", lambda: spool.find(oldest))
    figure("find: the newest job", lambda: spool.find(newest))
    figure("archived, newest first: the first 50", lambda: list(islice(spool.archived(today - timedelta(days), today), 50)))
    pages(spool)
    week = today - timedelta(days=6)
    figure("audit.rows of 7 days, for the first time", lambda: audit.rows(spool.settings, week, today))
    figure("audit.rows of 7 days, again", lambda: audit.rows(spool.settings, week, today))
    month = today - timedelta(days=29)
    figure("audit.rows of 30 days, for the first time", lambda: audit.rows(spool.settings, month, today))
    rows = figure("audit.rows of 30 days, again", lambda: audit.rows(spool.settings, month, today))
    figure("audit.summary of 30 days", lambda: audit.summary(rows))
    figure("seal_closed_days: all of them", lambda: seal.seal_closed_days(spool.settings))
    figure("seal_closed_days: nothing to do", lambda: seal.seal_closed_days(spool.settings))
    command(home, "jobs")
    command(home, "audit", "report", "--since", "7d", "--format", "csv", "-o", str(home / "report.csv"))


def pages(spool: Spool) -> None:
    """What the pages ask for at every poll."""
    figure("page: health", lambda: health.look(spool.settings, spool))
    found = figure("page: jobs, the first page", lambda: job_search.page(spool, Filters(), 1))
    figure("page: the same at the next poll", lambda: job_search.page(spool, Filters(), 1))
    figure("page: rows of the table", lambda: job_rows.rows(spool, found.jobs, may_act=True))
    rare = Filters(text="nobody ever wrote this")
    figure("page: jobs, a filter that nothing fits", lambda: job_search.page(spool, rare, 1))
    figure("page: the same at the next poll", lambda: job_search.page(spool, rare, 1))


def command(home: Path, *arguments: str) -> None:
    def run() -> None:
        environment = {**os.environ, "PORTAL_HOME": str(home)}
        subprocess.run([sys.executable, "-m", "portal", *arguments], cwd=CODE_ROOT, env=environment, check=True, capture_output=True)

    figure(f"python -m portal {' '.join(arguments)}"[:70], run)


if __name__ == "__main__":
    sys.exit(main())
