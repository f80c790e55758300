"""Checksums of the values of a table: of each column in order, whatever the batches they come in.

Each column is a few streams of bytes (validity, values, lengths; those of the children for nested types), each summed with CRC64NVME.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from portal.stores.checksums import crc64, crc64_hex
from portal.tabular.proving.values import fixed, is_text, lengths, plain, text_bytes, width_of

_ONES = memoryview(b"\x01" * (1 << 20))


class Digest(Protocol):
    """The running checksum of a table's values."""

    schema: Any

    @property
    def rows(self) -> int: ...

    def update(self, batch: Any) -> None:
        """Take in the next record batch of the schema."""
        ...

    def columns(self) -> dict[str, str]:
        """Return the checksum of each column, hexadecimal."""
        ...

    def nulls(self) -> dict[str, int]:
        """Return how many values of each column are 'no value'."""
        ...

    def fresh(self) -> Digest:
        """Return a digest of the same kind that has seen nothing."""
        ...

    def difference(self, other: Digest) -> str:
        """Tell in a sentence how what `other` has seen differs from this, '' when it does not."""
        ...


class OrderedDigest:
    """A checksum per column that differs when any value, null or the order of rows differs. See `Digest`."""

    def __init__(self, schema: Any) -> None:
        self.schema, self._rows = schema, 0
        self._columns = {name: ColumnDigest() for name in schema.names}

    @property
    def rows(self) -> int:
        return self._rows

    def update(self, batch: Any) -> None:
        self._rows += batch.num_rows
        for digest, values in zip(self._columns.values(), batch.columns, strict=True):
            digest.update(values)

    def columns(self) -> dict[str, str]:
        return {name: digest.hexdigest() for name, digest in self._columns.items()}

    def nulls(self) -> dict[str, int]:
        return {name: digest.nulls for name, digest in self._columns.items()}

    def fresh(self) -> OrderedDigest:
        return OrderedDigest(self.schema)

    def difference(self, other: Digest) -> str:
        return differing(self, other)


def differing(written: Digest, found: Digest) -> str:
    """Tell in a sentence how the rows and columns of a table differ from what was written; '' when they do not."""
    if found.rows != written.rows:
        return f"The target has {found.rows} rows; {written.rows} were written."
    other = found.columns()
    changed = [name for name, value in written.columns().items() if other.get(name) != value]
    return f"The values of column {changed[0]!r} were read back different from what was written." if changed else ""


class ColumnDigest:
    """The running checksum of one column."""

    def __init__(self) -> None:
        self._streams: dict[str, int] = {}
        self.nulls = 0

    def update(self, values: Any) -> None:
        """Take in the next Arrow array of the column."""
        if len(values):
            self.nulls += values.null_count
            self._take(values, "")

    def hexdigest(self) -> str:
        text = ",".join(f"{name}={crc64_hex(crc)}" for name, crc in sorted(self._streams.items()))
        return crc64_hex(crc64(text.encode()))

    def _add(self, stream: str, data: Any) -> None:
        self._streams[stream] = crc64(data, self._streams.get(stream, 0))

    def _take(self, values: Any, at: str) -> None:
        values = plain(values)
        kind = values.type
        self._take_validity(values, f"{at}:valid")
        if pa.types.is_struct(kind):
            for place, child in enumerate(values.flatten()):
                self._take(child, f"{at}.{place}")
        elif pa.types.is_list(kind):
            self._add(f"{at}:lengths", fixed(lengths(values)))
            self._take(values.flatten(), f"{at}[]")
        elif is_text(kind):
            filled = pc.fill_null(values, b"" if pa.types.is_binary(kind) else "")
            self._add(f"{at}:lengths", fixed(pc.binary_length(filled)))
            ends, data = text_bytes(filled)
            self._add(f"{at}:values", data[ends[0] : ends[-1]])
        else:
            self._add(f"{at}:values", _zeroed(values))

    def _take_validity(self, values: Any, stream: str) -> None:
        if values.null_count:
            self._add(stream, fixed(pc.cast(values.is_valid(), pa.uint8())))
            return
        for start in range(0, max(1, len(values)), len(_ONES)):
            self._add(stream, _ONES[: len(values) - start])


def _zeroed(values: Any) -> Any:
    """Return the bytes of values of fixed width, zeros for 'no value'."""
    data, width = fixed(values), width_of(values.type)
    if not values.null_count or not width:
        return data
    rows = np.frombuffer(data, np.uint8).reshape(-1, width).copy()
    rows[values.is_null().to_numpy(zero_copy_only=False)] = 0
    return memoryview(rows.tobytes())
