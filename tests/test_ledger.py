"""The journal that resume reads, the ledger it becomes, and the books."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portal.errors import BooksDoNotBalance, PortalError
from portal.ledger import ledger
from portal.ledger.arrays import filled
from portal.ledger.balance import FAILURES_SHOWN, OUTPUTS_SHOWN, Books
from portal.ledger.journal import Journal, JournalState
from portal.ledger.ledger import OUTCOMES
from portal.wire.ends import Block

COUNT = 5


def columns(ns: Sequence[int], outcomes: Sequence[str] | str = "copied", **more: Any) -> dict[str, list[Any]]:
    told = [outcomes] * len(ns) if isinstance(outcomes, str) else list(outcomes)
    return {
        "n": list(ns), "source_key": [f"k{n}" for n in ns], "source_size": [10] * len(ns), "target_key": [f"t{n}" for n in ns], "outcome": told,
        **{name: value if isinstance(value, list) else [value] * len(ns) for name, value in more.items()},
    }  # fmt: skip


ENTRIES = st.lists(st.integers(0, COUNT - 1), min_size=1, max_size=COUNT, unique=True)
STEPS = st.lists(st.tuples(st.sampled_from(["begin", "end", "blocks"]), ENTRIES, st.lists(st.sampled_from(OUTCOMES), min_size=COUNT)), max_size=12)


class Model:
    """What is known of each entry, told without any cleverness."""

    def __init__(self) -> None:
        self.last: dict[int, str] = {}
        self.begun: set[int] = set()
        self.blocks: dict[int, set[int]] = {}

    def take(self, step: str, ns: list[int], outcomes: list[str]) -> None:
        for n, outcome in zip(ns, outcomes, strict=False):
            if step == "blocks":
                self.blocks.setdefault(n, set()).add(len(outcomes))
            elif step == "begin":
                self.last[n] = "begin"
                self.begun.add(n)
            else:
                self.last[n] = outcome
                if outcome != "failed":
                    self.begun.discard(n)
                    self.blocks.pop(n, None)

    def check(self, state: JournalState) -> None:
        for n in range(COUNT):
            assert state.begun(n) == (n in self.begun), n
            assert state.ended(n) == (self.last.get(n, "begin") not in ("begin", "failed")), n
            found = state.upload(n)
            assert {block.number for block in found[1]} == self.blocks[n] if found else n not in self.blocks
        rows = [(key, outcome) for batch in state.rows() for key, outcome in zip(batch["source_key"], batch["outcome"], strict=True)]
        assert sorted(rows) == [(f"k{n}", self.last[n]) for n in sorted(self.last) if self.last[n] != "begin"]


def write(journal: Journal, step: str, ns: list[int], outcomes: list[str]) -> None:
    if step == "begin":
        journal.begin(ns)
    elif step == "end":
        journal.end(columns(ns, outcomes[: len(ns)]))
    else:
        for n in ns:
            journal.blocks(n, "u", [Block(len(outcomes), 10, 7, "m")])


@settings(max_examples=60, deadline=None)
@given(STEPS, st.integers(0, 700))
def test_what_a_journal_says_is_what_was_done_wherever_it_was_cut(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, list[int], list[str]]], cut: int
) -> None:
    path = tmp_path_factory.mktemp("j") / "journal"
    ends: list[int] = []
    whole_model, model = Model(), Model()
    with Journal(path, COUNT) as journal:
        for step in steps:
            write(journal, *step)
            whole_model.take(*step)
            ends.append(path.stat().st_size)
        whole_model.check(journal.state)
    whole = path.read_bytes()
    path.write_bytes(whole[: max(0, len(whole) - cut)])
    for end, (step, ns, outcomes) in zip(ends, steps, strict=True):
        if step != "blocks" and end - 1 <= len(whole) - cut:  # a line without its newline is whole too
            model.take(step, ns, outcomes)
    state = JournalState(path, COUNT)
    if all(step != "blocks" for step, _, _ in steps):
        model.check(state)
        with Journal(path, COUNT) as journal:
            journal.end(columns([4], "skipped"))
            journal.begin([4])
        again = JournalState(path, COUNT)
        assert again.begun(4) and not again.ended(4) and [again.ended(n) for n in range(4)] == [state.ended(n) for n in range(4)]


def test_a_line_after_a_cut_one_stands_alone(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with Journal(path, 3) as journal:
        journal.end(columns([0]))
    path.write_bytes(path.read_bytes() + b'{"end":{"n":[1],"outco')
    with Journal(path, 3) as journal:
        journal.end(columns([2]))
    state = JournalState(path, 3)
    assert [state.ended(n) for n in range(3)] == [True, False, True]


def test_blocks_of_another_upload_replace_those_that_were_known(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with Journal(path, 2) as journal:
        journal.begin([1])
        journal.blocks(1, "one", [Block(3, 8, 5, "c"), Block(0, 8, 1, "a")])
        journal.blocks(1, "one", [Block(1, 8, 2, "b")])
        assert JournalState(path, 2).upload(1) == ("one", [Block(0, 8, 1, "a"), Block(1, 8, 2, "b"), Block(3, 8, 5, "c")])
        journal.blocks(1, "two", [Block(1, 8, 2, "d")])
    state = JournalState(path, 2)
    assert state.upload(1) == ("two", [Block(1, 8, 2, "d")])
    assert state.step_bytes(1) == 0
    assert state.upload(0) is None
    assert state.begun(1)


def test_a_column_of_one_value_is_written_once_and_one_of_nothing_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "j"
    rows = columns([0, 1], proof="streamed", md5=None, source_etag=["a", "b"])
    with Journal(path, 2) as journal:
        journal.end(rows)
        (found,) = journal.rows()
    assert b'"proof":"streamed"' in path.read_bytes() and b"md5" not in path.read_bytes()
    assert found == {name: column for name, column in rows.items() if name != "md5"}


def test_rows_of_no_entry_are_kept(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", 1) as journal:
        journal.end(columns([0]))
        journal.end(columns([-1, -1], "deleted"))
        assert [batch["outcome"] for batch in journal.rows()] == [["copied"], ["deleted", "deleted"]]


def test_a_ledger_is_read_by_outcome_and_limit(tmp_path: Path) -> None:
    path = tmp_path / ledger.LEDGER_FILE
    outcomes = ["failed" if n % 3 == 0 else "copied" for n in range(60_000)]
    batches = [columns(range(n, n + 500), outcomes[n : n + 500], proof="streamed", started_at=1_700_000_000_000 + n) for n in range(0, 60_000, 500)]
    for batch in batches:
        del batch["n"]
    ledger.write(path, batches, source_base="s3://b/", target_base="abfss://c@a/")
    assert ledger.read(path).num_rows == 60_000
    assert ledger.read(path).schema.equals(ledger.SCHEMA)
    failed = ledger.read(path, outcome="failed")
    assert failed["source_key"].to_pylist() == [f"k{n}" for n in range(0, 60_000, 3)]
    assert ledger.read(path, outcome="failed", limit=2)["source_key"].to_pylist() == ["k0", "k3"]
    assert ledger.read(path, limit=10_001).num_rows == 10_001
    assert ledger.read(path, outcome="skipped").num_rows == 0
    assert [name for name in tmp_path.iterdir() if name != path] == []
    assert pq.ParquetFile(path).num_row_groups == 2


def test_what_a_batch_does_not_tell_has_its_default(tmp_path: Path) -> None:
    told = {
        "n": [2, 1], "source_key": ["b", "a/ü b"], "outcome": ["failed", "copied"], "target_key": [None, "t/a"], "rows_in": [None, 7],
    }  # fmt: skip
    ledger.write(tmp_path / "l", [told], source_base="s3://b/", target_base="abfss://c@a/")
    first, second = ledger.read(tmp_path / "l").to_pylist()
    assert (first["source_url"], first["target_url"]) == ("s3://b/a/ü b", "abfss://c@a/t/a")
    assert (second["source_url"], second["target_url"]) == ("s3://b/b", None)
    assert (first["proof"], first["reason"], first["attempts"], first["cause"], first["rows_out"]) == ("none", "", 0, "", None)
    ledger.write(tmp_path / "l", [{**told, "source_url": ["x://1", "x://2"]}], source_base="s3://b/")
    assert ledger.read(tmp_path / "l")["source_url"].to_pylist() == ["x://2", "x://1"]


KINDS: dict[str, st.SearchStrategy[Any]] = {
    "string": st.text(st.characters(exclude_categories=["Cs"])), "int64": st.integers(-(2**63), 2**63 - 1),
    "int32": st.integers(-(2**31), 2**31 - 1), "double": st.floats(allow_nan=False),
}  # fmt: skip


@given(st.data(), st.sampled_from(sorted(KINDS)))
def test_arrays_are_those_that_arrow_makes(data: st.DataObject, name: str) -> None:
    kind = pa.type_for_alias(name)
    values = data.draw(st.lists(st.none() | KINDS[name]))
    made = filled(values, kind)
    made.validate(full=True)
    assert made.equals(pa.array(values, kind))


def test_a_number_that_no_column_holds_is_told() -> None:
    with pytest.raises(PortalError, match="too large"):
        filled([1, None, 2**63], pa.int64())


def test_writing_a_ledger_does_not_import_pandas(tmp_path: Path) -> None:
    """It takes a second, as long as copying a thousand files."""
    batch = {"n": [0], "source_key": ["a"], "outcome": ["copied"], "target_key": ["b"], "duration_s": [0.5], "started_at": [1], "source_size": [1]}
    code = (
        "import sys; from pathlib import Path; from portal.ledger import ledger;"
        f"ledger.write(Path({str(tmp_path / 'l')!r}), [{batch!r}], source_base='s3://b/'); sys.exit('pandas' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_older_ledger_is_read_with_nothing_in_the_new_columns(tmp_path: Path) -> None:
    newer = ("mode", "cause", "source_modified", "storage_class", "bytes_through", "resumed_bytes")
    schema = pa.schema([field for field in ledger.SCHEMA if field.name not in newer])
    pq.write_table(pa.Table.from_pylist([{"source_key": "a", "outcome": "failed"}], schema=schema), tmp_path / "l")
    (row,) = ledger.read(tmp_path / "l", outcome="failed").to_pylist()
    assert (row["source_key"], row["cause"], row["bytes_through"]) == ("a", None, None)


def test_an_empty_ledger_is_a_ledger(tmp_path: Path) -> None:
    ledger.write(tmp_path / "l", [])
    found = ledger.read(tmp_path / "l", outcome="failed")
    assert isinstance(found, pa.Table) and found.num_rows == 0 and found.column_names == ledger.SCHEMA.names


def test_books_that_do_not_balance_are_refused() -> None:
    books = Books()
    list(books.through([columns(range(5), OUTCOMES), columns([-1], "deleted")]))
    books.refuse_imbalance(5)
    assert books.counts(5) == {"listed": 5, "copied": 1, "converted": 1, "skipped": 1, "failed": 1, "excluded": 1, "deleted": 1}
    for wrong in (4, 6):
        with pytest.raises(BooksDoNotBalance, match=f"{wrong} objects were listed, but 5"):
            books.refuse_imbalance(wrong)


def test_books_sum_proofs_modes_causes_and_bytes() -> None:
    books = Books("abfss://c@a/")
    outcomes = ["copied", "copied", "failed", "converted", "excluded", "excluded"]
    more = {
        "proof": ["end-to-end", "size", "none", "converted", "none", "none"], "mode": ["server", "stream", "", "convert", "", ""],
        "cause": ["", "", "throttled", "", "", ""], "reason": ["", "a note", "asked to slow down", "", "too big", "too big"],
        "bytes_through": [0, 10, 20, None, None, None], "target_size": 10, "rows_in": [None, None, None, 3, None, None],
    }  # fmt: skip
    list(books.through([columns(range(6), outcomes, **more), columns([6], proof="size", mode="stream", target_size=1)]))
    assert (books.bytes, books.bytes_through, books.rows) == (40, 30, {"rows_in": 3})
    assert books.proofs == {"end-to-end": 1, "size": 2, "converted": 1}
    assert books.modes == {"server": 1, "stream": 2, "convert": 1}
    assert books.causes == {"throttled": 1} and books.excluded == {"too big": 2}
    assert books.failures == [{"key": "k2", "cause": "throttled", "reason": "asked to slow down"}]
    assert books.notes == ["k1: a note"]
    assert books.outputs[0] == {"url": "abfss://c@a/t0", "bytes": 10, "proof": "end-to-end"} and len(books.outputs) == 4


def test_books_show_a_bounded_number_of_each() -> None:
    books = Books()
    many = range(3000)
    reasons = [f"r{n}" for n in many]
    list(books.through([columns(many, "failed", reason="no"), columns(many, reason="note"), columns(many, "excluded", reason=reasons)]))
    assert len(books.failures) == len(books.notes) == FAILURES_SHOWN and len(books.outputs) <= OUTPUTS_SHOWN + 1
    assert sum(books.excluded.values()) == 3000 and len(books.excluded) == FAILURES_SHOWN + 1
