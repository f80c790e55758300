"""Compare a source with a target without copying anything, and account for every object of both.

Both are listed, and each source is held against the target that a copy of it has: below the target under the same name, or as layout, bad_names
and convert say, which mean what they mean for migrate (names that twins=rename gave are not found). How far the comparison goes is chosen:

  listing   what the listings tell: sizes, the source's ETag that a copy of ours records, MD5s; no request for an object
  stored    also the checksums that both stores keep: up to two requests an object
  read      also reads what cannot be compared otherwise, block by block, one side if the other's store computed a checksum, else both

Each object ends in combined.parquet, and in combined.txt as rclone check --combined writes it: '=' equal, '*' different, '+' only at the source,
'-' only at the target, '!' could not be compared. With each stands the level that was reached, and the result sums them:

  read       bytes were read now and are equal
  stored     the stored checksums of both are equal
  recorded   the target's metadata name this very version of the source; all that can be said of a converted object
  size       only the lengths are equal: this is not called verified

With convert, the schemas that stand beside converted files (_NAME.schema.json), and the parts of converted folders, belong to the results: they are
not extra. The parts that are there must be those that the folder's _SUCCESS lists.

The filters hold for both sides: what they leave out is not missed, and names that they leave out at the target are not extra. When everything is
equal the job succeeds; when something differs, is missing or could not be compared it is partial (exit status 3). Nothing is changed.

Examples:
  python -m engines.verify --source s3://sales/2026/ --target abfss://lake@account/sales/
  python -m engines.verify --source s3://sales --target abfss://lake@account --formats any --proof read --one-way
  python -m engines.verify --source file:///data/in --target s3://sales/in --proof stored
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Literal

from portal import engine
from portal.engine import JobContext, Result, param
from portal.planning.selection import SourceParams
from portal.stores.url import StoreURL

if TYPE_CHECKING:
    from portal.comparing.comparison import Comparison
    from portal.comparing.report import Report
    from portal.planning.planning import Rules
    from portal.transfer.side import Side
    from portal.wire.ends import Access, End


class Params(SourceParams):
    allow_empty: bool = param(False, help="Succeed when nothing matches at either side, instead of failing", group="Source", advanced=True)

    target: StoreURL = param(help="Where the copies should be: a container and folder", group="Target", placeholder="abfss://container@account/folder/")
    target_connection: str = param("", help="Connection of the target; none: the default of its kind", group="Target")
    layout: Literal["prefix", "flat"] = param(
        "prefix", help="As they were copied: prefix kept the folders below the source, flat put every file into one folder", group="Target"
    )
    flat_folder: str = param(
        "raw_data", help="The folder below the target that layout=flat filled; empty: the target itself", group="Target", advanced=True
    )
    bad_names: Literal["fail", "rename"] = param(
        "fail", help="rename: names that the target cannot hold were encoded, as migrate does; fail: they have no copy", group="Target", advanced=True
    )
    convert: Literal["none", "parquet", "folders"] = param(
        "none", group="Target", advanced=True,
        help="CSV and JSON files were converted, and are compared by what their copies record; folders: with partition_by or split_bytes",
    )  # fmt: skip

    proof: Literal["listing", "stored", "read"] = param(
        "stored", group="Proof",
        help="How far to go: listing asks for no single object, stored compares the checksums that the stores keep, read reads what is left",
    )  # fmt: skip
    one_way: bool = param(False, help="What only the target has does not matter", group="Proof")

    concurrency: int = param(16, help="Objects compared at the same time", group="Speed", advanced=True, ge=1, le=64)


def run(params: Params, job: JobContext) -> Result:
    from portal.comparing.reading import Comparer
    from portal.comparing.report import Report
    from portal.transfer.sides import side

    meter = _Meter(job)
    with side(job, params.source, params.source_connection) as source, side(job, params.target, params.target_connection) as target:
        ends = _Opener(source), _Opener(target)
        comparer = Comparer(*ends, _kinds(params), "listing" if job.dry_run else params.proof, meter.passed)
        try:
            with job.interruptible(), Report(job.folder) as report:
                listed = _comparison(params, job, comparer, source, ends, meter).run(report)
                if not listed and not report.classes and not params.allow_empty:
                    _refuse_nothing(params)
        finally:
            comparer.close()
    return _closed(listed, report, params, job, meter.bytes)


def _comparison(params: Params, job: JobContext, comparer: Any, source: Side, ends: tuple[_Opener, _Opener], meter: _Meter) -> Comparison:
    from portal.comparing.comparison import Comparison
    from portal.planning.listing import Lister
    from portal.planning.sources import Listing

    rules = _rules(params)

    def check() -> None:
        meter.passed(0)

    return Comparison(
        rules, params.filters, Listing(rules, Lister(ends[0], check), source.store.stat), Lister(ends[1], check), comparer,
        params.concurrency, params.one_way, job.folder, meter.tell, params.convert,
    )  # fmt: skip


def _rules(params: Params) -> Rules:
    from portal.planning.planning import Rules
    from portal.tabular.options import suits, written_name

    def converted_name(name: str) -> str | None:
        return written_name(name, folder=params.convert == "folders") if suits(name) else None

    return Rules(
        params.source.key, params.target.key, params.target.scheme, flat_folder=params.flat_folder if params.layout == "flat" else None,
        bad_names=params.bad_names, converted_name=converted_name if params.convert != "none" else None,
    )  # fmt: skip


def _kinds(params: Params) -> Any:
    from portal.comparing.evidence import Kinds

    kind = {"s3": "s3", "abfss": "blob", "file": "file"}
    return Kinds(kind[params.source.scheme], kind[params.target.scheme])


class _Opener:
    """Opens ends of one side for any thread, with credentials that are good now; they are asked for once, not by each thread."""

    def __init__(self, side: Side) -> None:
        self._side = side
        self._access: Access | None = None
        self._lock = threading.Lock()

    def __call__(self) -> End:
        from portal.wire.opening import open_end

        with self._lock:
            if self._access is None or time.time() >= self._access.renew_at:
                self._access = self._side.access()
            return open_end(self._access)


class _Meter:
    """Counts over all threads, and tells the job."""

    def __init__(self, job: JobContext) -> None:
        self._job = job
        self._told: tuple[int, int | None, str] = (0, None, "listing")
        self._lock = threading.Lock()
        self.bytes = 0

    def tell(self, done: int, total: int | None, note: str) -> None:
        self._told = (done, total, note)
        self.passed(0)

    def passed(self, size: int) -> None:
        with self._lock:
            self.bytes += size
        done, total, note = self._told
        self._job.progress(done, total, "objects", note, self.bytes)


def _refuse_nothing(params: Params) -> None:
    from portal.errors import NothingMatched

    hint = "Check both URLs and the filters (formats=any takes every file), or allow it with allow_empty."
    raise NothingMatched(f"Nothing matched at {params.source}, nor at {params.target}.", hint=hint)


def _closed(listed: int, report: Report, params: Params, job: JobContext, read_bytes: int) -> Result:
    unproven = report.levels["size"]
    counts = report.counts(listed)
    differs = sum(counts[name] for name in ("different", "only_source", "only_target", "errors"))
    for shown in report.shown:
        job.log.warning("%s %s: %s", shown["sign"], shown["name"], shown["reason"])
    if differs > len(report.shown):
        job.log.warning("… and %s more, see combined.txt", f"{differs - len(report.shown):,}")
    job.log.info("%s", ", ".join(f"{name} {count:,}" for name, count in counts.items() if count or name == "listed"))
    told = f"Of {unproven:,} equal objects only the lengths were compared; they are not verified. {_more(params, job)}" if unproven else ""
    return Result(
        outcome="partial" if differs else "succeeded", counts=counts, bytes=report.source_bytes, warnings=(told,) if told else (),
        report={
            "proof": report.proofs(), "different_by": dict(report.different), "differences": report.shown, "verified": counts["equal"] - unproven,
            "read_bytes": read_bytes, **({"beside": report.beside} if report.beside else {}), **({"dry_run": True} if job.dry_run else {}),
        },
    )  # fmt: skip


def _more(params: Params, job: JobContext) -> str:
    if job.dry_run:
        return f"Without dry run, proof={params.proof} goes on from there."
    return "proof=read compares them byte by byte." if params.proof != "read" else ""


if __name__ == "__main__":
    engine.command(Params, run)
