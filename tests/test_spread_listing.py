"""A listing that is cut into parts gives what a listing in one piece gives: the same pages' rows, in the same order."""

from __future__ import annotations

import dataclasses
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from portal.errors import AccessDenied, Cancelled, StoreError
from portal.planning.listing import Lister
from portal.planning.spreading import s3_parts, spread_lister
from portal.planning.spreading.azure_parts import AzureParts
from portal.planning.spreading.between import between
from portal.planning.spreading.part import Part, Reading, packed, read, read_part, unpacked
from portal.planning.spreading.s3_parts import S3Parts
from portal.planning.spreading.spread_lister import SpreadLister
from portal.stores.base import ObjectInfo, Page
from portal.stores.url import StoreURL
from portal.transfer.sides import side
from portal.wire.blob_end import BlobEnd
from portal.wire.ends import Access, Listed
from portal.wire.opening import open_end
from portal.wire.s3_reading import S3Reading
from tests.transferring import Clouds

NAMES = st.text(st.sampled_from("ab/0é😀\x00~"), min_size=1, max_size=8)


def listed(keys: list[str], continuation: str | None = None) -> Listed:
    numbers = [len(key) for key in keys]
    blank = [""] * len(keys)
    return Listed(keys, numbers, [f"e-{key}" for key in keys], list(blank), list(blank), [False] * len(keys), list(blank), list(blank), continuation)


class Bucket:
    """Lists as S3 does, three names a page."""

    def __init__(self, names: set[str], page: int = 3) -> None:
        self.names, self._page = sorted(names, key=str.encode), page
        self.pages_read = self.looks = 0
        self._lock = threading.Lock()

    def list_page(self, prefix: str, *, continuation: str | None = None, limit: int = 5000) -> Listed:
        with self._lock:
            self.pages_read += limit > 1
            self.looks += limit == 1
        after = (continuation or "k")[1:]
        found = [name for name in self.names[bisect_right(self.names, after) if after else 0 :] if name.startswith(prefix)]
        size = min(limit, self._page)
        return listed(found[:size], f"k{found[size - 1]}" if len(found) > size else None)

    def folders(self, prefix: str, continuation: str | None) -> Page:
        below = [name.removeprefix(prefix) for name in self.names if name.startswith(prefix)]
        return Page((), tuple(sorted({prefix + name.partition("/")[0] + "/" for name in below if "/" in name})))

    def close(self) -> None:
        """Nothing is open."""


class Threads:
    """Those who list, as threads of this process."""

    def __init__(self, pool: ThreadPoolExecutor, slots: int, work: Callable[[Access, Part, int], Reading]) -> None:
        self._pool, self.slots, self._work = pool, slots, work
        self._running: dict[Future[Reading], Any] = {}

    @property
    def room(self) -> bool:
        return len(self._running) < 2 * self.slots

    def put(self, key: Any, argument: Any) -> None:
        self._running[self._pool.submit(self._work, *argument)] = key

    def ended(self, timeout_s: float) -> list[tuple[Any, Reading]]:
        done = wait(self._running, timeout_s, FIRST_COMPLETED).done
        return [(self._running.pop(one), one.result()) for one in done]


def nothing() -> None:
    """Nobody cancels."""


def rows(pages: Iterator[Listed]) -> list[tuple[Any, ...]]:
    """What is no folder."""
    columns = ("folders", "keys", "sizes", "etags", "md5s")
    return [row for page in pages for row in zip(*(getattr(page, name) for name in columns), strict=True) if not row[0]]


@contextmanager
def spread_over(bucket: Bucket, slots: int, folder: Path, check: Callable[[], None] = nothing, work: Any = None) -> Iterator[SpreadLister]:
    cuts = S3Parts(bucket.folders, lambda: bucket, check)
    with ThreadPoolExecutor(slots) as pool:
        threads = Threads(pool, slots, work or (lambda _, part, most: read_part(lambda: bucket, part, most)))
        yield SpreadLister(cuts, lambda: Access("s3"), threads, folder / "parts", check)


@given(NAMES, NAMES, st.text(st.sampled_from("ab/0é😀"), min_size=1))
@example("a", "a\x00", "ab")
def test_a_name_between_two_names_lies_between_them(one: str, other: str, letters: str) -> None:
    low, high = sorted((one, other))
    found = between(low, high, letters)
    assert found is None or low < found < high
    endless = between(low, None, letters)
    assert endless is None or low < endless
    if found is not None:
        assert low.encode() < found.encode() < high.encode(), "S3 lists in the order of UTF-8"


def test_names_of_digits_are_cut_in_the_middle() -> None:
    assert between("part-000000.csv", "part-000999.csv", "part-0123456789.csv").startswith(("part-0004", "part-0005"))  # type: ignore[union-attr]


@settings(deadline=None, max_examples=60)
@given(st.sets(NAMES, max_size=60), st.sampled_from(["", "a", "a/", "b/a/"]), st.integers(1, 5))
@example({f"a/{n:04}" for n in range(200)}, "a/", 4)
@example({f"part-{n:04}" for n in range(100)} | {"a/b/c", "a/b/d/e", "z"}, "", 5)
def test_a_listing_from_many_places_is_the_listing_from_one(names: set[str], prefix: str, slots: int) -> None:
    bucket = Bucket(names)
    whole = list(Lister(lambda: bucket, nothing).pages(prefix))
    with TemporaryDirectory() as folder, spread_over(bucket, slots, Path(folder)) as lister:
        pages = list(lister.pages(prefix))
        assert not (Path(folder) / "parts").exists()
    assert rows(iter(pages)) == rows(iter(whole))
    assert pages[-1].continuation is None
    assert all(page.continuation == f"k{page.keys[-1]}" for page in pages[:-1]), "each page says where a listing in one piece would go on"


@settings(deadline=None, max_examples=20)
@given(st.sets(NAMES, min_size=4, max_size=60), st.data())
def test_it_goes_on_where_a_listing_in_one_piece_stopped(names: set[str], data: st.DataObject) -> None:
    bucket = Bucket(names)
    after = f"k{data.draw(st.sampled_from(bucket.names))}"
    with TemporaryDirectory() as folder, spread_over(bucket, 3, Path(folder)) as lister:
        found = rows(lister.pages("", after))
    assert found == rows(Lister(lambda: bucket, nothing).pages("", after))


def test_a_flat_bucket_is_listed_by_all_who_can(tmp_path: Path) -> None:
    """No folder tells where to cut: the names in the middle are looked for, and the work is shared."""
    bucket = Bucket({f"events/2026-{n:06}.json" for n in range(3_000)}, page=10)
    with spread_over(bucket, 4, tmp_path) as lister:
        assert sum(len(page.keys) for page in lister.pages("events/")) == 3_000
    assert bucket.looks < 200, "looking for the middle costs little"
    assert lister.tasks_run >= 8, "the work was cut"
    assert bucket.pages_read < 300 * 1.5, "and little was listed twice"


def test_what_waits_for_its_turn_waits_on_the_disk_and_only_so_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spread_lister, "_AHEAD", 6)
    bucket = Bucket({f"{folder:02}/{n:03}" for folder in range(30) for n in range(20)})
    with spread_over(bucket, 3, tmp_path) as lister:
        most = 0
        for _ in lister.pages(""):
            most = max(most, len(list((tmp_path / "parts").iterdir())))
    assert 1 < most <= 6 + 3


def test_a_store_that_lists_in_no_order_is_refused(tmp_path: Path) -> None:
    class Disorder(Bucket):
        def list_page(self, prefix: str, **options: Any) -> Listed:
            page = super().list_page(prefix, **options)
            page.keys.reverse()
            return page

    bucket = Disorder({f"{folder}/{n}" for folder in "abc" for n in range(9)})
    with spread_over(bucket, 2, tmp_path) as lister, pytest.raises(StoreError, match="in no order"):
        list(lister.pages(""))


def test_what_a_task_raises_ends_the_listing_and_leaves_nothing(tmp_path: Path) -> None:
    def refused(_: Access, part: Part, most: int) -> Reading:
        raise AccessDenied("No list right.")

    with spread_over(Bucket({"a", "b"}), 2, tmp_path, work=refused) as lister, pytest.raises(AccessDenied, match="No list right"):
        list(lister.pages(""))
    assert not (tmp_path / "parts").exists()


def test_a_cancel_ends_the_listing_between_pages(tmp_path: Path) -> None:
    cancelled = threading.Event()

    def check() -> None:
        if cancelled.is_set():
            raise Cancelled

    with spread_over(Bucket({f"{n:03}" for n in range(300)}), 2, tmp_path, check) as lister:
        pages = lister.pages("")
        next(pages)
        cancelled.set()
        with pytest.raises(Cancelled):
            list(pages)
    assert not (tmp_path / "parts").exists()


def test_pages_travel_as_they_are() -> None:
    page = dataclasses.replace(listed(["a\udc80é", "b"], "more"), unseen={"b": "a loop of links"}, folders=[False, True])
    assert unpacked(packed([page, listed([])])) == [page, listed([])]


@pytest.mark.parametrize("scheme", ["s3", "abfss"])
def test_real_stores_give_the_same_rows_in_the_same_order(scheme: str, clouds: Clouds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spread_lister, "FIRST_PAGES", 1)
    base = clouds.bucket if scheme == "s3" else clouds.lake
    store = clouds.s3 if scheme == "s3" else clouds.adls
    keys = [f"data/{name}" for name in ("a/1", "a/2/x", "a-b/1", "a.csv", "ä/ü", "b 1/c%20d", "b&1/<x>", "zz", "x+y/=1")]
    many = [*(f"data/flat/{n:02}" for n in range(12)), *(f"data/month={n:02}/x" for n in range(1, 13))]
    for key in [*keys, *many, "other/1"]:
        with store.open_write(key) as writer:
            writer.write(key.encode())
            writer.commit()
    _few_a_page(monkeypatch)
    job = clouds.context()
    with side(job, StoreURL.parse(f"{base}/data"), "") as source, ThreadPoolExecutor(3) as pool:

        def opened() -> Any:
            return open_end(source.access())

        whole = list(Lister(opened, job.check_cancelled).pages("data"))
        cuts: Any = AzureParts(opened, nothing) if scheme == "abfss" else S3Parts(_folders(source.store), opened, nothing)
        threads = Threads(pool, 3, lambda *argument: read(None, argument, 0))
        lister = SpreadLister(cuts, source.access, threads, tmp_path / "parts", nothing)
        pages = list(lister.pages("data"))
    assert rows(iter(pages)) == rows(iter(whole))
    assert lister.tasks_run > 3


def _folders(store: Any) -> Callable[[str, str | None], Page]:
    return lambda prefix, continuation: store.list_page(prefix, recursive=False, continuation=continuation)


def _few_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the thin path ask for four objects a page."""
    for kind in (BlobEnd, S3Reading):
        was: Any = kind.list_page

        def few(self: Any, prefix: str, *, continuation: str | None = None, limit: int = 4, was: Any = was) -> Listed:
            page: Listed = was(self, prefix, continuation=continuation, limit=min(limit, 4))
            return page

        monkeypatch.setattr(kind, "list_page", few)


def test_an_object_is_what_a_level_of_s3_holds_too() -> None:
    """Folders alone make cuts: objects beside them are in the parts around."""
    bucket = Bucket({"a/1", "b", "c/1"})
    info = Page((ObjectInfo("b", 1),), ("a/", "c/"))
    parts = S3Parts(lambda prefix, continuation: info if not prefix else Page(()), lambda: bucket, nothing).begin("", None, 8)
    assert [(part.continuation, part.upto) for part in parts if isinstance(part, Part)] == [(None, "a/"), ("ka/", "c/"), ("kc/", None)]
    assert s3_parts.AFTER == "k"
