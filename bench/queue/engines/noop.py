"""Does nothing, and says when it began: what the benchmark runs as its job."""

import time

FILE_NS = time.monotonic_ns()

import os  # noqa: E402 - the moment above is that of the file's first line
from pathlib import Path  # noqa: E402

from portal import engine  # noqa: E402
from portal.engine import EngineParams, JobContext, Result, param  # noqa: E402

_LONGEST_S = 600.0


class Params(EngineParams):
    started: str | None = param(None, help="File that gets a line when the job begins")
    until: str | None = param(None, help="File that the job waits for before it ends")


def run(params: Params, job: JobContext) -> Result:
    run_ns = time.monotonic_ns()
    if params.started:
        with open(params.started, "a") as file:
            file.write(f"{os.getpid()} {run_ns}\n")
    stop = time.monotonic() + _LONGEST_S
    while params.until and not Path(params.until).exists() and not job.cancelled() and time.monotonic() < stop:
        time.sleep(0.01)
    return Result(report={"file_ns": FILE_NS, "run_ns": run_ns})


if __name__ == "__main__":
    engine.command(Params, run)
