"""The one small interface of all queues that are compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.queue import jobs


class Contender:
    """A queue in a folder. `work` is "noop" or "hold", the names in `bench.queue.jobs`."""

    title = ""
    kinds: tuple[str, ...] = ()
    """How its workers can run jobs; the first is the one for the experiments."""
    pooled = True
    """One process has all the workers; otherwise one process is one worker."""
    apart = True
    """Jobs can be put by another process than the one whose workers run them, at the same time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    @contextmanager
    def serving(cls, folder: Path, before: Sequence[str] = ()) -> Iterator[tuple[int, ...]]:
        """Run the server that the queue needs; yields its pids."""
        yield ()

    def put(self, work: str) -> None:
        """Enqueue one job; what returns is acknowledged."""
        raise NotImplementedError

    def consume(self, kind: str, workers: int) -> None:
        """Run jobs until killed."""
        raise NotImplementedError

    def left(self) -> str:
        """Where the queue still has a job that nobody runs."""
        raise NotImplementedError

    def done(self) -> int:
        """Number of jobs that have been done."""
        path = self.folder / "done"
        return path.stat().st_size if path.exists() else 0

    def _run(self, work: str) -> None:
        getattr(jobs, work)(str(self.folder))
