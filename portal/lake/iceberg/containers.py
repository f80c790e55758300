"""Avro container files, record by record: manifests, manifest lists and position deletes in Avro.

Records are read and written by their physical types alone (a date is a number of days), so a value that Python has no date for stays exact, and
the header goes over as it is: the writer's schema with Iceberg's field ids, Iceberg's own metadata, sync marker, and codec: deflate where fastavro
does not write that one.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from typing import IO, Any, BinaryIO, Protocol, cast

import fastavro

from portal.lake.iceberg.refusals import TableBroken
from portal.lake.iceberg.unpacking import CODECS, Unpacked

Record = dict[str, Any]

_HEADER = fastavro.parse_schema({
    "type": "record", "name": "org.apache.avro.file.Header", "fields": [
        {"name": "magic", "type": {"type": "fixed", "name": "magic", "size": 4}},
        {"name": "meta", "type": {"type": "map", "values": "bytes"}},
        {"name": "sync", "type": {"type": "fixed", "name": "sync", "size": 16}},
    ],
})  # fmt: skip
_BLOCK_BYTES = 1 << 16
_BROKEN = (ValueError, EOFError, KeyError, IndexError, TypeError, AttributeError, OverflowError, OSError)
"""What fastavro raises at a file that is cut off or no Avro."""


class Sink(Protocol):
    def write(self, block: bytes, /) -> int: ...


class Container:
    """An Avro file that is being read; `records` goes through it once. Raises TableBroken."""

    def __init__(self, stream: BinaryIO, path: str) -> None:
        self._path = path
        try:
            self.header = cast(Any, fastavro.schemaless_reader(stream, _HEADER, None))
            self.schema = json.loads(self.header["meta"]["avro.schema"])
            self._physical = _physical(self.schema)
            packed = self.codec in CODECS
            head = self._head({"avro.schema": json.dumps(self._physical).encode(), **({"avro.codec": b"null"} if packed else {})})
            rest = cast(BinaryIO, Unpacked(stream, self.codec)) if packed else stream
            self._reader = fastavro.reader(cast(IO[Any], _Joined(head, rest)))
        except _BROKEN as error:
            raise self._broken(error) from error

    @property
    def codec(self) -> str:
        return str(self.header["meta"].get("avro.codec", b"null").decode())

    def records(self) -> Iterator[Record]:
        try:
            yield from self._reader  # type: ignore[misc]
        except _BROKEN as error:
            raise self._broken(error) from error

    def _broken(self, error: BaseException) -> TableBroken:
        return TableBroken(f"{self._path} cannot be read as Avro: {error or type(error).__name__}.", hint="See whether the source can read it.")

    def _head(self, changed: dict[str, bytes]) -> bytes:
        head = io.BytesIO()
        fastavro.schemaless_writer(head, _HEADER, {**self.header, "meta": {**self.header["meta"], **changed}})
        return head.getvalue()

    def copy(self, sink: Sink, change: Callable[[Record], Record]) -> int:
        """Write every record to a sink as `change` returns it, under the same header; returns how many. Raises TableBroken."""
        codec = "deflate" if self.codec in CODECS else self.codec
        sink.write(self._head({"avro.codec": codec.encode()}))
        body = _Body(sink)
        sync = self.header["sync"]
        writer = fastavro.write.Writer(cast(IO[Any], body), self._physical, codec=codec, sync_interval=_BLOCK_BYTES, sync_marker=sync)
        body.begun = True
        count = 0
        for record in self.records():
            writer.write(change(record))
            count += 1
        writer.flush()
        return count


def _physical(schema: Any) -> Any:
    """Return a schema without its logical types."""
    if isinstance(schema, dict):
        return {name: _physical(value) for name, value in schema.items() if name != "logicalType"}
    return [_physical(item) for item in schema] if isinstance(schema, list) else schema


class _Joined(io.RawIOBase):
    """A head, and then the rest of a stream."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head, self._rest = head, rest

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        block, self._head = self._head[:size], self._head[size:]
        return block + self._rest.read(size - len(block)) if len(block) < size else block


class _Body(io.RawIOBase):
    """Passes on what comes after the header that the writer makes of its own schema."""

    begun = False

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def writable(self) -> bool:
        return True

    def write(self, block: bytes, /) -> int:  # type: ignore[override]
        return self._sink.write(bytes(block)) if self.begun else len(block)
