"""Wall time and CPU of what is measured, its processes included, and the middle of several rounds."""

from __future__ import annotations

import os
import resource
import signal
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from portal import processes

ROOT = Path(__file__).resolve().parents[2]

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Taken:
    """Seconds: of the clock, and of CPU (user and system)."""

    wall_s: float = 0.0
    cpu_s: float = 0.0


@contextmanager
def taking(*pids: int) -> Iterator[Taken]:
    """Measure a block: this process, its children that ended, and the trees below `pids`, which live on."""
    taken = Taken()
    cpu, began = _own_cpu_s() + _trees_cpu_s(pids), time.perf_counter()
    yield taken
    taken.wall_s = time.perf_counter() - began
    taken.cpu_s = max(0.0, _own_cpu_s() + _trees_cpu_s(pids) - cpu)


def _own_cpu_s() -> float:
    used = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(item.ru_utime + item.ru_stime for item in used)


def _trees_cpu_s(pids: Iterable[int]) -> float:
    """CPU of processes and all below them, those included that ended and were waited for (proc_pid_stat(5), fields 14 to 17)."""
    roots = tuple(pids)
    return sum(_cpu_s(pid) for pid in {*roots, *processes.descendants(*roots)}) if roots else 0.0


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(int(value) for value in fields[11:15]) / _TICKS


def memory_bytes(pid: int, field: str = "VmRSS") -> int:
    """A figure of /proc/PID/status; the highest ever is `VmHWM`."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    return 0


def middle(values: Iterable[float]) -> float:
    return statistics.median(values)


def share(values: Sequence[float], part: float) -> float:
    """The value that `part` of the values do not exceed: 0.95 for p95."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-round(part * 100) * len(ordered) // 100) - 1))]


def until(condition: Callable[[], object], seconds: float, every_s: float = 0.002) -> bool:
    """Wait for a condition; False when it did not come in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(every_s)
    return True


def end_tree(*pids: int) -> None:
    """Kill processes and everything below them at one blow: all stand still before the first dies, so that none can record it."""
    for number in (signal.SIGSTOP, signal.SIGKILL):
        processes.send({*pids, *processes.descendants(*pids)}, number)


@contextmanager
def running(commands: Iterable[Sequence[str]], folder: Path, **environment: str) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that end, with all they started, with the block. What they say lies in `output.log`."""
    begun: list[subprocess.Popen[bytes]] = []
    with (folder / "output.log").open("ab") as output:
        try:
            for command in commands:
                begun.append(subprocess.Popen(
                    command, cwd=ROOT, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=output, stderr=output
                ))  # fmt: skip
            yield begun
        finally:
            end_tree(*(process.pid for process in begun))
            for process in begun:
                process.wait()


def end_strays() -> None:
    """Kill and collect whatever is still below this process, which must be the subreaper of what it starts."""
    while left := processes.descendants(os.getpid()):
        processes.send(left, signal.SIGKILL)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.01)
