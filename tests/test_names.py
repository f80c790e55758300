"""Target names: what they are made of, what stores cannot hold, and which are in each other's way."""

from __future__ import annotations

import os
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portal.stores.base import ObjectInfo
from portal.stores.partial import is_partial, partial_name
from portal.transfer import names, plan
from portal.transfer.filters import Filters
from portal.transfer.formats import format_of
from portal.transfer.plan import Entry
from portal.transfer.targets import Targets

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


@settings(max_examples=100, deadline=None)
@given(st.lists(GOOD_KEYS, max_size=12))
def test_twins_and_folders_in_the_way_are_found_whatever_the_order(tmp_path_factory: pytest.TempPathFactory, found: list[str]) -> None:
    by_target: dict[str, list[str]] = defaultdict(list)
    entries = []
    for n, key in enumerate(found):
        by_target[key].append(f"s{n}")
        entries.append(Entry(n, f"s{n}", 1, "", "", key, "copy"))
    with Targets(tmp_path_factory.mktemp("t") / "t") as targets:
        targets.fill(entries)
        twins = targets.twins(100)
        clashes = targets.files_that_are_folders(100)
        assert all(targets.is_folder(folder) for key in found for folder in ("", key.rpartition("/")[0]))
    assert {key for key, _, _ in twins} == {key for key, sources in by_target.items() if len(sources) > 1}
    assert all({one, other} <= set(by_target[key]) and one != other for key, one, other in twins)
    assert {key for key, _, _ in clashes} == {key for key in by_target if any(other.startswith(f"{key}/") for other in by_target)}


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
        targets.fill([Entry(0, "a", 1, "", "", "x", "copy"), Entry(1, "b", 1, "", "", "x", "exclude")])
        assert targets.twins(10) == []
        assert (targets.entry_of("x"), targets.entry_of("y")) == (0, None)
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


@pytest.mark.parametrize(
    ("filters", "why"),
    [
        (Filters(), ""), (Filters(formats=("csv",)), ""), (Filters(formats=("json",)), "format is csv"), (Filters(formats=("json", "any")), ""),
        (Filters(include=("*.csv",)), ""), (Filters(include=("d/*",)), ""), (Filters(include=("d*",)), "no include"),
        (Filters(exclude=("a.*",)), "a.*"), (Filters(exclude=("x/*",)), ""), (Filters(min_bytes=11), "smaller"), (Filters(max_bytes=9), "larger"),
        (Filters(min_bytes=10, max_bytes=10), ""),
        (Filters(since=datetime(2026, 2, 1, tzinfo=UTC)), "before"), (Filters(until=datetime(2026, 1, 1, tzinfo=UTC)), "at or after"),
    ],
)  # fmt: skip
def test_filters_say_why(filters: Filters, why: str) -> None:
    info = ObjectInfo("p/d/a.csv", 10, modified=datetime(2026, 1, 1, tzinfo=UTC))
    reason = filters.refusal(info, "d/a.csv")
    assert why in reason and bool(why) == bool(reason)
