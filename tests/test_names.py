"""Target names: what they are made of, what stores cannot hold, and which are in each other's way."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta, timezone
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portal.planning import names, plan
from portal.planning.filters import Filters
from portal.planning.formats import format_of
from portal.planning.plan import Entry, Page
from portal.planning.policies import Twins
from portal.planning.survey import Order, Ordered, sortable
from portal.planning.targets import Targets
from portal.stores.partial import is_partial, partial_name
from portal.wire.ends import Listed

KEYS = st.text(st.sampled_from("ab./\\ é\x01\ud800"), max_size=12)
GOOD_KEYS = st.lists(st.text(st.sampled_from("abc"), min_size=1, max_size=2), min_size=1, max_size=4).map("/".join)


@pytest.mark.parametrize(
    ("key", "prefix", "name"),
    [
        ("a/b.csv", "", "a/b.csv"), ("a/b.csv", "a/", "b.csv"), ("a/b.csv", "a", "b.csv"), ("a2/b.csv", "a", None), ("a/b.csv", "a/b.csv", "b.csv"),
        ("b.csv", "b.csv", "b.csv"), ("a/", "a/", None), ("a/b/", "a", "b/"), ("ab", "a", None),
    ],
)  # fmt: skip
def test_the_name_below_the_source(key: str, prefix: str, name: str | None) -> None:
    assert names.below(key, prefix) == name


@pytest.mark.parametrize(
    ("target", "flat", "key"),
    [("", None, "a/b.csv"), ("x", None, "x/a/b.csv"), ("x/", None, "x/a/b.csv"), ("x/", "raw", "x/raw/b.csv"), ("", "", "b.csv")],
)
def test_the_targets_key(target: str, flat: str | None, key: str) -> None:
    assert names.target_key("a/b.csv", target, flat_folder=flat) == key


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("a//b", "empty"), ("/a", "empty"), ("a/", "empty"), ("a/./b", "'.'"), ("../a", "'..'"), ("a./b", "dot"), ("a/b.", "dot"),
        ("a\\b", "backslash"), ("a?sv=2020-01-01&sig=x.csv", "signature"), ("a?b?sig=x&sv=2020-01-01", "signature"),
        ("a\tb", "control"), ("a\x7fb", "control"), ("a\ufffe", "control"), ("x" * 1025, "1024"), ("/".join("x" * 62), "61"), ("", "empty"),
        ("a/.portal-0123456789abcdef.part", "being written"), ("a\ud800", "Unicode"),
    ],
)  # fmt: skip
def test_what_adls_cannot_hold(key: str, why: str) -> None:
    assert why in names.refusal("abfss", key)
    assert not key or not names.harmless(["fine", key, "fine too"])


@pytest.mark.parametrize("key", ["a", "a/b.csv", ".hidden", "a b", "ü/日本", "a%2Fb", "a?sv=2020-01-01&sig=x?y", 'a:b*c?d|e"<>', "x" * 1024])
def test_what_adls_can_hold(key: str) -> None:
    assert names.refusal("abfss", key) == ""


def test_what_s3_and_files_cannot_hold() -> None:
    assert "1024 bytes" in names.refusal("s3", "ü" * 513)
    assert names.refusal("s3", "a//b/../c.") == ""
    assert "255 bytes" in names.refusal("file", "ü" * 128)
    assert "NUL" in names.refusal("file", "a\0b")
    assert "'..'" in names.refusal("file", "a/../../etc/passwd")


@settings(max_examples=200, deadline=None)
@given(KEYS, st.sampled_from(["s3", "abfss", "file"]))
def test_an_accepted_name_has_none_of_the_forbidden_parts(key: str, scheme: str) -> None:
    if names.refusal(scheme, key):
        return
    assert key.encode()
    if scheme != "s3":
        assert all(part not in ("", ".", "..") for part in key.split("/"))
    if scheme == "abfss":
        assert not any(part.endswith(".") for part in key.split("/")) and not {"\\", "\x01"} & set(key)


PARTIAL = ".portal-0123456789abcdef.part"
AWKWARD_PARTS = ["", ".", "..", "a", "%", "%2E", "%2f", "x.", "\\", "a%", "\x85", "é", "?sv=2020-01-01&sig=", PARTIAL, "x" * 300]
AWKWARD = st.text(st.sampled_from("ab.%/\\ é\x01\x85?E2sv=01-ig:"), min_size=1, max_size=14) | st.lists(
    st.sampled_from(AWKWARD_PARTS), min_size=1, max_size=70
).map("/".join).filter(bool)
LONG = ["x" * 256, "/".join("x" * 61), "/".join("x" * 62)]
SCHEMES = st.sampled_from(["s3", "abfss", "file"])


@settings(max_examples=300, deadline=None)
@given(AWKWARD, SCHEMES, st.sampled_from(["", "x/", "x/y/"]))
def test_an_encoded_name_is_legal_and_gives_the_name_back(name: str, scheme: str, folder: str) -> None:
    made = names.encoded(scheme, name, folder)
    assert names.refusal(scheme, folder + made) == ""
    if "~" not in made:
        assert names.decoded(made) == name


@settings(max_examples=200, deadline=None)
@given(st.lists(AWKWARD, min_size=2, max_size=30, unique=True), SCHEMES)
def test_no_two_names_become_one(found: list[str], scheme: str) -> None:
    assert len({names.encoded(scheme, name) for name in found}) == len(found)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(st.sampled_from("ab./\\?%~-é\x01\ud800"), min_size=1, max_size=8) | st.sampled_from(LONG), min_size=1))
def test_a_quick_look_lets_only_names_pass_that_every_store_holds(found: list[str]) -> None:
    if names.harmless(found, but="%"):
        assert all(names.refusal(scheme, name) == "" and names.encoded(scheme, name) == name for name in found for scheme in ("abfss", "file", "s3"))


def test_a_quick_look_lets_ordinary_names_pass() -> None:
    assert names.harmless(["year=2026/a-b_c (1).csv", ".hidden/x.tar.gz"])


def test_a_name_that_is_too_long_is_cut_with_a_hash_and_keeps_its_ending() -> None:
    one, other = (names.encoded("abfss", "d/" + "x" * 1100 + last, "t/") for last in ("1.csv.gz", "2.csv.gz"))
    assert one != other and one.endswith(".csv.gz") and len(one) == 1024 - 2 and names.refusal("abfss", f"t/{one}") == ""


@pytest.mark.parametrize(("key", "apart"), [("d/a.csv", "d/a~"), ("d/a", "d/a~"), ("d/" + "x" * 255 + ".csv", "d/x")])
def test_a_twin_gets_a_name_of_its_own(key: str, apart: str) -> None:
    one, other = (names.set_apart("file", key, source) for source in ("s/1", "s/2"))
    assert one != other and one.startswith(apart) and names.refusal("file", one) == ""
    assert one.endswith(".csv") == key.endswith(".csv")


def page_of(*entries: Entry) -> Page:
    page = Page(entries[0].n)
    for entry in entries:
        page.keys.append(entry.key)
        page.targets.append(entry.target_key)
        page.actions.append(entry.action)
    for column in (page.etags, page.modified, page.reasons, page.classes, page.md5s):
        column += [""] * len(entries)
    page.sizes, page.ours = [1] * len(entries), [""] * len(entries)
    return page


@settings(max_examples=100, deadline=None)
@given(st.lists(GOOD_KEYS, min_size=1, max_size=12))
def test_twins_and_folders_in_the_way_are_found_whatever_the_order(tmp_path_factory: pytest.TempPathFactory, found: list[str]) -> None:
    first: dict[str, int] = {}
    twins = [n for n, key in enumerate(found) if first.setdefault(key, n) != n]
    with Targets(tmp_path_factory.mktemp("t") / "t") as targets:
        targets.fill([page_of(*(Entry(n, f"s{n}", 1, "", "", key, "copy") for n, key in enumerate(found)))])
        assert [clash.n for clash in targets.twins()] == twins
        clashes = [clash.n for clash in targets.files_that_are_folders()]
    assert clashes == [n for n, key in enumerate(found) if any(other.startswith(f"{key}/") for other in found)]


@settings(max_examples=200, deadline=None)
@given(st.sets(GOOD_KEYS | st.text(st.sampled_from("a/-.0"), min_size=1, max_size=5), min_size=1, max_size=20), st.integers(1, 4), st.booleans())
def test_names_in_order_show_a_clash_by_themselves(found: set[str], size: int, by_path: bool) -> None:
    order: Order = "path" if by_path else "key"
    ordered = [key for _, key in sorted((sortable(order, [key])[0], key) for key in found)]
    watched = Ordered()
    for start in range(0, len(ordered), size):
        watched.take(ordered[start : start + size])
    assert order in watched.orders
    assert watched.clash == any(other.startswith(f"{key}/") for key in found for other in found)
    watched.take([ordered[0]])
    assert watched.order is None, "a name that comes twice ends the order"


@settings(max_examples=100, deadline=None)
@given(st.lists(GOOD_KEYS, min_size=1, max_size=10), st.sampled_from(["skip", "rename"]), st.booleans())
def test_what_is_settled_leaves_no_clash(tmp_path_factory: pytest.TempPathFactory, found: list[str], policy: Twins, folds: bool) -> None:
    folder = tmp_path_factory.mktemp("t")
    found = [key.upper() if n % 2 and folds else key for n, key in enumerate(found)]
    pages = [page_of(*(Entry(n, f"s{n}", 1, "", "", key, "copy") for n, key in enumerate(found)))]
    fold = str.casefold if folds else None
    with Targets(folder / "t", fold) as targets:
        targets.fill(pages)
        told = list(targets.settle(policy, partial(names.set_apart, "abfss")))
        changes = {change.n: change for change in targets.changes()}
    assert {clash.n for clash, _ in told} == set(changes) and all(done != "stops" for _, done in told)
    left = [changes[n].target if n in changes else key for n, key in enumerate(found)]
    assert all((n in changes) == (policy == "skip") for n, key in enumerate(left) if not key)
    with Targets(folder / "t", fold) as targets:
        targets.fill([page_of(*(Entry(n, f"s{n}", 1, "", "", key, "copy" if key else "exclude") for n, key in enumerate(left)))])
        assert [*targets.twins(), *targets.files_that_are_folders()] == []


def test_a_plan_says_that_it_is_whole_only_when_its_lines_are_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / plan.PLAN_FILE
    synced: list[int | None] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(plan.length_if_for(path, {})))
    with plan.PlanWriter(path, "job", {}, plan.Names("", "")) as writer:
        assert not list(writer.kept())
        writer.add(plan.Page(0, ["a"], [1], [""], [""], ["a"], ["copy"], [""], [""], [""], [False]))
        writer.finish()
    assert synced == [None, 1]


def test_entries_that_do_not_move_claim_no_name(tmp_path: Path) -> None:
    with Targets(tmp_path / "t") as targets:
        targets.fill([page_of(Entry(0, "a", 1, "", "", "x", "copy"), Entry(1, "b", 1, "", "", "x", "exclude"))])
        assert list(targets.twins()) == []
    assert not (tmp_path / "t").exists()


def test_partial_names_are_known_and_fresh() -> None:
    first, second = partial_name(), partial_name()
    assert first != second and is_partial(f"a/b/{first}") and not is_partial("a/.portal-x.part") and not is_partial(f"{first}/x")


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("a.csv", "csv"), ("A.TSV", "csv"), ("a.csv.gz", "csv"), ("a.json", "json"), ("a.jsonl", "json"), ("a.ndjson.zst", "json"),
        ("a.parquet", "parquet"), ("a.txt", "other"), ("csv", "other"), ("a.csv/b", "other"),
    ],
)  # fmt: skip
def test_formats_are_told_by_names(key: str, found: str) -> None:
    assert format_of(key) == found


NEW_YEAR = "2026-01-01T00:00:00.500Z"
HALF_PAST = datetime(2026, 1, 1, 0, 0, 0, 500_000, tzinfo=UTC)
TICK = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("filters", "why"),
    [
        (Filters(), ""), (Filters(formats=("csv",)), ""), (Filters(formats=("json",)), "format is csv"), (Filters(formats=("json", "any")), ""),
        (Filters(include=("*.csv",)), ""), (Filters(include=("d/*",)), ""), (Filters(include=("d*",)), "no include"),
        (Filters(include=("x", "d/*.csv")), ""), (Filters(include=("a.*", "x/*")), ""), (Filters(include=("x", "x/*")), "no include"),
        (Filters(exclude=("b", "a.*")), "pattern a.* fits"), (Filters(exclude=("x/*",)), ""), (Filters(exclude=("z", "d/*")), "pattern d/* fits"),
        (Filters(regex=(r"^d/a\.",)), ""), (Filters(regex=("nothing", "sv$")), ""), (Filters(regex=("^a",)), "no regular expression"),
        (Filters(min_bytes=11), "smaller"), (Filters(max_bytes=9), "larger"), (Filters(min_bytes=10, max_bytes=10), ""),
        (Filters(max_bytes=0), "larger"),
        (Filters(since=datetime(2026, 2, 1, tzinfo=UTC)), "before"), (Filters(until=datetime(2026, 1, 1, tzinfo=UTC)), "at or after"),
        (Filters(since=HALF_PAST), ""), (Filters(since=HALF_PAST + TICK), "before"),
        (Filters(until=HALF_PAST + TICK), ""), (Filters(until=HALF_PAST), "at or"),
        (Filters(since=datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))), ""),
        (Filters(classes=("standard", "COOL")), ""), (Filters(classes=("GLACIER",)), "storage class is STANDARD"),
        (Filters(formats=("json",), min_bytes=11), "format"),
    ],
)  # fmt: skip
def test_filters_say_why(filters: Filters, why: str) -> None:
    page = Listed(["p/d/a.csv"] * 2, [10, 10], ["", ""], [NEW_YEAR, NEW_YEAR], ["STANDARD"] * 2, [False] * 2, ["", ""], ["", ""])
    reasons = filters.refusals(["d/a.csv"] * 2, page)
    assert all(why in reason and bool(why) == bool(reason) for reason in reasons)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(st.sampled_from("ab/.*[]?\n"), max_size=4), max_size=3), st.text(st.sampled_from("ab/.\n"), min_size=1, max_size=6))
def test_globs_together_fit_what_they_fit_one_by_one(globs: list[str], name: str) -> None:
    one_by_one = [fnmatchcase(name if "/" in glob else name.rpartition("/")[2], glob) for glob in globs]
    page = Listed([name], [1], [""], [""], [""], [False], [""], [""])
    assert bool(Filters(include=globs).refusals([name], page)[0]) == (bool(globs) and not any(one_by_one))
    assert bool(Filters(exclude=globs).refusals([name], page)[0]) == any(one_by_one)


def test_what_nobody_knows_is_not_held_against_an_object_but_a_class_that_is_asked_for() -> None:
    page = Listed(["a"], [1], [""], [""], [""], [False], [""], [""])
    assert Filters(since=datetime(2026, 1, 1, tzinfo=UTC), until=datetime(2026, 1, 2, tzinfo=UTC)).refusals(["a"], page) == [""]
    assert "not told" in Filters(classes=("STANDARD",)).refusals(["a"], page)[0]
