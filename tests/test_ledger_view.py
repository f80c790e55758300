"""What is read from a ledger, whatever its size: the same as going through every row by hand."""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portal.comparing.evidence import SIGNS
from portal.comparing.report import TABLE_FILE
from portal.errors import NotFound, PortalError
from portal.ledger import export as ledger_export
from portal.ledger import view as ledger_view
from portal.ledger.kinds import ALL, Chosen, Kind
from portal.ledger.ledger import CAUSES
from portal.ledger.remedies import OF_COMPARISONS, REMEDIES
from tests import ledgers

NAMES = st.sampled_from(["a/Sales.csv", "b/sales-2.csv", "c/x.json", "d/Größe.csv", ""])
ROWS = st.lists(
    st.builds(
        lambda n, outcome, proof, cause, mode, key, reason: ledgers.row(
            n, outcome, proof=proof, cause=cause, mode=mode, source_key=key, target_key=None if n % 3 else key.upper(), reason=reason
        ),
        st.integers(0, 9), st.sampled_from(["copied", "failed", "skipped"]), st.sampled_from(["end-to-end", "size", "none"]),
        st.sampled_from(["", None, "name", "full"]), st.sampled_from(["", None, "server"]), NAMES, st.sampled_from(["", None, "no sales today"]),
    ), max_size=40,
)  # fmt: skip
VALUES = [
    st.lists(st.sampled_from(values), max_size=2, unique=True).map(tuple)
    for values in (["copied", "failed", "gone"], ["size", "none"], ["name", "full", ""], ["server", ""])
]
CHOSEN = st.builds(Chosen, *VALUES, st.sampled_from(["", "SALES", "sales", ".json", "größe", "nowhere", "("]))


def fits(item: dict[str, Any], chosen: Chosen) -> bool:
    kind = Kind(*(item[name] or "" for name in Kind._fields))
    texts = (item[name] or "" for name in ("source_key", "target_key", "reason"))
    return chosen.takes(kind) and any(chosen.text.lower() in text.lower() for text in texts)


def numbered(table: pa.Table) -> list[Any]:
    return table["source_etag"].to_pylist()


@settings(max_examples=120, deadline=None)
@given(ROWS, CHOSEN, st.integers(1, 9), st.integers(0, 20), st.integers(1, 20), st.booleans())
def test_pages_counts_and_groups_are_those_of_the_rows(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], chosen: Chosen, group_rows: int, offset: int, limit: int, old: bool
) -> None:
    rows = [{**item, "source_etag": str(place)} for place, item in enumerate(rows)]
    if old:
        rows = [{**item, "cause": "", "mode": "", "bytes_through": 0} for item in rows]
    schema = ledgers.OLD_SCHEMA if old else ledgers.SCHEMA
    view = ledger_view.view(ledgers.write(tmp_path_factory.mktemp("l") / "ledger", rows, group_rows=group_rows, schema=schema))
    fitting = [item for item in rows if fits(item, chosen)]
    page = view.page(chosen, offset, limit)
    assert numbered(page.rows) == [item["source_etag"] for item in fitting[offset : offset + limit]]
    assert page.more == (len(fitting) > offset + limit)
    assert page.total in (len(fitting), None) and (page.total is not None or chosen.text)
    assert [etag for table in view.batches(chosen) for etag in numbered(table)] == [item["source_etag"] for item in fitting]
    for name in Kind._fields:
        assert {value: sums.objects for value, sums in view.counts(name, chosen).items()} == Counter(item[name] or "" for item in fitting)
    assert sum(sums.source_size for sums in view.kinds(chosen).values()) == sum(item["source_size"] for item in fitting)
    assert sum(sums.bytes_through for sums in view.kinds(chosen).values()) == sum(item["bytes_through"] for item in fitting)
    for group in view.groups(chosen):
        first = next(item for item in fitting if (item["outcome"], item["cause"] or "") == (group.outcome, group.cause))
        assert group.example == {name: first[name] for name in ("source_key", "target_key", "reason")}
        assert rows[group.sums.first] is first


def test_what_failed_comes_first_and_then_the_largest(tmp_path: Path) -> None:
    groups = ledger_view.view(ledgers.write(tmp_path / "l", ledgers.some())).groups()
    assert [(group.outcome, group.cause, group.sums.objects) for group in groups[:3]] == [
        ("failed", "access-denied", 5), ("failed", "name", 2), ("copied", "", 30),
    ]  # fmt: skip


def test_a_page_reads_no_more_than_the_row_groups_it_is_taken_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    view = ledger_view.view(ledgers.write(tmp_path / "l", [*map(ledgers.row, range(999)), ledgers.failed(999, "full", "no room")], group_rows=10))
    read: list[tuple[int, ...]] = []
    iterate = pq.ParquetFile.iter_batches

    def watched(file: Any, *arguments: Any, **options: Any) -> Any:
        read.append(tuple(options["row_groups"]))
        return iterate(file, *arguments, **options)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", watched)
    assert view.page(ALL, 505, 10).total == 1000 and read == [(50,), (51,)]
    read.clear()
    assert view.page(Chosen(outcome=("failed",)), 0, 10).rows.num_rows == 1 and read == [(99,)]
    read.clear()
    assert view.counts("cause") and view.kinds(Chosen(outcome=("copied",))) and read == []
    assert view.page(Chosen(text="in/0"), 0, 5).more and set(read) == {(0,)}
    assert view.page(Chosen(text="no room"), 0, 5).total == 1
    read.clear()
    assert view.page(Chosen(text="no room"), 0, 5).total == 1 and read == [(99,)]  # where it is found is remembered


def test_a_comparison_is_looked_at_like_a_ledger(tmp_path: Path) -> None:
    assert ledger_view.path_in(tmp_path) is None
    ledgers.compared(tmp_path / TABLE_FILE)
    path = ledger_view.path_in(tmp_path)
    assert path is not None
    view = ledger_view.view(path)
    assert {name: sums.objects for name, sums in view.counts("outcome").items()} == {
        "equal": 3, "different": 1, "only-source": 1, "only-target": 1,
    }  # fmt: skip
    assert set(view.counts("proof", Chosen(outcome=("equal",)))) == {"read", "stored", "size"}
    assert [group.name for group in view.groups(Chosen(outcome=("only-target", "different")))] == ["d", "f"]
    assert view.page(Chosen(proof=("size",)), 0, 9).rows["source_key"].to_pylist() == ["c", "d"]
    ledgers.write(tmp_path / "ledger.parquet", [])
    assert ledger_view.path_in(tmp_path) == tmp_path / "ledger.parquet"


def test_a_ledger_that_is_the_same_is_opened_once_and_a_new_one_anew(tmp_path: Path) -> None:
    path = ledgers.write(tmp_path / "l", ledgers.some())
    first = ledger_view.view(path)
    assert ledger_view.view(path) is first
    ledgers.write(path, [ledgers.row(1)])
    assert ledger_view.view(path).rows == 1


def test_what_is_no_ledger_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="There is no ledger"):
        ledger_view.view(tmp_path / "none")
    (tmp_path / "bad").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(PortalError, match="cannot be read") as caught:
        ledger_view.view(tmp_path / "bad")
    assert "portal check" in caught.value.hint
    pq.write_table(pa.table({"key": ["a"]}), tmp_path / "other")
    with pytest.raises(PortalError, match="is no ledger: it has no column outcome, source_key"):
        ledger_view.view(tmp_path / "other")


def test_a_ledger_that_was_damaged_after_it_was_opened_is_told(tmp_path: Path) -> None:
    path = ledgers.write(tmp_path / "l", ledgers.some())
    view = ledger_view.view(path)
    content = bytearray(path.read_bytes())
    content[4:2000] = bytes(1996)
    path.write_bytes(content)
    with pytest.raises(PortalError, match="cannot be read"):
        view.page(ALL, 0, 10)


@pytest.mark.parametrize("shape", ledger_export.SHAPES)
def test_an_export_holds_every_row_that_fits(tmp_path: Path, shape: str) -> None:
    view = ledger_view.view(ledgers.write(tmp_path / "l", ledgers.some()))
    chosen = Chosen(outcome=("failed",))
    file = io.BytesIO()
    assert ledger_export.write(view.batches(chosen), view.schema, shape, file) == 7
    file.seek(0)
    found = {"csv": _from_csv, "json": json.load, "parquet": lambda file: pq.read_table(file).to_pylist()}[shape](file)
    assert [row["source_key"] for row in found] == [f"in/{n:03d}.csv" for n in range(30, 37)]
    assert [row["source_size"] for row in found] == list(range(130, 137))
    if shape != "parquet":
        assert found[0]["started_at"] == "2026-09-21T14:13:20.030Z"


def _from_csv(file: io.BytesIO) -> list[dict[str, Any]]:
    types = {"started_at": pa.string()}
    return pa_csv.read_csv(file, convert_options=pa_csv.ConvertOptions(column_types=types)).to_pylist()


@pytest.mark.parametrize("shape", ledger_export.SHAPES)
def test_an_export_of_nothing_is_one_of_no_rows(tmp_path: Path, shape: str) -> None:
    view = ledger_view.view(ledgers.write(tmp_path / "l", []))
    file = io.BytesIO()
    assert ledger_export.write(view.batches(), view.schema, shape, file) == 0
    assert file.getvalue().startswith({"csv": b'"source_url","source_key"', "json": b"[]", "parquet": b"PAR1"}[shape])


def test_no_name_becomes_a_formula_in_a_spreadsheet(tmp_path: Path) -> None:
    names = ["=cmd|' /C calc'!A0", "+1", "-1", "@x", "\tx", "a=b"]
    view = ledger_view.view(ledgers.write(tmp_path / "l", [ledgers.row(n, source_key=name) for n, name in enumerate(names)]))
    file = io.BytesIO()
    ledger_export.write(view.batches(), view.schema, "csv", file)
    file.seek(0)
    assert [row["source_key"] for row in _from_csv(file)] == [*(f"'{name}" for name in names[:5]), "a=b"]


def test_every_cause_that_a_ledger_may_tell_has_a_remedy() -> None:
    assert set(REMEDIES) == set(CAUSES)
    assert set(OF_COMPARISONS) == set(SIGNS) - {"equal"}
