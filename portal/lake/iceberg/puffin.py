"""Deletion vectors in Puffin files: the footer names the data file of each vector, the vectors themselves name none.

So the blobs keep their bytes and places, which manifests point into, and only the footer is written anew. https://iceberg.apache.org/puffin-spec/
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any, BinaryIO

import pyarrow as pa

from portal.lake.iceberg.containers import Sink
from portal.lake.iceberg.refusals import TableBroken

_MAGIC = b"PFA1"
_TAIL = struct.Struct("<i4s4s")
"""Size of the footer's payload, flags, magic."""
_COMPRESSED = 0x01
_REFERENCED = "referenced-data-file"
_BLOCK_BYTES = 1 << 20


def copy_vectors(stream: BinaryIO, path: str, sink: Sink, written: Callable[[str], str]) -> None:
    """Write a Puffin file to a sink, each data file's name as `written` gives it. Raises TableBroken."""
    size = stream.seek(0, 2)
    stream.seek(max(0, size - _TAIL.size))
    tail = stream.read(_TAIL.size)
    if len(tail) < _TAIL.size or tail[-4:] != _MAGIC:
        raise _broken(path, "it does not end as one")
    length, flags, _ = _TAIL.unpack(tail)
    begin = size - _TAIL.size - length - len(_MAGIC)
    if length < 0 or begin < 0:
        raise _broken(path, "its footer is longer than it")
    stream.seek(begin)
    if stream.read(len(_MAGIC)) != _MAGIC:
        raise _broken(path, "its footer does not begin as one")
    footer = _footer(stream.read(length), flags, path)
    for blob in footer.get("blobs", []):
        properties = blob.get("properties") or {}
        if _REFERENCED in properties:
            blob["properties"] = {**properties, _REFERENCED: written(properties[_REFERENCED])}
    _pass_on(stream, begin, sink)
    payload = json.dumps(footer, separators=(",", ":")).encode()
    sink.write(_MAGIC + payload + _TAIL.pack(len(payload), bytes(4), _MAGIC))


def _footer(payload: bytes, flags: bytes, path: str) -> dict[str, Any]:
    try:
        if flags[0] & _COMPRESSED:
            with pa.CompressedInputStream(pa.BufferReader(payload), "lz4") as plain:
                payload = plain.read()
        found: dict[str, Any] = json.loads(payload)
    except (ValueError, OSError) as error:
        raise _broken(path, f"its footer cannot be read ({error})") from error
    return found


def _pass_on(stream: BinaryIO, size: int, sink: Sink) -> None:
    stream.seek(0)
    while size and (block := stream.read(min(size, _BLOCK_BYTES))):
        sink.write(block)
        size -= len(block)


def _broken(path: str, why: str) -> TableBroken:
    return TableBroken(f"{path} is no Puffin file: {why}.", hint="See whether the source can read it.")
