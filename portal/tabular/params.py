"""The parameters of a conversion, the same for every engine that converts: fields of `ConvertOptions`, in groups, with help and checked."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import field_validator, model_validator

from portal.params import EngineParams, param
from portal.stores.url import StoreURL
from portal.tabular import params_check
from portal.tabular.options import TYPED_NULLS, Compression, ConvertOptions, DateOrder, Decimals, Format, Header, OnReject, Ragged

_CHARACTERS = {"\\t": "\t", "tab": "\t", "\\0": "\0"}
"""What can be written for a character that is hard to type."""


class ConversionParams(EngineParams):
    """How files are read, typed and written. `options` is what the conversion takes."""

    format: Format = param("auto", help="What the files are; auto: by name, else by their first bytes", group="Reading")
    header: Header = param("auto", help="Whether the first row holds the columns' names; auto: judged by the first rows", group="Reading")
    encoding: str = param(
        "auto", group="Reading",
        help="auto: by the byte order mark, else UTF-8, else UTF-16 or Windows-1252 where the evidence is clear (it is told); or a name like cp1252",
    )  # fmt: skip
    delimiter: str = param("", help="One character between values; none: found out from the file ('\\t' is a tab)", group="Reading", max_length=3)
    null_values: tuple[str, ...] = param(("",), help="Unquoted texts that mean 'no value' in every column", group="Reading")
    typed_null_values: tuple[str, ...] = param(
        TYPED_NULLS, help="Texts that mean 'no value' only in columns of numbers, booleans or dates", group="Reading", advanced=True
    )
    quote: str = param('"', help="Character around values; none: quotes mean nothing", group="Reading", advanced=True, max_length=1)
    escape: str = param(
        "", help="Character that makes the next one stand for itself; none: quotes are doubled", group="Reading", advanced=True, max_length=2
    )
    comment: str = param("", help="Character that begins lines to pass over; none: there are none", group="Reading", advanced=True, max_length=1)
    skip_lines: int = param(0, help="Lines to pass over before the header", group="Reading", unit="lines", advanced=True, ge=0)
    ragged: Ragged = param(
        "reject", help="Rows with too few values: reject them, or pad them with 'no value'; too many never fit", group="Reading", advanced=True
    )
    trim: bool = param(False, help="Leave out spaces and tabs around unquoted values", group="Reading", advanced=True)
    decimal_point: Literal[".", ","] = param(".", help="What parts whole digits from fractions", group="Reading", advanced=True)
    thousands: Literal["", ",", ".", " ", "'", "_"] = param(
        "", help="What groups digits, as in 1,000,000; none: such values stay text", group="Reading", advanced=True
    )
    max_record_bytes: int = param(
        32 << 20, help="A longer record is refused: a quote that is never closed must not fill the memory; it costs 6 to 10 times as much memory",
        group="Reading", unit="bytes",
        title="Longest record", advanced=True, ge=1024,
    )  # fmt: skip

    types: dict[str, str] = param(
        {}, group="Types", placeholder='{"zip": "string", "total": "decimal(12,2)"}',
        help="Types that are set, by column: string, boolean, int8 to int64, float64, decimal(P,S), date, timestamp, timestamp[UTC], "
        "list<int64>, struct<a: string>, json",
    )  # fmt: skip
    schema_from: StoreURL | None = param(
        None, help="A whole schema that is set: a _NAME.schema.json of an earlier conversion, or a Parquet file to be like; wins over types",
        group="Types", placeholder="abfss://container@account/folder/_NAME.schema.json",
    )  # fmt: skip
    schema_document: str = param(
        "", help="The same, as the JSON text of such a document", group="Types", advanced=True, multiline=True, placeholder='{"columns": […]}'
    )
    full_scan: bool = param(
        False, help="Decide on the columns by every value, which reads the file once more, and not by samples from head, middle and tail",
        group="Types",
    )  # fmt: skip
    on_reject: OnReject = param(
        "fail", group="Types",
        help="A row that does not fit: fail the file, keep such rows in a rejects file of the job, or widen the schema and redo the file",
    )  # fmt: skip
    max_rejects: int = param(1000, help="With keep: rejected rows of a file beyond which it fails", group="Types", unit="rows", ge=0)
    sample_bytes: int = param(
        1 << 20, help="Size of each of the three samples", group="Types", title="Sample size", unit="bytes", advanced=True, ge=1 << 10, le=256 << 20
    )
    dates: bool = param(True, help="Read columns of dates and timestamps as such", group="Types", advanced=True)
    date_order: DateOrder = param(
        "", help="What 03/04/2026 is where the values leave it open: dmy 3 April, mdy March 4; none: such columns stay text", group="Types",
        advanced=True,
    )  # fmt: skip
    decimals: Decimals = param(
        "auto", help="Fractions: auto exact decimals where a 64-bit float would not give the digits back; decimal always; float never",
        group="Types", advanced=True,
    )  # fmt: skip
    smallest_integers: bool = param(
        False, help="Integers of 8, 16 or 32 bits where all values fit, and not always of 64", group="Types", advanced=True
    )

    where: str = param(
        "", help="Keep only rows for which this holds, as SQL would say it: amount > 10 and country in ('DE', 'FR')", group="Rows and columns",
        placeholder="amount > 10 and country in ('DE', 'FR')",
    )  # fmt: skip
    columns: tuple[str, ...] = param((), help="Only these columns, in this order; none: all", group="Rows and columns")
    rename: dict[str, str] = param({}, help="Other names: old to new", group="Rows and columns", advanced=True, placeholder='{"old": "new"}')
    constants: dict[str, str] = param(
        {}, help="Columns that are added: name to text, in which {source}, {source_name}, {job} and {loaded_at} are replaced",
        group="Rows and columns", advanced=True, placeholder='{"file": "{source_name}"}',
    )  # fmt: skip

    partition_by: tuple[str, ...] = param(
        (), help="Columns that become folders, Hive style (country=DE/): each file then makes a folder", group="Writing"
    )
    sort_by: tuple[str, ...] = param((), help="Sort each file by these columns; '-name' means descending", group="Writing")
    compression: Compression = param("zstd", help="Compression of the Parquet files", group="Writing", advanced=True)
    compression_level: int | None = param(
        None, help="Its level: zstd 1 to 22, gzip 1 to 9; none: the usual one", group="Writing", advanced=True, ge=1, le=22
    )
    row_group_rows: int = param(
        100_000, help="Rows in a row group", group="Writing", title="Row group", unit="rows", advanced=True, ge=1, le=10_000_000
    )
    split_bytes: int = param(
        0, help="Begin another file when one has about so many bytes; 0: never", group="Writing", title="Split at", unit="bytes", advanced=True, ge=0
    )
    bloom_filters: tuple[str, ...] = param((), help="Columns that get a bloom filter in each row group", group="Writing", advanced=True)
    statistics: bool = param(True, help="Write least and greatest values of each column chunk", group="Writing", advanced=True)
    write_schema: bool = param(True, help="Put the schema beside the result, as _NAME.schema.json", group="Writing", advanced=True)

    @field_validator("delimiter", "escape")
    @classmethod
    def _one_character(cls, value: str) -> str:
        return params_check.one_character(value, _CHARACTERS)

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        return params_check.encoding(value)

    @field_validator("schema_document")
    @classmethod
    def _a_document(cls, value: str) -> str:
        return params_check.document(value)

    @model_validator(mode="after")
    def _options_fit_together(self) -> Self:
        if self.schema_from and self.schema_document:
            raise ValueError("schema_from and schema_document both set the schema: give one of them")
        if wrong := params_check.refusal(self.options):
            raise ValueError(wrong)
        return self

    @property
    def options(self) -> ConvertOptions:
        """Return what the conversion takes; `schema_from` is not read yet (see `portal.transfer.converter.settled`)."""
        names = type(self).model_fields
        return ConvertOptions(**{name: getattr(self, name) for name in ConvertOptions.model_fields if name in names})
