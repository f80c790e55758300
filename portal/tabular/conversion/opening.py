"""Which reader reads an object: by the options, else by its name, else by its first characters."""

from __future__ import annotations

from portal.tabular.conversion.table import Table
from portal.tabular.csv_format.reader import CsvReader
from portal.tabular.json_format.reader import JsonReader
from portal.tabular.options import ConvertOptions
from portal.tabular.rows import Check, TableReader
from portal.tabular.text.objects import Source
from portal.tabular.text.sampling import Sample
from portal.tabular.text.text import Text

_PACKED = (".gz", ".zst")
_NAMES = {".csv": "csv", ".tsv": "csv", ".json": "json", ".ndjson": "json", ".jsonl": "json", ".parquet": "parquet"}


def open_table(source: Source, options: ConvertOptions, check: Check) -> Table:
    """Raises ConversionFailed (no text, empty, an unknown encoding, no records), SourceChanged and what stores raise."""
    text = Text(source, options)
    reader: TableReader
    if format_of(source.name, options, text.samples()[0]) == "csv":
        reader = CsvReader(text, options)
    else:
        reader = JsonReader.detect(text.samples(), options)
    return Table(source.name, text, reader, check)


def format_of(name: str, options: ConvertOptions, head: Sample) -> str:
    """Return csv, json or parquet."""
    if options.format != "auto":
        return "json" if options.format == "ndjson" else options.format
    plain = name.lower()
    for ending in _PACKED:
        plain = plain.removesuffix(ending)
    known = next((kind for ending, kind in _NAMES.items() if plain.endswith(ending)), "")
    return known or ("json" if head.data.lstrip()[:1] in (b"{", b"[") else "csv")
