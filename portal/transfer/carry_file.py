"""`carried.ndjson`, a file of the job: what of each object found no place at its target. One JSON object a line, for each object that has any.

`{"n": 7, "source_key": "…", "target_key": "…", "left_out": [{"kind": "metadata", "name": "…", "value": "…", "why": "…"}]}`. An object
that was tried more than once may stand there more than once; the last line counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from portal.transfer.carry import LeftOut

CARRIED_FILE = "carried.ndjson"


def line(n: int, source_key: str, target_key: str, left_out: Sequence[LeftOut]) -> str:
    """Return the line of one object, without its end. For whichever process moved it; the file is written by one."""
    return json.dumps({"n": n, "source_key": source_key, "target_key": target_key, "left_out": [item._asdict() for item in left_out]})


class CarriedFile:
    """The file, over all attempts of a job. Not made before there is something to write. Not for many threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: Any = None

    def add(self, lines: Iterable[str]) -> None:
        """Append lines and hand them to the system, so that a journal's line that follows never tells of what is not there."""
        text = "".join(f"{item}\n" for item in lines)
        if not text:
            return
        if self._file is None:
            torn = _is_torn(self._path)
            self._file = self._path.open("a", encoding="utf-8")
            text = f"\n{text}" if torn else text
        self._file.write(text)
        self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /) -> None:
        self.close()


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Yield what each line says; a line that a crash cut off is passed over, its object was never told as done."""
    if not path.exists():
        return
    with path.open(encoding="utf-8") as file:
        for text in file:
            try:
                yield json.loads(text)
            except ValueError:
                continue


def _is_torn(path: Path) -> bool:
    if not path.exists() or not path.stat().st_size:
        return False
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) != b"\n"
