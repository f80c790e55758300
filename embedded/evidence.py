"""What the demo proves, found out without any code of the portal: rows counted from the bytes themselves, tables read with the vendors' clients."""

from __future__ import annotations

import csv
import gc
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pyarrow.parquet
from azure.core.exceptions import ResourceNotFoundError

from embedded import data, kinds
from embedded.kinds import Kind

_FORMS = ("%m/%d/%Y", "%b %d %Y")
"""How the demo's files write dates, besides year, month and day."""


@dataclass(frozen=True)
class Table:
    """One object of the demo bucket and what became of it in the lake."""

    source_key: str
    rows: int
    columns: int
    lake_rows: int | None
    """None where nothing was found."""
    difference: str
    """What is not as in the source, '' when every cell is."""


def tables(env: Mapping[str, str], targets: Mapping[str, str]) -> Iterator[Table]:
    """Compare every table of the bucket with its target, cell by cell; one that was copied as it is, byte by byte.

    Args:
        env: the box's variables.
        targets: key in the lake by key in the bucket, as the ledger tells it.
    """
    s3 = data.s3_client(env)
    with data.adls_client(env) as account, account.get_file_system_client(data.CONTAINER) as lake:
        present = {path.name for path in lake.get_paths(recursive=True) if not path.is_directory}
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=data.BUCKET):
            for key in (entry["Key"] for entry in page["Contents"] if not entry["Key"].startswith(kinds.PREFIX)):
                source = s3.get_object(Bucket=data.BUCKET, Key=key)["Body"].read()
                target = targets.get(key)
                yield compare(key, source, lake.get_file_client(target).download_file().readall() if target in present else None)


def copies(env: Mapping[str, str], targets: Mapping[str, str]) -> Iterator[tuple[Kind, str]]:
    """Compare the objects of every kind with their targets: bytes, content settings, metadata and tags; yields what differs, '' for nothing.

    Args:
        env: the box's variables.
        targets: key in the lake by key in the bucket.
    """
    s3 = data.s3_client(env)
    with data.adls_client(env) as account, account.get_file_system_client(data.CONTAINER) as lake:
        for kind in kinds.KINDS:
            source = s3.get_object(Bucket=data.BUCKET, Key=kind.key)["Body"].read()
            try:
                file = lake.get_file_client(targets.get(kind.key) or "nowhere")
                found = file.get_file_properties()
                yield kind, unlike(kind, source, file.download_file(decompress=False).readall(), {**found.content_settings, **found.metadata})
            except ResourceNotFoundError:
                yield kind, "it is not in the lake"


def unlike(kind: Kind, source: bytes, target: bytes, told: Mapping[str, Any]) -> str:
    """Say what of a kind is not as in the source, '' when nothing is. `told` are content settings and metadata of the target."""
    if source != target:
        return "its bytes differ"
    settings = {"content_type": "text/csv"}
    names = {"CacheControl": "cache_control", "ContentLanguage": "content_language", "ContentDisposition": "content_disposition"}
    for theirs, ours in {**names, "ContentEncoding": "content_encoding"}.items():
        settings |= {ours: kind.more[theirs]} if theirs in kind.more else {}
    metadata = {name.replace("-", "_"): value for name, value in kind.more.get("Metadata", {}).items()}
    tags = {f"tag_{name}": value for name, value in parse_qsl(kind.more.get("Tagging", ""))}
    lost = [name for name, value in {**settings, **metadata, **tags}.items() if told.get(name) != value]
    return f"{', '.join(lost)} did not come along" if lost else ""


def compare(key: str, source: bytes, target: bytes | None) -> Table:
    """Compare a source (CSV with a header, a JSON array of objects, or Parquet) with the bytes of its target."""
    with _uncollected():
        columns = columns_of(key, source)
        rows = len(next(iter(columns.values()), []))
        if target is None:
            return Table(key, rows, len(columns), None, "it is not in the lake")
        found = pyarrow.parquet.read_table(io.BytesIO(target))
        if key.endswith(".parquet") and source != target:
            return Table(key, rows, len(columns), found.num_rows, "its bytes differ")
        return Table(key, rows, len(columns), found.num_rows, "" if key.endswith(".parquet") else difference(columns, rows, found))


@contextmanager
def _uncollected() -> Iterator[None]:
    """Millions of values come and stay: Python's collector would go through them again and again, for longer than it takes to compare them."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def columns_of(key: str, content: bytes) -> dict[str, list[Any]]:
    """Read the values of each column as they stand in a source; CSV and JSON with the standard library alone."""
    if key.endswith(".parquet"):
        return pyarrow.parquet.read_table(io.BytesIO(content)).to_pydict()
    text = content.decode("utf-8-sig")
    if key.endswith(".json"):
        records = json.loads(text)
        return {name: [record.get(name) for record in records] for name in dict.fromkeys(name for record in records for name in record)}
    header, *rows = (row for row in csv.reader(io.StringIO(text, newline="")) if row)
    return dict(zip(header, map(list, zip(*rows, strict=True)), strict=True))


def difference(columns: Mapping[str, list[Any]], rows: int, found: pyarrow.Table) -> str:
    """Say what is different between a source's columns and a table, '' when nothing is."""
    if found.num_rows != rows:
        return f"{rows:,} rows became {found.num_rows:,}"
    if found.column_names != list(columns):
        return f"the columns became {', '.join(found.column_names)}"
    wrong = [name for name, values in columns.items() if not _same_column(values, found[name])]
    return f"values differ in {', '.join(wrong)}" if wrong else ""


def _same_column(values: list[Any], column: pyarrow.ChunkedArray) -> bool:
    """Each value that stands there with what it became: a pair is looked at once, however often it comes."""
    read, at = _reader(column.type), 0
    for chunk in column.dictionary_encode().chunks:
        known = chunk.dictionary.to_pylist()
        pairs = set(zip(values[at : at + len(chunk)], chunk.indices.to_pylist(), strict=True))
        if any(read(value) != (None if index is None else known[index]) for value, index in pairs):
            return False
        at += len(chunk)
    return True


def _reader(kind: pyarrow.DataType) -> Callable[[Any], Any]:
    """Return how a value that stands in a source reads as one of a Parquet type; where a number or date is due, '' and NA say there is none."""
    types = pyarrow.types
    if types.is_string(kind):
        return lambda value: value
    parse: Callable[[Any], Any] = float
    if types.is_integer(kind):
        parse = int
    elif types.is_date(kind):
        parse = _day
    elif types.is_timestamp(kind):
        parse = _moment
    return lambda value: None if value in (None, "", "NA") else parse(value)


def _moment(text: str) -> datetime:
    for form in _FORMS:
        with suppress(ValueError):
            return datetime.strptime(text, form)
    return datetime.fromisoformat(text.replace("/", "-"))


def _day(text: str) -> date:
    return _moment(text).date()


def exported_jobs(env: Mapping[str, str], table: str) -> list[tuple[str, str]]:
    """Return job id and status of every row of the audit table, read with Snowflake's own connector."""
    import snowflake.connector  # with pandas: longer than all else here, and only for this

    connection = snowflake.connector.connect(
        account=env["SNOWFLAKE_ACCOUNT"], user=env["SNOWFLAKE_USER"], password=env["SNOWFLAKE_PASSWORD"], host=env["SNOWFLAKE_HOST"],
        port=int(env["SNOWFLAKE_PORT"]), protocol=env["SNOWFLAKE_PROTOCOL"], database=env["SNOWFLAKE_DATABASE"], schema=env["SNOWFLAKE_SCHEMA"],
        warehouse=env["SNOWFLAKE_WAREHOUSE"], session_parameters={"CLIENT_OUT_OF_BAND_TELEMETRY_ENABLED": False},
    )  # fmt: skip
    with connection, connection.cursor() as cursor:
        return [(str(job), str(status)) for job, status in cursor.execute(f"select job_id, status from {table} order by job_id")]  # noqa: S608 - ours


def left_running(home: Path) -> list[str]:
    """Return the processes that still belong to a home, this one and those it was started by left out (Linux; elsewhere none can be told)."""
    mark = f"PORTAL_HOME={home}".encode()
    found = []
    ours = {str(pid) for pid in _ancestry()}
    for entry in (entry for entry in Path("/proc").glob("[0-9]*") if entry.name not in ours):
        try:
            environment, line = (entry / "environ").read_bytes().split(b"\0"), (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if mark in environment or str(home).encode() in line:
            found.append(f"{entry.name} {b' '.join(line).decode(errors='replace').strip()}")
    return found


def _ancestry() -> Iterator[int]:
    pid = os.getpid()
    while pid > 0 and (stat := Path(f"/proc/{pid}/stat")).exists():
        yield pid
        pid = int(stat.read_text().rpartition(")")[2].split()[1])
