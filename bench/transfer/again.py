"""Runs over a container that holds the objects already: one of each hundred has changed, or none has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from bench.queue.table import Figure
from bench.transfer.contestants import Contestant, Ours, Rclone, Task
from bench.transfer.copying import taken
from bench.transfer.null_server import Bucket
from bench.transfer.racing import Line, Track, WrongResult, check, say


def again(track: Track, bucket: Bucket) -> Iterator[Figure]:
    """First a full copy, not counted; then, each round, 1 % changes: a run that moves it, and a run that finds nothing to do."""
    place, both = track.place(), (Ours(), Rclone())
    track.server.change(bucket.name, 0)
    delta, idle = (
        {one.name: Line(f"{bucket.count:,} × 1 KiB, {what}", one.title, bucket.count, 0, track.start_up(one, place)) for one in both}
        for what in ("1 % changed", "nothing to do")
    )
    for one in both:
        track.run(one, _task(track, bucket, one, "first", changed_only=False))
    for number in range(track.rounds):
        track.server.change(bucket.name, number + 1)
        for one in both:
            delta[one.name].runs.append(_run(track, _task(track, bucket, one, f"delta{number}"), one, bucket.count // 100, delta[one.name]))
        for one in both:
            idle[one.name].runs.append(_run(track, _task(track, bucket, one, f"idle{number}"), one, 0, idle[one.name]))
    track.server.change(bucket.name, 0)
    track.lines += [*delta.values(), *idle.values()]
    yield _figure(delta, "wall", 0.5)
    yield _figure(idle, "wall, no object touched", None)


def _task(track: Track, bucket: Bucket, one: Contestant, name: str, *, changed_only: bool = True) -> Task:
    return Task(track.place(), bucket, f"again{one.name}", track.folder / f"again-{name}-{one.name}", changed_only=changed_only)


def _run(track: Track, task: Task, one: Contestant, moved: int, line: Line) -> object:
    """One run, checked: as many objects were read and written as have changed."""
    track.server.zero()
    run = track.run(one, task)
    counters = track.server.counters()
    if (counters["s3_get"], counters["put_blob"] + counters["put_block_list"]) != (moved, moved):
        raise WrongResult(f"{one.title} should have moved {moved:,} objects, and did {counters}")
    check(track, replace(task), task.bucket.count, one)
    line.requests = f"{counters['s3_list']:,} list, {counters['list_blobs']:,} List Blobs, {counters['s3_head'] + counters['head_blob']:,} HEAD"
    line.said = one.said(task)
    say(f"{line.row}, {one.title}: {run.wall_s:.2f} s, {run.cpu_s:.2f} s CPU, {run.peak_bytes >> 20} MiB")
    return run


def _figure(lines: dict[str, Line], what: str, goal: float | None) -> Figure:
    ours, peer = lines["ours"], lines["rclone"]
    ratio = ours.net.wall_s / peer.net.wall_s
    told = f"{ours.net.wall_s:.2f} s ({peer.net.wall_s:.2f} s)"
    return Figure(
        f"{ours.row}: {what}", told, f"≤ {goal:g} × rclone" if goal else "", ratio, ratio <= goal if goal else None, taken(ours)
    )
