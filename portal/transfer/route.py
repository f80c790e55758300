"""From where to where, and how: what a transfer is told, and what each process of it gets of that."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

from portal.movers.messages import Options
from portal.movers.pool import MAX_CONNECTIONS, MAX_PROCESSES
from portal.planning.policies import Overwrite, Verify
from portal.transfer.conversions import Convert
from portal.transfer.side import Side

WHOLE_BYTES = 8 << 20
"""An object of at most so many bytes is read and written whole."""
_BLOCK_BYTES = 4 << 20
"""Measured: with more the processor's caches, with less the requests cost more."""
_PART_BYTES = 8 << 20
"""S3 takes no parts below 5 MiB."""
_BUFFER_BYTES = 2 << 30
"""Of all processes: an object of 5 TiB goes to S3 in blocks of 525 MiB, and 64 threads would take 32 GiB for them."""
BACKOFF_S = 0.2
"""Before an object is tried again: at most twice that at first, and twice as long each time."""


def usual_block_bytes(scheme: str) -> int:
    """Return how large the blocks of a large object are at a target, by the scheme of its URL, unless the object needs larger ones."""
    return _PART_BYTES if scheme == "s3" else _BLOCK_BYTES


@dataclass(frozen=True)
class Route:
    """From where to where, and how."""

    source: Side
    target: Side
    overwrite: Overwrite = "fail"
    verify: Verify = "none"
    convert: Convert | None = None
    md5: bool = False
    mode: Literal["auto", "server", "stream"] = "auto"
    accept_size: bool = False
    carry: bool = True
    carry_tags: bool = True
    tier: str = ""
    concurrency: int = 0
    """Connections in all; 0: adapts, up to 64."""
    processes: int = 0
    """0: one for each CPU, at most 8."""
    max_bandwidth: float = 0
    """Bytes a second; 0: no cap."""
    max_requests_s: float = 0
    block_bytes: int = 0
    """0: 4 MiB, to S3 8 MiB, more for very large objects."""
    job_id: str = ""
    converting: int = 0
    """Objects converted at the same time; 0: as many as there are connections, or CPUs."""

    @property
    def most_processes(self) -> int:
        processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return max(1, min(self.processes or processors, MAX_PROCESSES, self.concurrency or MAX_PROCESSES))

    def options(self) -> Options:
        """What one process is told: its share of what is capped."""
        shares = self.most_processes
        return Options(
            self.job_id, self.source.base, self.verify, self.md5, self.mode, self.accept_size, self.carry, self.carry_tags, self.tier,
            threads=max(1, (self.concurrency or MAX_CONNECTIONS) // shares), adapts=not self.concurrency,
            max_bandwidth=self.max_bandwidth / shares, max_requests_s=self.max_requests_s / shares, whole_bytes=self.block_bytes or WHOLE_BYTES,
            block_bytes=self.block_bytes or usual_block_bytes(self.target.url.scheme),
            buffer_bytes=_BUFFER_BYTES // shares, backoff_s=BACKOFF_S,
        )  # fmt: skip
