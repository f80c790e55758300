"""Server-side copies: the sink answers as if it had fetched each range itself, so what is measured is what it costs to ask."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from bench.queue.table import Figure
from bench.transfer.contestants import Ours, Task
from bench.transfer.copying import taken
from bench.transfer.null_server import Bucket
from bench.transfer.racing import Line, Track, copied


class OursServerSide(Ours):
    name, title = "ours-server", "ours, server-side"
    options: ClassVar[dict[str, Any]] = {"mode": "server"}


def pulling(track: Track, *buckets: Bucket) -> Iterator[Figure]:
    for bucket in buckets:
        one, place = OursServerSide(), track.place()
        row = f"{bucket.count:,} × {bucket.size_bytes >> 10:,} KiB, server-side"
        line = Line(row, one.title, bucket.count, bucket.total_bytes, track.start_up(one, place))
        through = 0
        for number in range(track.rounds):
            task = Task(place, bucket, f"pulled{bucket.count}r{number}", track.folder / f"pulled-{bucket.count}-{number}")
            line.runs.append(copied(track, one, task, line))
            counters = track.server.counters()
            through += counters["s3_get_bytes"] + counters["received_bytes"]
            track.server.forget(task.container)
        track.lines.append(line)
        yield Figure(f"{line.row}: payload bytes through us", f"{through:,}", "0", None, through == 0, taken(line))
        yield Figure(f"{line.row}: CPU an object", f"{line.cpu_us:,.0f} µs", taken=taken(line))
