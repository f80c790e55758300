"""Make a random data set.

Writes a table of any size to a store: a time index over a date range and columns of normally distributed floats, or columns of the kinds that are
asked for. The same parameters make the same bytes, whenever and wherever they run. The data is streamed: memory does not grow with the number of
rows. The object appears whole, its CRC64NVME sent along; an attempt that was cut off is gone on with, and only blocks that are not at the
target yet are sent.

Kinds of columns, each written NAME:KIND, with an ARGUMENT where one is told, and :nulls=5 behind it for 5 % of empty values:
  index                      moments evenly spread over the period, in order
  serial[:FIRST]             1, 2, 3, …
  integer[:LOW..HIGH]        whole numbers, 0 to 1,000,000
  float[:LOW..HIGH]          normally distributed around 0, or evenly within a range
  decimal[:DIGITS,PLACES]    exact numbers of 10 digits, 2 after the point; at most 18 and 6
  boolean[:SHARE]            true with a share of 0.5
  date, timestamp            within the period
  text[:SHORTEST..LONGEST]   5 to 20 letters
  choice:A,B,C               one of these
  uuid                       version 4
  awkward                    what careless programs get wrong: quotes, line breaks, leading zeros, other scripts

Examples:
  python -m engines.generate --target s3://samples/random.csv --rows 1000000 --columns 22
  python -m engines.generate --target s3://samples/orders.parquet --kinds id:serial at:index country:choice:DE,FR,US amount:decimal:12,2:nulls=5
"""

from __future__ import annotations

import time
from datetime import date
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import model_validator

from portal import engine
from portal.connections import KIND_OF_SCHEME
from portal.engine import EngineParams, JobContext, Result, param
from portal.errors import AlreadyExists, BadParameters, Cancelled, NotFound, PortalError, ProofFailed, UploadGone
from portal.stores.base import ObjectInfo, Store
from portal.stores.url import StoreURL

if TYPE_CHECKING:
    from portal.tabular.sampling import Sample
    from portal.transfer.block_stream import BlockStream

_ENDINGS = {".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson", ".parquet": "parquet"}
_TYPES = {"csv": "text/csv", "ndjson": "application/x-ndjson", "parquet": "application/vnd.apache.parquet"}
_BLOCK_BYTES, _LARGEST_BLOCK = 16 << 20, 512 << 20
_WAIT_STEP_S = 0.2


class Params(EngineParams):
    target: StoreURL = param(help="Object to write, e.g. s3://bucket/samples/random.csv", group="Target", placeholder="s3://bucket/random.csv")
    target_connection: str = param("", help="Connection of the target; empty: the default of its scheme", group="Target")
    overwrite: Literal["fail", "skip", "replace"] = param("fail", help="What to do when the target exists already", group="Target")
    format: Literal["auto", "csv", "ndjson", "parquet"] = param("auto", help="File format; auto: what the target's name ends in", group="Target")
    rows: int = param(1_000_000, help="Rows", group="Data", ge=1, le=2_000_000_000)
    columns: int = param(22, help="Columns of floats, beside the time index", group="Data", ge=1, le=1_000)
    kinds: tuple[str, ...] = param(
        (), help="Columns by name and kind in place of those, e.g. id:serial country:choice:DE,FR amount:decimal:12,2:nulls=5", group="Data"
    )
    start: date = param(date(2024, 1, 1), help="First day of the time index (UTC)", group="Data")
    end: date = param(date(2025, 1, 1), help="Day on which the time index ends, itself not included", group="Data")
    seed: int = param(0, help="Seed: another one makes other values", group="Data", ge=0)

    @model_validator(mode="after")
    def _end_is_after_start(self) -> Self:
        if self.end <= self.start:
            raise ValueError(f"end ({self.end}) must be after start ({self.start})")
        return self

    @property
    def kind(self) -> Any:
        """The format to write. Raises BadParameters when neither parameter nor name tells."""
        if self.format != "auto":
            return self.format
        for ending, kind in _ENDINGS.items():
            if self.target.key.lower().endswith(ending):
                return kind
        raise BadParameters(f"The name {self.target.key!r} does not tell the format.", hint=f"Let it end in {', '.join(_ENDINGS)}, or set format.")


def run(params: Params, job: JobContext) -> Result:
    sample = _sample(params)
    about = {"rows": params.rows, "columns": len(sample.names) - (not params.kinds), "format": params.kind, "seed": params.seed}
    block_bytes = _block_bytes(params, sample)
    job.log.info("%s rows of %s columns as %s to %s", f"{params.rows:,}", f"{len(sample.names):,}", params.kind, params.target)
    if job.dry_run:
        plan = {**about, "target": str(params.target), "names": sample.names, "most_bytes": params.rows * sample.row_bytes(params.kind)}
        return Result(counts={"rows": 0}, report={"plan": plan})
    if there := _refused_or_skipped(params, job):
        output = {"url": str(params.target), "size_bytes": there.size_bytes}
        return Result(counts={"rows": 0, "skipped": 1}, outputs=(output,), warnings=(f"{params.target} was there already.",))
    return _Generating(params, sample, job, block_bytes).run(about)


def _sample(params: Params) -> Sample:
    """Raises BadParameters."""
    from portal.tabular.sampling import Sample
    from portal.tabular.sampling_kinds import column

    if not params.target.key or params.target.key.endswith("/"):
        raise BadParameters(f"{params.target} names no object.", hint="Give it a name: s3://bucket/samples/random.csv.")
    kinds = tuple(column(text) for text in params.kinds)
    names = [item.name.lower() for item in kinds]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise BadParameters(f"Two columns are called {twice[0]!r}.", hint="Give each column a name of its own; capitals do not tell them apart.")
    if len(kinds) > 1_000:
        raise BadParameters(f"{len(kinds):,} columns are too many.", hint="At most 1,000.")
    return Sample(params.rows, params.columns, params.start, params.end, params.seed, kinds)


def _block_bytes(params: Params, sample: Sample) -> int:
    """Raises BadParameters for what no store takes as one object."""
    from portal.movers.layout import block_bytes

    most = params.rows * sample.row_bytes(params.kind)
    found = block_bytes(most, _BLOCK_BYTES, "s3")
    if found > _LARGEST_BLOCK:
        raise BadParameters(
            f"{params.rows:,} rows would make an object of up to {most / 1e12:.1f} TB, and 5 TB is the limit.",
            hint="Make several, each with a seed of its own.",
        )
    return found


def _refused_or_skipped(params: Params, job: JobContext) -> ObjectInfo | None:
    """Return what stands at the target when it is to stay. Raises AlreadyExists."""
    if params.overwrite == "replace":
        return None
    there = _existing(job.store(params.target, params.target_connection), params.target.key)
    if not there or job.load_checkpoint() is not None:  # what stands there may be this job's own work, begun before
        return None
    if params.overwrite == "fail":
        raise AlreadyExists(f"{params.target} exists already.", hint="Choose another name, or overwrite=skip or overwrite=replace.")
    return there


def _existing(store: Store, key: str) -> ObjectInfo | None:
    try:
        return store.stat(key)
    except NotFound:
        return None
    finally:
        store.close()


class _Generating:
    """One attempt. The checkpoint holds what is at the target: `staged`, the blocks sent; `whole`, length and CRC of the object before its commit."""

    def __init__(self, params: Params, sample: Sample, job: JobContext, block_bytes: int) -> None:
        from portal.transfer.block_stream import Staged

        self._params, self._sample, self._job, self._block_bytes = params, sample, job, block_bytes
        self._connection = job.connection(KIND_OF_SCHEME[params.target.scheme], params.target_connection)
        self._made_by = params.model_dump_json(exclude={"overwrite", "target_connection"})
        own = job.load_checkpoint()
        self._again = own is not None
        before = next((state for state in (own, job.load_earlier_checkpoint()) if state and state.get("made_by") == self._made_by), {})
        self._known, self._whole = Staged.read(before.get("staged")), before.get("whole")

    def run(self, about: dict[str, Any]) -> Result:
        size, crc, note = self._done_before() or self._made()
        output = {"url": str(self._params.target), "size_bytes": size, "crc64nvme": f"{crc:016x}", **about}
        self._job.log.info("%s bytes, CRC64NVME %s%s", f"{size:,}", output["crc64nvme"], f"; {note}" if note else "")
        report = {"columns": self._sample.names, **({"resumed": note} if note else {})}
        return Result(counts={"rows": self._params.rows}, bytes=size, outputs=(output,), report=report)

    def _access(self) -> Any:
        from portal.wire.access import access_of

        return access_of(self._params.target, self._connection)

    def _done_before(self) -> tuple[int, int, str] | None:
        """An earlier attempt may have ended between its commit and its last word."""
        from portal.transfer.block_stream import is_there
        from portal.wire.opening import open_end

        if not self._whole:
            return None
        size, crc = self._whole
        end = open_end(self._access())
        try:
            return (size, crc, "an earlier attempt had written all of it") if is_there(end, self._params.target.key, size, crc) else None
        finally:
            end.close()

    def _made(self) -> tuple[int, int, str]:
        from portal.transfer.block_stream import BlockStream, Staged

        self._keep(self._known._asdict())
        stream = BlockStream(self._sending(), self._known)
        try:
            self._write(stream)
        except BaseException as error:
            self._left(stream, error)
            if not isinstance(error, UploadGone) or not self._known.upload:
                raise
            self._job.log.warning("What an earlier attempt had sent is no longer at the target: beginning anew.")
            self._known, self._whole = Staged(), None
            return self._made()
        stream.end()
        kept = stream.size - stream.sent_bytes
        return stream.size, stream.crc, f"{kept:,} bytes were there from an earlier attempt" if self._known.upload and kept else ""

    def _left(self, stream: BlockStream, error: BaseException) -> None:
        """What may be gone on with is left at the target; else it is taken back."""
        passes = not isinstance(error, PortalError) or error.retryable or isinstance(error, Cancelled)
        if passes and not isinstance(error, UploadGone):
            stream.leave()
            return
        stream.discard()
        self._whole = None
        self._keep({})

    def _write(self, stream: BlockStream) -> None:
        from portal.tabular.sampling import write

        for done in write(self._sample, self._params.kind, stream):
            self._job.progress(done, self._params.rows, "rows", done_bytes=stream.size)
        stream.send_rest()
        self._whole = [stream.size, stream.crc]
        self._keep(stream.staged()._asdict())
        written = stream.commit()
        if not written.checked:
            self._proved_by_length(stream)

    def _proved_by_length(self, stream: BlockStream) -> None:
        """Raises ProofFailed."""
        there = _existing(self._job.store(self._params.target, self._params.target_connection), self._params.target.key)
        if not there or there.size_bytes != stream.size:
            raise ProofFailed(f"{self._params.target} has {there.size_bytes if there else 0} bytes; {stream.size} were written.")

    def _sending(self) -> Any:
        from portal.transfer.block_stream import Sending
        from portal.wire.ends import About

        about, overwrite = About(content_type=_TYPES[self._params.kind]), self._again or self._params.overwrite == "replace"
        return Sending(self._access, self._params.target.key, about, overwrite, self._block_bytes, self._keep, self._pause)

    def _keep(self, staged: Any) -> None:
        self._job.save_checkpoint({"began": str(self._params.target), "made_by": self._made_by, "staged": staged, "whole": self._whole})

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._job.check_cancelled()
            time.sleep(min(left, _WAIT_STEP_S))


if __name__ == "__main__":
    engine.command(Params, run)
