"""Which sink writes what was asked for."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

from portal.tabular.options import ConvertOptions
from portal.tabular.output.folders import refuse_columns, without
from portal.tabular.output.parquet import ParquetFile, bloom_filters
from portal.tabular.output.partitions import PartitionedSink
from portal.tabular.output.parts import File, SplitSink
from portal.tabular.output.sink import Sink
from portal.tabular.output.sorting import SortedSink, order_of
from portal.tabular.output.text_file import TextFile, text_schema
from portal.tabular.proving.any_order import AnyOrderDigest
from portal.tabular.proving.digest import Digest, OrderedDigest
from portal.tabular.proving.of_text import TextDigest
from portal.tabular.rows import Check


def open_sink(folder: Path, schema: Any, options: ConvertOptions, check: Check = lambda: None) -> Sink:
    """Return the sink for batches of a pyarrow.Schema; its files and what it needs meanwhile stand in `folder`, which is there.
    `check` is called while many files are finished.

    Raises ConversionFailed when the options name columns that are not there or cannot be used so."""
    refuse_unfit(schema, options)
    folders = tuple(dict.fromkeys(options.partition_by))
    inner = without(schema, folders)
    order = order_in_files(schema, options)

    numbers = count()

    def make(name: str) -> File:
        path = folder / f"{next(numbers):06}{suffix}"  # thousands of folders would take longer than their files
        if options.output != "parquet":
            return TextFile(path, inner, options.output, name=name)
        return ParquetFile(path, inner, options, name=name, order=order)

    suffix, size = f".{options.output}", options.split_bytes
    sink: Sink = SplitSink(make, schema, suffix, size)
    if folders:
        spool, clustered = folder / "waiting.arrow", bool(options.sort_by)
        sink = PartitionedSink(make, schema, folders, suffix, size, spool=spool, clustered=clustered, check=check)
    return SortedSink(sink, folder, schema, [*folders, *options.sort_by]) if options.sort_by else sink


def refuse_unfit(schema: Any, options: ConvertOptions) -> None:
    """Raises ConversionFailed as `open_sink`, when there is nothing to write yet."""
    folders = tuple(dict.fromkeys(options.partition_by))
    refuse_columns(schema, folders)
    order_in_files(schema, options)
    inner = without(schema, folders)
    if options.output == "parquet":
        bloom_filters(inner, options)
    else:
        text_schema(inner, options.output)


def order_in_files(schema: Any, options: ConvertOptions) -> list[tuple[str, str]]:
    """Return (column, direction) of each key that every file is sorted by. Raises ConversionFailed as `open_sink`."""
    folders = tuple(dict.fromkeys(options.partition_by))
    return order_of(without(schema, folders), [key for key in options.sort_by if key.removeprefix("-") not in folders])


def digest_for(schema: Any, options: ConvertOptions) -> Digest:
    """Return what sums the rows that are given to the sink, for `portal.tabular.proving.read_back.read_back` to compare with."""
    kind = AnyOrderDigest if options.sort_by or options.partition_by else OrderedDigest
    return kind(schema) if options.output == "parquet" else TextDigest(kind, schema, options.output)


def makes_one_file(options: ConvertOptions) -> bool:
    """Tell whether the sink makes exactly one part, whatever the rows: else the target is a data set in a folder."""
    return not (options.partition_by or options.split_bytes)
