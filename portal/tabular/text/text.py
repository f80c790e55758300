"""A source object as text: UTF-8 blocks in order, whatever its encoding and compression, and samples of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from types import TracebackType
from typing import Any, Protocol, Self

from portal.errors import ConversionFailed
from portal.tabular.options import ConvertOptions
from portal.tabular.text.decoding import Decoded, decoded
from portal.tabular.text.encoding import Encoding, detect
from portal.tabular.text.objects import Source, SourceReader
from portal.tabular.text.sampling import Piece, Sample, places, sample
from portal.tabular.text.unpacking import Compression, compression_of, unpacked

_BLOCK = 1 << 20
_NOT_TEXT = {
    b"PAR1": "a Parquet file already", b"PK\x03\x04": "a zip archive", b"BZh": "compressed with bzip2", b"\xfd7zXZ": "compressed with xz",
    b"ORC": "an ORC file", b"Obj\x01": "an Avro file", b"%PDF": "a PDF", b"\xd0\xcf\x11\xe0": "an old Excel or Word file",
    b"7z\xbc\xaf": "a 7z archive",
}  # fmt: skip
_EMPTY = "Leave empty files out of the selection. No rows is a header alone in CSV, [] in JSON with types set."


class TextStream(Protocol):
    """The text of a source, read once from its start."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes of valid UTF-8 (a character is never cut), without the byte order mark; b'' at the end.
        Raises ConversionFailed (bytes that are no text, naming the byte; broken compression) and what stores raise."""
        ...


class Text:
    """A source as text. Nothing is read before `samples`, `facts`, `warnings` or `open` are asked for."""

    def __init__(self, source: Source, options: ConvertOptions) -> None:
        self.source = source
        self._options = options
        self._encoding: Encoding | None = None

    def samples(self) -> list[Sample]:
        """Return the text's head, middle and tail of `options.sample_bytes` each; all of it as one when it is no longer than these; of a packed
        source, or one whose characters can only be told from the start, one head as long as all three.

        Raises ConversionFailed (no text, empty, an unknown encoding, bytes that are none in it) and what stores raise."""
        return self._looked[1]

    def head(self, size: int) -> Sample:
        """Return the first `size` bytes of the text or a little more, for a first record that is longer than a sample. Raises as `samples`."""
        with self.open() as stream:
            blocks: list[bytes] = []
            while sum(map(len, blocks)) <= size and (block := stream.read(_BLOCK)):
                blocks.append(block)
            return Sample(b"".join(blocks), 0, True, len(b"".join(blocks)) <= size)

    def open(self, passed: Callable[[int], None] = lambda _: None) -> ObjectText:
        """Begin a pass over the whole text; `passed` is called with the number of source bytes of each block that was read."""
        encoding = self.encoding
        return ObjectText(self.source.open(passed), self._compression, encoding)

    def forget(self) -> None:
        """Let go of the samples, but not of what they told: who asks for them reads them again. For those who hold many texts."""
        self._encoding = self.encoding
        for name in ("_looked", "_head"):
            self.__dict__.pop(name, None)

    @property
    def encoding(self) -> Encoding:
        return self._encoding or self._looked[0]

    @property
    def facts(self) -> Mapping[str, Any]:
        """encoding, encoding_evidence, bom, compression, and plain: offsets in the text are offsets in the object, but for the byte order mark."""
        encoding = self.encoding
        return {
            "encoding": encoding.name, "encoding_evidence": encoding.evidence, "bom": encoding.mark_bytes > 0, "compression": self._compression,
            "plain": not self._compression and encoding.name == "utf-8",
        }  # fmt: skip

    @property
    def warnings(self) -> tuple[str, ...]:
        return tuple(filter(None, [self.encoding.doubt]))

    @cached_property
    def _head(self) -> bytes:
        head = self.source.range(0, min(self.source.size_bytes, places(self.source.size_bytes, self._options.sample_bytes)[0][1]))
        if not head:
            raise ConversionFailed("The file is empty.", hint=_EMPTY)
        return head

    @cached_property
    def _compression(self) -> Compression:
        return compression_of(self._head)

    @cached_property
    def _looked(self) -> tuple[Encoding, list[Sample]]:
        pieces = [self._begin()] if self._compression else self._pieces()
        _check_is_text(pieces[0].data)
        encoding = detect([(piece.offset, piece.data) for piece in pieces], self._options.encoding)
        if len(pieces) > 1 and not encoding.may_begin_anywhere:
            pieces = [self._begin()]
        samples = [sample(piece, encoding) for piece in pieces]
        if not samples[0].data and samples[0].last:
            raise ConversionFailed("The file is empty.", hint=_EMPTY)
        return encoding, samples

    def _pieces(self) -> list[Piece]:
        size = self.source.size_bytes
        _, *others = places(size, self._options.sample_bytes)
        pieces = [Piece(self._head, 0, not others)]
        return pieces + [Piece(self.source.range(start, length), start, start + length == size) for start, length in others]

    def _begin(self) -> Piece:
        """The head of what the source unpacks to, as long as three samples."""
        wanted = 3 * self._options.sample_bytes // 4 * 4
        source = self.source.open(lambda _: None)
        try:
            stream = unpacked(source, self._compression)
            head = b""
            while len(head) <= wanted and (block := stream.read(_BLOCK)):
                head += block
        finally:
            source.close()
        return Piece(head[:wanted], 0, len(head) <= wanted)


class ObjectText:
    """One pass over a source's text. See `TextStream`. At the end the source's bytes are compared with what its store says of them: `read`
    raises SourceChanged and ProofFailed then; after it `source_crc64`, `source_bytes` and `compared` are those of the whole object."""

    def __init__(self, source: SourceReader, compression: Compression, encoding: Encoding) -> None:
        self._source = source
        self._text: Decoded = decoded(unpacked(source, compression), encoding)
        self.text_bytes = 0
        self.ended = False

    def read(self, size: int, /) -> bytes:
        block = self._text.read(max(4, size))
        self.text_bytes += len(block)
        if not block and not self.ended:
            self._source.finish()
            self.ended = True
        return block

    @property
    def source_bytes(self) -> int:
        """Read from the object so far."""
        return self._source.digests.size_bytes

    @property
    def source_crc64(self) -> str:
        """CRC64NVME of them, 16 hexadecimal digits."""
        return self._source.digests.crc64nvme

    @property
    def compared(self) -> str:
        """`name:value` of the source's stored checksum that its bytes were compared with, '' when it stores none or before the end."""
        return self._source.compared

    def close(self) -> None:
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /) -> None:
        self.close()


def _check_is_text(head: bytes) -> None:
    for magic, what in _NOT_TEXT.items():
        if head.startswith(magic):
            raise ConversionFailed(f"This is no CSV or JSON: it is {what}.", hint="Convert text; gzip and zstd are unpacked.")
