"""What each queue really promises, found by killing its processes and by counting what it forces to the disk; nothing from memory."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.queue.contenders import load
from bench.queue.measuring import ROOT, end_tree, running, until
from bench.queue.speed import consumers

_JOBS = 10
_TRACED = (10, 60)
"""Jobs of two traced runs: the difference leaves out what opening the queue costs."""
_SYNCS = re.compile(r"\b(?:fsync|fdatasync|sync_file_range|syncfs|msync)\(")


@dataclass(frozen=True)
class Promise:
    """What was seen of one queue."""

    title: str
    runs_in: str
    acknowledged: str
    """Jobs that ran after the process that enqueued them was killed right after the last acknowledgement."""
    syncs: float | None
    """Calls that force data to the disk, for each enqueued job; None when it could not be traced."""
    running_dies: str
    """What became of a job that ran when its worker was killed with all below it, and the worker was started again."""

    @property
    def power(self) -> str:
        if self.syncs is None:
            return "not traced: strace is missing"
        told = f"{self.syncs:.2f} syncs a job"
        return f"{told}: kept" if self.syncs >= 1 else f"{told}: can be lost"

    @property
    def cells(self) -> tuple[str, ...]:
        return (self.title, self.runs_in, self.acknowledged, self.power, self.running_dies)


HEAD = ("queue", "a job runs in", "acknowledged, then kill -9", "power cut after that", "worker killed while the job runs, then started again")


def look(root: Path, names: Sequence[str], patience_s: float) -> Iterator[Promise]:
    """Try each queue.

    Args:
        patience_s: a job that has not started again so long after the restart of its worker counts as not run again.
    """
    for name in names:
        kind = load(name).kinds[0]
        syncs = _syncs(root / f"{name}-traced", name) if shutil.which("strace") else None
        acknowledged = _after_kill(root / f"{name}-acknowledged", name)
        yield Promise(load(name).title, kind, acknowledged, syncs, _worker_dies(root / f"{name}-running", name, patience_s))


def _put(name: str, folder: Path, *more: str, before: Sequence[str] = ()) -> int:
    command = [*before, sys.executable, "-m", "bench.queue.child", "put", name, str(folder), *more]
    return subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, check=False).returncode


def _after_kill(folder: Path, name: str) -> str:
    folder.mkdir(parents=True)
    with load(name).serving(folder):
        if _put(name, folder, "--count", str(_JOBS), "--die") != -9:
            raise RuntimeError(f"{load(name).title}: enqueueing did not come to its end")
        with _workers(name, folder):
            until(lambda: _done(name, folder) >= _JOBS, 30, 0.02)
        return f"{_done(name, folder)} of {_JOBS} ran"


def _done(name: str, folder: Path) -> int:
    done = folder / "done"
    return load(name)(folder).done() if name == "portal" else done.stat().st_size if done.exists() else 0


@contextmanager
def _workers(name: str, folder: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    with running(consumers(name, folder, load(name).kinds[0], 1), folder, PORTAL_HOME=str(folder)) as begun:
        yield begun


def _worker_dies(folder: Path, name: str, patience_s: float) -> str:
    folder.mkdir(parents=True)
    started = folder / "started"
    with load(name).serving(folder):
        _put(name, folder, "--work", "hold")
        with _workers(name, folder) as begun:
            if not until(started.exists, 30):
                raise RuntimeError(f"{load(name).title}: no job started\n" + (folder / "output.log").read_text("utf-8", "replace")[-2000:])
            end_tree(*(process.pid for process in begun))
            for process in begun:
                process.wait()
        again = time.monotonic()
        with _workers(name, folder):
            if until(lambda: len(started.read_text().splitlines()) == 2, patience_s):
                return f"runs again, {time.monotonic() - again:.1f} s after the restart"
        return f"not run again in {patience_s:.0f} s; it is {load(name)(folder).left()}"


def _syncs(folder: Path, name: str) -> float:
    counts = [_traced(folder / str(count), name, count) for count in _TRACED]
    return (counts[1] - counts[0]) / (_TRACED[1] - _TRACED[0])


def _traced(folder: Path, name: str, count: int) -> int:
    """Count the calls that wait for the disk: of the server when the queue has one, else of the process that enqueues."""
    folder.mkdir(parents=True)
    trace = folder / "trace"
    tracer = ("strace", "-f", "-qq", "-e", "trace=fsync,fdatasync,sync_file_range,syncfs,msync", "-o", str(trace))
    with load(name).serving(folder, tracer) as servers:
        if _put(name, folder, "--count", str(count), before=() if servers else tracer):
            raise RuntimeError(f"{load(name).title}: enqueueing under strace failed")
        return len(_SYNCS.findall(trace.read_text("utf-8", "replace")))
