"""`columns.ndjson` of a job: a line for each object that was converted, with how it was read, its columns and why, checksums, and the schema."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

COLUMNS_FILE = "columns.ndjson"
_FILES_SHOWN = 20


class ColumnsFile:
    """Lines are added from many threads. `fresh`: what an earlier run left there is forgotten."""

    def __init__(self, folder: Path, *, fresh: bool) -> None:
        self._path = folder / COLUMNS_FILE
        self._lock = threading.Lock()
        if fresh:
            self._path.unlink(missing_ok=True)

    def add(self, report: Mapping[str, Any]) -> None:
        line = json.dumps(report, ensure_ascii=False)
        with self._lock, self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def files_told(folder: Path, most: int = _FILES_SHOWN) -> list[dict[str, Any]]:
    """Return what was decided on the first files of a job, schemas left out: those are in the file alone."""
    path = folder / COLUMNS_FILE
    if not path.exists():
        return []
    with path.open(encoding="utf-8") as file:
        lines = [json.loads(line) for line in islice(file, most)]
    return [{name: value for name, value in line.items() if name != "schema"} for line in lines]
