"""Plans: what is written is read again, a listing that was cut off goes on, memory stays flat."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portal.errors import BadParameters, StoreError, Throttled, Unreachable
from portal.planning import listing, plan, planner
from portal.planning.filters import Filters
from portal.planning.listing import Lister
from portal.planning.plan import START, Change, Entry, Names, Page, PlanWriter
from portal.planning.planner import Planned
from portal.planning.planning import Rules
from portal.planning.sources import Listing, each_once
from portal.wire.ends import Access, Listed

NAMES = Names("in/", "out/")
KEYS = st.text(st.sampled_from("ab/é\x01 \"\\\n"), min_size=1, max_size=6).map(lambda key: f"in/{key}") | st.just("elsewhere")
ENTRIES = st.builds(
    Entry, st.just(0), KEYS, st.integers(0, 1 << 60), st.sampled_from(["", "e1", "e2"]), st.sampled_from(["", "2026-01-01T00:00:00Z"]),
    st.sampled_from(["", "out/a", "other"]), st.sampled_from(["copy", "copy", "convert", "exclude", "fail"]), st.sampled_from(["", "", "why", "ü\n"]),
    st.sampled_from(["", "STANDARD"]), st.sampled_from(["", "", "J.1", "J.1 K.2"]),
)  # fmt: skip


def page_of(first: int, entries: Sequence[Entry], following: str | None) -> Page:
    page = Page(first, next=following)
    for entry in entries:
        follows = NAMES.target(entry.key) if entry.moves and entry.target_key == "out/a" else entry.target_key
        values = (entry.key, entry.size_bytes, entry.etag, entry.modified, follows, entry.action, entry.reason, entry.storage_class, "", entry.ours)
        for name, value in zip(plan._COLUMNS, values, strict=True):
            getattr(page, name).append(value)
    return page


def pages_of(batches: list[list[Entry]]) -> list[Page]:
    pages, first = [], 0
    for number, batch in enumerate(batches):
        pages.append(page_of(first, batch, f"token-{number + 1}" if number + 1 < len(batches) else None))
        first += len(batch)
    return pages


@dataclass
class Pages:
    """A source of plans: pages that are there already. Remembers where it was asked to go on."""

    found: list[Page]
    asked: list[str] = field(default_factory=list)

    def pages(self, next_: str, first: int) -> Iterator[Page]:
        self.asked.append(next_)
        start = 0 if next_ == START else int(next_.removeprefix("token-"))
        assert first == sum(map(len, self.found[:start]))
        yield from self.found[start:]


def make(path: Path, source: Pages, job: str = "job") -> Planned:
    planned = Planned(path)
    planner.made(planned, job, {"shape": 1}, NAMES, source, lambda count, size: None)
    return planned


BATCHES = st.lists(st.lists(ENTRIES, max_size=6), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None)
@given(BATCHES)
def test_a_plan_is_read_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, batches: list[list[Entry]]) -> None:
    path = tmp_path_factory.mktemp("p") / "plan"
    found = pages_of(batches)
    planned = make(path, Pages(found))
    assert list(plan.pages(path)) == found
    assert list(plan.read(path)) == [entry for page in found for entry in page.entries()]
    assert plan.length_if_for(path, {"shape": 1}, "job") == plan.length_if_for(path, {"shape": 1}) == planned.listed == sum(map(len, batches))
    assert plan.length_if_for(path, {"shape": 2}) is plan.length_if_for(path, {"shape": 1}, "other") is None


@settings(max_examples=120, deadline=None)
@given(BATCHES, st.floats(0, 1), st.sampled_from([b"", b"\0" * 9, b'{"page":', b"\n", b'{"page":9}\n', b"null\n"]))
def test_a_plan_that_was_cut_off_anywhere_becomes_the_same_plan(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[Entry]], where: float, left: bytes
) -> None:
    path = tmp_path_factory.mktemp("p") / "plan"
    found = pages_of(batches)
    before = make(path, Pages(found))
    whole = path.read_bytes()
    cut = int(where * (len(whole) - 1))
    kept = whole[:cut].count(b"\n") - 1
    path.write_bytes(whole[:cut] + left)
    source = Pages(found)
    planned = make(path, source)
    assert path.read_bytes() == whole
    assert planned.survey.report() == before.survey.report()
    assert source.asked == ([] if kept == len(found) else [found[kept - 1].next if kept > 0 else START]), "only what was not there is listed"
    assert planned.kept == sum(map(len, found[: max(0, kept)]))


def test_a_plan_of_another_job_or_for_other_parameters_is_not_gone_on_with(tmp_path: Path) -> None:
    found = pages_of([[Entry(0, "in/a", 1, "", "", "out/a", "copy")], []])
    make(tmp_path / "plan", Pages(found))
    other = Pages(found)
    assert make(tmp_path / "plan", other, "another").kept == 0
    assert other.asked == [START]


def test_a_page_is_with_the_system_at_once_and_on_the_disk_within_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[float] = []
    now = [100.0]
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(now[0]))
    monkeypatch.setattr(plan.time, "monotonic", lambda: now[0])
    path = tmp_path / "plan"
    with PlanWriter(path, "job", {}, NAMES) as writer:
        assert not list(writer.kept())
        for page in pages_of([[Entry(0, "in/a", 1, "", "", "out/a", "copy")]] * 4):
            now[0] += 0.4
            writer.add(page)
            assert path.read_bytes().endswith(b"}\n") and path.read_bytes().count(b"\n") == 2 + page.first
    assert synced == [pytest.approx(101.2)]


@settings(max_examples=50, deadline=None)
@given(BATCHES, st.data())
def test_changes_reach_their_entries_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[Entry]], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("p") / "plan"
    count = make(path, Pages(pages_of(batches))).listed
    before = list(plan.read(path))
    numbers = sorted(data.draw(st.sets(st.integers(0, count - 1)))) if count else []
    plan.rewrite(path, (Change(n, f"new-{n}", "exclude" if n % 2 else "", f"because {n}") for n in numbers))
    assert plan.length_if_for(path, {"shape": 1}, "job") == count
    for one, other in zip(before, plan.read(path), strict=True):
        n = one.n
        changed = one._replace(target_key=f"new-{n}", reason=f"because {n}", action="exclude" if n % 2 else one.action)
        assert other == (changed if n in numbers else one)


LASTING = Access("s3")


@dataclass
class Simulated:
    """A container of many keys, as an end lists it."""

    count: int
    size: int = 1000
    access: Access = LASTING
    asked: list[str | None] = field(default_factory=list)
    fails: Callable[[int], Exception | None] = lambda request: None

    def list_page(self, prefix: str, *, continuation: str | None = None, limit: int = 5000) -> Listed:
        self.asked.append(continuation)
        if error := self.fails(len(self.asked)):
            raise error
        first = int(continuation or 0)
        keys = [f"{prefix}{n:09d}.csv" for n in range(first, min(first + self.size, self.count))]
        blank = [""] * len(keys)
        more = str(first + self.size) if first + self.size < self.count else None
        return Listed(keys, [16] * len(keys), blank, blank, ["STANDARD"] * len(keys), [False] * len(keys), blank, blank, more)

    def close(self) -> None: ...


def nothing_there(key: str) -> None:
    raise AssertionError(key)


def listed(end: Simulated, rules: Rules | None = None) -> Listing:
    return Listing(rules or Rules("in/", "out/", "abfss"), Lister(lambda: end, lambda: None), nothing_there)  # type: ignore[arg-type, return-value]


def plan_of(path: Path, source: Listing) -> Planned:
    planned = Planned(path)
    planner.made(planned, "job", {}, NAMES, source, lambda count, size: None)
    return planned


class Killed(BaseException):
    """What no handler of ours catches."""


def test_a_listing_that_was_killed_goes_on_and_nothing_is_listed_twice_or_lost(tmp_path: Path) -> None:
    first = Simulated(5000, fails=lambda request: Killed() if request == 4 else None)  # type: ignore[arg-type, return-value]
    with pytest.raises(Killed):
        plan_of(tmp_path / "plan", listed(first))
    second = Simulated(5000)
    planned = plan_of(tmp_path / "plan", listed(second))
    assert (planned.kept, planned.listed, second.asked) == (3000, 5000, ["3000", "4000"])
    assert [entry.key for entry in plan.read(tmp_path / "plan")] == [f"in/{n:09d}.csv" for n in range(5000)]


def test_a_store_that_does_not_know_its_mark_any_more_is_listed_again_with_a_note(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        plan_of(tmp_path / "plan", listed(Simulated(3000, fails=lambda request: Killed() if request == 2 else None)))  # type: ignore[arg-type, return-value]
    second = Simulated(3000, fails=lambda request: StoreError("The marker is not valid.") if request == 1 else None)
    planned = plan_of(tmp_path / "plan", listed(second))
    assert second.asked == ["1000", None, "1000", "2000"]
    assert planned.listed == len({entry.key for entry in plan.read(tmp_path / "plan")}) == 3000
    assert "listed again" in planned.notes[0] and "The marker is not valid." in planned.notes[0]


def test_a_refusal_in_the_middle_of_a_listing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="No more"):
        plan_of(tmp_path / "plan", listed(Simulated(3000, fails=lambda request: StoreError("No more.") if request == 2 else None)))


def test_a_page_is_asked_for_again_when_the_store_did_not_answer_or_asked_to_slow_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_BACKOFF_S", 0)
    end = Simulated(3000, fails=lambda request: {1: Unreachable("gone"), 3: Throttled("slow down")}.get(request))
    assert plan_of(tmp_path / "plan", listed(end)).listed == 3000
    assert end.asked == [None, None, "1000", "1000", "2000"]
    with pytest.raises(Unreachable):
        plan_of(tmp_path / "other", listed(Simulated(1, fails=lambda request: Unreachable("gone"))))


class Circling(Simulated):
    """Leads back from the end of its listing to a page of its middle."""

    def list_page(self, prefix: str, *, continuation: str | None = None, limit: int = 5000) -> Listed:
        page = super().list_page(prefix, continuation=continuation, limit=limit)
        return replace(page, continuation=page.continuation or str(self.size * 2))


@pytest.mark.parametrize("pages", [3, 4, 12])
def test_a_listing_that_goes_round_in_circles_is_ended(pages: int) -> None:
    end = Circling(1000 * pages)
    with pytest.raises(StoreError, match="round in circles"):
        for _ in Lister(lambda: end, lambda: None).pages("in/"):  # type: ignore[arg-type, return-value]
            assert len(end.asked) < 10 * pages


def test_new_credentials_are_taken_before_the_old_ones_end(tmp_path: Path) -> None:
    made: list[Simulated] = []

    def opened() -> Simulated:
        made.append(Simulated(3000, access=Access("s3", renew_at=0 if not made else float("inf"))))
        return made[-1]

    source = Listing(Rules("in/", "out/", "abfss"), Lister(opened, lambda: None), nothing_there)  # type: ignore[arg-type]
    assert plan_of(tmp_path / "plan", source).listed == 3000
    assert [len(end.asked) for end in made] == [1, 2]


def test_memory_stays_flat_however_many_entries_there_are(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        tracemalloc.start()
        try:
            assert plan_of(tmp_path / str(count), listed(Simulated(count))).listed == count
            assert sum(len(page) for page in plan.pages(tmp_path / str(count))) == count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(2000)
    assert peak(40_000) < peak(4_000) + 200_000


def test_chosen_keys_come_once_each_in_their_order_and_bad_ones_are_named() -> None:
    assert [item.key for item in each_once((f"in/{n % 2500}" for n in range(6000)), "in/")] == [f"in/{n}" for n in range(2500)]
    with pytest.raises(BadParameters, match="'out/x' is not below"):
        list(each_once(["in/a", "out/x"], "in/"))
    with pytest.raises(BadParameters, match="not valid Unicode"):
        list(each_once(["in/\ud800"], "in/"))


def test_a_size_that_the_target_cannot_hold_is_told_or_left_out() -> None:
    found = Listed(["in/a", "in/b", "in/c"], [10, 11, 12], [""] * 3, [""] * 3, [""] * 3, [False] * 3, [""] * 3, [""] * 3)
    page = Rules("in/", "out/", "abfss", Filters(exclude=("c",)), limit_bytes=10).page(found, 0, None)
    assert page.actions == ["copy", "fail", "exclude"] and plan.cause_of(page.reasons[1]) == "too-large" and "11 bytes" in page.reasons[1]
    page = Rules("in/", "out/", "abfss", limit_bytes=10, too_large="skip").page(found, 0, None)
    assert (page.actions, page.targets) == (["copy", "exclude", "exclude"], ["out/a", "", ""])


@pytest.mark.parametrize(("key", "target"), [("in/a", "out/a"), ("in", "out/in"), ("in2", ""), ("x", "")])
def test_a_name_follows_from_the_folder_or_from_the_object_that_is_called_like_it(key: str, target: str) -> None:
    assert Names("in/", "out/").target(key) == target
    assert Names("", "out/").target("a/b") == "out/a/b" and Names("p/dir/", "to/").target("p/dir") == "to/dir"
