"""Which files of a folder are data, and what escaped partitions mean: told alike by this side, by Snowflake's SQL and by regular expressions."""

from __future__ import annotations

import re
from urllib.parse import unquote

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedded.snowflake.external_tables import _duck_sql
from portal.lake.iceberg.refusals import TableRefused
from portal.lake.registering.data_files import is_data, pattern
from portal.lake.registering.escapes import Escapes, plain
from portal.lake.registering.places import base_url
from portal.stores.url import StoreURL

DATA = (
    "a.parquet", "part-00000-1b.c000.snappy.parquet", "A.PARQUET", "b.Parq", "000000_0", "000000_0_copy_1", "20260101_x_y", "ds=1/000000_0",
    "_ds=1/a.parquet", "a b/ü.parquet", "sub/more/a.parquet", "x_.parquet/y", "a=b.parquet", "_a==b/y",
)  # fmt: skip
OTHERS = (
    "_SUCCESS", "_metadata", ".a.parquet.crc", ".a.parquet", "_a.parquet", "a.parquet.crc", "a.parquet.tmp", "README.md",
    "_temporary/0/a.parquet", "ds=1/_temporary/0/a.parquet", ".hive-staging_1/-ext-1/000000_0", "_delta_log/0.json", "a//b.parquet",
    "", "ds=1/", "000000_0.snappy", ".parquet", "a._COPYING_", "ds=1", "ds=1/hour=2", "=",
)  # fmt: skip
FOLDERS = tuple(StoreURL("abfss", "box", "lake", key) for key in ("", "raw/t/", "_hidden/.t+(1)[x]^$|{2}\\/"))


@pytest.mark.parametrize("folder", FOLDERS, ids=str)
def test_snowflake_takes_the_files_that_are_listed_whatever_the_pattern_is_compared_with(folder: StoreURL) -> None:
    taken = re.compile(pattern(folder)).fullmatch
    key = f"{folder.key.strip('/')}/" if folder.key else ""
    for name in (*DATA, *OTHERS):
        compared = (name, f"{key}{name}", f"/{key}{name}", f"box/{key}{name}", f"{base_url(folder)}{name}")
        assert is_data(name) is (name in DATA)
        assert [bool(taken(one)) for one in compared] == [name in DATA] * len(compared), name


@given(st.text("_.=/ap0\n", max_size=12), st.sampled_from(FOLDERS))
def test_any_name_is_taken_as_it_is_listed(name: str, folder: StoreURL) -> None:
    if not name.startswith("/"):
        assert bool(re.compile(pattern(folder)).fullmatch(name)) is is_data(name)


@pytest.mark.parametrize("name", [f"{'_a========/' * 500}.x", f"{'_a=b=c/' * 700}=", f"{'a' * 5000}/.", "=.parquet" * 600 + "."])
def test_long_names_are_told_in_linear_time(name: str) -> None:
    """Were there two ways to read a folder, some hundred letters of them would never end."""
    assert not is_data(name) and not any(re.compile(pattern(folder)).fullmatch(name) for folder in FOLDERS)


ESCAPED = [f"%{number:02X}" for number in range(1, 0x80)]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(st.sampled_from([*"ab%2541/é", *map(chr, range(1, 0x80))]), max_size=4), min_size=1, max_size=4))
def test_what_was_escaped_comes_back_by_functions_that_partitions_may_use(values: list[str]) -> None:
    written = ["".join(letter if letter.isalnum() else f"%{ord(letter):02X}" for letter in value) for value in values]
    escapes = Escapes()
    assert [escapes.add("k", one) for one in written] == values
    assert evaluated(escapes, written) == values


def test_every_letter_comes_back() -> None:
    escapes = Escapes()
    letters = [escapes.add("k", code) for code in (*ESCAPED, "%2f")]
    assert letters == [*map(chr, range(1, 0x80)), "/"] == evaluated(escapes, [*ESCAPED, "%2f"]) and plain("%2541%41") == "%41A" == unquote("%2541%41")


def evaluated(escapes: Escapes, written: list[str]) -> list[str]:
    """What the expression gives, by DuckDB, which sqlglot translates Snowflake's SQL for."""
    sql = _duck_sql(f"({escapes.undone('METADATA$FILENAME')})::VARCHAR", set())
    with duckdb.connect() as base:
        return [value for (value,) in base.execute(f'select {sql} from (select unnest(?) as "METADATA$FILENAME")', [written]).fetchall()]


@pytest.mark.parametrize("value", ["100%", "%", "%4", "%zz", "%00", "%80", "%C3%A9", "%3A" * 21])
def test_what_cannot_be_told_for_sure_is_refused(value: str) -> None:
    with pytest.raises(TableRefused):
        Escapes().add("k", value)
