"""Arrow arrays as few kinds of bytes, for checksums: whatever the layout, equal values give equal bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc


def plain(values: Any) -> Any:
    """Return the same values without a dictionary, in lists and texts of 32-bit offsets, maps as lists of key and value."""
    kind = values.type
    if isinstance(kind, pa.BaseExtensionType):
        return plain(values.storage)
    if pa.types.is_dictionary(kind):
        return plain(values.dictionary_decode())
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return values.cast(pa.string())
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return values.cast(pa.binary())
    if pa.types.is_map(kind):
        return values.cast(pa.list_(pa.struct([("key", kind.key_type), ("value", kind.item_type)])))
    if pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return values.cast(pa.list_(kind.value_type))
    return values


def is_text(kind: Any) -> bool:
    """Tell whether values of a plain type are bytes of any length."""
    return bool(pa.types.is_string(kind) or pa.types.is_binary(kind))


def lengths(values: Any) -> Any:
    """Return the number of elements of each list as a pyarrow.Int32Array; 0 where there is none."""
    return pc.fill_null(pc.list_value_length(values), 0)


def width_of(kind: Any) -> int:
    """Return the bytes of one value of a plain type without structure; booleans are given as bytes, the null type has none."""
    return 1 if pa.types.is_boolean(kind) else 0 if pa.types.is_null(kind) else kind.bit_width // 8


def fixed(values: Any) -> memoryview:
    """Return the bytes of values of fixed width; those of 'no value' are anything."""
    if pa.types.is_boolean(values.type):
        values = pc.cast(values, pa.uint8())
    width = width_of(values.type)
    buffer = values.buffers()[1] if width else None
    return memoryview(buffer).cast("B")[values.offset * width : (values.offset + len(values)) * width] if buffer else memoryview(b"")


def text_bytes(values: Any) -> tuple[npt.NDArray[np.int32], memoryview]:
    """Return the offsets (one more than values) of texts or binaries, and the bytes that they point into."""
    _, offsets, data = values.buffers()
    if not len(values) or offsets is None:
        return np.zeros(len(values) + 1, np.int32), memoryview(b"")
    ends = np.frombuffer(offsets, np.int32)[values.offset : values.offset + len(values) + 1]
    return ends, memoryview(data).cast("B") if data is not None else memoryview(b"")
