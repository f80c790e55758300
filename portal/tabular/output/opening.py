"""Which sink writes what was asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from portal.tabular.options import ConvertOptions
from portal.tabular.output.parquet import ParquetFile
from portal.tabular.output.sink import Sink
from portal.tabular.proving.digest import Digest, OrderedDigest


def open_sink(folder: Path, schema: Any, options: ConvertOptions) -> Sink:
    """Return the sink for batches of a pyarrow.Schema; its files and what it needs meanwhile stand in `folder`, which is there.

    Raises ConversionFailed when the options name columns that are not there or cannot be used so."""
    return ParquetFile(folder / "part-00000.parquet", schema, options)


def digest_for(schema: Any, options: ConvertOptions) -> Digest:
    """Return what sums the rows that are given to the sink, for `portal.tabular.proving.read_back.read_back` to compare with."""
    return OrderedDigest(schema)


def makes_one_file(options: ConvertOptions) -> bool:
    """Tell whether the sink makes exactly one part, whatever the rows: else the target is a data set in a folder."""
    return not (options.partition_by or options.split_bytes)
