"""Cuts a CSV text into chunks of whole records, by the kernel or without it."""

from __future__ import annotations

from collections.abc import Iterator

from portal.errors import ConversionFailed
from portal.tabular.csv_format.limits import too_long
from portal.tabular.csv_format.line_ends import count_lines
from portal.tabular.csv_format.parsing import broken
from portal.tabular.csv_format.reading import whole
from portal.tabular.csv_format.records import Grammar
from portal.tabular.rows import Chunk
from portal.tabular.text.text import TextStream

CHUNK_BYTES = 4 << 20
_NEAR = 1 << 14


class Splitter:
    """Cuts one text, from where its data begins."""

    def __init__(self, grammar: Grammar, *, offset: int, line: int, max_record_bytes: int, chunk_bytes: int = CHUNK_BYTES) -> None:
        self._grammar, self._skip, self._line = grammar, offset, line
        self._most, self._chunk_bytes = max_record_bytes, chunk_bytes

    def chunks(self, text: TextStream) -> Iterator[Chunk]:
        """Yield the text from its first data record on. Raises ConversionFailed for a record beyond the limit, and what `text.read` raises."""
        rest = self._skipped(text)
        number, offset, line = 0, self._skip, self._line
        while True:
            block = self._read(text, len(rest))
            data, rest = self._cut(rest, block)
            if data:
                yield Chunk(number, data, offset, line)
                number, offset, line = number + 1, offset + len(data), line + count_lines(data)
            if not block:
                return
            if len(rest) > self._most:
                raise self._too_long(rest, offset, line)

    def _read(self, text: TextStream, held: int) -> bytes:
        """Read what may end the record that is held, or show that it is too long; in blocks of a chunk, of which none is more than that."""
        wanted = min(max(self._chunk_bytes - held, self._chunk_bytes // 2, held), max(self._most - held, 0) + self._chunk_bytes // 2)
        if wanted <= self._chunk_bytes:
            return text.read(wanted)
        blocks: list[bytes] = []
        while wanted > 0 and (block := text.read(min(wanted, self._chunk_bytes))):
            blocks.append(block)
            wanted -= len(block)
        return b"".join(blocks)

    def _cut(self, rest: bytes, block: bytes) -> tuple[bytes, bytes]:
        """Return the whole records of what was left over and the block that follows it, and what is left over now: copied once, unless the first
        record is long."""
        if not block:
            return rest, b""
        begin = self._first_begin(rest, block)
        if begin < 0:
            rest, block, begin = b"", rest + block, 0
        end = whole(self._grammar, block, final=False, start=begin)
        left = block[end:]
        return (b"".join([rest, memoryview(block)[:end]]) if rest else block[:end], left) if end else (rest, left)

    def _first_begin(self, rest: bytes, block: bytes) -> int:
        """Return where in a block the first record begins that does not begin in the rest before it; negative when that is not near."""
        return whole(self._grammar, rest + block[:_NEAR], final=False) - len(rest) if rest else 0

    def _too_long(self, rest: bytes, offset: int, line: int) -> ConversionFailed:
        problem = self._grammar.problem(rest, 0)
        if problem and problem.kind == "text":
            return broken(self._grammar.form, rest, problem, offset, line)
        opened = f" A quote that opens in line {line + count_lines(rest[: problem.opened])} is not closed by then." if problem else ""
        return too_long(line, offset, self._most, opened)

    def _skipped(self, text: TextStream) -> bytes:
        """Read past the lines before the data; returns what was read beyond."""
        left = self._skip
        while left > 0 and (block := text.read(max(4, min(left, self._chunk_bytes)))):
            if len(block) > left:
                return block[left:]
            left -= len(block)
        return b""
