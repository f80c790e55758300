"""Putting no-op jobs into a queue and waiting for them; and both in one process, for queues that no two processes share."""

from __future__ import annotations

import threading
from pathlib import Path

from bench.queue.contender import Contender
from bench.queue.measuring import Taken, taking, until

_PATIENCE_S = 120.0


def through_here(contender: Contender, kind: str, workers: int, count: int) -> Taken:
    """Put and run jobs in this process."""
    threading.Thread(target=contender.consume, args=(kind, workers), daemon=True).start()
    warm = 2 * workers
    put(contender, warm)
    wait(contender, warm, contender.folder)
    with taking() as taken:
        put(contender, count)
        wait(contender, warm + count, contender.folder)
    return taken


def put(contender: Contender, count: int) -> None:
    """Enqueue no-op jobs."""
    for _ in range(count):
        contender.put("noop")


def wait(contender: Contender, count: int, folder: Path) -> None:
    """Wait until so many jobs are done. Raises RuntimeError with what was said in `output.log` when they never are."""
    if not until(lambda: contender.done() >= count, _PATIENCE_S, 0.005):
        log = folder / "output.log"
        said = log.read_text("utf-8", "replace")[-2000:] if log.exists() else ""
        raise RuntimeError(f"{contender.title}: {contender.done()} of {count} jobs are done after {_PATIENCE_S:.0f} s.\n{said}")
