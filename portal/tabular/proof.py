"""Uploads a finished Parquet file, reads it back from the target and compares: bytes, schema, rows, and a checksum per column."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from awscrt import checksums

from portal.errors import ProofFailed, StoreError, Unreachable
from portal.stores.base import ObjectInfo, Store
from portal.tabular.digest import ColumnDigest
from portal.tabular.table import Check
from portal.tabular.writing import ParquetFile

CONTENT_TYPE = "application/vnd.apache.parquet"
_BLOCK = 4 << 20


def upload(path: Path, store: Store, key: str, *, overwrite: bool, metadata: Mapping[str, str], check: Check) -> tuple[ObjectInfo, str]:
    """Write a local file to a store; returns the object and the CRC64NVME of the bytes. Raises AlreadyExists and what stores raise."""
    crc = 0
    size = path.stat().st_size
    with (
        path.open("rb") as file,
        store.open_write(key, overwrite=overwrite, size_bytes=size, content_type=CONTENT_TYPE, metadata=metadata) as writer,
    ):
        while block := file.read(_BLOCK):
            check()
            crc = checksums.crc64nvme(block, crc)
            writer.write(block)
        return writer.commit(), f"{crc:016x}"


def read_back(written: ParquetFile, crc64: str, store: Store, target: ObjectInfo, scratch: Path, check: Check) -> None:
    """Fetch the target again and compare it with what was written.

    Raises:
        ProofFailed, Unreachable: something differs, or cannot be read; what arrived is removed from the target first, so that nobody
            takes it for good and the next try does not find it in its way.
    """
    try:
        _compare_bytes(crc64, store, target, scratch, check)
        _compare_values(written, scratch, check)
    except (ProofFailed, Unreachable):
        with suppress(StoreError):
            store.delete(target.key)
        raise
    finally:
        scratch.unlink(missing_ok=True)


def _compare_bytes(crc64: str, store: Store, target: ObjectInfo, scratch: Path, check: Check) -> None:
    crc = 0
    with store.open_read(target.key, pin=target) as reader, scratch.open("wb") as file:
        while block := reader.read(_BLOCK):
            check()
            crc = checksums.crc64nvme(block, crc)
            file.write(block)
    if f"{crc:016x}" != crc64:
        raise ProofFailed(f"The target was read back with the checksum {crc:016x}; {crc64} was written.", hint="Run it again.")


def _compare_values(written: ParquetFile, path: Path, check: Check) -> None:
    try:
        with pq.ParquetFile(path) as file:
            if not file.schema_arrow.equals(written.schema):
                raise ProofFailed(f"The target has another schema than was written: {file.schema_arrow}.")
            columns = {name: ColumnDigest() for name in written.schema.names}
            rows = 0
            for batch in file.iter_batches(batch_size=65_536):
                check()
                rows += batch.num_rows
                for name, values in zip(written.schema.names, batch.columns, strict=True):
                    columns[name].update(values)
    except (pa.ArrowInvalid, OSError) as error:
        raise ProofFailed("The target cannot be read as Parquet.") from error
    if rows != written.rows:
        raise ProofFailed(f"The target has {rows} rows; {written.rows} were written.")
    for name, digest in columns.items():
        if digest.hexdigest() != written.columns[name].hexdigest():
            raise ProofFailed(f"The values of column {name!r} were read back different from what was written.")
