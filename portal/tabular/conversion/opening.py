"""Which reader reads an object: by the options, else by its name, else by its first characters."""

from __future__ import annotations

from portal.errors import ConversionFailed
from portal.tabular.conversion.table import Readable, Table
from portal.tabular.csv_format.reader import CsvReader
from portal.tabular.json_format.reader import JsonReader
from portal.tabular.options import ConvertOptions
from portal.tabular.parquet_format.table import ParquetTable
from portal.tabular.rows import Check, TableReader
from portal.tabular.text.objects import Source
from portal.tabular.text.text import Text

_PACKED = (".gz", ".zst")
_PARQUET = b"PAR1"
_NAMES = {".csv": "csv", ".tsv": "csv", ".json": "json", ".ndjson": "json", ".jsonl": "json", ".parquet": "parquet"}


def open_table(source: Source, options: ConvertOptions, check: Check) -> Readable:
    """Raises ConversionFailed (no text, empty, an unknown encoding, no records), SourceChanged and what stores raise."""
    kind = named_format(source.name, options)
    if kind == "parquet" or (not kind and source.range(0, len(_PARQUET)) == _PARQUET):
        return ParquetTable(source, options, check)
    try:
        return _open_text(source, kind, options, check)
    except ConversionFailed:
        if source.range(0, len(_PARQUET)) != _PARQUET:
            raise
    told = f"{source.name} is a Parquet file by its first bytes, and was read as {kind}."
    raise ConversionFailed(told, hint="Say format=parquet, or give it a name that ends in .parquet.")


def _open_text(source: Source, kind: str, options: ConvertOptions, check: Check) -> Table:
    text = Text(source, options)
    if not kind:
        kind = "json" if text.samples()[0].data.lstrip()[:1] in (b"{", b"[") else "csv"
    reader: TableReader = CsvReader(text, options) if kind == "csv" else JsonReader.detect(text.samples(), options)
    return Table(source.name, text, reader, check)


def named_format(name: str, options: ConvertOptions) -> str:
    """Return csv, json or parquet by what the options or the name say, '' when they say nothing."""
    if options.format != "auto":
        return "json" if options.format == "ndjson" else options.format
    plain = name.lower()
    for ending in _PACKED:
        plain = plain.removesuffix(ending)
    return next((kind for ending, kind in _NAMES.items() if plain.endswith(ending)), "")
