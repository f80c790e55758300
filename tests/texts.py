"""Texts in memory, for tests of what reads them."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from portal.tabular.options import ConvertOptions
from portal.tabular.text.text import Text
from portal.transfer.digests import Digests


class BytesReader(io.BytesIO):
    """See `portal.tabular.text.objects.SourceReader`."""

    def __init__(self, data: bytes, passed: Callable[[int], None]) -> None:
        super().__init__(data)
        self._passed = passed
        self.digests = Digests()
        self.compared = ""

    def read(self, size: int | None = -1, /) -> bytes:
        block = super().read(size)
        self.digests.update(block)
        self._passed(len(block))
        return block

    def finish(self) -> None:
        while self.read(1 << 20):
            pass


@dataclass
class BytesSource:
    """See `portal.tabular.text.objects.Source`."""

    data: bytes
    name: str = "file.csv"

    @property
    def size_bytes(self) -> int:
        return len(self.data)

    def open(self, passed: Callable[[int], None]) -> BytesReader:
        return BytesReader(self.data, passed)

    def range(self, start: int, length: int) -> bytes:
        return self.data[start : start + length]


def text_of(data: bytes | str, name: str = "file.csv", **options: Any) -> Text:
    return Text(BytesSource(data.encode() if isinstance(data, str) else data, name), ConvertOptions(**options))


def read_all(text: Text, size: int = 1 << 20) -> bytes:
    with text.open() as stream:
        return b"".join(iter(lambda: stream.read(size), b""))
