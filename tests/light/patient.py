"""A test engine on the real frame that tells its progress and waits."""

from __future__ import annotations

import os
import time
from pathlib import Path

from portal import engine
from portal.engine import EngineParams, JobContext, Result, param


class Params(EngineParams):
    started: str = param(help="File to which its pid is written")
    wait: str = param(help="File that it waits for")


def run(params: Params, job: JobContext) -> Result:
    Path(params.started).write_text(f"{os.getpid()}\n")
    until = time.monotonic() + 60
    while not os.path.exists(params.wait) and time.monotonic() < until:
        job.progress(1, 2, "waits")
        time.sleep(0.01)
    return Result(report={"waited": True})


if __name__ == "__main__":
    engine.command(Params, run)
