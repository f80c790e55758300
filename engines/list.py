"""List the objects of a store.

Placeholder.
"""
from __future__ import annotations

from typing import Literal

from portal import engine
from portal.engine import EngineParams, JobContext, Result, param
from portal.stores.url import StoreURL


class Params(EngineParams):
    source: StoreURL = param(help="Bucket, container or folder, with a prefix", group="Source")
    source_connection: str = param("", help="Connection", group="Source")
    formats: tuple[Literal["csv","json"], ...] = param((), help="only these")
    n: int = param(3, help="count", ge=1, le=5)

def run(params: Params, job: JobContext) -> Result:
    job.progress(1, 2, "objects")
    return Result(counts={"listed": 1})

if __name__ == "__main__":
    engine.command(Params, run)
