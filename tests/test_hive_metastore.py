"""Asking a metastore: a real one of Hive's, and one that answers as slowly, as much or as wrongly as a test wants."""

from __future__ import annotations

import socket
import struct
import threading
import tracemalloc
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hive_metastore import ttypes
from hive_metastore.ThriftHiveMetastore import Client
from hypothesis import given, settings
from hypothesis import strategies as st

from portal.connections import CatalogConnection
from portal.errors import CatalogError, NotFound, SettingError, Unreachable
from portal.lake.hive.metastore import Metastore
from portal.lake.hive.partitions import NOTHING, escaped, parsed, partition_name
from portal.lake.hive.table import Column, HiveTable, Storage
from portal.lake.hive.wire import Wire
from portal.lake.table_name import TableName
from portal.probe import probe
from portal.settings import load
from tests import lake
from tests.lake import metastore

__all__ = ["metastore"]

PARQUET = ("org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat", "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe")
TEXT = ("org.apache.hadoop.mapred.TextInputFormat", "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe")
DAY, REGION = ttypes.FieldSchema("day", "date", ""), ttypes.FieldSchema("region", "string", "")
DIRECT = ttypes.EnvironmentContext({"DO_NOT_UPDATE_STATS": "true"})


@pytest.fixture(scope="module")
def client(metastore: lake.Metastore) -> Iterator[Client]:
    """The other side's own client, which makes what is then asked for."""
    wire = Wire(metastore.uri)
    yield wire.client
    wire.close()


@pytest.fixture
def hive(metastore: lake.Metastore) -> Iterator[Metastore]:
    with Metastore([metastore.uri]) as found:
        yield found


@pytest.fixture
def database(client: Client, metastore: lake.Metastore) -> str:
    name = "m" + uuid.uuid4().hex[:12]
    client.create_database(ttypes.Database(name, "", locationUri=f"{metastore.warehouse.as_uri()}/{name}.db"))
    return name


def descriptor(how: tuple[str, str], location: str | None = None) -> Any:
    columns = [ttypes.FieldSchema("id", "bigint", "the key"), ttypes.FieldSchema("what", "string", "")]
    return ttypes.StorageDescriptor(columns, location, how[0], "", serdeInfo=ttypes.SerDeInfo(None, how[1], {"field.delim": "|"}))


def make(client: Client, database: str, table: str, how: tuple[str, str] = PARQUET, keys: Any = (), **parameters: str) -> None:
    made = ttypes.Table(table, database, "me", 0, 0, 0, descriptor(how), list(keys), parameters, None, None, "MANAGED_TABLE")
    client.create_table_with_environment_context(made, DIRECT)


def add(client: Client, table: HiveTable, *values: list[str], how: tuple[str, str] = PARQUET) -> None:
    places = [f"{table.location}/p{number}" for number in range(len(values))]
    database, name = table.name.identifier
    client.add_partitions([ttypes.Partition(list(each), database, name, 0, 0, descriptor(how, place), {"numRows": "7"})
                           for each, place in zip(values, places, strict=True)])  # fmt: skip


def test_names_patterns_and_tables(client: Client, hive: Metastore, database: str) -> None:
    for name in ("orders_2023", "orders_2024", "people"):
        make(client, database, name)
    assert database in hive.databases()
    assert hive.table_names(database) == ["orders_2023", "orders_2024", "people"]
    found, nothing = hive.find([f"{database}.orders_*", f"`{database}`.PEOPLE", f"{database[:-1]}?.people", f"{database}.none*", "a.b.c"])
    assert [name.table for name in found] == ["orders_2023", "orders_2024", "people"]
    assert nothing == [f"{database}.none*", "a.b.c"]
    tables = list(hive.tables([*found, TableName((database,), "dropped"), TableName(("no_such_database",), "x")]))
    assert [table.name for table in tables] == found
    assert tables[0] == hive.table(found[0])
    assert (tables[0].columns, tables[0].owner) == ((Column("id", "bigint", "the key"), Column("what", "string")), "me")


def test_many_tables_are_asked_for_in_pages(client: Client, hive: Metastore, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portal.lake.hive.metastore._TABLES_AT_A_TIME", 2)
    for number in range(5):
        make(client, database, f"t{number}")
    assert [table.name.table for table in hive.tables(hive.find([f"{database}.*"])[0])] == ["t0", "t1", "t2", "t3", "t4"]


def test_a_table_that_is_not_there_is_named(hive: Metastore, database: str) -> None:
    with pytest.raises(NotFound, match=f"tell of the table {database}.gone: there is none"):
        hive.table(TableName((database,), "gone"))
    with pytest.raises(NotFound, match=r"names are database\.table"):
        hive.table(TableName(("a", "b"), "c"))


def test_partitions_come_with_values_places_and_formats_of_their_own(
    client: Client, hive: Metastore, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr("portal.lake.hive.metastore._PARTITIONS_AT_A_TIME", 2)
    make(client, database, "t", keys=[DAY, REGION])
    table = hive.table(TableName((database,), "t"))
    assert list(hive.partitions(table)) == []
    add(client, table, ["2024-01-02", "eu/west 50%"], ["2024-01-01", NOTHING], ["2024-01-03", "grün"])
    add(client, table, ["2024-01-04", "csv"], how=TEXT)
    found = list(hive.partitions(table))
    assert {part.name: part.values for part in found} == {
        f"day=2024-01-01/region={NOTHING}": ("2024-01-01", None), "day=2024-01-02/region=eu%2Fwest 50%25": ("2024-01-02", "eu/west 50%"),
        "day=2024-01-03/region=grün": ("2024-01-03", "grün"), "day=2024-01-04/region=csv": ("2024-01-04", "csv"),
    }  # fmt: skip
    assert [part.name for part in found] == list(hive.partition_names(table))
    assert [part.storage.format for part in found] == ["parquet", "parquet", "parquet", "text"]
    assert found[1].location.endswith("/t/p0") and found[0].rows == 7 and found[0].files is None and found[0].changed_s > 0
    dropped = "day=2024-01-03/region=other"
    assert [part.values[1] for part in hive.partitions_named(table, [found[3].name, dropped, found[0].name])] == ["csv", None]


def test_a_table_without_partition_keys_has_no_partitions(client: Client, hive: Metastore, database: str) -> None:
    make(client, database, "t")
    assert list(hive.partitions(hive.table(TableName((database,), "t")))) == []


ASCII = "".join(map(chr, range(1, 128)))


def test_names_are_escaped_as_hive_escapes_each_character(client: Client, hive: Metastore, database: str) -> None:
    make(client, database, "t", keys=[REGION])
    table = hive.table(TableName((database,), "t"))
    add(client, table, [ASCII], ["é€😀%41"])
    assert set(hive.partition_names(table)) == {f"region={escaped(ASCII)}", f"region={escaped('é€😀%41')}"}


@settings(max_examples=60, deadline=None)
@given(values=st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1), min_size=1, max_size=3))
def test_hive_reads_the_names_that_are_made_here(client: Client, values: list[str]) -> None:
    name = partition_name([f"c{number}" for number in range(len(values))], values)
    assert client.partition_name_to_vals(name) == [value for value in values]
    assert client.partition_name_to_spec(name) == {column: value or NOTHING for column, value in parsed(name)}


def test_the_second_address_answers_when_the_first_does_not(metastore: lake.Metastore) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        with Metastore([f"thrift://127.0.0.1:{taken.getsockname()[1]}", metastore.uri]) as hive:
            assert "default" in hive.databases()


def test_a_connection_that_breaks_is_made_again(metastore: lake.Metastore) -> None:
    with Metastore([metastore.uri]) as hive:
        assert "default" in hive.databases()
        assert hive._wire is not None
        hive._wire._transport._TBufferedTransport__trans.handle.shutdown(socket.SHUT_RDWR)
        assert "default" in hive.databases()


def test_nobody_there_is_told_with_what_to_do() -> None:
    with pytest.raises(Unreachable, match="could not be asked to list the databases") as told:
        Metastore(["thrift://127.0.0.1:1", "thrift://no-such-host.invalid:9083"]).databases()
    assert "Check that it runs" in told.value.hint and told.value.retryable
    with pytest.raises(Unreachable, match="it has no address"):
        Metastore([]).databases()


@pytest.mark.parametrize(("fields", "why"), [({"type": "rest", "uri": "https://x"}, "a catalog of type rest"), ({}, "its uri is empty")])
def test_a_connection_that_leads_to_no_metastore_is_refused(fields: dict[str, str], why: str) -> None:
    with pytest.raises(SettingError, match=why):
        Metastore.of(CatalogConnection(**fields))  # type: ignore[arg-type]


def test_kerberos_without_its_packages_is_told(metastore: lake.Metastore) -> None:
    connection = CatalogConnection(uri=metastore.uri, kerberos=True)
    with pytest.raises(SettingError, match="needs puresasl and kerberos"):
        Metastore.of(connection).databases()


def test_the_user_of_the_connection_is_told_to_the_metastore(metastore: lake.Metastore) -> None:
    with Metastore.of(CatalogConnection(uri=metastore.uri, user="etl")) as hive:
        assert "default" in hive.databases()


def test_a_connection_is_tested(home: Path, metastore: lake.Metastore) -> None:
    with (home / ".env").open("a") as file:
        file.writelines(f"{name}={value}\n" for name, value in lake.lake_variables(metastore).items())
    found = probe(load(home), "catalog")
    assert found.ok and "default" in found.detail["databases"] and metastore.uri in found.detail["leads_to"]
    (home / ".env").write_text("HIVE_METASTORE_URI=thrift://127.0.0.1:1\n")
    lost = probe(load(home), "catalog")
    assert not lost.ok and "could not be asked to list the databases" in lost.text and "Check that it runs" in lost.hint


@contextmanager
def answering(answer: Callable[[socket.socket], object]) -> Iterator[str]:
    """A metastore that takes one question a connection, and then does what it is told."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                connection.recv(4096)
                try:
                    answer(connection)
                except OSError:
                    pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"thrift://127.0.0.1:{listening.getsockname()[1]}"
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    thread.join(5)


HEAD = struct.pack(">Ii18sI", 0x80010002, 18, b"get_partition_name", 0)
ASKED = HiveTable(TableName(("d",), "t"), "managed", Storage("", "parquet"), (Column("n", "int"),))


def names(connection: socket.socket, count: int, told: int) -> None:
    """Answer with `count` names where `told` are announced."""
    connection.sendall(HEAD + struct.pack(">bhbI", 15, 0, 11, told))
    for start in range(0, count, 1000):
        text = [f"n={number:040}".encode() for number in range(start, min(start + 1000, count))]
        connection.sendall(b"".join(struct.pack(">I", len(each)) + each for each in text))
    if count == told:
        connection.sendall(b"\0")


def test_thirty_thousand_names_of_partitions_are_never_in_memory_together() -> None:
    count = 30_000
    with answering(lambda connection: names(connection, count, count)) as uri, Metastore([uri]) as hive:
        tracemalloc.start()
        seen = sum(1 for _ in hive.partition_names(ASKED))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert seen == count
    assert peak < 500_000


def test_an_answer_that_breaks_off_is_not_taken_for_the_whole() -> None:
    with answering(lambda connection: names(connection, 1500, 3000)) as uri, Metastore([uri, uri]) as hive:
        with pytest.raises(Unreachable, match=r"list the partitions of d\.t"):
            next(hive.partition_names(ASKED))


def test_a_second_try_does_not_count_what_the_first_brought() -> None:
    tries = iter([1500, 3000])
    with answering(lambda connection: names(connection, next(tries), 3000)) as uri, Metastore([uri, uri]) as hive:
        assert len(set(hive.partition_names(ASKED))) == len(list(range(3000)))


def test_a_metastore_that_hangs_is_given_up() -> None:
    over = threading.Event()
    with answering(lambda connection: bool(over.wait(20))) as uri, Metastore([uri], answer_s=0.2) as hive:
        with pytest.raises(Unreachable, match="tell of the table"):
            hive.table(ASKED.name)
        over.set()


def test_what_is_no_metastore_at_all_is_told() -> None:
    with answering(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as uri, Metastore([uri], answer_s=2) as hive:
        with pytest.raises(CatalogError, match="could not list the databases: what answered does not speak as"):
            hive.databases()
