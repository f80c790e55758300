"""Write an inventory of a store: one row per object, with key, size, ETag, time, storage class and format.

The listing is streamed page by page into inventory.parquet, a file of the job, so that memory stays flat at any number of objects. With a target,
the inventory is also written there as one file: Parquet, CSV or JSON lines, as the format says. The result counts objects and bytes
by format and by the folders directly below the source.

With run_on=spark the executors of a cluster list parts of the store at the same time; the inventory is the same.

The Parquet inventory can be given to the migrate engine as --keys-file.

Examples:
  python -m engines.list --source s3://sales/2026/
  python -m engines.list --source s3://sales --formats csv json --target abfss://lake@account/inventories/sales.csv --format csv
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import model_validator

from portal import engine
from portal.engine import JobContext, Result, param
from portal.errors import AlreadyExists, NotFound
from portal.planning.formats import Format
from portal.planning.selection import SourceParams
from portal.stores.base import Store
from portal.stores.url import StoreURL
from portal.transfer.run_on import RunOnParams

if TYPE_CHECKING:
    from portal.planning.inventory import Inventory
    from portal.planning.listing import ListsPages
    from portal.transfer.side import Side

_SHOWN = 20


class Params(RunOnParams, SourceParams):
    formats: tuple[Format, ...] = param(("any",), help="Only files of these formats, told by their names", group="Source")
    target: StoreURL | None = param(
        None, help="Also write the inventory to this file; a name that ends in '/' gets inventory.FORMAT appended", group="Target",
        placeholder="abfss://container@account/inventory.parquet",
    )  # fmt: skip
    target_connection: str = param("", help="Connection of the target; none: the default of its kind", group="Target")
    format: Literal["parquet", "csv", "json"] = param("parquet", help="Format of the target file; json has one object a line", group="Target")
    overwrite: bool = param(False, help="Replace a target that exists", group="Target")

    @model_validator(mode="after")
    def _can_be_parted(self) -> Self:
        if self.run_on == "spark" and self.source.scheme == "file":
            raise ValueError(f"{self.source} is a folder of the worker's machine, which no other machine lists: leave run_on at local")
        return self


def run(params: Params, job: JobContext) -> Result:
    from portal.planning.inventory import Inventory
    from portal.planning.plan import START
    from portal.planning.planning import Rules
    from portal.planning.sources import Listing
    from portal.transfer.sides import side

    inventory = Inventory(job.artefact("inventory.parquet"), params.source)
    # Between two calls of Java nothing may be cut off: a listing on Spark looks itself whether it is to end.
    interruptible = job.interruptible() if params.run_on == "local" else nullcontext()
    with interruptible, side(job, params.source, params.source_connection) as source, _lister(params, job, source) as lister:
        pages = Listing(Rules(params.source.key, "", "s3", params.filters), lister, source.store.stat).pages(START, 0)
        inventory.write(pages, lambda objects, _: job.progress(objects, None, "objects", "listing"))
    job.log.info("%s objects, %s bytes", f"{inventory.objects:,}", f"{inventory.bytes:,}")
    outputs = () if params.target is None or job.dry_run else (_publish(inventory, params, params.target, job),)
    more = len(inventory.unseen) - _SHOWN
    return Result(
        counts={"listed": inventory.objects + inventory.excluded, "objects": inventory.objects, "excluded": inventory.excluded},
        bytes=sum(output["bytes"] for output in outputs),
        outputs=outputs,
        warnings=tuple(inventory.unseen[:_SHOWN]) + ((f"and {more:,} more that could not be looked at",) if more > 0 else ()),
        report=inventory.report(),
    )


@contextmanager
def _lister(params: Params, job: JobContext, source: Side) -> Iterator[ListsPages]:
    """Yield what lists the source."""
    from portal.planning.listing import Lister
    from portal.wire.opening import open_end

    if params.run_on == "local":
        yield Lister(lambda: open_end(source.access()), job.check_cancelled)
        return
    from portal.lake.spark.session import spark_session
    from portal.lake.spark.spark_lister import SparkLister

    with spark_session(job.settings, app=f"portal list {job.job_id}", iceberg=False, check=job.check_cancelled) as session:
        yield SparkLister(session, source, job.folder / ".listing", job.check_cancelled)


def _publish(inventory: Inventory, params: Params, url: StoreURL, job: JobContext) -> dict[str, Any]:
    """Write the inventory to the target; returns the output."""
    from portal.transfer.upload import upload_file

    path = inventory.as_format(params.format, job.artefact(f"inventory.{params.format}"))
    key = f"{url.key}inventory.{params.format}" if not url.key or url.key.endswith("/") else url.key
    store = job.store(url, params.target_connection)
    try:
        overwrite = params.overwrite or job.load_checkpoint() is not None  # what an earlier attempt of this job published is ours
        if not overwrite:
            _refuse_existing(store, key)
        job.save_checkpoint({"began": str(url.at(key))})
        written = upload_file(path, store, key, overwrite=overwrite, check=job.check_cancelled)
    finally:
        store.close()
    job.log.info("written to %s", url.at(key))
    return {"url": str(url.at(key)), "bytes": written.size_bytes}


def _refuse_existing(store: Store, key: str) -> None:
    try:
        store.stat(key)
    except NotFound:
        return
    raise AlreadyExists(f"{store.url.at(key)} exists already.", hint="Choose another name or allow overwriting.")


if __name__ == "__main__":
    engine.command(Params, run)
