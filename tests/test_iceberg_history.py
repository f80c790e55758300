"""A history that is cut short is still a table: what Iceberg's own expiry would leave."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyiceberg.table.metadata import TableMetadataUtil

from portal.errors import NotFound
from portal.lake.iceberg.history import History, pruned

START_MS = 1_700_000_000_000


def snapshot(number: int, parent: int | None, at_ms: int) -> dict[str, Any]:
    return {
        "snapshot-id": 1000 + number, "sequence-number": number + 1, "timestamp-ms": at_ms, "manifest-list": f"s3://b/t/metadata/{number}.avro",
        "summary": {"operation": "append"}, "schema-id": 0, **({} if parent is None else {"parent-snapshot-id": 1000 + parent}),
    }  # fmt: skip


def metadata(snapshots: list[dict[str, Any]], log: list[int], refs: dict[str, int]) -> dict[str, Any]:
    """`log`: numbers of the snapshots that were current, in order."""
    times = [item["timestamp-ms"] for item in snapshots]
    entries = [{"snapshot-id": 1000 + number, "timestamp-ms": max(times[number], START_MS + 1000 * place)} for place, number in enumerate(log)]
    current = 1000 + log[-1] if log else None
    named = {name: {"snapshot-id": 1000 + number, "type": "tag"} for name, number in refs.items()}
    return {
        "format-version": 2, "table-uuid": "2f3e2b3a-0000-4000-8000-000000000000", "location": "s3://b/t", "last-sequence-number": 99,
        "last-updated-ms": START_MS + 10**7, "last-column-id": 1, "current-schema-id": 0, "default-spec-id": 0, "default-sort-order-id": 0,
        "schemas": [{"type": "struct", "schema-id": 0, "fields": [{"id": 1, "name": "id", "type": "long", "required": False}]}],
        "partition-specs": [{"spec-id": 0, "fields": []}], "last-partition-id": 999, "sort-orders": [{"order-id": 0, "fields": []}],
        "snapshots": snapshots, "snapshot-log": entries, "metadata-log": [],
        "refs": {**named, **({"main": {"snapshot-id": current, "type": "branch"}} if log else {})},
        **({"current-snapshot-id": current} if log else {}),
        "statistics": [{"snapshot-id": item["snapshot-id"], "statistics-path": "s3://b/t/s.stats", "file-size-in-bytes": 1,
                        "file-footer-size-in-bytes": 1, "blob-metadata": []} for item in snapshots[::2]],
    }  # fmt: skip


@st.composite
def tables(draw: st.DrawFn) -> dict[str, Any]:
    """Branches, rollbacks, tags, clocks that go back."""
    count = draw(st.integers(0, 8))
    parents = [draw(st.none() | st.integers(0, number - 1)) if number else None for number in range(count)]
    times = [START_MS + 1000 * number + draw(st.integers(-1500, 1500)) for number in range(count)]
    numbers = st.integers(0, count - 1)
    log = draw(st.lists(numbers, max_size=8)) if count else []
    refs = draw(st.dictionaries(st.sampled_from(["v1", "v2", "audit"]), numbers)) if count else {}
    return metadata([snapshot(number, parents[number], times[number]) for number in range(count)], log, refs)


HISTORIES = st.one_of(
    st.sampled_from([History(), History("current")]),
    st.integers(START_MS - 2000, START_MS + 10_000).map(lambda ms: History("since", moment=datetime.fromtimestamp(ms / 1000, UTC))),
    st.integers(1000, 1007).map(lambda number: History("since", snapshot=number)),
)


@given(tables(), HISTORIES)
def test_what_is_left_is_a_table_whose_names_all_lead_somewhere(table: dict[str, Any], history: History) -> None:
    try:
        left = pruned(table, history).metadata
    except NotFound:
        assert history.snapshot not in {item["snapshot-id"] for item in table["snapshots"]}
        return
    TableMetadataUtil.parse_obj(left)
    ids = {item["snapshot-id"] for item in left["snapshots"]}
    current = table.get("current-snapshot-id")
    assert left.get("current-snapshot-id") == current and (current is None or current in ids)
    assert {ref["snapshot-id"] for ref in left["refs"].values()} <= ids and {item["snapshot-id"] for item in left["statistics"]} <= ids
    assert left["refs"] == {name: ref for name, ref in table["refs"].items() if ref["snapshot-id"] in ids}
    log = left["snapshot-log"]
    assert {entry["snapshot-id"] for entry in log} <= ids
    assert table["snapshot-log"][len(table["snapshot-log"]) - len(log) :] == log
    assert not log or log[-1]["snapshot-id"] == current
    unchanged = set(table) - {"snapshots", "snapshot-log", "refs", "statistics"}
    assert {name: left[name] for name in unchanged} == {name: table[name] for name in unchanged}


@given(tables(), HISTORIES)
def test_time_travel_to_any_moment_of_the_history_finds_the_same_snapshot(table: dict[str, Any], history: History) -> None:
    if history.moment is None:
        return
    left = pruned(table, history).metadata

    def current_at(found: dict[str, Any], ms: float) -> int | None:
        return next((entry["snapshot-id"] for entry in reversed(found["snapshot-log"]) if entry["timestamp-ms"] <= ms), None)

    ids = {item["snapshot-id"] for item in left["snapshots"]}
    for entry in table["snapshot-log"]:
        at = max(entry["timestamp-ms"], history.moment.timestamp() * 1000)
        wanted = current_at(table, at)
        later = [item["snapshot-id"] for item in table["snapshot-log"] if item["timestamp-ms"] >= at]
        if wanted in ids and all(snapshot_id in ids for snapshot_id in later):
            assert current_at(left, at) == wanted


LINE = metadata([snapshot(number, number - 1 if number else None, START_MS + 1000 * number) for number in range(4)], [0, 1, 2, 3], {"v1": 0, "v3": 3})


def kept(text: str, table: dict[str, Any] = LINE) -> list[int]:
    return [item["snapshot-id"] - 1000 for item in pruned(table, History.parse(text)).snapshots]


def test_how_much_is_kept() -> None:
    assert kept("all") == [0, 1, 2, 3]
    assert kept("current") == [3]
    assert kept("since 1002") == [2, 3]
    moment = datetime.fromtimestamp(START_MS / 1000 + 1.5, UTC).isoformat()
    assert kept(f"since {moment}") == [1, 2, 3], "the one that was current then, too"
    assert kept("since 2020-01-01") == [0, 1, 2, 3]
    assert kept("since 2050-01-01") == [3]


def test_what_is_left_out_is_told() -> None:
    notes = pruned(LINE, History.parse("since 1002")).notes
    assert notes == ("2 of 4 snapshots are left out (history: since 1002).", "Branches and tags of snapshots that are left out: v1.")
    assert pruned(LINE, History.parse("since 1000")).notes == ()


def test_a_clock_that_went_back_loses_nothing() -> None:
    """Sequence numbers tell what came later."""
    late = [snapshot(0, None, START_MS + 9000), snapshot(1, 0, START_MS)]
    assert kept("since 1000", metadata(late, [0, 1], {})) == [0, 1]


@pytest.mark.parametrize("text", ["", "since", "since yesterday", "everything", "all of it", "since 2026-13-01"])
def test_other_words_are_no_history(text: str) -> None:
    with pytest.raises(ValueError, match="Write all, current, since SNAPSHOT_ID or since"):
        History.parse(text)


@pytest.mark.parametrize("text", ["all", "current", "since 3055729675574597004", "since 2026-01-31T00:00:00+00:00"])
def test_a_history_is_written_as_it_is_read(text: str) -> None:
    assert str(History.parse(text)) == text


def test_an_unknown_snapshot_is_refused() -> None:
    with pytest.raises(NotFound, match="no snapshot 3055729675574597004"):
        kept("since 3055729675574597004")
