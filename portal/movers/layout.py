"""How a large object is cut: into blocks that its target can hold, and into runs of blocks that may be read side by side."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from portal.errors import ProofFailed
from portal.movers import sums
from portal.wire.ends import Block

_MOST_BLOCKS = {"s3": 10_000, "blob": 50_000}
_LEAST_BYTES = {"s3": 5 << 20}
"""S3 takes no smaller parts, but for the last."""
_MIB = 1 << 20

Cut = tuple[int, int, int, int | None]
"""A block of a run: number, start, size, its CRC64 if it is staged already."""


def block_bytes(size_bytes: int, wanted: int, target_kind: str) -> int:
    """Return how large the blocks of an object are: as wanted, or as large as the target's limits make them (whole MiB)."""
    least = max(wanted, _LEAST_BYTES.get(target_kind, 1))
    needed = -(-size_bytes // _MOST_BLOCKS.get(target_kind, 50_000))
    return least if needed <= least else -(-needed // _MIB) * _MIB


@dataclass(frozen=True)
class Layout:
    """The blocks of one object: all of `step_bytes`, but for the last."""

    size_bytes: int
    step_bytes: int

    @property
    def count(self) -> int:
        return -(-self.size_bytes // self.step_bytes)

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        """Yield (number, start, size)."""
        for number in range(self.count):
            yield number, number * self.step_bytes, self.size_of(number)

    def size_of(self, number: int) -> int:
        return min(self.step_bytes, self.size_bytes - number * self.step_bytes)

    def fits(self, block: Block, start: int) -> bool:
        """Whether a block that begins at byte `start` is one of these."""
        return 0 <= block.number < self.count and start == block.number * self.step_bytes and block.size_bytes == self.size_of(block.number)

    def ordered(self, blocks: Mapping[int, Block], place: str) -> list[Block]:
        """Return the blocks in their order. Raises ProofFailed unless they are the whole object: nothing else may be committed."""
        found = [blocks[number] for number in sorted(blocks)]
        whole = sum(block.size_bytes for block in found) == self.size_bytes and len(found) == self.count
        if not whole or not all(self.fits(block, number * self.step_bytes) for number, block in enumerate(found)):
            held = sum(block.size_bytes for block in found)
            raise ProofFailed(
                f"{place} has {self.size_bytes:,} bytes in {self.count:,} blocks, and {held:,} bytes in {len(found):,} blocks came to the target.",
                hint="Run the job again.",
            )
        return found


class Parts:
    """The parts of an object, to be given to its runs: each only those that it touches, for there may be ten thousand of both."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self._sizes = sizes
        self._starts = [start for start, _ in sums.starts(sizes)]

    def of(self, run: Sequence[Cut]) -> tuple[tuple[int, int], Sequence[int]]:
        """Return number and start of the first part that a run touches, and the sizes of those from there to its end."""
        if not self._sizes:
            return (0, 0), []
        first = max(0, bisect_right(self._starts, run[0][1]) - 1)
        last = bisect_left(self._starts, run[-1][1] + run[-1][2])
        return (first, self._starts[first]), self._sizes[first:last]


def runs(blocks: Sequence[Cut], names: Sequence[str], part_sizes: Sequence[int], covered: set[int]) -> Iterator[list[Cut]]:
    """Cut an object into runs that may be read side by side.

    Args:
        names: of the checksums to make besides CRC64NVME
        covered: numbers of staged blocks of which every checksum that combines is known
    """
    if not any(sums.needs_order(name) for name in names):
        yield from ([block] for block in blocks if block[3] is None or block[0] not in covered)
        return
    begins = {start for _, start, _, _ in blocks}
    parts = [start for start, _ in sums.starts(part_sizes)]
    if not all(sums.is_composite(name) or not sums.needs_order(name) for name in names) or not begins.issuperset(parts):
        yield list(blocks)
        return
    ends = [*parts[1:], None]
    for first, end in zip(parts, ends, strict=True):
        if run := [block for block in blocks if block[1] >= first and (end is None or block[1] < end)]:
            yield run
