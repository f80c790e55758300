"""Files that Spark would read as something else than Hive does: told from what the metastore knows, without Spark."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from portal.errors import PortalError
from portal.lake.hive.table import Column, Format, HivePartition, HiveTable, Storage
from portal.lake.ingesting.choosing import excluded, readable, refused
from portal.lake.table_name import TableName

POSITIONS = ("parquet.column.index.access", "TRUE")
HEADS, FEET = ("skip.header.line.count", "1"), ("skip.footer.line.count", " 2 ")
ORC = ("orc.force.positional.evolution", "true")


def table(kind: Format, parameters: Mapping[str, str] | None = None, serde: Mapping[str, str] | None = None) -> HiveTable:
    store = Storage("file:/t", kind, serde_parameters=serde or {}, columns=(Column("id", "bigint"),))
    return HiveTable(TableName(("d",), "t"), "external", store, (Column("p", "string"),), parameters or {})


def partition(kind: Format, parameters: Mapping[str, str] | None = None, serde: Mapping[str, str] | None = None) -> HivePartition:
    return HivePartition("p=1", ("1",), Storage("file:/t/p=1", kind, serde_parameters=serde or {}), parameters or {})


@pytest.mark.parametrize(("kind", "property_"), [("parquet", POSITIONS), ("text", HEADS), ("csv", FEET)])
def test_a_property_that_changes_what_files_mean_is_seen_wherever_it_stands(kind: Format, property_: tuple[str, str]) -> None:
    given = dict([property_])
    plain = table(kind)
    assert excluded(plain) == ""
    assert list(readable(plain, [partition(kind)])) == [partition(kind)]
    assert property_[0] in excluded(table(kind, given))
    assert property_[0] in excluded(table(kind, serde=given))
    for item in (partition(kind, given), partition(kind, serde=given)):
        with pytest.raises(PortalError, match=f"p=1: .*{property_[0]}"):
            list(readable(plain, [item]))


def test_a_property_that_says_no_keeps_nothing_out() -> None:
    assert excluded(table("text", {"skip.header.line.count": "0"}, {"skip.footer.line.count": ""})) == ""
    assert excluded(table("parquet", {"parquet.column.index.access": "false"})) == ""


def test_a_partition_of_a_format_that_nobody_reads_is_refused() -> None:
    with pytest.raises(PortalError, match="nobody here reads"):
        list(readable(table("parquet"), [partition("")]))


def test_orc_by_place_is_read_so_by_spark_but_not_by_iceberg() -> None:
    by_place = table("orc", dict([ORC]))
    assert excluded(by_place) == ""
    assert refused(by_place, "ctas", frozenset(("orc",))) == ""
    assert ORC[0] in refused(by_place, "add_files", frozenset(("orc",)))
    assert list(readable(by_place, [partition("orc", dict([ORC]))]))
    with pytest.raises(PortalError, match="Spark asks the table alone"):
        list(readable(table("orc"), [partition("orc", dict([ORC]))]))
