"""Runs the comparison: `make bench-transfer`, or `python -m bench.transfer [--quick] [--only ROW] [--json FILE]`.

The null source and sink and all data lie in memory, what the contestants write for themselves (journals, ledgers) on the disk that `--folder`
names. Rounds of all contestants take turns; figures are medians, without the start-up, which the second table tells apart.
`--quick` takes less than a minute and measures nothing that can be trusted; the whole takes about half an hour on two cores that do nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.queue.measuring import ROOT
from bench.queue.table import Figure, figures, table
from bench.transfer import again, azcopy, copying, listing, pulling, real, resuming
from bench.transfer.contestants import Contestant, Ours, Rclone, Sdks
from bench.transfer.null_server import Bucket, NoCompiler, NullServer, make_data, memory_folder, serving
from bench.transfer.racing import Line, Track, WrongResult


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    rounds: int
    large: Bucket
    small: Bucket
    few: Bucket
    """Small objects for the contestants that are slow with them, for TLS and for real servers."""
    tiny: Bucket
    lists: tuple[Bucket, ...]
    whole: bool = True
    """All contestants and both sizes in every row; otherwise each row is only tried."""

    @property
    def buckets(self) -> list[Bucket]:
        return [Bucket("empty", 0, 0), self.large, self.small, self.few, self.tiny, *self.lists]


def _lists(*counts: int) -> tuple[Bucket, ...]:
    return tuple(Bucket(f"list-{count}", count, 1024) for count in counts)


FULL = Size(
    3, Bucket("large", 8, 128 << 20), Bucket("small", 100_000, 16 << 10), Bucket("few", 10_000, 16 << 10), Bucket("tiny", 100_000, 1 << 10),
    _lists(1_000_000, 10_000_000),
)  # fmt: skip
QUICK = Size(
    1, Bucket("large", 4, 16 << 20), Bucket("small", 2_000, 16 << 10), Bucket("few", 400, 16 << 10), Bucket("tiny", 2_000, 1 << 10), _lists(20_000),
    whole=False,
)  # fmt: skip


class Bench:
    """The rows of the comparison, and what they found."""

    def __init__(self, track: Track, size: Size, others: Sequence[Contestant]) -> None:
        self.track, self.size, self.others = track, size, others
        self.found: list[Figure] = []
        self.failed: list[str] = []
        self.rows: dict[str, Callable[[], Iterable[Figure]]] = {
            "large": lambda: copying.large(track, size.large, others),
            "small": lambda: copying.small(track, size.small, size.few, others if size.whole else ()),
            "again": lambda: again.again(track, size.tiny),
            "server": lambda: pulling.pulling(track, *([size.large] if size.whole else []), size.few),
            "resume": lambda: resuming.resuming(track, size.large, *([size.small] if size.whole else [])),
            "list": lambda: listing.listing(track, *size.lists),
            "tls": lambda: copying.tls(track, size.large, size.few) if track.server.tls_url else (),
            "real": lambda: real.real(track, size.large, size.few),
        }

    def row(self, name: str) -> None:
        """Measure one row; what fails is told and does not end the others."""
        began = time.monotonic()
        try:
            self.found += self.rows[name]()
        except WrongResult as error:
            self.failed.append(f"{name}: {error}")
            print(f"── {name} FAILED: {error}", file=sys.stderr, flush=True)
        print(f"── {name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)

    def tell(self) -> None:
        print(figures(self.found))
        if self.track.lines:
            print(f"\nside by side, medians of {self.track.rounds} rounds, without the start-up")
            print(table(_HEAD, [_cells(line) for line in self.track.lines], right=range(2, 9)))
        for text in self.failed:
            print(f"\nFAILED {text}")


_HEAD = ("work", "who", "wall s", "CPU s", "start-up s", "its CPU s", "objects/s", "CPU µs/object", "MiB/s", "peak MiB", "proof, requests")


def _cells(line: Line) -> tuple[str, ...]:
    net, start = line.net, line.start_up
    rate = f"{line.bytes / 2**20 / net.wall_s:,.0f}" if line.bytes else ""
    more = "; ".join(text for text in (line.said, line.requests) if text)
    return (
        line.row, line.who, f"{net.wall_s:.2f}", f"{net.cpu_s:.2f}", f"{start.wall_s:.2f}", f"{start.cpu_s:.2f}", f"{line.a_second:,.0f}",
        f"{line.cpu_us:,.0f}", rate, f"{line.whole.peak_bytes / 2**20:,.0f}", more,
    )  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.transfer", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few and small objects, one round: a look, no measurement")
    parser.add_argument("--rounds", type=int, help="how often each contestant runs (default: 3)")
    parser.add_argument("--folder", type=Path, help="folder on the disk that journals and ledgers go to (default: the system's for temporary files)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--only", action="append", metavar="ROW", help=f"one row alone; may be given several times: {', '.join(ROWS)}")
    given = parser.parse_args()
    if unknown := sorted(set(given.only or ()) - set(ROWS)):
        parser.error(f"there is no row {unknown[0]!r}; there are {', '.join(ROWS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    began = time.monotonic()
    try:
        bench = _measured(given)
    except NoCompiler as error:
        print(f"bench-transfer: {error}", file=sys.stderr)
        return 2
    bench.tell()
    print(f"\nin {time.monotonic() - began:.0f} s")
    if given.json:
        told = {"figures": [asdict(item) for item in bench.found], "lines": [asdict(line) for line in bench.track.lines], "failed": bench.failed}
        given.json.write_text(json.dumps(told, indent=1))
    return 1 if bench.failed else 0


def _measured(given: argparse.Namespace) -> Bench:
    size = QUICK if given.quick else FULL
    with _temporary(given.folder) as folder, _temporary(memory_folder()) as memory:
        make_data(memory / "known-bytes")
        # Where compiled modules may not be kept beside the sources, each start would pay for compiling them: no installation does.
        os.environ["PYTHONPYCACHEPREFIX"] = str(folder / "compiled")
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        with serving(folder, size.buckets, memory / "known-bytes") as server:
            bench = Bench(Track(server, folder, memory, given.rounds or size.rounds), size, _others(memory, given.quick))
            print(_about(folder, server, bench.others), flush=True)
            for name in given.only or ROWS:
                bench.row(name)
    return bench


@contextmanager
def _temporary(where: Path | None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bench-transfer-", dir=where) as folder:
        yield Path(folder)


def _others(memory: Path, quick: bool) -> list[Contestant]:
    """The slow ones; AzCopy alone if it can be had, and not in a quick look, for which it would be fetched."""
    binary = None if quick else azcopy.installed()
    azcopy.AzCopy.binary = binary or azcopy.AzCopy.binary
    return [Sdks(), *([azcopy.AzCopy(memory / "files")] if binary else [])]


def _about(folder: Path, server: NullServer, others: Sequence[Contestant]) -> str:
    kind = subprocess.run(["stat", "-f", "-c", "%T", folder], capture_output=True, text=True, check=False).stdout.strip() or "unknown"
    version = "unknown"
    with suppress(OSError, subprocess.CalledProcessError):
        version = subprocess.run(["git", "log", "-1", "--format=%h %s"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    lines = [version, f"{platform.platform()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {kind} file system"]
    lines += [one.versions() for one in (Ours(), Rclone(), *others)]
    return "\n".join(lines) + f"\nnull source and sink: {'plain and TLS' if server.tls_url else 'plain, no TLS'}\n"


ROWS = ("large", "small", "again", "server", "resume", "list", "tls", "real")

if __name__ == "__main__":
    sys.exit(main())
