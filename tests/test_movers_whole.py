"""Only whole objects are committed: whatever the processes say, whenever they say it, and whatever an earlier attempt left behind."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from portal.errors import ProofFailed
from portal.movers import blocks
from portal.movers.large import Known, Large
from portal.movers.layout import Layout
from portal.movers.messages import Answered, Failure, Item, Options, Report, Unit
from portal.movers.shared import Outbox
from portal.movers.sums import Piece
from portal.stores.checksums import crc64
from portal.wire.ends import Block, Pin

BODY = b"abcd"


class Hooks:
    options = Options(block_bytes=4, verify="crc")
    target_kind = "dfs"

    def __init__(self) -> None:
        self._count = itertools.count()
        self.discards = 0

    def number(self) -> int:
        return next(self._count)

    def staged(self, n: int, upload: str, step_bytes: int, block: Block, pieces: Sequence[Piece]) -> None: ...

    def discarded(self, n: int) -> None:
        self.discards += 1

    def forget(self, n: int) -> list[int]:
        return []


class Driven:
    """A large object of four-byte blocks whose steps the test answers itself."""

    def __init__(self, size_bytes: int = 12, known: Known | None = None, **told: Any) -> None:
        self.hooks = Hooks()
        self.large = Large(Item(0, "k", size_bytes, "e", "t"), self.hooks, known)
        self.told = {
            "pin": Pin("k", size_bytes, "e"), "about": None, "checksums": {}, "names": [], "part_sizes": [], "upload": "U", "modified": "",
            "pulls": False, "reason": "", "carried": "", "mode": "stream", **told,
        }  # fmt: skip

    def opened(self, opening: Unit | None = None) -> list[Unit]:
        return self.end(opening or self.large.first()[0], **self.told)

    def end(self, unit: Unit, failure: Failure | None = None, **told: Any) -> list[Unit]:
        return self.large.answered(Answered(unit.number, {"end": True, **told}, failure))

    def block(self, unit: Unit, number: int, *, size: int = 4, start: int | None = None) -> None:
        told = {"block": Block(number, size, crc64(BODY[:size]), ""), "start": number * 4 if start is None else start, "pieces": []}
        self.large.answered(Answered(unit.number, told))

    def read(self, runs: Sequence[Unit]) -> list[Unit]:
        """Answer runs as they are asked for."""
        following: list[Unit] = []
        for run in runs:
            for number, start, size, _ in run.told["blocks"]:
                self.block(run, number, start=start, size=size)
            following += self.end(run)
        return following


def kinds(units: Sequence[Unit]) -> list[str]:
    return [unit.kind for unit in units]


class SlowChannel:
    """Holds the first report until the second sender has come as far as it can."""

    def __init__(self) -> None:
        self.sent: list[Report] = []
        self.first, self.go_on = threading.Event(), threading.Event()

    def send(self, report: Report) -> None:
        if not self.first.is_set():
            self.first.set()
            self.go_on.wait(0.3)
        else:
            self.go_on.set()
        self.sent.append(report)


def test_no_report_overtakes_an_earlier_one() -> None:
    channel: Any = SlowChannel()
    outbox = Outbox(channel, lambda: True)
    block = threading.Thread(target=outbox.answered, args=(Answered(7, {"block": 1}),))
    block.start()
    assert channel.first.wait(5)
    end = threading.Thread(target=outbox.answered, args=(Answered(7, {"end": True}),))
    end.start()
    block.join(5)
    end.join(5)
    assert [answer.told for report in channel.sent for answer in report.answered] == [{"block": 1}, {"end": True}]


def test_what_is_not_whole_is_begun_anew_and_given_up_in_the_end() -> None:
    driven = Driven()
    opening = driven.large.first()[0]
    for left in (2, 1, 0):
        first, *others = driven.opened(opening)
        following = driven.end(first)  # its block never came
        following += driven.read(others)
        if left:
            assert kinds(following) == ["abort", "open"]
            opening = following[1]
    assert kinds(following) == ["abort"] and driven.hooks.discards == 3
    moved = driven.large.moved
    assert moved and (moved.outcome, moved.cause, moved.retryable) == ("failed", "proof-failed", True)
    assert "12 bytes in 3 blocks, and 8 bytes in 2 blocks" in moved.reason


def test_what_is_whole_is_committed() -> None:
    driven = Driven(size_bytes=10)
    (commit,) = driven.read(driven.opened())
    assert commit.kind == "commit" and [(block.number, block.size_bytes) for block in commit.told["blocks"]] == [(0, 4), (1, 4), (2, 2)]


@pytest.mark.parametrize("wrong", [{"start": 8}, {"size": 3}, {"number": 3}])
def test_a_block_of_another_place_or_size_makes_the_object_begin_anew(wrong: dict[str, int]) -> None:
    driven = Driven()
    first, *others = driven.opened()
    driven.block(first, **{"number": 0, **wrong})
    driven.read(others)
    assert kinds(driven.end(first)) == ["abort", "open"]


@pytest.mark.parametrize("sizes", [{}, {0: 4, 1: 4}, {0: 4, 1: 3, 2: 2}, {0: 4, 1: 4, 3: 2}, {0: 4, 1: 4, 2: 2, 3: 4}, {0: 2, 1: 4, 2: 4}])
def test_a_layout_takes_no_other_blocks(sizes: dict[int, int]) -> None:
    layout = Layout(10, 4)
    assert list(layout) == [(0, 0, 4), (1, 4, 4), (2, 8, 2)]
    with pytest.raises(ProofFailed):
        layout.ordered({number: Block(number, size, 0, "") for number, size in sizes.items()}, "k")
    assert len(layout.ordered({number: Block(number, size, 0, "") for number, _, size in layout}, "k")) == 3


def test_a_commit_of_fewer_bytes_than_the_object_has_is_refused() -> None:
    unit = Unit(0, "commit", Item(0, "k", 8, "e", "t"), {"blocks": [Block(0, 4, 0, "")], "look": False})
    with pytest.raises(ProofFailed, match="8 bytes, and its blocks hold 4"):
        blocks._commit(None, unit)  # type: ignore[arg-type]


@pytest.mark.parametrize("failure", [None, Failure("unreachable", "gone", True, "Unreachable")])
def test_a_late_answer_of_an_abort_changes_nothing(failure: Failure | None) -> None:
    driven = Driven(size_bytes=8)
    (commit,) = driven.read(driven.opened())
    abort, opening = driven.end(commit, Failure("proof-failed", "x", True, "ProofFailed"))
    (commit,) = driven.read(driven.opened(opening))
    (reread,) = driven.end(commit, etag="E", version="", checked=True)
    assert reread.kind == "reread" and driven.end(abort, failure) == []
    assert driven.end(reread, start=0, size=8, crc64=crc64(BODY + BODY), md5="") == []
    assert driven.large.moved and (driven.large.moved.outcome, driven.large.moved.proof) == ("copied", "read-back")


def known(step: int, size: int) -> Known:
    return Known("old", step, [Block(1, size, 99, "")], [Piece("crc32", 0, step, size, 5)])


@pytest.mark.parametrize(("step", "size"), [(8, 4), (0, 4), (5, 4)])
def test_blocks_of_an_attempt_that_cut_otherwise_are_dropped_with_their_upload(step: int, size: int) -> None:
    """An object of 12 bytes was cut into 8 and 4: its block 1 is as long as the block 1 of now, and not the same bytes."""
    driven = Driven(known=known(step, size))
    abort, opening = driven.opened()
    assert (abort.kind, abort.told["upload"], opening.told["upload"], driven.hooks.discards) == ("abort", "U", None, 1)
    runs = driven.opened(opening)
    assert [run.told["blocks"] for run in runs] == [[(0, 0, 4, None)], [(1, 4, 4, None)], [(2, 8, 4, None)]]
    (commit,) = driven.read(runs)
    assert [block.crc64 for block in commit.told["blocks"]] == [crc64(BODY)] * 3


def test_blocks_of_an_attempt_that_cut_alike_are_kept() -> None:
    driven = Driven(known=known(4, 4))
    runs = driven.opened()
    assert [run.told["blocks"][0][0] for run in runs] == [0, 2]
    (commit,) = driven.read(runs)
    assert [block.crc64 for block in commit.told["blocks"]] == [crc64(BODY), 99, crc64(BODY)]
