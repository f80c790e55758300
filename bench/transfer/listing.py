"""Plans of very many objects: time, memory, and that a killed listing goes on where it was."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace

from bench.queue.table import Figure
from bench.transfer.contestants import Contestant, Ours, Rclone, Task
from bench.transfer.copying import taken
from bench.transfer.measuring import Run
from bench.transfer.null_server import Bucket
from bench.transfer.racing import Line, Track, WrongResult, say

_PAGE = 1000
_MOST_MIB = 300


def listing(track: Track, *buckets: Bucket, peer_most: int = 1_000_000) -> Iterator[Figure]:
    """A dry run over each bucket against an empty container; rclone's beside it where its memory suffices."""
    for bucket in buckets:
        row, place = f"{bucket.count:,} listed, dry run", track.place()
        both: list[Contestant] = [Ours(), *([Rclone()] if bucket.count <= peer_most else [])]
        lines = {one.name: Line(row, one.title, bucket.count, 0, track.start_up(one, place)) for one in both}
        for one in both:
            lines[one.name].runs.append(_planned(track, bucket, one, lines[one.name]))
        track.lines += lines.values()
        ours = lines["ours"]
        peak = ours.whole.peak_bytes / 2**20
        yield Figure(f"{row}: memory of all processes", f"{peak:,.0f} MiB", f"< {_MOST_MIB} MiB", None, peak < _MOST_MIB, taken(ours))
        yield Figure(f"{row}: an entry", f"{ours.net.wall_s * 1e6 / bucket.count:.1f} µs, {ours.cpu_us:.1f} µs CPU", taken=taken(ours))
        again = _resumed(track, bucket)
        pages = -(-bucket.count // _PAGE)
        most = pages - pages // 2 + 2
        told = f"{again:,} of {pages:,}"
        yield Figure(f"{row}, killed at 50 %: pages that the next attempt asks for", told, f"≤ {most:,}: the other half", None, again <= most)


def _planned(track: Track, bucket: Bucket, one: Contestant, line: Line) -> Run:
    task = Task(track.place(), bucket, "planned", track.folder / f"planned-{bucket.count}-{one.name}", dry_run=True)
    track.server.zero()
    run = track.run(one, task)
    pages = track.server.counters()["s3_list"]
    if pages < bucket.count // _PAGE:
        raise WrongResult(f"{one.title} asked for {pages:,} pages of {bucket.count:,} objects")
    line.requests = f"{pages:,} list"
    say(f"{line.row}, {one.title}: {run.wall_s:.2f} s, {run.cpu_s:.2f} s CPU, {run.peak_bytes >> 20} MiB")
    shutil.rmtree(task.folder, ignore_errors=True)
    return run


def _resumed(track: Track, bucket: Bucket) -> int:
    """Pages that the second attempt asks for, after the first was killed at half of them."""
    one, pages = Ours(), bucket.count // _PAGE
    task = Task(track.place(), bucket, "planned", track.folder / f"replanned-{bucket.count}", dry_run=True)
    track.server.zero()
    run = track.run(one, task, until=lambda: track.server.counters()["s3_list"] >= pages // 2)
    if run.code != -9:
        raise WrongResult(f"the listing of {bucket.name} was not killed, but ended with {run.code}")
    seen = track.server.counters()["s3_list"]
    track.server.zero()
    track.run(one, replace(task, attempt=2))
    again = track.server.counters()["s3_list"]
    if one.result(replace(task, attempt=2)).get("counts", {}).get("listed") != bucket.count:
        raise WrongResult(f"the plan of the second attempt does not hold all {bucket.count:,} objects")
    say(f"{bucket.count:,} listed: killed after {seen:,} pages, then {again:,}")
    shutil.rmtree(task.folder, ignore_errors=True)
    return again
