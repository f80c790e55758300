"""The jobs that the peers run: the same as those of `bench.queue.engines.noop`."""

from __future__ import annotations

import os
import time
from pathlib import Path

_LONGEST_S = 600.0


def noop(folder: str) -> None:
    """Nothing but one byte, by which the benchmark counts what is done."""
    descriptor = os.open(f"{folder}/done", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
    os.write(descriptor, b".")
    os.close(descriptor)


def hold(folder: str) -> None:
    """Say that it began, and wait for the file that ends it."""
    with open(f"{folder}/started", "a") as file:
        file.write(f"{os.getpid()} {time.monotonic_ns()}\n")
    stop = time.monotonic() + _LONGEST_S
    while not Path(folder, "go").exists() and time.monotonic() < stop:
        time.sleep(0.01)
    noop(folder)
