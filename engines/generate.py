"""Make a random data set.

Writes a table of any size to a store: a time index over a date range and columns of normally distributed floats. The same parameters make the
same bytes, whenever and wherever they run. The data is streamed: memory does not grow with the number of rows.
"""

from __future__ import annotations

import io
from datetime import date
from typing import Any, Literal, Self

from pydantic import model_validator

from portal import engine
from portal.engine import EngineParams, JobContext, Result, param
from portal.errors import AlreadyExists, BadParameters, NotFound, ProofFailed
from portal.stores.base import ObjectInfo, Store, Writer
from portal.stores.url import StoreURL

_ENDINGS = {".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson", ".parquet": "parquet"}
_TYPES = {"csv": "text/csv", "ndjson": "application/x-ndjson", "parquet": "application/vnd.apache.parquet"}


class Params(EngineParams):
    target: StoreURL = param(help="Object to write, e.g. s3://bucket/samples/random.csv", group="Target", placeholder="s3://bucket/random.csv")
    target_connection: str = param("", help="Connection of the target; empty: the default of its scheme", group="Target")
    overwrite: Literal["fail", "skip", "replace"] = param("fail", help="What to do when the target exists already", group="Target")
    format: Literal["auto", "csv", "ndjson", "parquet"] = param("auto", help="File format; auto: what the target's name ends in", group="Target")
    rows: int = param(1_000_000, help="Rows", group="Data", ge=1, le=2_000_000_000)
    columns: int = param(22, help="Columns of floats, beside the time index", group="Data", ge=1, le=1_000)
    start: date = param(date(2024, 1, 1), help="First day of the time index (UTC)", group="Data")
    end: date = param(date(2025, 1, 1), help="Day on which the time index ends, itself not included", group="Data")
    seed: int = param(0, help="Seed: another one makes other values", group="Data", ge=0)

    @model_validator(mode="after")
    def _end_is_after_start(self) -> Self:
        if self.end <= self.start:
            raise ValueError(f"end ({self.end}) must be after start ({self.start})")
        return self

    @property
    def kind(self) -> str:
        """The format to write. Raises BadParameters when neither parameter nor name tells."""
        if self.format != "auto":
            return self.format
        for ending, kind in _ENDINGS.items():
            if self.target.key.lower().endswith(ending):
                return kind
        raise BadParameters(f"The name {self.target.key!r} does not tell the format.", hint=f"Let it end in {', '.join(_ENDINGS)}, or set format.")


class _Sink(io.RawIOBase):
    """A file-like object over a store's writer that counts and sums what passes."""

    def __init__(self, writer: Writer) -> None:
        from awscrt import checksums

        self._writer, self._sum = writer, checksums.crc64nvme
        self.crc, self.size = 0, 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        block = memoryview(data).cast("B") if not isinstance(data, bytes) else data
        self.crc = self._sum(block, self.crc)
        self.size += len(block)
        self._writer.write(block)
        return len(block)


def run(params: Params, job: JobContext) -> Result:
    if not params.target.key or params.target.key.endswith("/"):
        raise BadParameters(f"{params.target} names no object.", hint="Give it a name: s3://bucket/samples/random.csv.")
    kind = params.kind
    about = {"rows": params.rows, "columns": params.columns, "format": kind, "seed": params.seed}
    job.log.info("%s rows × (timestamp + %s floats) as %s to %s", f"{params.rows:,}", params.columns, kind, params.target)
    if job.dry_run:
        return Result(counts={"rows": 0}, report={"plan": {**about, "target": str(params.target)}})
    store = job.store(params.target, params.target_connection)
    again = job.load_checkpoint() is not None  # what stands at the target may be this job's own work, begun before
    if (there := _existing(store, params.target.key)) and params.overwrite != "replace":
        if params.overwrite == "fail" and not again:
            raise AlreadyExists(f"{params.target} exists already.", hint="Choose another name, or overwrite=skip or overwrite=replace.")
        if params.overwrite == "skip":
            output = {"url": str(params.target), "size_bytes": there.size_bytes}
            return Result(counts={"rows": 0, "skipped": 1}, outputs=(output,), warnings=(f"{params.target} was there already.",))
    job.save_checkpoint({"began": str(params.target)})
    return _generate(params, kind, store, job, about, overwrite=again or params.overwrite == "replace")


def _generate(params: Params, kind: str, store: Store, job: JobContext, about: dict[str, Any], *, overwrite: bool) -> Result:
    from portal.tabular.sampling import Sample, write

    sample = Sample(params.rows, params.columns, params.start, params.end, params.seed)
    with store.open_write(params.target.key, overwrite=overwrite, content_type=_TYPES[kind]) as writer:
        sink = _Sink(writer)
        for done in write(sample, kind, sink):  # type: ignore[arg-type]
            job.progress(done, params.rows, "rows", done_bytes=sink.size)
        stored = writer.commit()
    if stored.size_bytes != sink.size:
        raise ProofFailed(f"{params.target} has {stored.size_bytes} bytes; {sink.size} were written.")
    output = {"url": str(params.target), "size_bytes": sink.size, "crc64nvme": f"{sink.crc:016x}", **about}
    job.log.info("wrote %s bytes, CRC64NVME %s", f"{sink.size:,}", output["crc64nvme"])
    return Result(counts={"rows": params.rows}, bytes=sink.size, outputs=(output,), report={"columns": sample.names})


def _existing(store: Store, key: str) -> ObjectInfo | None:
    try:
        return store.stat(key)
    except NotFound:
        return None


if __name__ == "__main__":
    engine.command(Params, run)
