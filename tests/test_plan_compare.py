"""What is found at the targets of a plan: verdicts, extras and what is in the way, in whatever order both sides come."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portal.errors import NotFound
from portal.planning import compare, extras
from portal.planning.compare import Comparison
from portal.planning.extras import Extras
from portal.planning.filters import Filters
from portal.planning.listing import Lister
from portal.planning.looking import Looker
from portal.planning.plan import Entry, Names, Page, PlanWriter, Verdict
from portal.planning.policies import Overwrite
from portal.planning.survey import Survey, sortable
from portal.planning.there import Row
from portal.planning.verdicts import LOOK, Of, is_later, judge, same_content
from portal.stores.base import ObjectInfo
from portal.stores.url import StoreURL
from portal.wire.ends import About, Access, Found, Listed

NAMES = Names("in/", "out/")
LASTING = Access("s3")
PARTS = st.sampled_from(["a", "b", "a-", "a.", "é", "0"])
KEYS = st.lists(PARTS, min_size=1, max_size=3).map("/".join)


@dataclass
class Container:
    """A target that is listed in one of the orders, or in none, a few names a page."""

    rows: dict[str, Row]
    order: str = "key"
    size: int = 2
    scheme: str = "abfss"
    finds: dict[str, Found] = field(default_factory=dict)
    looked: list[str] = field(default_factory=list)
    listed: int = 0

    def list_page(self, prefix: str, *, continuation: str | None = None, limit: int = 5000) -> Listed:
        self.listed += 1
        keys = [key for key in self.rows if key.startswith(prefix)]
        keys = sorted(keys, key=lambda key: sortable(self.order, [key])[0] if self.order in ("key", "path") else key[::-1])  # type: ignore[arg-type]
        first = int(continuation or 0)
        shown = keys[first : first + self.size]
        found = [self.rows[key] for key in shown]
        return Listed(
            shown, [row.size_bytes for row in found], [row.etag for row in found], [row.modified for row in found], [""] * len(shown),
            [row.is_folder for row in found], [row.source for row in found], [row.md5 for row in found],
            str(first + self.size) if first + self.size < len(keys) else None,
        )  # fmt: skip

    def find(self, key: str, *, version_id: str = "") -> Found:
        self.looked.append(key)
        if key not in self.finds:
            raise NotFound(key)
        return self.finds[key]

    def stat(self, key: str) -> ObjectInfo:
        self.looked.append(key)
        if key not in self.rows:
            raise NotFound(key)
        row = self.rows[key]
        return ObjectInfo(key, row.size_bytes, row.etag, is_folder=row.is_folder, metadata={"source_etag": row.source} if row.source else {})

    def close(self) -> None: ...

    @property
    def url(self) -> StoreURL:
        return StoreURL(self.scheme, "c", "a" if self.scheme == "abfss" else "")

    access: Any = LASTING


def plan_at(path: Path, entries: list[Entry], size: int = 3) -> Survey:
    survey = Survey()
    with PlanWriter(path, "job", {}, NAMES) as writer:
        assert not list(writer.kept())
        for start in range(0, len(entries), size):
            batch = entries[start : start + size]
            columns = [list(column) for column in zip(*batch, strict=True)]
            page = Page(start, *columns[1:9], [""] * len(batch), columns[9])
            writer.add(page)
            survey.take(page)
        writer.finish()
    return survey


def comparison(path: Path, survey: Survey, target: Container, policy: Overwrite = "skip", **options: Any) -> Comparison:
    looker: Any = Looker(lambda: target, lambda: None)  # type: ignore[arg-type, return-value]
    lister = Lister(lambda: target, lambda: None)
    found = Comparison(path, bytearray(survey.listed), target, lister, looker, options.pop("source", None), policy, lambda n: False, **options)  # type: ignore[arg-type]
    found.names = NAMES
    return found


def entries_of(names: list[str], excluded: set[str]) -> list[Entry]:
    return [
        Entry(n, f"in/{name}", 1, "e", "", "" if name in excluded else f"out/{name}", "exclude" if name in excluded else "copy")
        for n, name in enumerate(names)
    ]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.sets(KEYS, min_size=1, max_size=14), st.sets(KEYS, max_size=14), st.sets(KEYS, max_size=4), st.sampled_from(["key", "path", "none"]),
       st.sampled_from(["key", "path", "none"]), st.sampled_from(["s3", "abfss"]), st.booleans(), st.data())  # fmt: skip
def test_both_sides_meet_whatever_their_orders(
    tmp_path_factory: pytest.TempPathFactory, names: set[str], there: set[str], excluded: set[str], by: str, other: str, scheme: str, mirror: bool,
    data: st.DataObject,
) -> None:  # fmt: skip
    folder = tmp_path_factory.mktemp("c")
    ordered = data.draw(st.permutations(sorted(names))) if by == "none" else sorted(names, key=lambda key: sortable(by, [key])[0])  # type: ignore[arg-type]
    survey = plan_at(folder / "plan", entries_of(ordered, excluded))
    target = Container({f"out/{name}": Row(1, "t", "", "", "", False) for name in there}, other, scheme=scheme)
    extra = Extras(folder / "extras.csv", "out/", Filters()) if mirror else None
    found = comparison(folder / "plan", survey, target, extras=extra)
    orders = found.orders() if mirror else survey.targets.orders
    with extra or open("/dev/null"):
        found.run("out/", orders, folder / "scratch", 10_000)  # many: never looked at one by one
    moving = [name for name in ordered if name not in excluded]
    assert [Verdict(verdict) for verdict in found.verdicts] == [
        Verdict.EXISTS if name in there and name not in excluded else Verdict.NEW for name in ordered
    ]  # fmt: skip
    in_the_way = {f"out/{name}" for name in there - names if any(one.startswith(f"{name}/") for one in moving)} if scheme != "s3" else set()
    assert in_the_way <= set(found.obstacles)
    assert set(found.obstacles) <= in_the_way | ({f"out/{name}" for name in there if any(one.startswith(f"{name}/") for one in names)} - {""})
    if mirror and extra:
        left = {one.key for one in extras.read(folder / "extras.csv")}
        assert left == {f"out/{name}" for name in there - names} and extra.count == len(left)
    assert not (folder / "scratch").exists()


def test_a_folder_where_a_file_is_to_be_is_in_the_way_and_folders_are_never_extra(tmp_path: Path) -> None:
    survey = plan_at(tmp_path / "plan", entries_of(["a", "c"], set()))
    folder = Row(0, "", "", "", "", True)
    rows = {"out/a": folder, "out/a/x": Row(1, "t", "", "", "", False), "out/b": folder, "out/d/": Row(0, "t", "", "", "", False)}
    target = Container(rows, "path")
    with Extras(tmp_path / "extras.csv", "out/", Filters()) as extra:
        found = comparison(tmp_path / "plan", survey, target, extras=extra)
        found.run("out/", found.orders(), tmp_path / "x", 2)
    assert list(found.obstacles) == ["out/a"] and "is a folder" in found.obstacles["out/a"]
    assert [one.key for one in extras.read(tmp_path / "extras.csv")] == ["out/a/x"]


def test_a_file_is_in_the_way_of_names_that_come_pages_later(tmp_path: Path) -> None:
    survey = plan_at(tmp_path / "plan", entries_of(["a!", "a-", "a/b"], set()), size=1)
    assert survey.targets.orders == ["key"], "names of other folders come between a and what is in it"
    target = Container({"out/a": Row(1, "t", "", "", "", False), "out/z": Row(1, "t", "", "", "", False)})
    with Extras(tmp_path / "extras.csv", "out/", Filters()) as extra:
        found = comparison(tmp_path / "plan", survey, target, extras=extra)
        found.run("out/", survey.targets.orders, tmp_path / "x", 10_000)
    assert list(found.obstacles) == ["out/a"]


def test_only_what_the_filters_would_have_taken_is_extra(tmp_path: Path) -> None:
    sized = {f"out/{name}": Row(size, "t", "", "", "", False) for name, size in {"a.csv": 5, "b.txt": 5, "c.csv": 500, "no/d.csv": 5}.items()}
    with Extras(tmp_path / "extras.csv", "out/", Filters(("csv",), exclude=("no/*",), max_bytes=100)) as extra:
        for key, row in sized.items():
            extra.add(key, row)
        extra.add("elsewhere.csv", Row(5, "t", "", "", "", False))
    assert [one.key for one in extras.read(tmp_path / "extras.csv")] == ["out/a.csv"]
    assert (extra.count, extra.bytes) == (1, 5)


def test_extras_appear_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(KeyError), Extras(tmp_path / "extras.csv", "", Filters()) as extra:
        extra.add("a", Row(1, "", "", "", "", False))
        raise KeyError
    assert list(tmp_path.iterdir()) == []


@given(st.sets(KEYS, max_size=9), st.lists(st.sets(KEYS, max_size=5), max_size=4), st.sampled_from([None, str.upper]), st.integers(1, 3))
def test_a_name_that_is_meant_is_taken_out_of_the_extras(
    tmp_path_factory: pytest.TempPathFactory, there: set[str], named: list[set[str]], fold: Any, held: int
) -> None:
    path = tmp_path_factory.mktemp("extras") / "extras.csv"
    with Extras(path, "", Filters()) as only:
        for key in there:
            only.add(key, Row(7, "t", "", "", "", False))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("portal.planning.extras._HELD", held)
        spared = only.spare(lambda: iter(named), fold)
    meant = {name if fold is None else fold(name) for names in named for name in names}
    left = {key for key in there if (key if fold is None else fold(key)) not in meant}
    assert {extra.key for extra in extras.read(path)} == left
    assert (spared, only.count, only.bytes) == (len(there) - len(left), len(left), 7 * len(left))


def test_few_names_of_a_huge_target_are_looked_at_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    survey = plan_at(tmp_path / "plan", entries_of(["b", "zz", "gone"], {"gone"}))
    rows = {f"out/{n:05d}": Row(1, "t", "", "", "", False) for n in range(100)} | {"out/zz": Row(1, "t", "", "e", "", False)}
    target = Container(rows)
    found = comparison(tmp_path / "plan", survey, target, "different")
    found.run("out/", survey.targets.orders, tmp_path / "x", survey.moving)
    assert list(found.verdicts) == [Verdict.NEW, Verdict.SAME, Verdict.NEW]
    assert sorted(target.looked) == ["out/b", "out/zz"] and found.looked == 2
    assert target.listed <= compare._PAGES_BEFORE_LOOKING + 2, "one page waits and one is on its way when nobody asks for more"


SAME_TIME, LATER = "2026-01-01T00:00:00.000Z", "2026-01-01T00:00:00.001Z"
MD5 = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("policy", "source", "row", "verdict"),
    [
        ("fail", {}, {}, Verdict.EXISTS), ("skip", {}, {"size_bytes": 9}, Verdict.EXISTS), ("replace", {}, {"source": "e"}, Verdict.REPLACE),
        ("newer", {}, {}, Verdict.NOT_OLDER), ("newer", {}, {"size_bytes": 9}, Verdict.REPLACE), ("newer", {"modified": LATER}, {}, Verdict.REPLACE),
        ("newer", {}, {"modified": LATER}, Verdict.NOT_OLDER), ("newer", {"modified": ""}, {}, Verdict.REPLACE),
        ("different", {}, {"source": "e"}, Verdict.SAME), ("different", {}, {"source": "other"}, Verdict.REPLACE),
        ("different", {}, {"source": "e", "size_bytes": 9}, Verdict.REPLACE), ("different", {"md5": MD5}, {"md5": MD5}, Verdict.SAME_CONTENT),
        ("different", {"etag": MD5}, {"md5": MD5}, Verdict.SAME_CONTENT), ("different", {"etag": MD5}, {"etag": MD5}, Verdict.SAME_CONTENT),
        ("different", {"etag": f"{MD5}-2"}, {"etag": f"{MD5}-2"}, LOOK), ("different", {"md5": MD5}, {"md5": MD5[::-1]}, LOOK),
        ("different", {}, {}, LOOK),
        ("checksum", {}, {"source": "e"}, LOOK), ("checksum", {}, {"size_bytes": 9}, Verdict.REPLACE),
        ("newer", {"converts": True}, {"size_bytes": 9}, Verdict.NOT_OLDER), ("different", {"converts": True}, {"size_bytes": 9}, Verdict.REPLACE),
        ("different", {"converts": True}, {"size_bytes": 9, "source": "e"}, Verdict.SAME), ("checksum", {"converts": True}, {}, Verdict.REPLACE),
    ],
)  # fmt: skip
def test_verdicts_on_what_exists(policy: Overwrite, source: dict[str, Any], row: dict[str, Any], verdict: int) -> None:
    of = Of(**{"size_bytes": 1, "etag": "e", "modified": SAME_TIME, "md5": "", **source})
    there = Row(**{"size_bytes": 1, "etag": "t", "modified": SAME_TIME, "source": "", "md5": "", "is_folder": False, **row})
    assert judge(policy, of, there) == verdict


def test_a_file_is_the_copy_of_a_version_by_its_size_and_time_and_a_listing_with_metadata_settles_it() -> None:
    of = Of(1, "e", "2026-01-01T00:00:00Z", "")
    row = Row(1, "t", "2026-01-01T00:00:00.000000Z", "", "", False)
    assert judge("different", of, row, dated=True) == Verdict.SAME
    assert judge("different", of, row._replace(modified="2026-01-01T00:00:01Z"), dated=True) == Verdict.REPLACE
    assert judge("different", of._replace(modified=""), row._replace(modified=""), dated=True) == Verdict.REPLACE
    assert judge("different", of, row, tells=True) == Verdict.REPLACE


_MOMENTS = st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2100, 1, 1))


@given(_MOMENTS, _MOMENTS)
def test_moments_are_compared_as_such(one: datetime, other: datetime) -> None:
    assert is_later(f"{one.isoformat()}Z", f"{other.isoformat()}Z") == (one > other)


def found_of(size: int = 1, *, metadata: dict[str, str] | None = None, **checksums: str) -> Found:
    return Found(size, about=About(metadata=metadata or {}), checksums=checksums)


@pytest.mark.parametrize(
    ("source", "target", "same"),
    [
        (found_of(crc64nvme="1"), found_of(crc64nvme="1"), True), (found_of(crc64nvme="1"), found_of(crc64nvme="2"), False),
        (found_of(crc64nvme="1"), found_of(md5="1"), False), (found_of(), found_of(), False), (found_of(2, md5="1"), found_of(md5="1"), False),
        (found_of(crc64nvme="1", md5="2"), found_of(crc64nvme="1", md5="3"), False),
        (found_of(crc64nvme="1"), found_of(metadata={"source_crc64nvme": "1", "portal_copy": "j.0"}), True),
        (found_of(crc64nvme="1"), found_of(metadata={"source_crc64nvme": "1"}), False),
        (found_of(crc64nvme="1"), found_of(metadata={"source_crc64nvme": "2", "portal_copy": "j.0"}), False),
    ],
)  # fmt: skip
def test_the_same_content_is_shown_by_checksums_that_both_store_or_that_our_copy_recorded(source: Found, target: Found, same: bool) -> None:
    assert same_content(source, target) is same


@pytest.mark.parametrize(("policy", "verdicts"), [("different", [3, 2, 3, 0]), ("checksum", [5, 3, 3, 0])])
def test_candidates_are_looked_at_by_requests_of_their_own(tmp_path: Path, policy: Overwrite, verdicts: list[int]) -> None:
    survey = plan_at(tmp_path / "plan", entries_of(["a", "b", "c", "d"], set()))
    target = Container({f"out/{name}": Row(1, "t", "", "", "", False) for name in "abcd"}, scheme="s3")
    target.finds = {"out/a": found_of(crc64nvme="1"), "out/b": found_of(crc64nvme="2", metadata={"source_etag": "e"}), "out/c": found_of()}
    source = Container({}, finds={f"in/{name}": found_of(crc64nvme="1") for name in "abcd"})
    looker: Any = Looker(lambda: source, lambda: None)  # type: ignore[arg-type, return-value]
    found = comparison(tmp_path / "plan", survey, target, policy, source=looker)
    found.run("out/", survey.targets.orders, tmp_path / "x", 10_000)
    assert list(found.verdicts) == verdicts
    assert found.looked == 4


def test_what_is_ours_is_neither_in_the_way_nor_judged(tmp_path: Path) -> None:
    survey = plan_at(tmp_path / "plan", [entry._replace(ours="J.1" if entry.n == 1 else "") for entry in entries_of(["a", "b", "c"], set())])
    found = comparison(tmp_path / "plan", survey, Container({f"out/{name}": Row(1, "t", "", "", "", False) for name in "abc"}), "fail")
    found.is_ours = lambda n: n == 2
    found.run("out/", survey.targets.orders, tmp_path / "x", 3)
    assert list(found.verdicts) == [Verdict.EXISTS, Verdict.UNKNOWN, Verdict.UNKNOWN]
    assert found.occupied == ["abfss://c@a/out/a"]


