"""A plan in shares: nothing left out, nothing twice, in order, within the limits, and none smaller than it needs to be."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.errors import Cancelled
from portal.lake.spark import share_task, shares
from portal.lake.spark.seeding import CutOff, seed
from portal.lake.spark.share_task import Order, Task
from portal.ledger.journal import Journal, JournalState
from portal.planning.plan import Entry, Page
from portal.stores.url import StoreURL
from portal.transfer.route import Route
from portal.wire.ends import Access, Block

SIZES = st.lists(st.integers(0, 40), max_size=30)


def pages_of(groups: list[list[int]], gaps: list[int]) -> list[Page]:
    """Pages with these sizes, with gaps in their numbers before them."""
    found, number = [], 0
    for place, sizes in enumerate(groups):
        number += gaps[place % len(gaps)] if gaps else 0
        names = [f"k{number + n}" for n in range(len(sizes))]
        same = {name: [""] * len(sizes) for name in ("etags", "modified", "reasons", "classes", "md5s", "ours")}
        found.append(Page(number, names, sizes, targets=[f"t/{name}" for name in names], actions=["copy"] * len(sizes), next="more", **same))
        number += len(sizes)
    return [page for page in found if len(page)]


def entries(pages: list[Page] | tuple[Page, ...]) -> list[Entry]:
    return [entry for page in pages for entry in page.entries()]


@given(st.lists(SIZES, max_size=8), st.lists(st.integers(0, 5), max_size=3), st.integers(1, 12), st.integers(0, 100))
def test_shares_hold_every_entry_once_in_order_within_the_limits(groups: list[list[int]], gaps: list[int], most: int, size: int) -> None:
    pages = pages_of(groups, gaps)
    found = list(shares.shares(pages, most, size))
    assert [entry for share in found for entry in entries(share.pages)] == entries(pages)
    for share in found:
        held = entries(share.pages)
        assert len(share) == len(held) <= most and all(len(page) for page in share.pages)
        assert len(held) == 1 or sum(entry.size_bytes for entry in held) <= size
        assert share.numbers == [entry.n for entry in held]
        assert share.first == held[0].n and share.first + share.count == held[-1].n + 1
    for one, other in pairwise(found):
        held, more = entries(one.pages), entries(other.pages)[0]
        assert len(held) == most or sum(entry.size_bytes for entry in held) + more.size_bytes > size


@given(SIZES, st.data())
def test_what_is_left_of_a_page_is_cut_into_its_runs(sizes: list[int], data: st.DataObject) -> None:
    for page in pages_of([sizes], [3]):
        places = sorted(data.draw(st.sets(st.integers(0, len(page) - 1))))
        found = list(shares.only(page, places))
        assert [entry.n for entry in entries(found)] == [page.first + place for place in places]
        assert all(one.first + len(one) < other.first for one, other in pairwise(found))


def test_entries_far_apart_are_not_in_one_share() -> None:
    """Whoever moves a share keeps something for each number in between."""
    far = pages_of([[1], [1]], [2_000_000])
    assert [share.count for share in shares.shares(far)] == [1, 1]


@pytest.mark.parametrize("tried", [0, 1])
def test_what_a_lost_executor_had_begun_is_looked_at_first(tried: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks and doubts of an earlier attempt are known to the task, too, by the numbers of the whole plan."""
    known: dict[str, list[int]] = {}

    def move(route: Route, pages: Iterable[Page], verdicts: Any, journal: Journal, tell: Any) -> bool:
        [page] = pages
        numbers = [entry.n for entry in page.entries()]
        state = journal.state
        known.update(looked=[n for n in numbers if state.cut_off(n)], doubts=[n for n in numbers if state.doubtful(n)])
        known.update(blocks=[n for n in numbers if state.upload(n)], verdicts=[verdicts[n] for n in numbers])
        journal.end({"n": numbers[:2], "outcome": ["copied", "failed"]})
        raise Cancelled

    monkeypatch.setattr(share_task, "move", move)
    monkeypatch.setattr(share_task, "scratch", lambda: str(tmp_path))
    before = JournalState(tmp_path / "journal", 100)
    before.note_begun([41])
    before.note_ended([42], "failed", "proof-failed")
    before.note_blocks(43, "upload", [Block(0, 8, 1, "a")], step_bytes=8)
    [page] = pages_of([[1, 2, 3, 4]], [40])
    task = Task((page,), 40, 4, bytes([0, 4, 0, 0]), seed(before, [40, 41, 42, 43], CutOff(before)), 9, 9)
    access = Access("file", scheme="file", roots=(str(tmp_path),))
    brought = share_task.moved(Order(StoreURL("file", ""), StoreURL("file", ""), access, access, {"job_id": "j"}), task, tried)
    assert known == {"looked": [40, 41, 42, 43] if tried else [41], "doubts": [42], "blocks": [43], "verdicts": [0, 4, 0, 0]}
    assert [json.loads(line) for line in brought.lines] == [{"end": {"n": [40, 41], "outcome": ["copied", "failed"]}}]
    assert not list(tmp_path.iterdir())
