"""A checksum of a column's values: the same whatever the batches they come in, different when any value, null or order differs.

Each column is a few streams of bytes (validity, values, lengths; those of the children for nested types), each summed with CRC64NVME.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from awscrt import checksums


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
        text = ",".join(f"{name}={crc:016x}" for name, crc in sorted(self._streams.items()))
        return f"{checksums.crc64nvme(text.encode()):016x}"

    def _add(self, stream: str, data: Any) -> None:
        self._streams[stream] = checksums.crc64nvme(data, self._streams.get(stream, 0))

    def _take(self, values: Any, at: str) -> None:
        kind = values.type
        self._add(f"{at}:valid", _fixed(pc.cast(values.is_valid(), pa.uint8())))
        if pa.types.is_struct(kind):
            for place, child in enumerate(values.flatten()):
                self._take(child, f"{at}.{place}")
        elif pa.types.is_list(kind):
            self._add(f"{at}:lengths", _fixed(pc.fill_null(pc.list_value_length(values), 0)))
            self._take(values.flatten(), f"{at}[]")
        elif pa.types.is_string(kind):
            filled = pc.fill_null(values, "")
            self._add(f"{at}:lengths", _fixed(pc.binary_length(filled)))
            self._add(f"{at}:values", _characters(filled))
        else:
            self._add(f"{at}:values", _fixed(_filled(values)))


def _filled(values: Any) -> Any:
    kind = values.type
    if pa.types.is_boolean(kind):
        return pc.fill_null(pc.cast(values, pa.uint8()), 0)
    if pa.types.is_temporal(kind):
        values = values.view(pa.int64() if kind.bit_width == 64 else pa.int32())
    return pc.fill_null(values, pa.scalar(0, values.type)) if values.null_count else values


def _fixed(values: Any) -> Any:
    width = values.type.bit_width // 8
    buffer = values.buffers()[1]
    return memoryview(buffer)[values.offset * width : (values.offset + len(values)) * width] if buffer else b""


def _characters(values: Any) -> Any:
    _, offsets, data = values.buffers()
    if not len(values) or data is None:
        return b""
    ends = memoryview(offsets).cast("i")
    return memoryview(data)[ends[values.offset] : ends[values.offset + len(values)]]
