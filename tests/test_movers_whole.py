"""Only whole objects are committed: whatever the processes say, whenever they say it, and whatever an earlier attempt left behind."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.errors import AccessDenied, PortalError, ProofFailed, Unreachable
from portal.movers import blocks, sums
from portal.movers import pool as pools
from portal.movers.large import Known, Large
from portal.movers.layout import Layout, Parts
from portal.movers.messages import Answered, Failure, Item, Options, Report, Unit
from portal.movers.shared import Outbox
from portal.movers.sums import Piece
from portal.stores.checksums import crc64
from portal.wire.ends import Access, Block, Pin

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


def test_a_step_is_told_no_more_parts_than_it_touches() -> None:
    driven = Driven(size_bytes=4_000, names=["crc32-composite"], part_sizes=[8] * 500)
    runs = driven.opened()
    assert len(runs) == 1_000 and max(len(run.told["part_sizes"]) for run in runs) == 1
    assert (runs[-1].told["first_part"], runs[-1].told["blocks"][0][:2]) == ((499, 3992), (999, 3996))


@given(st.binary(min_size=1, max_size=200), st.integers(1, 40), st.integers(1, 40))
def test_runs_that_know_their_own_parts_alone_make_the_checksum_of_all(data: bytes, step: int, part: int) -> None:
    sizes = [min(part, len(data) - at) for at in range(0, len(data), part)]
    pieces = []
    for number, start, size in Layout(len(data), step):
        first, touched = Parts(sizes).of([(number, start, size, None)])
        pieces += sums.Running(["crc32-composite"], touched, len(data), first).pieces(start, memoryview(data)[start : start + size])
    assert sums.assembled("crc32-composite", pieces, len(sizes)) == sums.of("crc32-composite", data, sizes)


class Holder:
    """As much of a mover as a run of no more than its memory needs."""

    def __init__(self) -> None:
        self.held: list[str] = []
        self.shared: Any = self
        self.memory: Any = self

    def holding(self, size_bytes: int) -> Holder:
        self.held.append(f"{size_bytes >> 20} MiB")
        return self

    def __enter__(self) -> None: ...

    def __exit__(self, *about: object) -> None: ...

    def let_go(self) -> None:
        self.held.append("let go")


@pytest.mark.parametrize(("mib", "held"), [(16, []), (525, ["525 MiB", "let go"])])
def test_blocks_larger_than_usual_wait_for_memory_and_give_it_back(mib: int, held: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "_ran", lambda mover, unit: {})
    holder: Any = Holder()
    blocks._run(holder, Unit(0, "run", Item(0, "k", mib << 20, "e", "t"), {"blocks": [(0, 0, mib << 20, None)]}))
    assert holder.held == held


def test_a_token_that_cannot_be_renewed_yet_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    access = Access("file", roots=("/",), renew_at=time.time() - 1)
    errors: list[PortalError] = []
    asked = 0

    def accesses() -> tuple[Access, Access]:
        nonlocal asked
        asked += 1
        if errors:
            raise errors[0]
        return access, access

    with pools.Pool(1, Options(), accesses) as pool, caplog.at_level(logging.WARNING, "portal.transfer"):
        errors.append(Unreachable("The token endpoint does not answer."))
        pool.wait(0)
        pool.wait(0)
        assert asked == 2 and "could not be renewed yet" in caplog.text, "not at every turn"
        errors[0] = AccessDenied("The secret was revoked.")
        pool._renew_after = 0
        with pytest.raises(AccessDenied):
            pool.wait(0)
