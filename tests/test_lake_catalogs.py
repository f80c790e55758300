"""Catalogs of Iceberg tables: what is in them is found, a new table is registered, a newer one committed all at once, and trouble is told clearly."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pyiceberg.catalog.hive import HiveCatalog
from pyiceberg.table import StaticTable

from engines import ingest_hive
from portal import settings
from portal.connections import CatalogConnection, Connections
from portal.context import JobContext
from portal.errors import AccessDenied, AlreadyExists, CatalogError, NotFound, PortalError, SettingError, TableChanged, Unreachable, explain
from portal.lake import packages
from portal.lake.catalogs.base import Catalog, found
from portal.lake.catalogs.files import Files
from portal.lake.catalogs.hadoop import HadoopTables
from portal.lake.catalogs.hive import HiveTables
from portal.lake.catalogs.opening import open_catalog
from portal.lake.catalogs.spark_conf import spark_conf
from portal.lake.table_name import TableName
from portal.probe import probe
from tests import iceberg_tables
from tests.iceberg_lake import between_folders
from tests.lake import metastore
from tests.servers import Server
from tests.transferring import Clouds, Ran, put

__all__ = ["metastore"]


@pytest.fixture
def source(home: Path) -> Any:
    """Two tables on this machine: `sales.orders` with two snapshots, `sales.items` with one."""
    base = iceberg_tables.catalog(home / "data", (home / "data" / "wh").as_uri())
    iceberg_tables.table(base, "sales.orders")
    iceberg_tables.table(base, "sales.items", snapshots=1)
    yield base
    base.engine.dispose()


@pytest.fixture(scope="module")
def rest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with iceberg_tables.rest_server(tmp_path_factory.mktemp("rest")) as server:
        yield server


def opened(home: Path, *, create: bool = False, **fields: Any) -> Catalog:
    connection = CatalogConnection(**fields)
    return open_catalog(connection, Files.of(connection, Connections.load(settings.load(home)).get), create=create)


def metadata_files(base: Any, name: str) -> tuple[str, str]:
    """Places of the metadata of a table: that of its first snapshot and the current one."""
    loaded = base.load_table(name)
    files = [entry.metadata_file for entry in loaded.metadata.metadata_log]
    return files[-1], loaded.metadata_location


TYPES = ["sql", "rest", "hadoop", "hive"]


@pytest.fixture(params=TYPES)
def target(request: pytest.FixtureRequest, home: Path, source: Any) -> Iterator[tuple[str, Catalog, TableName]]:
    """A catalog of each type, with a namespace, and the name that a table can have there."""
    kind: str = request.param
    namespace = "n" + uuid.uuid4().hex[:8]
    if kind == "sql":
        made = opened(home, type="sql", uri=f"sqlite:///{home}/target.db", create=True)
    elif kind == "rest":
        made = opened(home, type="rest", uri=request.getfixturevalue("rest").url, token=iceberg_tables.REST_TOKEN)
    elif kind == "hive":
        made = opened(home, type="hive", uri=request.getfixturevalue("metastore").uri)
    else:
        namespace = "sales"
        made = opened(home, type="hadoop", warehouse=(home / "data" / "wh").as_uri())
    made.create_namespace((namespace,))
    made.create_namespace((namespace,))
    yield kind, made, TableName((namespace,), "orders")
    made.close()


def test_a_table_is_registered_found_and_committed_to(target: tuple[str, Catalog, TableName], source: Any) -> None:
    _, catalog, name = target
    first, current = metadata_files(source, "sales.orders")
    with pytest.raises(NotFound):
        catalog.metadata_location(name)
    place = catalog.register(name, first)
    assert catalog.metadata_location(name) == place
    assert catalog.tables(name.namespace) == [name]
    assert name.namespace in catalog.namespaces()
    with pytest.raises(AlreadyExists):
        catalog.register(name, first)
    now = catalog.replace(name, place, current)
    assert catalog.metadata_location(name) == now
    told = json.loads(Path(now.removeprefix("file://")).read_text())
    assert [one["snapshot-id"] for one in told["snapshots"]] == [one.snapshot_id for one in source.load_table("sales.orders").snapshots()]
    with pytest.raises(TableChanged):
        catalog.replace(name, place, current)
    assert catalog.metadata_location(name) == now


def test_of_many_that_commit_at_once_one_wins(target: tuple[str, Catalog, TableName], source: Any) -> None:
    kind, catalog, name = target
    first, current = metadata_files(source, "sales.orders")
    place = catalog.register(name, first)
    ended: list[str] = []

    def commit() -> None:
        try:
            ended.append(catalog.replace(name, place, current))
        except TableChanged:
            ended.append("")

    threads = [threading.Thread(target=commit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ended) == 4 and len([one for one in ended if one]) == 1, kind


def test_a_whole_migration_goes_to_a_metastore_and_to_folders(home: Path, metastore: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Brought, brought again with what is new, found as it was, and told when another was quicker: with the first commit and with a later one."""
    database = "m" + uuid.uuid4().hex[:8]
    with between_folders(home) as lake:
        made = lake.table()
        iceberg_tables.connections(home, f'[metastore]\nkind = "catalog"\ntype = "hive"\nuri = "{metastore.uri}"\nwarehouse = "{lake.warehouse}/hms"')
        iceberg_tables.connections(home, f'[folders]\nkind = "catalog"\ntype = "hadoop"\nwarehouse = "{lake.warehouse}/folders"')
        for name, owner in (("metastore", HiveTables), ("folders", HadoopTables)):

            def run(name: str = name) -> Ran:
                return lake.run(target_catalog=name, target_namespace=database, check="rows")

            def same(ran: Ran, owner: Any = owner) -> None:
                """Everything of it by what the catalog itself says, read by pyiceberg alone."""
                place = ran.result["report"]["tables"][0]["metadata_location"]
                if owner is HiveTables:
                    place = HiveCatalog("theirs", uri=metastore.uri).load_table((database, "orders")).metadata_location
                found, source = StaticTable.from_metadata(place), lake.base.load_table("sales.orders")
                assert found.metadata.refs == source.metadata.refs
                assert found.scan().to_arrow().sort_by("id").equals(source.scan().to_arrow().sort_by("id"))

            with monkeypatch.context() as patch:
                _overtaken(patch, owner, "register", run)
                late = run()
            assert late.code == 1 and "already" in late.error["message"], late.error
            made.append(iceberg_tables.rows(1000, 3))
            ran = run()
            assert ran.code == 0 and ran.counts["snapshots"] == 1 and ran.counts["files"] == 1, ran.error
            same(ran)
            made.append(iceberg_tables.rows(2000, 3))
            with monkeypatch.context() as patch:
                _overtaken(patch, owner, "replace", run)
                late = run()
            assert late.code == 1 and "meanwhile" in late.error["message"], late.error
            last = run()
            assert last.counts["unchanged"] == 1, last.result
            same(last)


def _overtaken(patch: pytest.MonkeyPatch, owner: Any, step: str, other: Callable[[], Ran]) -> None:
    """Let another job bring the table just before this one commits."""
    real = getattr(owner, step)

    def late(*arguments: Any) -> Any:
        patch.undo()
        assert other().code == 0
        return real(*arguments)

    patch.setattr(owner, step, late)


def test_patterns_choose_tables(home: Path, source: Any) -> None:
    catalog = opened(home, type="sql", uri=f"sqlite:///{home}/data/catalog.db")
    names, missing = found(catalog, ["sales.o*", "sales.items", "sales.gone", "other.*"])
    assert [str(name) for name in names] == ["sales.items", "sales.orders"]
    assert missing == ["sales.gone", "other.*"]
    catalog.close()


def test_the_rest_catalog_gives_a_token_for_a_secret_and_refuses_a_wrong_one(home: Path, rest: Server) -> None:
    catalog = opened(home, type="rest", uri=rest.url, credential=iceberg_tables.REST_CLIENT)
    catalog.namespaces()
    catalog.close()
    with pytest.raises(AccessDenied) as refused:
        opened(home, type="rest", uri=rest.url, token="a-wrong-t0ken")
    assert "a-wrong-t0ken" not in explain(refused.value)
    assert refused.value.hint


def test_who_is_not_there_is_told_in_words(home: Path) -> None:
    for fields in ({"type": "rest", "uri": "http://127.0.0.1:9"}, {"type": "hive", "uri": "thrift://127.0.0.1:9,thrift://127.0.0.1:10"}):
        with pytest.raises(Unreachable) as trouble:
            opened(home, **fields)
        assert "127.0.0.1" in explain(trouble.value) and trouble.value.hint
    with pytest.raises(NotFound):
        opened(home, type="sql", uri=f"sqlite:///{home}/none.db")
    assert not (home / "none.db").exists(), "looking made a database"
    with pytest.raises(SettingError):
        opened(home, type="hive")
    with pytest.raises(SettingError):
        opened(home, type="sql", uri="nosuch://host/base")
    with pytest.raises(SettingError, match="No module named 'psycopg2'") as trouble:
        opened(home, type="sql", uri="postgresql+psycopg2://127.0.0.1:9/base")
    assert "driver" in trouble.value.hint


@pytest.mark.parametrize(
    ("kind", "uri"),
    [
        ("sql", "postgresql+psycopg2://etl:sec,ret9@host/db"), ("sql", "postgresql+psycopg2://etl:sec/ret9@host/db"),
        ("sql", "postgresql+psycopg2://etl:p#ss9@host/db"), ("sql", "postgresql+psycopg2://etl:p?ss9@host/db"), ("sql", "mysql://etl@host/db"),
        ("sql", "postgresql://host/db?user=etl&password=ret9"), ("sql", "postgresql://host/db?user=etl&pass%77ord=ret9"),
        ("sql", "mssql+pyodbc:///?odbc_connect=DRIVER%3DX%3BUID%3Detl%3BPWD%3Dret9"), ("sql", "mysql+pymysql://h/db?passwd=ret9"),
        ("sql", "mysql+pymysql://h/db?pass=ret9"), ("sql", "sqlite:////data/a.db?key=ret9"), ("rest", "https://host/api?token=ret9"),
        ("rest", "https://host/api#access_token=ret9"), ("rest", "https://u:ret9@host/"), ("rest", "https://u:re/t9@host/"),
        ("rest", "https://host/,https://u:ret9@host/"), ("hive", "thrift://host:9083,thrift://u:ret9@host:9083"),
        ("hive", "thrift://u:re/t9@host:9083"), ("sql", "etl:ret9@host/db"), ("rest", "https://host/?x=tokenret9="),
    ],
)  # fmt: skip
def test_a_uri_with_a_secret_is_refused(kind: str, uri: str) -> None:
    with pytest.raises(ValueError, match=r"which is shown|is shown") as refused:
        CatalogConnection(type=kind, uri=uri)
    assert "t9" not in str(refused.value) and "ss9" not in str(refused.value)


def test_a_uri_without_a_secret_is_taken_whole() -> None:
    for kind, uri in (("sql", "sqlite:////data/a@b,c.db"), ("sql", "postgresql+psycopg2://h1:5432,h2:5432/db?target_session_attrs=any&sslmode=require"),
                      ("sql", "postgresql:///db?host=/run/pg"), ("rest", "https://host/a,b?warehouse=w")):  # fmt: skip
        assert CatalogConnection(type=kind, uri=uri).uris == [uri]
    assert CatalogConnection(uri="thrift://a:9083, thrift://b:9083").uris == ["thrift://a:9083", "thrift://b:9083"]


def test_a_hive_table_is_no_iceberg_table(home: Path, metastore: Any) -> None:
    from pyiceberg.catalog.hive import HiveCatalog, HiveTable, SerDeInfo, StorageDescriptor

    database = "d" + uuid.uuid4().hex[:8]
    inner = HiveCatalog("hive", uri=metastore.uri)
    inner.create_namespace(database)
    with inner._client as client:
        place = (metastore.warehouse / database / "plain").as_uri()
        client.create_table(HiveTable("plain", database, sd=StorageDescriptor([], place, serdeInfo=SerDeInfo()), parameters={}, partitionKeys=[]))
    catalog = opened(home, type="hive", uri=f"thrift://127.0.0.1:9,{metastore.uri}")
    assert catalog.tables((database,)) == []
    with pytest.raises(CatalogError, match="no Iceberg table"):
        catalog.metadata_location(TableName((database,), "plain"))


def test_a_hadoop_catalog_has_levels_and_believes_no_old_hint(home: Path, source: Any) -> None:
    first, current = (Path(place.removeprefix("file://")).read_bytes() for place in metadata_files(source, "sales.orders"))
    folder = home / "data" / "hadoop" / "north" / "sales" / "orders" / "metadata"
    folder.mkdir(parents=True)
    for number, data in ((1, first), (2, current)):
        (folder / f"v{number}.metadata.json").write_bytes(data)
    (folder / "version-hint.text").write_text("1")
    catalog = opened(home, type="hadoop", warehouse=(home / "data" / "hadoop").as_uri())
    assert catalog.namespaces() == [("north",), ("north", "sales")]
    name = TableName(("north", "sales"), "orders")
    assert catalog.tables(("north", "sales")) == [name]
    assert catalog.metadata_location(name).endswith("/metadata/v2.metadata.json")
    with pytest.raises(CatalogError, match="can hold it only in"):
        catalog.register(TableName(("north",), "other"), metadata_files(source, "sales.orders")[1])


def test_a_commit_to_folders_between_look_and_write_is_not_overtaken(home: Path, source: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    first, current = metadata_files(source, "sales.orders")
    catalog = opened(home, type="hadoop", warehouse=(home / "data" / "wh").as_uri())
    name = TableName(("sales",), "orders")
    place = catalog.register(name, first)
    look = catalog.metadata_location

    def looked(wanted: TableName) -> str:
        found = look(wanted)
        monkeypatch.undo()
        catalog.replace(wanted, place, current)
        return found

    monkeypatch.setattr(catalog, "metadata_location", looked)
    with pytest.raises(TableChanged):
        catalog.replace(name, place, first)
    assert look(name).endswith("v2.metadata.json")


def test_files_are_reached_with_the_portals_own_connections(clouds: Clouds) -> None:
    from pyiceberg.catalog.sql import SqlCatalog

    from portal.lake.catalogs.file_io import PortalIO

    files = Files(Connections.load(clouds.config).get)
    for base in (f"{clouds.lake}.dfs.core.windows.net/wh", clouds.bucket.replace("s3://", "s3a://")):
        catalog = SqlCatalog("default", uri="sqlite:///:memory:", warehouse=base)
        io = PortalIO(files)
        with io.new_output(f"{base}/a").create() as stream:
            stream.write(b"abc" * 3_000_000)
        with pytest.raises(FileExistsError):
            io.new_output(f"{base}/a").create().close()
        with io.new_input(f"{base}/a").open() as stream:
            stream.seek(-3, 2)
            assert stream.read() == b"abc"
        assert len(io.new_input(f"{base}/a")) == 9_000_000 and io.new_input(f"{base}/a").exists()
        with pytest.raises(ValueError, match="stop"), io.new_output(f"{base}/b").create() as stream:
            stream.write(b"half")
            raise ValueError("stop")
        assert not io.new_input(f"{base}/b").exists()
        with pytest.raises(FileNotFoundError):
            io.new_input(f"{base}/b").open()
        io.delete(f"{base}/a")
        assert not io.new_input(f"{base}/a").exists()
        catalog.engine.dispose()
    with pytest.raises(PortalError, match="only s3://, abfss:// and file://"):
        files.open_at("hdfs://namenode/warehouse/t/metadata/v1.metadata.json")
    files.close()


def test_a_tables_own_properties_do_not_choose_what_reads_it(home: Path, target: tuple[str, Catalog, TableName], source: Any) -> None:
    """A table that came from elsewhere could name any class of any module, which pyiceberg would then import."""
    _, catalog, name = target
    iceberg_tables.table(source, "sales.evil", snapshots=1, properties={"py-io-impl": "tests.iceberg_tables.Trap"})
    seen = iceberg_tables.Trap.made
    assert seen, "pyiceberg by itself falls into it"
    first, current = metadata_files(source, "sales.evil")
    seen = iceberg_tables.Trap.made
    evil = TableName(name.namespace, "evil")
    catalog.replace(evil, catalog.register(evil, first), current)
    assert catalog.metadata_location(evil) and iceberg_tables.Trap.made == seen


def test_spark_is_told_of_a_catalog_and_of_its_secrets_apart() -> None:
    conf, secrets = spark_conf("lake", CatalogConnection(type="rest", uri="https://h/api", token="a-t0ken", warehouse="s3://b/w"))
    assert conf == {
        "spark.sql.catalog.lake": "org.apache.iceberg.spark.SparkCatalog", "spark.sql.catalog.lake.type": "rest",
        "spark.sql.catalog.lake.uri": "https://h/api", "spark.sql.catalog.lake.warehouse": "s3://b/w",
    }  # fmt: skip
    assert secrets == {"spark.sql.catalog.lake.token": "a-t0ken"}
    conf, secrets = spark_conf("lake", CatalogConnection(type="sql", uri="postgresql+psycopg2://h/db", user="etl", password="a-passw0rd"))
    assert conf["spark.sql.catalog.lake.uri"] == "jdbc:postgresql://h/db" and conf["spark.sql.catalog.lake.jdbc.user"] == "etl"
    assert list(secrets.values()) == ["a-passw0rd"] and "a-passw0rd" not in conf.values()
    with pytest.raises(SettingError):
        spark_conf("lake", CatalogConnection(type="sql", uri="sqlite:////a.db"))


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages.importlib.util, "find_spec", lambda name: None if name == "pyspark" else object())
    with pytest.raises(SettingError, match="pyspark") as missing:
        packages.need()
    assert "requirements-lake.txt" in missing.value.hint
    packages.need("pyiceberg")
    assert not packages.there("pyspark")


def test_missing_packages_are_told_before_anything_else(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SettingError, match="pyiceberg and pyspark") as missing:
        ingest_hive.run(ingest_hive.Params(tables=("sales.*",)), JobContext("job", tmp_path, settings.load(home)))
    assert "requirements-lake.txt" in missing.value.hint


def test_small_files_are_put_once(clouds: Clouds) -> None:
    files = Files(Connections.load(clouds.config).get)
    files.put(f"{clouds.lake}/m/a.json", b"one")
    files.put(f"{clouds.lake}/m/a.json", b"one")
    with pytest.raises(AlreadyExists):
        files.put(f"{clouds.lake}/m/a.json", b"two")
    put(clouds.adls, "m/sub/b.json")
    folders, found_files = files.below(f"{clouds.lake}/m")
    assert (folders, [info.key for info in found_files]) == (["sub"], ["m/a.json"])
    files.close()


def test_a_connection_to_a_catalog_is_tested_by_asking_it(home: Path, source: Any, rest: Server) -> None:
    def asked(**fields: str) -> Any:
        lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in fields.items())
        (home / "connections.toml").write_text(f'[asked]\nkind = "catalog"\n{lines}')
        return probe(settings.load(home), "catalog", "asked")

    told = asked(type="sql", uri=f"sqlite:///{home}/data/catalog.db")
    assert told.ok and told.text == "1 namespace: sales. sales holds 2 tables."
    assert asked(type="hadoop", warehouse=(home / "data" / "new").as_uri()).text == "Signed in; there is no namespace yet."
    assert asked(type="rest", uri=rest.url, token=iceberg_tables.REST_TOKEN).ok
    refused = asked(type="rest", uri=rest.url, token="another-t0ken")
    assert not refused.ok and refused.hint and "another-t0ken" not in refused.text
