"""What is sent to Snowflake is read there as it was meant, and places are told apart, whatever is in their names."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import sqlglot
from hypothesis import given
from hypothesis import strategies as st
from sqlglot import exp

from embedded.snowflake.statement import read
from portal.errors import SettingError
from portal.lake.registering import limits, naming, sources, statements
from portal.lake.registering.places import Place, base_url, readable
from portal.lake.registering.session import Script
from portal.lake.registering.sql_text import exact, named, text
from portal.lake.registering.volumes import volume
from portal.lake.table_name import TableName as Source
from portal.stores.url import StoreURL
from portal.warehouse_names import TableName, bare, identifier

ANYTHING = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
NAMES = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_characters="\x7f"), min_size=1, max_size=12)
KEYS = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_characters="\x7f"), min_size=1, max_size=20).filter(
    lambda key: not key.startswith("/")
)

logging.getLogger("sqlglot").setLevel(logging.ERROR)


def parsed(sql: str) -> Any:
    found = sqlglot.parse(sql, read="snowflake")
    assert len(found) == 1
    return found[0]


@given(ANYTHING)
def test_a_text_is_one_constant_with_that_value(value: str) -> None:
    found = parsed(f"SELECT {text(value)}").expressions[0]
    assert isinstance(found, exp.Literal) and found.is_string
    assert found.this.replace("\\n", "\n").replace("\\r", "\r").replace("\\t", "\t") == value or found.this == value


@given(NAMES, NAMES, KEYS)
def test_a_table_is_created_under_its_name_whatever_it_is(schema: str, name: str, path: str) -> None:
    """Looked at by a parser that is not ours, and by the box, whose reader is another one again."""
    target = TableName("LAKE", schema, name)
    try:
        sql = statements.create_table(target, exact("V'1"), '"a"', path, guarded=True)
    except SettingError:
        return
    found = parsed(sql)
    table = found.find(exp.Table)
    assert isinstance(found, exp.Create) and (table.db, table.name) == (bare(schema), bare(name))
    options = {item.this.name.upper(): item.args["value"].this for item in found.find_all(exp.Property) if isinstance(item.this, exp.Var)}
    assert options["METADATA_FILE_PATH"] == path
    box = read(sql)
    assert box and box.name == ("LAKE", bare(schema), bare(name)) and box.options["METADATA_FILE_PATH"] == path and box.guarded
    refresh = read(statements.refresh_table(target, path))
    assert refresh and refresh.name == box.name and refresh.options == {"REFRESH": path}


@given(NAMES)
def test_an_object_that_is_named_in_a_text_is_that_object(name: str) -> None:
    try:
        known = bare(exact(name))
    except SettingError:
        return
    inner = parsed(f"SELECT {named(exact(name))}").expressions[0].this
    assert identifier(inner) == identifier(exact(known)) or bare(inner) == known


@given(st.lists(ANYTHING, max_size=3))
def test_what_a_script_says_of_a_statement_is_never_read_as_one(reasons: list[str]) -> None:
    script = Script()
    for number, why in enumerate(reasons):
        script.add(why, f"SELECT {number}")
    found = [item for item in sqlglot.parse(script.text(reasons), read="snowflake") if item and item.find(exp.Literal)]
    assert [item.find(exp.Literal).this for item in found] == [str(number) for number in range(len(reasons))]


@given(st.sampled_from(["lake", "lake.dfs.core.windows.net", "lake.dfs.core.chinacloudapi.cn"]), KEYS, KEYS)
def test_a_file_below_a_folder_is_found_by_what_leads_to_it(account: str, folder: str, file: str) -> None:
    base = Place.of_base(base_url(StoreURL("abfss", "box", account, folder)))
    place = Place.of(StoreURL("abfss", "box", "lake", f"{folder.strip('/')}/{file}" if folder.strip("/") else file))
    assert base and place and place.below(base) == file
    told = readable(f"azure://lake.blob.core.windows.net/box/{place.path}", StoreURL("abfss", "box", account, "x"))
    assert told == StoreURL("abfss", "box", account, place.path)


@pytest.mark.parametrize(
    ("base", "inside"),
    [
        ("azure://lake.blob.core.windows.net/box/", True), ("azure://lake.blob.core.windows.net/box/wh", True),
        ("azure://lake.blob.core.windows.net/box/w/", False), ("azure://lake.blob.core.windows.net/bo/", False),
        ("azure://other.blob.core.windows.net/box/", False), ("s3://box/wh/", False), ("gcs://box/wh/", False), ("nothing", False),
    ],
)  # fmt: skip
def test_a_volume_holds_what_lies_below_its_base_only(base: str, inside: bool) -> None:
    place, found = Place("azure", "lake", "box", "wh/t/metadata/1.json"), Place.of_base(base)
    assert (found is not None and place.below(found) is not None) is inside


def test_of_several_locations_the_active_one_counts() -> None:
    rows = [
        {"property": "ALLOW_WRITES", "property_value": "true"},
        {"property": "STORAGE_LOCATION_1", "property_value": '{"NAME": "a", "STORAGE_BASE_URL": "azure://a.blob.core.windows.net/box/"}'},
        {"property": "STORAGE_LOCATION_2", "property_value": '{"NAME": "b", "STORAGE_BASE_URL": "azure://b.blob.core.windows.net/box/"}'},
        {"property": "STORAGE_LOCATION_3", "property_value": "no JSON"},
    ]
    place = Place("azure", "b", "box", "x")
    assert volume("V", rows).path(place) == "x"
    assert volume("V", [*rows, {"property": "ACTIVE", "property_value": "a"}]).path(place) is None
    assert volume("V", [*rows, {"property": "ACTIVE", "property_value": "b"}]).path(place) == "x"


def test_tables_that_would_get_one_name_are_found() -> None:
    sources = [Source(("a",), "t"), Source(("b",), "T"), Source(("a",), "u"), Source(("a", "b"), "c"), Source(("a",), "b_c")]
    short = [(one, naming.target(one, "D", "S", "table")) for one in sources]
    whole = [(one, naming.target(one, "D", "S", "namespace_table")) for one in sources]
    assert set(naming.twins(short)) == set(sources[:2]) and naming.twins(short)[sources[0]] == "b.T"
    assert set(naming.twins(whole)) == set(sources[3:])


def metadata(**fields: Any) -> dict[str, Any]:
    column = {"id": 1, "name": "a", "type": "int"}
    schemas = [{"schema-id": 0, "fields": []}, {"schema-id": 1, "fields": fields.pop("columns", [column])}]
    return {"current-schema-id": 1, "schemas": schemas, **fields}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, ""),
        ({"columns": [{"name": "a", "type": kind} for kind in ("uuid",)]}, ""),
        ({"columns": [{"name": "n", "type": {"type": "list", "element": {"type": "struct", "fields": [{"name": "x", "type": "unknown"}]}}}]},
         "n.element.x is of type unknown"),
        ({"columns": [{"name": "m", "type": {"type": "map", "key": "double", "value": "int"}}]}, "keys that are neither"),
        ({"columns": [{"name": "m", "type": {"type": "map", "key": "string", "value": "decimal(38, 2)"}}]}, ""),
        ({"columns": [{"name": "a", "type": "int"}, {"name": "A", "type": "int"}]}, "have one name at Snowflake"),
        ({"partition-specs": [{"fields": [{"name": "p", "transform": "bucket[16]"}, {"name": "q", "transform": "void"}]}]}, ""),
        ({"partition-specs": [{"fields": [{"name": "p", "transform": "zorder[2]"}]}]}, "zorder[2]"),
        ({"partition-specs": [{"fields": [{"name": "p", "transform": "bucket[2]", "source-ids": [1, 2]}]}]}, "several columns"),
        ({"current-snapshot-id": 7, "snapshots": [{"snapshot-id": 7, "summary": {"total-equality-deletes": "3"}}]}, "deletes by equality"),
        ({"current-snapshot-id": 7, "snapshots": [{"snapshot-id": 6, "summary": {"total-equality-deletes": "3"}}, {"snapshot-id": 7}]}, ""),
    ],
)  # fmt: skip
def test_what_snowflake_cannot_read_is_known_by_the_metadata(fields: dict[str, Any], reason: str) -> None:
    found = limits.refusals(metadata(**fields))
    assert (reason in found[0] and len(found) == 1) if reason else found == []


def state(number: int, *before: int, sequence: int = 0, at: int = 0) -> tuple[str, sources.Table]:
    location = f"abfss://box@lake.dfs.core.windows.net/t/metadata/{number}.json"
    log = [{"metadata-file": f"abfss://box@lake/t/metadata/{one}.json"} for one in before]
    return location, sources.Table(Source(("a",), "t"), location, {"last-sequence-number": sequence, "last-updated-ms": at, "metadata-log": log})


@pytest.mark.parametrize(
    ("known", "table", "newer"),
    [
        (state(2, 1, at=5), state(1, at=5), True),
        (state(2, 1, at=5), state(1, at=9), True),
        (state(1, at=9), state(2, 1, at=5), False),
        (state(9, 8, sequence=9, at=5), state(1, sequence=1, at=9), True),
        (state(1, sequence=1, at=9), state(9, 8, sequence=9, at=5), False),
        (state(9, 8, at=9), state(1, at=5), True),
        (state(1, at=5), state(9, 8, at=9), False),
        (state(1, at=5), state(1, at=5), False),
    ],
)  # fmt: skip
def test_the_later_of_two_states_is_told_by_logs_then_commits_then_clocks(
    known: tuple[str, sources.Table], table: tuple[str, sources.Table], newer: bool
) -> None:
    assert sources.is_newer(known[1].metadata, known[0], table[1]) is newer
