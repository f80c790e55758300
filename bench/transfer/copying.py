"""Full copies into an empty container: large objects and small ones, plain and through TLS."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.queue.measuring import Taken
from bench.queue.table import Figure
from bench.transfer.contestants import Contestant, Ours, OursMd5, Rclone
from bench.transfer.null_server import Bucket
from bench.transfer.racing import Line, Track, race


def large(track: Track, bucket: Bucket, others: Sequence[Contestant]) -> Iterator[Figure]:
    starters = [(Ours(), bucket), (Rclone(), bucket), (OursMd5(), bucket), *((one, bucket) for one in others)]
    row = f"{bucket.count} × {_size(bucket)}"
    yield from large_figures(row, race(track, row, starters), (0.5, 0.35), (0.75, 0.8))


def small(track: Track, bucket: Bucket, few: Bucket, others: Sequence[Contestant]) -> Iterator[Figure]:
    starters = [(Ours(), bucket), (Rclone(), bucket), (OursMd5(), bucket), *((one, few) for one in others)]
    row = f"{bucket.count:,} × {_size(bucket)}"
    yield from small_figures(row, race(track, row, starters), (3.0, 0.5), 1.5)


def tls(track: Track, big: Bucket, little: Bucket) -> Iterator[Figure]:
    """The same through TLS at both ends; no goal is set for it."""
    for bucket, figures in ((big, large_figures), (little, small_figures)):
        row = f"{bucket.count:,} × {_size(bucket)}, TLS"
        lines = race(track, row, [(one, bucket) for one in (Ours(), Rclone(), OursMd5())], tls=True)
        yield from figures(row, lines)  # type: ignore[operator]


def large_figures(
    row: str, lines: dict[str, Line], crc64: tuple[float, float] | None = None, md5: tuple[float, float] | None = None
) -> Iterator[Figure]:
    """Wall time and CPU against rclone's; the pairs are the most that each may be of it."""
    peer = lines["rclone"]
    for name, goals in (("ours", crc64), ("ours-md5", md5)):
        if name in lines:
            line, (wall, cpu) = lines[name], goals or (None, None)
            told = "CRC64" if name == "ours" else "CRC64 and MD5"
            yield _at_most(f"{row}, {told}: wall", line.net.wall_s, peer.net.wall_s, wall, line)
            yield _at_most(f"{row}, {told}: client CPU", line.net.cpu_s, peer.net.cpu_s, cpu, line)


def small_figures(row: str, lines: dict[str, Line], crc64: tuple[float, float] | None = None, md5: float | None = None) -> Iterator[Figure]:
    """Objects a second and CPU an object against rclone's: the least that the first and the most that the second may be of it."""
    peer = lines["rclone"]
    for name, goal in (("ours", crc64[0] if crc64 else None), ("ours-md5", md5)):
        if name not in lines:
            continue
        line = lines[name]
        told, ratio = "CRC64" if name == "ours" else "CRC64 and MD5", line.a_second / peer.a_second
        yield Figure(
            f"{row}, {told}: objects a second", f"{line.a_second:,.0f} ({peer.a_second:,.0f})", f"≥ {goal:g} × rclone" if goal else "", ratio,
            ratio >= goal if goal else None, taken(line),
        )  # fmt: skip
        most = crc64[1] if crc64 and name == "ours" else None
        ratio = line.cpu_us / peer.cpu_us
        yield Figure(
            f"{row}, {told}: CPU an object", f"{line.cpu_us:,.0f} µs ({peer.cpu_us:,.0f} µs)", f"≤ {most:g} × rclone" if most else "", ratio,
            ratio <= most if most else None, taken(line),
        )  # fmt: skip


def _at_most(what: str, ours: float, peer: float, goal: float | None, line: Line) -> Figure:
    ratio = ours / peer
    return Figure(
        what, f"{ours:.2f} s ({peer:.2f} s)", f"≤ {goal:g} × rclone" if goal else "", ratio, ratio <= goal if goal else None, taken(line)
    )


def taken(line: Line) -> Taken:
    """Of one run, the start-up included."""
    return Taken(line.whole.wall_s, line.whole.cpu_s)


def _size(bucket: Bucket) -> str:
    return f"{bucket.size_bytes >> 20} MiB" if bucket.size_bytes >= 1 << 20 else f"{bucket.size_bytes >> 10} KiB"
