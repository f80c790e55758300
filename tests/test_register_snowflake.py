"""Tables on Azure are registered in Snowflake, counted and compared: against the box's Snowflake, which reads their files for real."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

import pyarrow as pa
import pytest
import sqlglot
from pyarrow import parquet
from pydantic import SecretStr, ValidationError
from pyiceberg.manifest import FileFormat
from sqlglot import exp

from engines import register_snowflake
from portal.connections import Connections, SnowflakeConnection
from portal.context import JobContext
from portal.errors import Cancelled, WarehouseError
from portal.lake import looking
from portal.warehouse_sign_in import arguments
from tests import iceberg_tables
from tests.registering import DATABASE, Lake, delete_positions, lake, let_in
from tests.transferring import Clouds, put

__all__ = ["lake", "let_in"]

NO_GRAMMAR = (
    "CREATE EXTERNAL VOLUME", "CREATE CATALOG INTEGRATION", "ALTER ICEBERG TABLE", "ALTER EXTERNAL TABLE", "SHOW EXTERNAL", "SHOW CATALOG",
    "SHOW STORAGE",
)  # fmt: skip
"""What sqlglot takes as it is, without looking into it."""
SEEN = (
    "SELECT COUNT(*) AS ROW_COUNT, COUNT(DISTINCT METADATA$FILENAME) AS FILE_COUNT, MIN(METADATA$FILENAME) AS FIRST_FILE, "
    "MAX(METADATA$FILENAME) AS LAST_FILE FROM"
)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every statement that went to Snowflake in this test, each looked at by a parser of Snowflake's SQL that is not ours."""
    from portal.warehouse import Warehouse

    texts: list[str] = []
    whole = Warehouse.query

    def query(self: Warehouse, sql: str, *given: Any, **how: Any) -> Any:
        check_parses(sql)
        texts.append(sql)
        return whole(self, sql, *given, **how)

    monkeypatch.setattr(Warehouse, "query", query)
    return texts


def check_parses(sql: str) -> None:
    logging.getLogger("sqlglot").setLevel(logging.ERROR)
    parsed = sqlglot.parse(sql, read="snowflake")
    assert len(parsed) == 1, f"{sql} is {len(parsed)} statements"
    if isinstance(parsed[0], exp.Command):
        assert sql.startswith(NO_GRAMMAR), f"sqlglot does not know {sql}"


def test_a_table_is_created_refreshed_and_then_left_alone(lake: Lake, sent: list[str]) -> None:
    table = lake.table("sales.orders")
    first = lake.register(tables=["sales.*"])
    assert first.code == 0 and first.result["counts"] == {"selected": 1, "done": 1, "unchanged": 0, "excluded": 0, "failed": 0, "rows": 20}
    assert [item["way"] for item in first.result["report"]["tables"]] == ["create"]
    assert first.result["outputs"] == [
        {"url": f"snowflake://{DATABASE}.{lake.schema}.ORDERS", "table": f"{DATABASE}.{lake.schema}.ORDERS",
         "metadata_location": table.metadata_location, "snapshot_id": str(table.current_snapshot().snapshot_id), "rows": 20}
    ]  # fmt: skip
    table.append(iceberg_tables.rows(100, 5))
    assert [item["way"] for item in lake.register(tables=["sales.*"]).result["report"]["tables"]] == ["refresh"]
    assert lake.ask("select count(*), min(id), max(id), max(name) from HERE.orders") == [(25, 0, 104, "name 9")]
    before = len(sent)
    again = lake.register(tables=["sales.orders"])
    assert again.result["counts"]["unchanged"] == 1 and again.result["report"]["arrived"] == first.result["report"]["arrived"]
    assert not [sql for sql in sent[before:] if sql.startswith(("CREATE", "ALTER"))], "what is current is not touched"
    lines = [json.loads(line) for line in (again.job.folder / "tables.ndjson").read_text().splitlines()]
    assert [(line["table"], line["outcome"], line["rows"]) for line in lines] == [("sales.orders", "unchanged", 25)]


def test_one_that_fails_holds_up_no_other_and_a_retry_does_what_is_left(lake: Lake) -> None:
    lake.table("sales.orders", snapshots=1)
    lake.table("sales.items", snapshots=1)
    lake.ask("create table HERE.items (id int)")
    ran = lake.register(tables=["sales.*", "sales.gone", "nothing.here_*"])
    assert ran.code == 3 and ran.result["counts"]["done"] == 1 and ran.result["counts"]["failed"] == 2
    told = {item["table"]: (item["outcome"], item["cause"]) for item in ran.result["report"]["tables"]}
    assert told == {"sales.orders": ("done", ""), "sales.items": ("failed", "AlreadyExists"), "sales.gone": ("failed", "NotFound")}
    assert ran.result["report"]["undone"] == ["sales.gone", "sales.items"]
    assert "nothing.here_*" in ran.result["warnings"][0]
    lake.ask("drop table HERE.items")
    assert lake.register(tables=["sales.orders", "sales.items"]).result["counts"] | {"rows": 0} == {
        "selected": 2, "done": 1, "unchanged": 1, "excluded": 0, "failed": 0, "rows": 0,
    }  # fmt: skip


def test_deletes_by_position_are_counted_on_both_sides(lake: Lake) -> None:
    """pyiceberg writes none, so one is put beside the table by hand: a file of deletes, in a manifest and a snapshot of its own."""
    table = lake.table("sales.orders", snapshots=1)
    delete_positions(table, [0, 3, 4])
    ran = lake.register(tables=["sales.orders"])
    told = ran.result["report"]["tables"][0]
    assert ran.code == 0 and (told["rows"], told["facts"]["delete_files"]) == (7, 1)
    assert lake.ask("select id from HERE.orders order by 1") == [(1,), (2,), (5,), (6,), (7,), (8,), (9,)]


@pytest.mark.parametrize(("content", "reason"), [({"equality_ids": [1]}, "deletes by equality"), ({"file_format": FileFormat.ORC}, "is ORC")])
def test_what_snowflake_cannot_read_is_left_out_before_it_is_asked(lake: Lake, sent: list[str], content: dict[str, Any], reason: str) -> None:
    table = lake.table("sales.orders", snapshots=1)
    delete_positions(table, [0], **content)
    ran = lake.register(tables=["sales.orders"])
    told = ran.result["report"]["tables"][0]
    assert ran.code == 0 and told["outcome"] == "excluded" and reason in told["reason"] and "sales.orders was left out" in ran.result["warnings"][0]
    assert ran.result["report"]["arrived"] == [] and not [sql for sql in sent if "ICEBERG TABLE" in sql and sql.startswith("CREATE")]


def test_a_name_that_shows_another_table_is_refused_or_replaced_as_told(lake: Lake) -> None:
    lake.table("sales.orders", snapshots=1)
    lake.table("other.orders", snapshots=2)
    assert lake.register(tables=["sales.orders"]).code == 0
    refused = lake.register(tables=["other.orders"])
    assert refused.code == 1 and "shows another table" in refused.result["error"]["message"] and "replace" in refused.result["error"]["hint"]
    assert lake.register(tables=["other.orders"], existing="replace").result["report"]["tables"][0]["way"] == "replace"
    assert lake.ask("select count(*) from HERE.orders") == [(20,)]
    twins = lake.register(tables=["*.orders"])
    assert twins.code == 1 and "would be called" in twins.result["error"]["message"]
    apart = lake.register(tables=["*.orders"], names="namespace_table")
    assert [item["target"].rpartition(".")[2] for item in apart.result["report"]["tables"]] == ["OTHER_ORDERS", "SALES_ORDERS"]


@pytest.mark.parametrize("version", ["1", "2"])
def test_an_older_state_never_takes_the_place_of_a_newer_one(lake: Lake, version: str) -> None:
    """Format 1 numbers no commits."""
    table = lake.table("sales.orders", snapshots=1, properties={"format-version": version})
    old = table.metadata_location
    table.append(iceberg_tables.rows(50, 5))
    assert lake.register(tables=["sales.orders"]).code == 0
    refused = lake.register(metadata=[f"orders={old}"])
    assert refused.code == 1 and "newer state" in refused.result["error"]["message"]
    assert lake.ask("select count(*) from HERE.orders") == [(15,)]


def test_rows_that_are_missing_at_snowflake_fail_the_table(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.table("sales.orders")
    monkeypatch.setattr("portal.lake.registering.statements.count", lambda table: f"select 19 from {table.sql} limit 1")
    ran = lake.register(tables=["sales.orders"])
    assert ran.code == 1 and "has 19 rows at Snowflake, and 20 by its metadata" in ran.result["error"]["message"]
    assert ran.result["report"]["tables"][0]["cause"] == "ProofFailed" and ran.result["report"]["arrived"] == []


def test_without_leave_nothing_is_made_and_the_way_out_is_told(lake: Lake, sent: list[str]) -> None:
    lake.table("sales.orders", snapshots=1)
    ran = lake.register(tables=["sales.orders"], create_volume=False)
    assert ran.code == 1 and "no external volume" in ran.result["error"]["message"] and "create_volume" in ran.result["error"]["hint"]
    assert not [sql for sql in sent if sql.startswith("CREATE")]


def test_a_volume_that_azure_does_not_let_in_yet_tells_where_to_consent(lake: Lake, let_in: Any) -> None:
    lake.table("sales.orders", snapshots=1)
    storage = let_in.root / "storage.json"
    known = storage.read_text()
    storage.write_text("{}")
    try:
        ran = lake.register(tables=["sales.orders"])
        hint = ran.result["error"]["hint"]
        assert ran.code == 1 and "https://login.microsoftonline.com/" in hint and "boxsnowflakeapp" in hint
    finally:
        storage.write_text(known)
    assert lake.register(tables=["sales.orders"], create_volume=False).code == 0, "it goes on with the volume that was made"


def test_the_volume_that_leads_closest_is_found(lake: Lake) -> None:
    lake.table("sales.orders", snapshots=1)
    base = f"azure://devaccount.blob.core.windows.net/{lake.clouds.name}/"
    for name, folder in (("WIDE", ""), ("NEAR", "wh/"), ("BESIDE", "wh/other/")):
        place = f"NAME = 'a' STORAGE_PROVIDER = 'AZURE' STORAGE_BASE_URL = '{base}{folder}' AZURE_TENANT_ID = 't'"
        lake.ask(f"create external volume {name}_{lake.schema} storage_locations = (({place}))")
    ran = lake.register(tables=["sales.orders"], volume="")
    assert ran.result["report"]["tables"][0]["facts"]["volume"] == f"NEAR_{lake.schema}"
    assert "METADATA_FILE_PATH = 'sales/orders/metadata/" in (ran.job.folder / "register.sql").read_text()
    wrong = lake.register(tables=["sales.orders"], volume=f"beside_{lake.schema}", existing="replace", schema_name=f"{lake.schema}_2")
    assert wrong.code == 1, "there is no such schema"
    assert lake.register(tables=["sales.orders"], schema_name=f"{lake.schema}_2", create_schema=True, volume="").code == 0


def test_the_statements_alone_are_written_without_snowflake(lake: Lake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    table = lake.table("sales.orders")
    monkeypatch.setattr("portal.warehouse.Warehouse.connect", None)
    folder = f"{lake.clouds.lake}/flat/"
    put_rows(lake, "flat/part.parquet", pa.table({"x": [1]}))
    ran = lake.register(metadata=[f"o'r\"ders={table.metadata_location}"], folders=[f"flat={folder}"], ddl_only=True)
    assert ran.code == 0 and ran.result["counts"]["done"] == 0 and ran.result["report"]["arrived"] == []
    script = (ran.job.folder / "register.sql").read_text()
    assert script.partition("\n")[2] in capsys.readouterr().out
    assert "20 rows by the metadata" in script and "REFRESH 'wh/sales/orders/metadata/" in script and "\"o'r\"\"ders\"" in script
    statements = [text.partition("\n")[2] for text in script.split("\n\n-- ")[1:]]
    assert [text.partition(' "')[0].partition(" IF ")[0] for text in statements] == [
        "CREATE EXTERNAL VOLUME", "CREATE CATALOG INTEGRATION", "CREATE ICEBERG TABLE", "ALTER ICEBERG TABLE", "SELECT COUNT(*) FROM",
        "CREATE STORAGE INTEGRATION", "CREATE STAGE", "CREATE EXTERNAL TABLE", SEEN,
    ]  # fmt: skip
    for text in statements:
        check_parses(text.strip().removesuffix(";"))


def test_named_metadata_files_can_be_written_down_where_nothing_is_reached(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portal.stores.opening.open_store", None)
    where = "abfss://box@far/wh/t/metadata/1.metadata.json"
    ran = lake.register(metadata=[f"t={where}"], ddl_only=True, check="none", create_volume=False, volume="")
    script = (ran.job.folder / "register.sql").read_text()
    assert ran.code == 0 and "EXTERNAL_VOLUME = 'PORTAL_FAR_BOX'" in script and "METADATA_FILE_PATH = 'wh/t/metadata/1.metadata.json'" in script


def test_a_dry_run_changes_nothing(lake: Lake, sent: list[str]) -> None:
    lake.table("sales.orders", snapshots=1)
    job = lake.clouds.context(dry_run=True)
    ran = lake.register(job=job, tables=["sales.orders"])
    assert ran.code == 0 and ran.result["report"]["plan"] == {"sales.orders": f"create {DATABASE}.{lake.schema}.ORDERS"} and not ran.result["outputs"]
    assert not [sql for sql in sent if sql.startswith(("CREATE", "ALTER"))] and "CREATE ICEBERG TABLE" in (job.folder / "register.sql").read_text()


def test_a_cancelled_job_keeps_what_it_did(lake: Lake) -> None:
    lake.table("sales.a", snapshots=1)
    lake.table("sales.b", snapshots=1)

    class Impatient(JobContext):
        def progress(self, done: float, *more: Any, **how: Any) -> None:
            if done:
                self.cancel()
            super().progress(done, *more, **how)

    job = lake.clouds.context()
    job.__class__ = Impatient
    ran = lake.register(job=job, tables=["sales.*"])
    assert ran.code == 1 and ran.result["error"]["type"] == Cancelled.__name__ and ran.result["counts"]["done"] == 1


def put_rows(lake: Lake, key: str, rows: pa.Table) -> None:
    file = io.BytesIO()
    parquet.write_table(rows, file)
    put(lake.clouds.adls, key, file.getvalue())


def test_a_folder_becomes_an_external_table_with_its_folders_as_columns(lake: Lake, sent: list[str]) -> None:
    rows = pa.table({"id": pa.array([1, 2], pa.int32()), "Name": ["a", None], "at": pa.array([0, None], pa.timestamp("us")), "odd'name": [1.5, 2.5]})
    put_rows(lake, "raw/flights/year=2026/month=01/part-0.parquet", rows)
    put_rows(lake, "raw/flights/year=2025/month=__HIVE_DEFAULT_PARTITION__/part-0.parquet", rows.slice(0, 1))
    put(lake.clouds.adls, "raw/flights/_SUCCESS", b"")
    folder = [f"flights={lake.clouds.lake}/raw/flights/"]
    first = lake.register(folders=folder)
    assert first.code == 0 and first.result["counts"]["rows"] == 3
    found = lake.ask("select id, name, year, month, \"odd'name\" from HERE.flights order by year, id")
    assert found == [(1, "a", 2025, None, 1.5), (1, "a", 2026, "01", 1.5), (2, None, 2026, "01", 2.5)], "leading zeros stay"
    assert lake.register(folders=folder).result["counts"]["unchanged"] == 1
    put_rows(lake, "raw/flights/year=2027/month=02/part-0.parquet", rows)
    again = lake.register(folders=folder)
    assert again.result["report"]["tables"][0]["way"] == "refresh" and lake.ask("select count(*), max(year) from HERE.flights") == [(5, 2027)]
    put_rows(lake, "raw/flights/year=2027/month=03/part-0.parquet", rows.append_column("more", pa.array([True, False])))
    assert lake.register(folders=folder).result["report"]["tables"][0]["way"] == "replace", "the files have a column more"
    assert lake.ask("select count(more), count(*) from HERE.flights") == [(2, 7)]


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"year=1/a.parquet": "x", "b.parquet": "x"}, "no single table"),
        ({"at=10%E9/a.parquet": "x"}, "letters that Hive does not"),
        ({"at=10%/a.parquet": "x"}, "escapes nothing"),
        ({f"at={'%3A' * 21}/a.parquet": "x"}, "20 at most"),
        ({"a.parquet": "x", "b.parquet": "X"}, "one name"),
        ({"a.parquet": "x", "b.parquet": 5}, "no single table"),
    ],
)
def test_a_folder_that_is_no_table_is_left_out_with_the_reason(lake: Lake, files: dict[str, Any], reason: str) -> None:
    for name, column in files.items():
        put_rows(lake, f"raw/{name}", pa.table({"x": [column]}) if column in ("x", 5) else pa.table({column: ["y"]}))
    told = lake.register(folders=[f"raw={lake.clouds.lake}/raw/"]).result["report"]["tables"][0]
    assert told["outcome"] == "excluded" and reason in told["reason"]


@pytest.mark.parametrize(
    "params", [{"tables": ["orders"]}, {"metadata": ["abfss://lake@a/x"]}, {"folders": ["x=ftp://y"]}, {"create_volume": True}, {"check": "some"}]
)
def test_wrong_parameters_are_refused(params: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        register_snowflake.Params(**params)


def test_without_anything_named_that_is_said_first(clouds: Clouds) -> None:
    ran = clouds.run("register_snowflake", None)
    assert ran.code == 1 and ran.result["error"]["message"] == "Nothing is named that could be registered."


def test_partitioned_tables_and_all_types_are_read_alike(lake: Lake) -> None:
    schema = pa.schema([
        ("b", pa.bool_()), ("i", pa.int32()), ("f", pa.float32()), ("d", pa.decimal128(20, 3)), ("t", pa.time64("us")), ("ts", pa.timestamp("us")),
        ("tz", pa.timestamp("us", "UTC")), ("raw", pa.binary()), ("list", pa.list_(pa.int32())), ("map", pa.map_(pa.string(), pa.int32())),
    ])  # fmt: skip
    lake.base.create_namespace_if_not_exists("sales")
    table = lake.base.create_table("sales.types", schema=schema)
    with table.update_spec() as update:
        update.add_identity("i")
    row = {"b": True, "i": 7, "f": 0.5, "d": 12, "t": None, "ts": None, "tz": None, "raw": b"\x00\xff", "list": [1, 2], "map": [("k", 1)]}
    table.append(pa.Table.from_pylist([row, dict.fromkeys(row)], schema=schema))
    assert lake.register(tables=["sales.types"]).code == 0
    assert lake.ask("select b, i, f, d, raw from HERE.types order by i nulls last")[0] == (True, 7, 0.5, 12, b"\x00\xff")
    for change in ("delete from HERE.types", "insert into HERE.types (i) values (1)", "truncate table HERE.types"):
        with pytest.raises(WarehouseError) as caught:
            lake.ask(change)
        assert "read-only" in str(caught.value.__cause__), "Snowflake never changes what it does not manage"


def test_a_table_never_shows_another_folder_and_no_stage_is_replaced(lake: Lake) -> None:
    """Both folders have as many rows: only where they come from tells them apart."""
    put_rows(lake, "theirs/a.parquet", pa.table({"id": [7, 8, 9]}))
    put_rows(lake, "mine/a.parquet", pa.table({"id": [1, 2, 3]}))
    theirs, mine = ([f"x={lake.clouds.lake}/{name}/"] for name in ("theirs", "mine"))
    assert lake.register(folders=theirs).code == 0
    refused = lake.register(folders=mine)
    assert refused.code == 1 and "was not registered for abfss://" in refused.result["error"]["message"], "ours of another folder is none of this one"
    replaced = lake.register(folders=mine, existing="replace")
    assert replaced.code == 0 and lake.ask("select id from HERE.x order by 1") == [(1,), (2,), (3,)]
    stages = {row[1]: row[4] for row in lake.ask("show stages in schema HERE")}
    beside = next(name for name in stages if name != "X_FILES")
    assert stages["X_FILES"].endswith("/theirs/") and stages[beside].endswith("/mine/"), "what another table may hang on is left as it is"
    assert lake.register(folders=mine).result["counts"]["unchanged"] == 1
    assert lake.register(folders=theirs).code == 1
    lake.ask(f"create or replace stage HERE.{beside} url='{theirs_url(lake)}' storage_integration={files_integration(lake)}")
    told = lake.register(folders=mine, existing="replace").result["report"]["tables"][0]
    assert told["cause"] == "AlreadyExists" and f"{beside} leads to azure://" in told["reason"], "a table that is ours hangs on a stage that is not"


def theirs_url(lake: Lake) -> str:
    return f"azure://devaccount.blob.core.windows.net/{lake.clouds.name}/theirs/"


def files_integration(lake: Lake) -> str:
    return f"PORTAL_DEVACCOUNT_{lake.clouds.name.upper()}_FILES"


def test_rows_of_other_files_fail_the_table_however_many_they_are(lake: Lake) -> None:
    """A stage without a slash at its end leads to every folder whose name begins so."""
    put_rows(lake, "theirs/a.parquet", pa.table({"id": [7, 8]}))
    put_rows(lake, "mine/a.parquet", pa.table({"id": [1, 2]}))
    put_rows(lake, "mine/none.parquet", pa.table({"id": pa.array([], pa.int64())}))
    assert lake.register(folders=[f"x={lake.clouds.lake}/mine/"]).code == 0, "a file without rows is not missed"
    lake.ask(f"create stage HERE.other url='{theirs_url(lake)}' storage_integration={files_integration(lake)}")
    comment = lake.warehouse.query(f'show external tables in schema {DATABASE}."{lake.schema}"').rows[0][6]
    columns = "\"ID\" NUMBER(38, 0) AS (GET(VALUE, 'id')::NUMBER(38, 0))"
    how = f"AUTO_REFRESH = FALSE FILE_FORMAT = (TYPE = PARQUET) COMMENT = '{comment}'"
    lake.ask(f"create or replace external table HERE.x ({columns}) LOCATION = @HERE.other {how}")
    told = lake.register(folders=[f"x={lake.clouds.lake}/mine/"]).result["report"]["tables"][0]
    assert told["cause"] == "ProofFailed" and "1 from theirs/a.parquet to theirs/a.parquet; listed are 1 from mine/a.parquet" in told["reason"]


@pytest.mark.parametrize("existing", ["refuse", "replace"])
def test_statements_that_are_written_down_replace_only_when_told(lake: Lake, existing: str) -> None:
    put_rows(lake, "mine/a.parquet", pa.table({"id": [1]}))
    ran = lake.register(folders=[f"x={lake.clouds.lake}/mine/"], ddl_only=True, existing=existing)
    script = (ran.job.folder / "register.sql").read_text()
    replace, guarded = ("OR REPLACE ", "IF NOT EXISTS ") if existing == "replace" else ("", "")
    begins = (f"CREATE {replace}EXTERNAL TABLE ", f"CREATE STAGE {guarded}")
    assert ran.code == 0 and all(f"\n{begin}" in script for begin in begins), "no stage is ever replaced"


def test_the_files_that_snowflake_takes_are_those_that_are_counted(lake: Lake, sent: list[str]) -> None:
    """As Spark, Hive and others name them; what is hidden has rows that would be counted."""
    rows = pa.table({"id": [1]})
    data = ("_ds=1/part-0.snappy.parquet", "_ds=1/000000_0", "_ds=1/000000_0_copy_1", "_ds=2/A.PARQUET", "_ds=2/data.0.parq", "_ds=2/more/a.parquet")
    hidden = ("_temporary/0/_ds=1/a.parquet", "_ds=1/_metadata", "_ds=1/.part-0.snappy.parquet.crc", ".hive-staging/_ds=1/a.parquet",
              "_ds=1/_x.parquet", "_ds=1/b.parquet.tmp", "_ds=1/_spark_metadata/0", "_raw/t+1/_x/_ds=1/a.parquet")  # fmt: skip
    for name in (*data, *hidden):
        put_rows(lake, f"_raw/t+1/{name}", rows)
    for name in ("_SUCCESS", "_ds=1/_SUCCESS", "_ds=2_$folder$", "_ds=2/000001_0"):
        put(lake.clouds.adls, f"_raw/t+1/{name}", b"")
    ran = lake.register(folders=[f"t={lake.clouds.lake}/_raw/t+1/"])
    assert ran.code == 0 and ran.result["counts"]["rows"] == len(data), ran.result["error"]
    assert {name for (name,) in lake.ask('select "METADATA$FILENAME" from HERE.t')} == {f"_raw/t+1/{name}" for name in data}
    (made,) = [sql for sql in sent if sql.startswith("CREATE EXTERNAL TABLE")]
    assert "REFRESH_ON_CREATE = TRUE" in made
    lake.ask(made.replace('"T" (', '"EVERY" (').replace(made[made.index("PATTERN") : made.index("FILE_FORMAT")], ""))
    assert lake.ask("select count(*) from HERE.every") == [(len(data) + len(hidden),)], "without the pattern it would read all of them"


VALUES = ("10:00", "a/b", "100%", "%41", "it's", "a\\b", "1%3A", "new\nline", "", "plain", "%", "%%25")


def test_escaped_values_of_partitions_are_what_was_escaped(lake: Lake, sent: list[str]) -> None:
    """As Hive and Spark write them: their list of letters, upper-case digits; another writer's lower-case ones are read alike."""
    letters = {*map(chr, range(1, 32)), *"\"#%'*/:=?\\\x7f{[]^"}
    for number, value in enumerate(VALUES):
        written = "".join(f"%{ord(letter):02X}" if letter in letters else letter for letter in value)
        put_rows(lake, f"raw/v={written.lower() if value == 'a/b' else written}/n={number}/a%20b.parquet", pa.table({"id": [number]}))
    put_rows(lake, f"raw/v=__HIVE_DEFAULT_PARTITION__/n={len(VALUES)}/a.parquet", pa.table({"id": [len(VALUES)]}))
    put_rows(lake, f"raw/v=%5F_HIVE_DEFAULT_PARTITION__/n={len(VALUES) + 1}/a.parquet", pa.table({"id": [len(VALUES) + 1]}))
    ran = lake.register(folders=[f"t={lake.clouds.lake}/raw/"])
    assert ran.code == 0, ran.result["error"]
    assert [value for (value,) in lake.ask("select v from HERE.t order by id")] == [*VALUES, None, "__HIVE_DEFAULT_PARTITION__"]
    (made,) = [sql for sql in sent if sql.startswith("CREATE EXTERNAL TABLE")]
    allowed = {exp.Case, exp.Cast, exp.DPipe, exp.Nullif, exp.SplitPart, exp.Substring, exp.If, exp.GetExtract}
    assert {type(found) for found in sqlglot.parse_one(made, read="snowflake").find_all(exp.Func)} <= allowed, "what Snowflake's manual lists"


def test_tables_of_any_name_become_themselves_and_one_that_cannot_stops_no_other(lake: Lake) -> None:
    """Names that LIKE of SHOW would take for patterns of others, too long ones, and paths with spaces and percent signs."""
    table = lake.table("sales.xx", snapshots=1)
    where = table.metadata_location
    odd = f"{lake.clouds.lake}/wh/sales/a b%20c+ü/metadata/0 1%2F.metadata.json"
    with table.io.new_input(where).open() as file:
        put(lake.clouds.adls, odd.removeprefix(f"{lake.clouds.lake}/"), file.read())
    long = "n" * 256
    names = ['"o.r""d\'ers"', "Orders 1", "__", "_", "tablé 日本", "xx", "n" * 255]
    ran = lake.register(metadata=[f"{name}={odd}" for name in [*names, long]])
    outcomes = {item["table"]: (item["outcome"], item["cause"]) for item in ran.result["report"]["tables"]}
    assert ran.code == 3 and len(outcomes) == 8, ran.result["error"]
    assert [outcome for outcome in outcomes.values() if outcome[0] != "done"] == [("failed", "SettingError")]
    shown = {row[1] for row in lake.ask("show iceberg tables in schema HERE")}
    assert shown == {'o.r"d\'ers', "Orders 1", "__", "_", "tablé 日本", "XX", "N" * 255}
    assert lake.register(metadata=[f"{name}={odd}" for name in names]).result["counts"]["unchanged"] == 7, "each is found again as itself"
    assert lake.ask("select count(*) from HERE.\"Orders 1\"") == [(10,)]


def test_more_tables_than_snowflake_shows_at_a_time_are_listed(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    table = lake.table("sales.orders", snapshots=1)
    names = [f"t{number}'{number}" for number in range(5)]
    lake.register(metadata=[f"{name}={table.metadata_location}" for name in names])
    put_rows(lake, "raw/a.parquet", pa.table({"id": [1]}))
    assert lake.register(folders=[f"flat={lake.clouds.lake}/raw/"]).code == 0
    for most in (1, 2, 5, 6):
        monkeypatch.setattr(looking, "_MOST_SHOWN", most)
        assert looking.registered(Connections.load(lake.clouds.config), "", DATABASE, lake.schema) == {*names, "FLAT"}


def test_a_quoted_name_means_itself_whatever_the_account_has_set() -> None:
    connection = SnowflakeConnection(account="a", user="u", password=SecretStr("p"))
    assert arguments(connection, "job")["session_parameters"] == {"TIMEZONE": "UTC", "QUERY_TAG": "job", "QUOTED_IDENTIFIERS_IGNORE_CASE": False}
