"""From what the metastore's protocol brings to values: which kind a table is, what its files are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from portal.lake.hive import spark_schema
from portal.lake.hive.partitions import NOTHING, partition_name
from portal.lake.hive.table import Column, Format, HivePartition, HiveTable, Kind, Storage
from portal.lake.table_name import TableName

_TABLE_TYPES: dict[str, Kind] = {
    "MANAGED_TABLE": "managed", "EXTERNAL_TABLE": "external", "VIRTUAL_VIEW": "view", "MATERIALIZED_VIEW": "materialized view",
}  # fmt: skip
_LAKES: dict[str, Kind] = {"iceberg": "iceberg", "delta": "delta", "hudi": "hudi"}
_LAKE_CLASSES: tuple[tuple[str, Kind], ...] = (
    ("iceberg", "iceberg"), (".delta.", "delta"), ("org.apache.hudi.", "hudi"), ("com.uber.hoodie.", "hudi"),
)  # fmt: skip
"""Parts of the names of Java classes that only tables of these kinds are read with."""
_SERDES: dict[str, Format] = {
    "ParquetHiveSerDe": "parquet", "OrcSerde": "orc", "AvroSerDe": "avro", "OpenCSVSerde": "csv", "JsonSerDe": "json", "JsonSerde": "json",
}  # fmt: skip
_INPUTS: dict[str, Format] = {
    "MapredParquetInputFormat": "parquet", "DeprecatedParquetInputFormat": "parquet", "OrcInputFormat": "orc",
    "AvroContainerInputFormat": "avro", "SequenceFileInputFormat": "sequence", "RCFileInputFormat": "rcfile",
}  # fmt: skip
_PLAIN_TEXT = frozenset(("LazySimpleSerDe", "MultiDelimitSerDe", "RegexSerDe"))
_PROVIDERS: dict[str, Format] = {"parquet": "parquet", "orc": "orc", "avro": "avro", "text": "text", "csv": "csv", "json": "json"}


def table(found: Any) -> HiveTable:
    """Return a table of the metastore's protocol as a value."""
    parameters = dict(found.parameters or {})
    keys = tuple(column(key) for key in found.partitionKeys or ())
    store = _of_spark(storage(found.sd, parameters), parameters, len(keys))
    descriptor = found.sd
    return HiveTable(
        name=TableName((found.dbName,), found.tableName), kind=_kind(found, parameters, store), storage=store, partition_keys=keys,
        parameters=parameters, bucket_columns=tuple(getattr(descriptor, "bucketCols", None) or ()),
        buckets=max(0, getattr(descriptor, "numBuckets", 0) or 0),
        sort_columns=tuple(order.col for order in getattr(descriptor, "sortCols", None) or ()), owner=found.owner or "",
        created_s=found.createTime or 0, view_text=found.viewOriginalText or "",
    )  # fmt: skip


def partition(found: Any, of: HiveTable) -> HivePartition:
    """Return a partition of the metastore's protocol as a value."""
    parameters = dict(found.parameters or {})
    values = tuple(None if value == NOTHING else value for value in found.values)
    name = partition_name([key.name for key in of.partition_keys], values)
    return HivePartition(name, values, storage(found.sd, of.parameters), parameters, found.createTime or 0)


def storage(descriptor: Any, parameters: Mapping[str, str]) -> Storage:
    """Return where and how files are kept; `parameters` are those of the table."""
    if descriptor is None:
        return Storage("", "")
    serde = descriptor.serdeInfo
    library, reader = (serde.serializationLib if serde else "") or "", descriptor.inputFormat or ""
    return Storage(
        location=descriptor.location or "", format=_format(library, reader, parameters.get(spark_schema.PROVIDER, "")), input_format=reader,
        serde=library, serde_parameters=dict((serde.parameters if serde else None) or {}),
        columns=tuple(column(each) for each in descriptor.cols or ()),
    )  # fmt: skip


def column(found: Any) -> Column:
    return Column(found.name, found.type or "", found.comment or "")


def _format(serde: str, reader: str, provider: str) -> Format:
    if provider and provider.lower() != "hive":
        return _PROVIDERS.get(provider.lower(), "")
    library, source = serde.rpartition(".")[2], reader.rpartition(".")[2]
    if source in _INPUTS:
        return _INPUTS[source]
    if source != "TextInputFormat":
        return ""
    return "text" if library in _PLAIN_TEXT else _SERDES.get(library, "")


def _of_spark(store: Storage, parameters: Mapping[str, str], keys: int) -> Storage:
    """With the columns that Spark knows where it made the table: Hive's own have lost their case, or are a stand-in."""
    known = spark_schema.columns(parameters)
    if known is None:
        return store
    columns = tuple(Column(name, str(kind), comment) for name, kind, comment in known[: len(known) - keys])
    ours = parameters.get(spark_schema.PROVIDER, "hive").lower() != "hive"
    if not ours and [each.name.lower() for each in columns] != [each.name.lower() for each in store.columns]:
        return store  # somebody changed the columns with Hive, which does not tell Spark
    location = (store.serde_parameters.get("path") if ours else "") or store.location
    return Storage(location, store.format, store.input_format, store.serde, store.serde_parameters, columns)


def _kind(found: Any, parameters: Mapping[str, str], store: Storage) -> Kind:
    plain = _TABLE_TYPES.get(found.tableType or "", "foreign")
    if plain in ("view", "materialized view"):
        return plain
    provider, handler = parameters.get(spark_schema.PROVIDER, "").lower(), parameters.get("storage_handler", "")
    for told in (parameters.get("table_type", "").lower(), provider):
        if told in _LAKES:
            return _LAKES[told]
    classes = f"{handler} {store.input_format} {store.serde}"
    for part, kind in _LAKE_CLASSES:
        if part in classes:
            return kind
    return "foreign" if handler or (provider not in ("", "hive") and provider not in _PROVIDERS) else plain
