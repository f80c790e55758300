"""Brings a source object to a local file of clean UTF-8, once: checksum counted on the way, unpacked, decoded, byte order mark gone."""

from __future__ import annotations

import codecs
import errno
import gzip
import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from portal.errors import ConversionFailed, DiskNearlyFull, SourceChanged
from portal.stores.base import ObjectInfo, Reader, Store
from portal.transfer import proof
from portal.transfer.digests import Digests

_BLOCK = 1 << 20
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"),
)  # fmt: skip
_NOT_TEXT = {
    b"PAR1": "a Parquet file already", b"PK\x03\x04": "a zip archive", b"BZh": "compressed with bzip2", b"\xfd7zXZ": "compressed with xz",
    b"ORC": "an ORC file",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fetched:
    """A source as local text: `path` holds UTF-8 without a byte order mark; `crc64` and `size_bytes` are those of the object's bytes."""

    path: Path
    crc64: str
    size_bytes: int
    text_bytes: int
    encoding: str
    compression: str
    """gzip, zstd or ''."""
    compared: str = ""
    """`name:value` of the source's stored checksum that the bytes were compared with, '' when it stores none."""


class _Counting(io.RawIOBase):
    """The bytes of a store's reader, counted and summed as they pass."""

    def __init__(self, reader: Reader, passed: Callable[[int], None]) -> None:
        self._reader, self._passed = reader, passed
        self.algorithm = proof.source_algorithm(reader.info, "none")
        self.digests = Digests([self.algorithm or "crc64nvme"])

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        block = self._reader.read(len(buffer))
        self.digests.update(block)
        self._passed(len(block))
        buffer[: len(block)] = block
        return len(block)


def fetch(store: Store, info: ObjectInfo, path: Path, *, encoding: str = "auto", passed: Callable[[int], None] | None = None) -> Fetched:
    """Copy an object to `path` as UTF-8. `passed` is called with the number of bytes of each block read.

    Raises:
        ConversionFailed: the bytes are not text in that encoding (names the byte), broken gzip or zstd, no text at all, an empty file.
        SourceChanged, ProofFailed: other bytes came than the store said it has.
        StoreError: as the store raises it.
    """
    with store.open_read(info.key, pin=info) as reader:
        raw = _Counting(reader, passed or (lambda _: None))
        buffered = io.BufferedReader(raw, _BLOCK)
        compression = _compression(buffered.peek(4)[:4])
        try:
            used, text_bytes = _decode(_unpacked(buffered, compression), path, encoding)
        except (EOFError, OSError, zlib.error) as error:
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                raise DiskNearlyFull("There is no room for the temporary copy of the file.", hint="Free disk space and retry.") from error
            if not compression:
                raise
            raise ConversionFailed(f"The {compression} file is broken or was cut off.", hint="Write it again at its source.") from error
        if raw.digests.size_bytes != info.size_bytes:
            raise SourceChanged(f"The source was listed with {info.size_bytes} bytes, {raw.digests.size_bytes} came.", hint="List it again.")
        compared = proof.compare_source(reader.info, raw.algorithm, raw.digests, store.url.at(info.key))
    if text_bytes == 0:
        raise ConversionFailed("The file is empty.", hint="A CSV file needs at least a header; leave empty files out of the selection.")
    return Fetched(path, raw.digests.crc64nvme, raw.digests.size_bytes, text_bytes, used, compression, compared)


def _compression(head: bytes) -> str:
    return "gzip" if head.startswith(b"\x1f\x8b") else "zstd" if head == b"\x28\xb5\x2f\xfd" else ""


def _unpacked(buffered: Any, compression: str) -> Any:
    if not compression:
        return buffered
    unpacking: Any = gzip.GzipFile(fileobj=buffered) if compression == "gzip" else pa.CompressedInputStream(pa.PythonFile(buffered, "r"), "zstd")
    return io.BufferedReader(unpacking, _BLOCK)


def _decode(source: Any, path: Path, asked: str) -> tuple[str, int]:
    head = source.peek(8)[:8]
    for magic, what in _NOT_TEXT.items():
        if head.startswith(magic):
            raise ConversionFailed(f"This is no CSV or JSON: it is {what}.", hint="Convert text; gzip and zstd are unpacked.")
    mark, encoding = _encoding(head, asked)
    try:
        "".encode(encoding)
        decoder = codecs.getincrementaldecoder(encoding)("strict")
    except LookupError as error:
        raise ConversionFailed(f"Nobody knows the encoding {asked!r}.", hint="Try utf-8, utf-16, cp1252 or latin-1.") from error
    if encoding == "utf-8" and b"\0" in head[:2]:
        raise ConversionFailed("The file is not UTF-8 text: it begins with a zero byte.", hint="Is it UTF-16? Say encoding=utf-16-le or utf-16-be.")
    source.read(mark)
    size = 0
    offset = mark
    with path.open("wb") as target:
        while True:
            block = source.read(_BLOCK)
            kept = len(decoder.getstate()[0])
            try:
                text = decoder.decode(block, final=not block).encode()
            except UnicodeError as error:
                raise _not_text(error, encoding, offset - kept) from error
            offset += len(block)
            size += target.write(text)
            if not block:
                return encoding, size


def _encoding(head: bytes, asked: str) -> tuple[int, str]:
    """Return the length of the byte order mark and the encoding."""
    for mark, encoding in _MARKS:
        if head.startswith(mark) and (asked == "auto" or _plain(encoding).startswith(_plain(asked))):
            return len(mark), encoding
    return 0, "utf-8" if asked == "auto" else "utf-16-le" if _plain(asked) == "utf16" else asked


def _plain(encoding: str) -> str:
    return encoding.lower().replace("-", "").replace("_", "").removesuffix("sig")


def _not_text(error: UnicodeError, encoding: str, before: int) -> ConversionFailed:
    start = before + getattr(error, "start", 0)
    found = getattr(error, "object", b"")[getattr(error, "start", 0) :][:1]
    byte = f" (0x{found.hex()})" if isinstance(found, bytes) and found else ""
    hint = "Say which encoding it is, e.g. encoding=cp1252 or latin-1 for older Windows files, utf-16 when every other byte is zero."
    return ConversionFailed(f"The file is not {encoding}: byte {start}{byte} cannot be decoded.", hint=hint)
