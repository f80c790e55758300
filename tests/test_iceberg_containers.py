"""Avro, Puffin and position deletes go over with every value as it was, but for the names of data files."""

from __future__ import annotations

import io
import json
import struct
import zlib
from typing import Any, BinaryIO

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from pyiceberg.table.puffin import PuffinFile

from portal.lake.iceberg.containers import Container
from portal.lake.iceberg.position_deletes import PATH_ID, POSITION_ID, copy_avro, copy_parquet, facts_of_parquet
from portal.lake.iceberg.puffin import copy_vectors
from portal.lake.iceberg.refusals import TableBroken, TableRefused
from portal.lake.iceberg.unpacking import CODECS, number, written

HEADER = {
    "type": "record", "name": "header", "fields": [
        {"name": "magic", "type": {"type": "fixed", "name": "magic", "size": 4}}, {"name": "meta", "type": {"type": "map", "values": "bytes"}},
        {"name": "sync", "type": {"type": "fixed", "name": "sync", "size": 16}},
    ],
}  # fmt: skip
MANIFEST = {
    "type": "record", "name": "manifest_entry", "fields": [
        {"name": "partition", "field-id": 102, "type": {"type": "record", "name": "r102", "fields": [
            {"name": "day", "type": ["null", {"type": "int", "logicalType": "date"}], "default": None, "field-id": 1000},
            {"name": "at", "type": ["null", {"type": "long", "logicalType": "timestamp-micros", "adjust-to-utc": False}], "field-id": 1001},
            {"name": "price", "type": ["null", {"type": "fixed", "name": "d", "size": 8, "logicalType": "decimal", "precision": 18, "scale": 2}],
             "field-id": 1002},
            {"name": "who", "type": ["null", {"type": "fixed", "name": "u", "size": 16, "logicalType": "uuid"}], "field-id": 1003},
        ]}},
        {"name": "bounds", "field-id": 125, "type": ["null", {"type": "array", "logicalType": "map", "items": {
            "type": "record", "name": "k126_v127", "fields": [
                {"name": "key", "type": "int", "field-id": 126}, {"name": "value", "type": "bytes", "field-id": 127}]}}]},
        {"name": "share", "type": "double", "field-id": 9},
    ],
}  # fmt: skip
RECORDS = st.fixed_dictionaries({
    "partition": st.fixed_dictionaries({
        "day": st.none() | st.integers(-(2**31), 2**31 - 1), "at": st.none() | st.integers(-(2**63), 2**63 - 1),
        "price": st.none() | st.binary(min_size=8, max_size=8), "who": st.none() | st.binary(min_size=16, max_size=16),
    }),
    "bounds": st.none() | st.lists(st.fixed_dictionaries({"key": st.integers(0, 2**31 - 1), "value": st.binary(max_size=5)}), max_size=3),
    "share": st.floats(allow_nan=False),
})  # fmt: skip


def without_logic(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {name: without_logic(value) for name, value in schema.items() if name != "logicalType"}
    return [without_logic(item) for item in schema] if isinstance(schema, list) else schema


def avro(records: list[Any], codec: str = "deflate", block_bytes: int = 100) -> bytes:
    """A file whose values stand under MANIFEST, though they were written by its physical types."""
    made = io.BytesIO()
    written_by = "null" if codec in CODECS else codec
    metadata = {"schema": "{}", "content": "data"}
    fastavro.writer(made, without_logic(MANIFEST), records, codec=written_by, metadata=metadata, sync_interval=block_bytes)
    made.seek(0)
    found: Any = fastavro.schemaless_reader(made, HEADER, None)
    found["meta"].update({"avro.schema": json.dumps(MANIFEST).encode(), "avro.codec": codec.encode()})
    whole = io.BytesIO()
    fastavro.schemaless_writer(whole, HEADER, found)
    return whole.getvalue() + (packed(made, codec) if codec in CODECS else made.read())


def packed(blocks: BinaryIO, codec: str) -> bytes:
    """Blocks of the codec `null` in another that fastavro does not write."""
    done = b""
    while first := blocks.read(1):
        count, size = number(blocks, first), number(blocks)
        plain = blocks.read(size)
        data = zstandard.compress(plain) if codec == "zstandard" else pa.compress(plain, "snappy", asbytes=True) + zlib.crc32(plain).to_bytes(4)
        done += written(count) + written(len(data)) + data + blocks.read(16)
    return done


@given(st.integers(-(2**63), 2**63 - 1))
def test_numbers_are_read_as_avro_writes_them(value: int) -> None:
    made = io.BytesIO()
    fastavro.schemaless_writer(made, "long", value)
    assert written(value) == made.getvalue() and number(io.BytesIO(made.getvalue())) == value


@settings(max_examples=60)
@given(st.lists(RECORDS, max_size=30), st.sampled_from(["null", "deflate", "zstandard", "snappy"]))
def test_every_value_of_an_avro_file_stays_also_those_that_python_has_no_date_for(records: list[Any], codec: str) -> None:
    data = avro(records, codec)
    copied = io.BytesIO()
    assert Container(io.BytesIO(data), "m.avro").copy(copied, lambda record: record) == len(records)
    ours = Container(io.BytesIO(copied.getvalue()), "copy")
    assert list(ours.records()) == records
    theirs = Container(io.BytesIO(data), "m.avro")
    assert ours.header["sync"] == theirs.header["sync"] and ours.schema == theirs.schema == MANIFEST
    assert ours.codec == ("deflate" if codec in CODECS else codec)
    assert fastavro.reader(io.BytesIO(copied.getvalue())).metadata["content"] == "data"


LINE = {"partition": dict.fromkeys(("day", "at", "price", "who")), "bounds": None, "share": 1.0}
WHOLE = [avro([LINE] * 300, codec, 1 << 20) for codec in ("null", "snappy", "zstandard")]
"""In one block each: of a file that ends where a block does, its list tells that entries are missing."""


@given(st.binary(max_size=40) | st.builds(lambda whole, size: whole[: len(whole) - size], st.sampled_from(WHOLE), st.integers(1, 40)))
def test_what_is_no_avro_or_cut_off_is_told_as_such(data: bytes) -> None:
    with pytest.raises(TableBroken, match="cannot be read as Avro"):
        list(Container(io.BytesIO(data), "m.avro").records())


def puffin(blobs: list[tuple[dict[str, Any], bytes]], *, compressed: bool = False) -> bytes:
    data, told = b"PFA1", []
    for about, content in blobs:
        told.append({"type": "deletion-vector-v1", "fields": [], "snapshot-id": -1, "sequence-number": -1, **about,
                     "offset": len(data), "length": len(content)})  # fmt: skip
        data += content
    payload = json.dumps({"blobs": told, "properties": {"created-by": "a test"}}).encode()
    if compressed:
        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, "lz4") as stream:
            stream.write(payload)
        payload = sink.getvalue().to_pybytes()
    return data + b"PFA1" + payload + struct.pack("<iB3x4s", len(payload), compressed, b"PFA1")


def copied_vectors(data: bytes) -> bytes:
    sink = io.BytesIO()
    copy_vectors(io.BytesIO(data), "d.puffin", sink, lambda path: path.replace("s3://old", "abfss://a-much-longer-new-place"))
    return sink.getvalue()


@pytest.mark.parametrize("compressed", [False, True])
def test_deletion_vectors_keep_their_places_and_name_the_new_files(compressed: bool) -> None:
    blobs = [({"properties": {"referenced-data-file": f"s3://old/{n}", "cardinality": str(n)}}, bytes([n]) * 3_000_000) for n in (1, 2)]
    source = puffin([*blobs, ({"type": "other", "properties": {}}, b"x")], compressed=compressed)
    copied = copied_vectors(source)
    assert copied[:6_000_005] == source[:6_000_005] and copied[6_000_005:6_000_010] == b"PFA1{", "the footer follows the last blob"
    found = PuffinFile(copied)
    assert [blob.properties.get("referenced-data-file") for blob in found.footer.blobs] == [
        "abfss://a-much-longer-new-place/1", "abfss://a-much-longer-new-place/2", None]  # fmt: skip
    assert [found.get_blob_payload(blob)[:1] for blob in found.footer.blobs] == [b"\x01", b"\x02", b"x"]
    assert [blob.offset for blob in found.footer.blobs] == [4, 3_000_004, 6_000_004]
    assert found.footer.properties == {"created-by": "a test"} and found.footer.blobs[1].properties["cardinality"] == "2"


@given(st.integers(0, 200))
def test_a_puffin_file_that_is_cut_off_is_told_as_such(size: int) -> None:
    whole = puffin([({"properties": {"referenced-data-file": "s3://old/1"}}, b"abc")])
    with pytest.raises(TableBroken, match=r"d\.puffin is no Puffin file"):
        copied_vectors(whole[: min(size, len(whole) - 1)])


DELETES = pa.schema([
    pa.field("file_path", pa.string(), nullable=False, metadata={"PARQUET:field_id": str(PATH_ID)}),
    pa.field("pos", pa.int64(), nullable=False, metadata={"PARQUET:field_id": str(POSITION_ID)}),
], metadata={"delete-type": "position"})  # fmt: skip


def deletes(rows: list[tuple[str, int]], group: int, compression: str = "zstd") -> bytes:
    sink = io.BytesIO()
    table = pa.Table.from_arrays([pa.array([path for path, _ in rows], pa.string()), pa.array([at for _, at in rows], pa.int64())], schema=DELETES)
    pq.write_table(table, sink, row_group_size=group, compression=compression)
    return sink.getvalue()


def renamed(path: str) -> str:
    """Changes the order: what was first comes last."""
    return f"abfss://new/{'z' if path.startswith('s3://a') else 'b'}/{path}"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["s3://a/1", "s3://a/2", "s3://b/1", "s3://b/ü", "s3://c"]), st.integers(0, 2**62))), st.integers(1, 7),
       st.sampled_from(["zstd", "gzip", "none", "snappy"]))  # fmt: skip
def test_position_deletes_delete_the_same_rows_of_the_new_files(rows: list[tuple[str, int]], group: int, compression: str) -> None:
    rows.sort()
    sink = io.BytesIO()
    assert copy_parquet(io.BytesIO(deletes(rows, group, compression)), "d.parquet", sink, renamed) == len(rows)
    found = pq.ParquetFile(io.BytesIO(sink.getvalue()))
    assert [tuple(row.values()) for row in found.read().to_pylist()] == sorted((renamed(path), at) for path, at in rows)
    fields = [found.schema_arrow.field(name) for name in DELETES.names]
    assert [(field.type, field.nullable, field.metadata) for field in fields] == [(field.type, False, field.metadata) for field in DELETES]
    assert found.metadata.metadata[b"delete-type"] == b"position"
    facts = facts_of_parquet(io.BytesIO(sink.getvalue()), len(sink.getvalue()))
    names = [renamed(path) for path, _ in rows]
    assert (facts.lowest, facts.highest) == ((min(names), max(names)) if names else (None, None))
    assert len(facts.split_offsets) == (found.num_row_groups if rows else 0) and list(facts.split_offsets[:1]) == ([4] if rows else [])
    if rows:
        assert {field for field, size in facts.column_bytes if size} == {PATH_ID, POSITION_ID}
        assert found.metadata.row_group(0).column(0).compression == {"none": "UNCOMPRESSED"}.get(compression, compression.upper())


def test_row_groups_stay_where_the_order_does() -> None:
    sink = io.BytesIO()
    copy_parquet(io.BytesIO(deletes([("s3://a", n) for n in range(10)], 3)), "d.parquet", sink, renamed)
    metadata = pq.ParquetFile(sink).metadata
    assert [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)] == [3, 3, 3, 1]


@pytest.mark.parametrize("data", [b"", b"PAR1 nothing PAR1", deletes([("s3://a", 1)], 1)[:-9]])
def test_a_damaged_parquet_is_told_as_such(data: bytes) -> None:
    with pytest.raises(TableBroken, match=r"d\.parquet cannot be read as Parquet"):
        copy_parquet(io.BytesIO(data), "d.parquet", io.BytesIO(), renamed)


def test_a_parquet_file_without_positions_holds_no_position_deletes() -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"id": [1]}), sink)
    with pytest.raises(TableBroken, match="it holds no position deletes"):
        copy_parquet(io.BytesIO(sink.getvalue()), "d.parquet", io.BytesIO(), renamed)


def test_position_deletes_in_avro() -> None:
    schema = {"type": "record", "name": "deletes", "fields": [
        {"name": "file_path", "type": "string", "field-id": PATH_ID}, {"name": "pos", "type": "long", "field-id": POSITION_ID}]}  # fmt: skip
    made = io.BytesIO()
    fastavro.writer(made, schema, [{"file_path": "s3://b/1", "pos": n} for n in range(5)])
    sink = io.BytesIO()
    assert copy_avro(io.BytesIO(made.getvalue()), "d.avro", sink, renamed) == 5
    assert list(Container(io.BytesIO(sink.getvalue()), "copy").records())[4] == {"file_path": "abfss://new/b/s3://b/1", "pos": 4}
    made = io.BytesIO()
    fastavro.writer(made, schema, [{"file_path": path, "pos": 0} for path in ("s3://a", "s3://b")])
    with pytest.raises(TableRefused, match="not sorted anew"):
        copy_avro(io.BytesIO(made.getvalue()), "d.avro", sink, renamed)
