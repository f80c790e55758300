"""The journal that resume reads, and the ledger it becomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portal.errors import BooksDoNotBalance
from portal.transfer import ledger, plan
from portal.transfer.balance import Books
from portal.transfer.journal import Journal, JournalState
from portal.transfer.ledger import OUTCOMES, Row
from portal.transfer.plan import Entry


def row(n: int, outcome: Any = "copied", **more: Any) -> Row:
    return Row(f"s3://b/{n}", str(n), 10, outcome, **more)


STEPS = st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["begin", *OUTCOMES])), max_size=20)


@settings(max_examples=60, deadline=None)
@given(STEPS, st.integers(0, 400))
def test_what_a_journal_says_is_what_was_done_wherever_it_was_cut(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, str]], cut: int
) -> None:
    path = tmp_path_factory.mktemp("j") / "journal"
    last: dict[int, str] = {}
    ends: list[tuple[int, int, str]] = []
    with Journal(path, 5) as journal:
        for n, step in steps:
            journal.begin(n) if step == "begin" else journal.end(n, row(n, step))
            ends.append((path.stat().st_size, n, step))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - cut])
    for end, n, step in ends:
        if end - 1 <= len(whole) - cut:  # a line without its newline is whole too
            last[n] = step
    for state in (JournalState(path, 5), _reopened(path)):
        for n in range(5):
            assert state.begun(n) == (last.get(n) == "begin")
            assert state.ended(n) == (last.get(n, "begin") not in ("begin", "failed"))
        assert [(found["source_key"], found["outcome"]) for found in state.rows()] == [(str(n), last[n]) for n in sorted(last) if last[n] != "begin"]


def _reopened(path: Path) -> JournalState:
    with Journal(path, 5) as journal:
        journal.end(4, row(4, "skipped"))
        journal.begin(4)
    with Journal(path, 5):
        pass
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-2]))
    return JournalState(path, 5)


def test_a_line_after_a_cut_one_stands_alone(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with Journal(path, 3) as journal:
        journal.end(0, row(0))
    path.write_bytes(path.read_bytes() + b'{"n": 1, "outco')
    with Journal(path, 3) as journal:
        journal.end(2, row(2))
    state = JournalState(path, 3)
    assert [state.ended(n) for n in range(3)] == [True, False, True]


def test_a_ledger_is_read_by_outcome_and_limit(tmp_path: Path) -> None:
    path = tmp_path / ledger.LEDGER_FILE
    rows = [row(n, "failed" if n % 3 == 0 else "copied", proof="streamed", started_at=1_700_000_000_000 + n) for n in range(25_000)]
    ledger.write(path, (found.asdict() for found in rows))
    assert ledger.read(path).num_rows == 25_000
    assert ledger.read(path).schema.equals(ledger.SCHEMA)
    failed = ledger.read(path, outcome="failed")
    assert failed["source_key"].to_pylist() == [str(n) for n in range(0, 25_000, 3)]
    assert ledger.read(path, outcome="failed", limit=2)["source_key"].to_pylist() == ["0", "3"]
    assert ledger.read(path, limit=10_001).num_rows == 10_001
    assert ledger.read(path, outcome="skipped").num_rows == 0
    assert [name for name in tmp_path.iterdir() if name != path] == []


def test_an_empty_ledger_is_a_ledger(tmp_path: Path) -> None:
    ledger.write(tmp_path / "l", [])
    found = ledger.read(tmp_path / "l", outcome="failed")
    assert isinstance(found, pa.Table) and found.num_rows == 0 and found.column_names == ledger.SCHEMA.names


def test_books_that_do_not_balance_are_refused() -> None:
    books = Books()
    list(books.through(row(n, outcome).asdict() for n, outcome in enumerate(OUTCOMES)))
    books.refuse_imbalance(5)
    assert books.counts(5) == {"listed": 5, "copied": 1, "converted": 1, "skipped": 1, "failed": 1, "excluded": 1}
    for wrong in (4, 6):
        with pytest.raises(BooksDoNotBalance, match=f"{wrong} objects were listed, but 5"):
            books.refuse_imbalance(wrong)


def test_a_plan_without_its_end_or_made_for_something_else_is_none(tmp_path: Path) -> None:
    path, header = tmp_path / "plan", {"source": "s3://b/", "formats": ["csv"]}
    entries = [Entry(n, f"k{n}", n, "e", "", f"t{n}", "copy") for n in range(3)]
    assert plan.length_if_for(path, header) is None
    assert plan.write(path, "job", header, entries, lambda count, size: None) == 3
    assert plan.length_if_for(path, header) == plan.length_if_for(path, header, "job") == 3
    assert plan.length_if_for(path, header, "another") is None
    assert list(plan.read(path)) == entries
    assert plan.length_if_for(path, {**header, "formats": []}) is None
    whole = path.read_bytes()
    path.write_bytes(whole[:-3])
    assert plan.length_if_for(path, header) is None
    path.write_bytes(b"".join(whole.splitlines(keepends=True)[:-1]))
    assert plan.length_if_for(path, header) is None
