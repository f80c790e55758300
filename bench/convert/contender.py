"""One conversion in a process of its own: `python -m bench.convert.contender NAME SOURCE TARGET`, or `NAME --many FILE …`.

Each imports its own library alone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

_ROW_GROUP = 100_000
_BLOCK_BYTES = 8 << 20


def ours(source: Path, target: Path) -> None:
    """The conversion as the engine calls it: look, freeze, parse, write, publish; records counted apart, read back, books closed."""
    from portal.connections import LocalConnection
    from portal.stores.opening import open_store
    from portal.stores.url import StoreURL
    from portal.tabular.conversion.converting import convert_object

    store = open_store(StoreURL.parse(f"file://{target.parent}/"), LocalConnection(roots=(str(target.parent), str(source.parent))))
    there = open_store(StoreURL.parse(f"file://{source.parent}/"), LocalConnection(roots=(str(source.parent),)))
    convert_object(there, there.stat(str(source).lstrip("/")), store, str(target).lstrip("/"), overwrite=True, scratch=target.parent)


def ours_unproved(source: Path, target: Path) -> None:
    """The same without counting, summing and reading back: inference and strict writing alone, which is what the others are asked for."""
    from portal.tabular.conversion import delivering, table, writing
    from portal.tabular.proving.digest import OrderedDigest

    for owner, name, instead in (
        (OrderedDigest, "update", lambda *_: None), (writing, "balance", lambda *_: None), (delivering, "read_back", lambda *_, **__: None),
        (table, "Counted", lambda stream, _: stream),
    ):  # fmt: skip
        getattr(owner, name)  # it is still called so
        setattr(owner, name, instead)
    ours(source, target)


def duckdb(source: Path, target: Path) -> None:
    import duckdb

    how = f", delim='{_delimiter(source)}'" if _delimiter(source) else ""
    read = f"read_json('{source}')" if _is_json(source) else f"read_csv('{source}'{how})"
    duckdb.sql(f"COPY (FROM {read}) TO '{target}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {_ROW_GROUP})")


def polars(source: Path, target: Path) -> None:
    import polars

    if _is_json(source):
        frame = polars.scan_ndjson(source)
    else:
        frame = polars.scan_csv(source, try_parse_dates=True, separator=_delimiter(source) or ",")
    frame.sink_parquet(target, compression="zstd", row_group_size=_ROW_GROUP)


def pyarrow(source: Path, target: Path) -> None:
    """Streaming, with the block size and the dictionary that were fastest here."""
    import pyarrow.csv
    import pyarrow.json
    import pyarrow.parquet

    if _is_json(source):
        reader = pyarrow.json.open_json(source, read_options=pyarrow.json.ReadOptions(block_size=_BLOCK_BYTES))
    else:
        parse = pyarrow.csv.ParseOptions(newlines_in_values=True, delimiter=_delimiter(source) or ",")
        reader = pyarrow.csv.open_csv(source, read_options=pyarrow.csv.ReadOptions(block_size=_BLOCK_BYTES), parse_options=parse)
    texts = any(pyarrow.types.is_string(field.type) for field in reader.schema)
    with pyarrow.parquet.ParquetWriter(target, reader.schema, compression="zstd", use_dictionary=texts) as writer:
        for batch in reader:
            writer.write_batch(batch)


def pandas(source: Path, target: Path) -> None:
    """Chunks, the types of the first one kept for the others; pyarrow writes."""
    import pandas
    import pyarrow
    import pyarrow.parquet

    if _is_json(source):
        chunks: Any = pandas.read_json(source, lines=True, chunksize=_ROW_GROUP)
    else:
        chunks = pandas.read_csv(source, chunksize=_ROW_GROUP, sep=_delimiter(source) or ",")
    writer = None
    try:
        for chunk in chunks:
            table = pyarrow.Table.from_pandas(chunk, schema=writer.schema if writer else None, preserve_index=False)
            writer = writer or pyarrow.parquet.ParquetWriter(target, table.schema, compression="zstd")
            writer.write_table(table)
    finally:
        if writer:
            writer.close()


def _is_json(source: Path) -> bool:
    return ".ndjson" in source.suffixes or ".json" in source.suffixes


def _delimiter(source: Path) -> str:
    """The delimiter by its code, where the name tells one: hard files of the corpus, whose delimiter shall not be the question."""
    code, dash, _ = source.name.partition("-case-")
    return chr(int(code)) if dash else ""


def idle(source: Path, target: Path) -> None:
    """Nothing: the interpreter and what all of them import."""


RUNS: dict[str, Callable[[Path, Path], None]] = {
    "ours": ours, "ours-unproved": ours_unproved, "duckdb": duckdb, "polars": polars, "pyarrow": pyarrow, "pandas": pandas, "idle": idle,
}  # fmt: skip



def many(name: str, files: Sequence[str]) -> None:
    """Convert each file to FILE.parquet; say how each ended, one line of JSON a file."""
    for file in files:
        source = Path(file)
        try:
            RUNS[name](source, source.with_name(source.name + ".parquet"))
            error = ""
        except Exception as found:
            error = f"{type(found).__name__}: {found}"[:300]
        print(json.dumps({"file": source.name, "error": error}), flush=True)


if __name__ == "__main__":
    if sys.argv[2] == "--many":
        many(sys.argv[1], sys.argv[3:])
    else:
        RUNS[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
