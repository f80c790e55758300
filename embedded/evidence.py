"""What the demo proves, found out without any code of the portal: rows counted from the bytes themselves, tables read with the vendors' clients."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet
import snowflake.connector

from embedded import data


@dataclass(frozen=True)
class Table:
    """One object of the demo bucket and what became of it in the lake. Rows are None where nothing was found."""

    source_key: str
    target_key: str
    source_rows: int
    target_rows: int | None
    source_columns: int
    target_columns: int | None
    same_bytes: bool
    """Of an object that was copied as it is."""

    @property
    def equal(self) -> bool:
        copied_as_is = self.source_key.endswith(".parquet")
        return (self.source_rows, self.source_columns) == (self.target_rows, self.target_columns) and (self.same_bytes or not copied_as_is)


def tables(env: Mapping[str, str], targets: Mapping[str, str]) -> Iterator[Table]:
    """Compare every object of the bucket with its target.

    Args:
        env: the box's variables.
        targets: key in the lake by key in the bucket, as the ledger tells it.
    """
    s3 = data.s3_client(env)
    with data.adls_client(env) as account, account.get_file_system_client(data.CONTAINER) as lake:
        present = {path.name for path in lake.get_paths(recursive=True) if not path.is_directory}
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=data.BUCKET):
            for entry in page["Contents"]:
                key = entry["Key"]
                source = s3.get_object(Bucket=data.BUCKET, Key=key)["Body"].read()
                target_key = targets.get(key, "")
                target = lake.get_file_client(target_key).download_file().readall() if target_key in present else None
                yield _table(key, source, target_key, target)


def _table(key: str, source: bytes, target_key: str, target: bytes | None) -> Table:
    rows, columns = shape(key, source)
    target_rows, target_columns = (None, None) if target is None else shape(target_key, target)
    same = target is not None and hashlib.sha256(source).digest() == hashlib.sha256(target).digest()
    return Table(key, target_key, rows, target_rows, columns, target_columns, same)


def shape(key: str, content: bytes) -> tuple[int, int]:
    """Count rows and columns of a CSV file with a header, a JSON array of objects, or a Parquet file."""
    if key.endswith(".parquet"):
        found = pyarrow.parquet.ParquetFile(io.BytesIO(content)).metadata
        return found.num_rows, len(pyarrow.parquet.read_schema(io.BytesIO(content)))
    text = content.decode("utf-8-sig")
    if key.endswith(".json"):
        records = json.loads(text)
        return len(records), len({name for record in records for name in record})
    rows = csv.reader(io.StringIO(text, newline=""))
    header = next(rows)
    return sum(1 for row in rows if row), len(header)


def exported_jobs(env: Mapping[str, str], table: str) -> list[tuple[str, str]]:
    """Return job id and status of every row of the audit table, read with Snowflake's own connector."""
    connection = snowflake.connector.connect(
        account=env["SNOWFLAKE_ACCOUNT"], user=env["SNOWFLAKE_USER"], password=env["SNOWFLAKE_PASSWORD"], host=env["SNOWFLAKE_HOST"],
        port=int(env["SNOWFLAKE_PORT"]), protocol=env["SNOWFLAKE_PROTOCOL"], database=env["SNOWFLAKE_DATABASE"], schema=env["SNOWFLAKE_SCHEMA"],
        warehouse=env["SNOWFLAKE_WAREHOUSE"], session_parameters={"CLIENT_OUT_OF_BAND_TELEMETRY_ENABLED": False},
    )  # fmt: skip
    with connection, connection.cursor() as cursor:
        return [(str(job), str(status)) for job, status in cursor.execute(f"select job_id, status from {table} order by job_id")]  # noqa: S608 - ours


def left_running(home: Path) -> list[str]:
    """Return the processes that still belong to a home (Linux; elsewhere none can be told)."""
    mark = f"PORTAL_HOME={home}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            environment, line = (entry / "environ").read_bytes().split(b"\0"), (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if int(entry.name) != os.getpid() and (mark in environment or str(home).encode() in line):
            found.append(f"{entry.name} {b' '.join(line).decode(errors='replace').strip()}")
    return found
