"""Where a runner's engine process comes from: started for the job, or already waiting for it (`portal.warm.engine`). Standard library only."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from portal import processes
from portal.descriptors import document

Order = Mapping[str, Any]


@dataclass(frozen=True)
class EngineProcess:
    """A running engine, child of the runner; `output` is the descriptor that its standard output and error are read from."""

    pid: int
    output: int


Start = Callable[[Order], EngineProcess]
"""Gives an order to an engine process of its own."""


def start_cold(order: Order) -> EngineProcess:
    """Start the engine as a new interpreter."""
    handed = document(order["engine_order"])
    output, written = os.pipe()
    environment = {**os.environ, **order["env"], processes.MARK: order["job"], "PYTHONUNBUFFERED": "1"}
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", order["module"], "--job-fd", str(handed)], cwd=order["cwd"], env=environment, stdin=subprocess.DEVNULL,
            stdout=written, stderr=subprocess.STDOUT, pass_fds=(handed,), start_new_session=True,
        )  # fmt: skip
    finally:
        os.close(handed)
        os.close(written)
    process.returncode = 0  # the runner reaps all its descendants itself
    return EngineProcess(process.pid, output)
