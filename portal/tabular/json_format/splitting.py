"""Cuts a JSON text into chunks of whole records, holding no more than one chunk or one record and a block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from portal.errors import ConversionFailed
from portal.tabular.json_format.decoding import DECODER, SPACE, reason_of
from portal.tabular.json_format.limits import too_long
from portal.tabular.json_format.scanning import PythonScan, Scan, Scanned, State
from portal.tabular.json_format.shape import HINT, Kind
from portal.tabular.rows import Chunk
from portal.tabular.showing import shown

if TYPE_CHECKING:
    from portal.tabular.text.sampling import Sample
    from portal.tabular.text.text import TextStream

BLOCK_BYTES = 4 << 20
_SPACE_BYTES = SPACE.encode()
_MOST_TRIED = 1000
_GLANCE_BYTES = 1 << 14
"""Tried first, so that an object within a record costs little."""
_WINDOW = 1 << 16
"""Bytes that the processor's nearest cache holds with what is made of them."""
_CUT_TAIL = 16
"""An error this near to the end of what was read may only mean that there is more to read."""
_WANTED = {State.START: "'['", State.FIRST: "a record or ']'", State.AFTER: "',' or ']'"}

NewScan = Callable[[bool], Scan]
"""Array or not → a scan."""


def chunks_of_lines(text: TextStream, limit: int, *, block_bytes: int = BLOCK_BYTES) -> Iterator[Chunk]:
    """Cut a text of one record a line. Raises ConversionFailed for a line of more than `limit` bytes."""
    held: list[bytes] = []
    number, offset, line, size = 0, 0, 1, 0
    while block := text.read(block_bytes):
        end = block.rfind(b"\n") + 1
        _refuse_long(size + (block.find(b"\n") if end else len(block)), limit, line)
        if not end:
            held.append(block)
            size += len(block)
            continue
        data = b"".join([*held, memoryview(block)[:end]])
        yield Chunk(number, data, offset, line)
        number, offset, line = number + 1, offset + len(data), line + line_feeds(data)
        held, size = [block[end:]], len(block) - end
    if size:
        yield Chunk(number, b"".join(held), offset, line)


def line_feeds(data: bytes) -> int:
    """As `data.count`, several times as fast where there are many."""
    letters = np.frombuffer(data, np.uint8)
    return sum(int(np.count_nonzero(letters[start : start + _WINDOW] == ord("\n"))) for start in range(0, len(data), _WINDOW))


def _refuse_long(size: int, limit: int, line: int) -> None:
    if size > limit:
        raise too_long(line, limit)


def chunks_of_values(text: TextStream, limit: int, new_scan: NewScan, *, array: bool, block_bytes: int = BLOCK_BYTES) -> Iterator[Chunk]:
    """Cut a text whose records stand in an array or one after the other. Raises ConversionFailed where no later record can be told."""
    return _Cutter(limit, new_scan(array), array=array).chunks(text, block_bytes)


class _Cutter:
    """Holds the text from the start of the first record that is not cut off yet."""

    def __init__(self, limit: int, scan: Scan, *, array: bool) -> None:
        self._limit, self._scan, self._array = limit, scan, array
        self._held: list[bytes] = []
        self._from = 0
        """Offset of the first byte held."""
        self._line = 1
        """Line of that byte."""
        self._begin = -1
        self._read = 0

    def chunks(self, text: TextStream, block_bytes: int) -> Iterator[Chunk]:
        number = 0
        while block := text.read(block_bytes):
            scanned = self._scan.feed(block)
            self._held.append(block)
            self._read += len(block)
            if scanned.broken >= 0:
                raise self._misplaced(scanned.broken)
            if data := self._take(scanned):
                yield Chunk(number, data, self._from - len(data), self._line)
                self._line += data.count(b"\n")
                number += 1
            self._bound(scanned)
        if data := self._rest():
            yield Chunk(number, data, self._from, self._line)

    def _take(self, scanned: Scanned) -> bytes:
        """Cut the whole records off."""
        begin = self._begin if self._begin >= 0 else scanned.first
        if scanned.end < 0:
            self._begin = begin
            return b""
        self._begin = scanned.open
        held = b"".join(self._held) if len(self._held) > 1 else self._held[0]
        self._line += held.count(b"\n", 0, begin - self._from)
        data = held[begin - self._from : scanned.end - self._from]
        self._held = [held[scanned.end - self._from :]]
        self._from = scanned.end
        return data

    def _drop(self, until: int) -> bytes:
        """Return and let go of what is held up to an offset."""
        held = b"".join(self._held) if len(self._held) > 1 else self._held[0]
        size = until - self._from
        dropped, left = held[:size], held[size:]
        self._held = [left]
        self._from, self._line = until, self._line + dropped.count(b"\n")
        return dropped

    def _bound(self, scanned: Scanned) -> None:
        """Let go of white space between records; refuse a record that is too long."""
        if self._begin < 0:
            self._drop(self._read)
        elif self._begin > self._from and scanned.end >= 0:
            self._drop(self._begin)
        if self._begin >= 0 and self._read - self._begin > self._limit:
            self._drop(self._begin)
            self._why_open()
            _refuse_long(self._read - self._begin, self._limit, self._line)

    def _rest(self) -> bytes:
        """Return the records that only the end of the text ends. Raises ConversionFailed when it ends too early."""
        state = self._scan.state
        if state is State.SCALAR and not self._array:
            self._drop(self._begin)
            return self._held[0]
        if state is State.DONE or (state is State.RECORD and not self._array):
            return b""
        if self._begin >= 0:
            self._drop(self._begin)
            self._why_open(whole=True)
            raise self._failed(f"the file ends within the record that begins in line {self._line}", self._line)
        raise self._failed(f"the file ends where {_WANTED.get(state, 'a record')} should stand", self._line)

    def _why_open(self, *, whole: bool = False) -> None:
        """Raises ConversionFailed when something within the open record keeps it from ending: a bracket of the wrong kind, a lost quote."""
        text = self._held[0].decode("utf-8", "replace")
        try:
            DECODER.raw_decode(text)
        except (ValueError, RecursionError) as error:
            position = getattr(error, "pos", 0)
            cut_off = position >= len(text) - _CUT_TAIL or str(error).startswith("Unterminated string")
            if whole or not cut_off:
                before = text.count("\n", 0, position)
                begins = f" (in the record that begins in line {self._line})" if before else ""
                ends = "; the file ends within it" if whole else ""
                raise self._failed(f"{reason_of(error, text)}{begins}{ends}", self._line + before) from error

    def _misplaced(self, offset: int) -> ConversionFailed:
        self._drop(offset)
        found = shown(self._held[0].decode("utf-8", "replace")[:1])
        if self._scan.state is State.DONE:
            return self._failed(f"{found} follows the end of the array", self._line)
        return self._failed(f"{_WANTED.get(self._scan.state, 'a record')} should stand here, not {found}", self._line)

    def _failed(self, reason: str, line: int) -> ConversionFailed:
        return ConversionFailed(f"Line {line}: {reason}.", hint=HINT)


def chunk_of_sample(sample: Sample, kind: Kind) -> Chunk | None:
    """Return the whole records of a sample; None when there is none. The line is 0 but for the first sample: nobody has counted.

    From the middle of an array or a sequence nothing is taken: a piece from within one long record may look like a row of records. One that ends
    where the text ends cannot, as the brackets around it would close there too."""
    data, start = sample.data, 0
    if kind != "lines" and not (sample.first or sample.last):
        return None
    if not sample.first:
        start = data.find(b"\n") + 1 if kind == "lines" else _start_of_record(sample, array=kind == "array")
        if start < 0 or (kind == "lines" and not start):
            return None
    end = _end_of_lines(data, start, last=sample.last) if kind == "lines" else _end_of_values(sample, start, array=kind == "array")
    if kind == "array" and sample.first:
        start = max(0, data.find(b"[") + 1)
    offset, line = (sample.offset + start if sample.offset >= 0 else -1), (1 + data.count(b"\n", 0, start) if sample.first else 0)
    return Chunk(0, data[start:end], offset, line) if end > start else None


def _end_of_lines(data: bytes, start: int, *, last: bool) -> int:
    return len(data) if last else max(start, data.rfind(b"\n") + 1)


def _end_of_values(sample: Sample, start: int, *, array: bool) -> int:
    scan = PythonScan(array=array, state=None if sample.first else State.RECORD)
    end = scan.feed(sample.data[start:]).end
    return start + end if scan.spans else start


def _start_of_record(sample: Sample, *, array: bool) -> int:
    """Find where a record begins in the last sample: an object whose followers stand as records do up to the end of the text. -1: not found."""
    data, at = sample.data, -1
    for _ in range(_MOST_TRIED):
        at = data.find(b"{", at + 1)
        if at < 0:
            return -1
        near = data[at : at + _GLANCE_BYTES]
        if _leads_on(near, array=array, whole=len(near) == len(data) - at) is not False and _leads_on(data[at:], array=array, whole=True):
            return at
    return -1


def _leads_on(data: bytes, *, array: bool, whole: bool) -> bool | None:
    """Tell whether a text is one object after the other, with `whole` up to the end of the text; None: the first does not end in it."""
    scan = PythonScan(array=array, state=State.RECORD)
    if scan.feed(data).broken >= 0 or (whole and scan.state is not (State.DONE if array else State.RECORD)):
        return False
    return all(_is_object(data[start:end]) for start, end in scan.spans) if scan.spans else None


def _is_object(data: bytes) -> bool:
    try:
        return isinstance(DECODER.decode(data.decode()), dict)
    except (ValueError, RecursionError):
        return False
