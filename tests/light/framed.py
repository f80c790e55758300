"""A test engine on the real frame."""

from __future__ import annotations

from portal import engine
from portal.engine import EngineParams, JobContext, Result, param


class Params(EngineParams):
    word: str = param(help="What to say")
    count: int = param(1, help="How often")


def run(params: Params, job: JobContext) -> Result:
    job.progress(params.count, params.count, "words")
    return Result(report={"said": params.word * params.count, "attempt": job.attempt})


if __name__ == "__main__":
    engine.command(Params, run)
