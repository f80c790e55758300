"""Killed half-way, with everything below it, and run again: what is done a second time is counted at the sink."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from bench.queue.table import Figure
from bench.transfer.contestants import Contestant, Ours, Rclone, Task
from bench.transfer.null_server import Bucket
from bench.transfer.racing import Track, WrongResult, check, say

CONNECTIONS = 16
BLOCK_BYTES = 8 << 20


def resuming(track: Track, *buckets: Bucket) -> Iterator[Figure]:
    for bucket in buckets:
        ours = _cut_and_resumed(track, bucket, Ours(), {"concurrency": CONNECTIONS, "block_bytes": BLOCK_BYTES})
        peer = _cut_and_resumed(track, bucket, Rclone(), {})
        row = f"{bucket.count:,} × {bucket.size_bytes >> 10:,} KiB, killed at 50 % and resumed"
        told, theirs = (f"{found['committed_again']:,}" for found in (ours, peer))
        yield Figure(f"{row}: finished objects written again", f"{told} ({theirs})", "0", None, ours["committed_again"] == 0)
        told, theirs = (f"{found['blocks_twice']:,}, {found['bytes_twice'] / 2**20:,.1f} MiB" for found in (ours, peer))
        goal = f"≤ {CONNECTIONS}: 1 a connection"
        reached = ours["blocks_twice"] <= CONNECTIONS and ours["bytes_twice"] <= CONNECTIONS * BLOCK_BYTES
        yield Figure(f"{row}: blocks moved twice", f"{told} ({theirs})", goal, None, reached)


def _cut_and_resumed(track: Track, bucket: Bucket, one: Contestant, options: dict[str, object]) -> dict[str, int]:
    """What the sink counts after both runs; `bytes_twice` is what arrived beyond the objects themselves."""
    container = f"cut{bucket.count}{one.name}"
    task = Task(track.place(), bucket, container, track.folder / container, options=options)
    track.server.zero()
    run = track.run(one, task, until=_half(track, bucket))
    if run.code != -9:
        raise WrongResult(f"{one.title} was not killed at half of {bucket.name}, but ended with {run.code}")
    before = track.server.container(container)
    track.run(one, replace(task, attempt=2, changed_only=isinstance(one, Rclone)))
    check(track, replace(task, attempt=2), bucket.count, one)
    counters, found = track.server.counters(), track.server.container(container)
    found["bytes_twice"] = counters["received_bytes"] - bucket.total_bytes
    say(f"{bucket.name}, {one.title}: killed with {before['blobs']:,} finished and {before['staged_bytes']:,} bytes staged; then {found}")
    track.server.forget(container)
    return found


def _half(track: Track, bucket: Bucket) -> Callable[[], bool]:
    return lambda: track.server.counters()["received_bytes"] >= bucket.total_bytes // 2
