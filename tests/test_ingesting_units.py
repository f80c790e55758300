"""What is brought over at a time, and what is remembered of it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.errors import PortalError
from portal.lake.hive.hive_type import HiveType
from portal.lake.hive.table import Column, HiveTable, Storage
from portal.lake.ingesting.choosing import choose, excluded
from portal.lake.ingesting.listing import owners_of, roots, with_one_slash
from portal.lake.ingesting.state import State, compared
from portal.lake.ingesting.units import NO_FILES, Files, Folder, PartitionColumn, Unit, batches, condition, keyed, literal, order, with_odd
from portal.lake.table_name import TableName

KEYS = st.tuples(st.none() | st.text(max_size=8), st.none() | st.integers().map(str))
FILES = st.builds(Files, st.integers(0, 9), st.integers(0, 1 << 50), st.integers(0, (1 << 64) - 1))
TEXT, NUMBER = PartitionColumn("ds", HiveType.parse("string")), PartitionColumn("n", HiveType.parse("int"))


@given(st.dictionaries(KEYS, FILES))
def test_a_state_is_read_as_it_was_written(units: dict[Any, Files]) -> None:
    data = State("columns", units, 7).to_bytes()
    assert State.from_bytes(data) == State("columns", units, 7)
    assert State("columns", dict(reversed(units.items())), 7).to_bytes() == data


@given(st.binary())
def test_what_is_no_state_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="state"):
        State.from_bytes(data)


@given(st.dictionaries(KEYS, FILES), st.dictionaries(KEYS, FILES))
def test_changes_are_all_that_is_different_and_nothing_else(before: dict[Any, Files], now: dict[Any, Files]) -> None:
    found = compared(before, {key: Unit(key, (), files) for key, files in now.items()})
    after = {key: files for key, files in before.items() if key not in found.dropped}
    after.update({unit.key: unit.files for unit in found.loading})
    assert after == now
    assert {unit.key for unit in found.new}.isdisjoint(before)
    assert found.unchanged + len(found.loading) == len(now)


@given(st.lists(FILES, max_size=30), st.integers(1, 5), st.integers(0, 1 << 51))
def test_batches_hold_every_unit_once_in_order_and_no_more_than_they_may(files: list[Files], most: int, most_bytes: int) -> None:
    units = [Unit((str(number),), (), each) for number, each in enumerate(files)]
    cut = list(batches(units, most, most_bytes))
    assert [unit for batch in cut for unit in batch] == units
    assert all(len(batch) <= most and (len(batch) == 1 or sum(unit.files.bytes for unit in batch) <= most_bytes) for batch in cut)


@pytest.mark.parametrize(
    ("kind", "texts", "meant", "odd"),
    [
        ("int", ["7", "007", "+7"], "7", {"7"}), ("int", ["7"], "7", set()), ("int", ["abc", None], None, set()),
        ("char(3)", ["a", "a  "], "a  ", {"a  "}), ("varchar(3)", ["a "], "a ", set()), ("string", ["__HIVE_DEFAULT_PARTITION__", None], None, set()),
    ],
)  # fmt: skip
def test_partitions_of_one_meaning_are_one_unit(kind: str, texts: list[str | None], meant: str | None, odd: set[str]) -> None:
    column = PartitionColumn("p", HiveType.parse(kind))
    units = keyed([column], (Folder((text,), f"file:/{number}", "orc") for number, text in enumerate(texts)), by_python)
    assert list(units) == [(meant,)]
    assert len(units[(meant,)].folders) == len(texts)
    assert with_odd([column], units.values()) == (PartitionColumn("p", column.kind, frozenset(odd)),)


def by_python(_: PartitionColumn, texts: Iterable[str]) -> dict[str, str | None]:
    return {text: str(int(text)) if text.strip("+").isdigit() else None for text in texts}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (7, "7"), ("x", "x"), (Decimal("1.50"), "1.50"), (date(2024, 1, 1), "2024-01-01"), (datetime(2024, 1, 1, 10), "2024-01-01 10:00:00"),
        (True, "true"), (1.5, "1.5"), (bytearray(b"x"), "x"), (None, None),
    ],
)  # fmt: skip
def test_what_spark_gives_for_a_value_has_one_text(value: Any, text: str | None) -> None:
    assert TEXT.text_of(value) == text


def test_conditions_select_units() -> None:
    assert condition([TEXT, NUMBER], [("it's", "7"), (None, None)]) == (
        "(`ds` = 'it\\'s' AND `n` = CAST('7' AS int)) OR ((`ds` IS NULL OR `ds` = '__HIVE_DEFAULT_PARTITION__') AND `n` IS NULL)"
    )
    assert condition([TEXT], [(None,)], {"ds": "string"}) == "(`ds` IS NULL)"
    odd = PartitionColumn("n", NUMBER.kind, frozenset({"7"}))
    assert condition([TEXT, odd], [("'\"", "7")]) == "(`ds` <=> '\\'\"' AND `n` <=> CAST('7' AS int))"
    assert condition([TEXT, odd], [("'\"", "7")], {"ds": "string", "n": "int"}) == "(`ds` = '\\'\"' AND `n` = CAST('7' AS int))"
    assert condition([], [()]) == "TRUE"
    assert condition([TEXT], []) == "FALSE"


@given(st.text())
def test_a_literal_ends_where_it_should(text: str) -> None:
    inside = literal(text)[1:-1]
    assert inside.replace("\\\\", "").replace("\\'", "").count("'") == 0
    assert not inside.replace("\\\\", "").endswith("\\")


@given(st.lists(KEYS))
def test_keys_have_an_order(keys: list[Any]) -> None:
    assert sorted(keys, key=order) == sorted(reversed(keys), key=order)


@pytest.mark.parametrize(
    ("location", "spelt"),
    [("file:///a/b/", "file:/a/b"), ("file:/a/b", "file:/a/b"), ("s3://b/p/", "s3://b/p"), ("hdfs://host:8020/x", "hdfs://host:8020/x")],
)
def test_one_folder_has_one_spelling(location: str, spelt: str) -> None:
    assert with_one_slash(location) == spelt


def hive_table(
    kind: Any = "external", form: Any = "parquet", types: str = "int", location: str = "s3://lake/t", by: str = "", **parameters: str
) -> HiveTable:  # fmt: skip
    keys = (Column("p", by),) if by else ()
    return HiveTable(TableName(("db",), "t"), kind, Storage(location, form, columns=(Column("c", types),)), keys, parameters)


@pytest.mark.parametrize(
    ("table", "way", "reason"),
    [
        (hive_table(), "snapshot", "no byte is copied"), (hive_table(by="string"), "add_files", "later runs add"),
        (hive_table("managed"), "ctas", "deletes the files when it drops"), (hive_table(form="orc"), "ctas", "written anew as Parquet"),
        (hive_table(types="array<timestamp>"), "ctas", "INT96"), (hive_table(types="char(3)"), "ctas", "padded"),
        (hive_table(location="hdfs://n/t"), "ctas", "hdfs://"), (hive_table(by="double"), "ctas", "not exact"),
        (hive_table(**{"external.table.purge": "true"}), "ctas", "deletes the files when it drops"),
    ],
)  # fmt: skip
def test_the_way_is_chosen_and_said_why(table: HiveTable, way: str, reason: str) -> None:
    found = choose(table, "auto", "s3://lake/target", frozenset({table.format}))
    assert found.way == way
    assert reason in found.reason
    assert excluded(table) == ""


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (hive_table("view"), "view"), (hive_table("foreign", storage_handler="org.x.HBaseStorageHandler"), "HBaseStorageHandler gets them elsewhere"),
        (hive_table("delta"), "Delta"), (hive_table("hudi"), "Hudi"), (hive_table(transactional="true"), "ACID"),
        (hive_table(form=""), "nobody here reads"),
        (hive_table(types="uniontype<int,string>"), "column c: uniontype"), (hive_table(types="no type"), "column c: "),
        (hive_table(form="text", **{"skip.footer.line.count": "1"}), "no rows"),
    ],
)  # fmt: skip
def test_what_cannot_be_brought_over_says_why(table: HiveTable, reason: str) -> None:
    assert reason in excluded(table)


def test_files_add_up_in_any_order() -> None:
    one, other = Files(1, 10, 5), Files(2, 20, 9)
    assert one + other == other + one == Files(3, 30, 14)
    assert one + NO_FILES == one
    assert one + one + other != other
    assert (one + Files(1, 1, (1 << 64) - 1)).stamp == 4


def test_a_folder_is_of_all_partitions_that_have_it_or_one_above_it() -> None:
    one, two, three, four = {("1",)}, {("2",)}, {("3",)}, {("4",)}
    owners = {"file:/t/a": one | two, "file:/t/a/b": three, "file:/t/a/_h/c": four, "s3://x": one}
    assert roots(owners) == ["file:/t/a", "file:/t/a/_h/c", "s3://x"]
    assert owners_of("file:/t/a", owners) == one | two
    assert owners_of("file:/t/a/b/deep", owners) == one | two | three
    assert owners_of("file:/t/a/_h/c", owners) == one | two | four
    with pytest.raises(PortalError, match="no partition"):
        owners_of("file:/t", owners)
