"""What becomes of hard files: the corpus of the tests, converted by everybody as they come, and looked at value by value."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bench.queue.measuring import ROOT
from portal.tabular.options import TYPED_NULLS
from tests.corpus import CASES
from tests.corpus.case import Case, holds, values_of

VERDICTS = ("exact", "refused", "changed", "rows lost", "accepted")
HEAD = ("who", "hard files", "every value exact", "refused", "values changed", "rows or columns lost", "broken, yet taken", "for example")
_SHOWN = 4


@dataclass
class Outcome:
    """What became of the files of one contender."""

    who: str
    verdicts: dict[str, str] = field(default_factory=dict)
    """File → one of VERDICTS."""
    told: dict[str, str] = field(default_factory=dict)

    @property
    def silent(self) -> list[str]:
        """Files of which something was changed, lost or made up without a word."""
        return [name for name, verdict in self.verdicts.items() if verdict not in ("exact", "refused")]

    @property
    def cells(self) -> tuple[str, ...]:
        count = Counter(self.verdicts.values())
        examples = "; ".join(f"{name} ({self.told[name]})" if self.told.get(name) else name for name in self.silent[:_SHOWN])
        return (self.who, str(len(self.verdicts)), *(str(count[verdict]) for verdict in VERDICTS), examples)


def plain_cases() -> Mapping[str, Case]:
    """The hard files that anybody can be asked to convert, each once; with its values, where some options of ours give them."""
    by_content: dict[bytes, Case] = {}
    for case in CASES.values():
        if case.plain and (case.content not in by_content or by_content[case.content].error):
            by_content[case.content] = case
    return {case.name: case for case in by_content.values()}


def outcomes(folder: Path, names: Sequence[tuple[str, str]]) -> Iterator[Outcome]:
    """Let each contender, given as name and title, convert all files."""
    cases = plain_cases()
    for name, title in names:
        place = folder / name
        files = _written(cases, place)
        told = _converted(name, place, list(files))
        outcome = Outcome(title)
        for file, case in files.items():
            error = told.get(file, "it died")
            outcome.verdicts[case.name], outcome.told[case.name] = ("refused", "") if error else _judged(case, place / f"{file}.parquet")
        yield outcome


def _written(cases: Mapping[str, Case], folder: Path) -> Mapping[str, Case]:
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for number, case in enumerate(cases.values()):
        file = f"{ord(case.delimiter)}-case-{number}{case.file.removeprefix('file')}"
        (folder / file).write_bytes(case.content)
        found[file] = case
    return found


def _converted(name: str, folder: Path, files: list[str]) -> Mapping[str, str]:
    """Return file → error; a process that dies is begun again behind the file that killed it."""
    told: dict[str, str] = {}
    while left := [file for file in files if file not in told]:
        words = [sys.executable, "-m", "bench.convert.contender", name, "--many", *(str(folder / file) for file in left)]
        ran = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
        lines = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith('{"file"')]
        told |= {line["file"]: line["error"] for line in lines}
        if len(lines) < len(left):
            told[left[len(lines)]] = "it died"
    return told


def _judged(case: Case, path: Path) -> tuple[str, str]:
    if case.error:
        return "accepted", ""
    try:
        table = pq.ParquetFile(path).read()
    except (OSError, pa.ArrowException) as error:
        return "rows lost", f"its file cannot be read: {type(error).__name__}"
    if table.num_columns != len(case.columns):
        return "rows lost", f"{table.num_columns} columns, not {len(case.columns)}"
    try:
        return _compared(case, table)
    except UnicodeDecodeError:
        return "changed", "bytes that are no text"


def _compared(case: Case, table: pa.Table) -> tuple[str, str]:
    for place, (name, wanted) in enumerate(case.columns.items()):
        if len(wanted) != table.num_rows:
            return "rows lost", f"{table.num_rows} rows, not {len(wanted)}"
        written = case.written.get(name, wanted)
        for one, text, value in zip(wanted, written, values_of(table.column(place)), strict=True):
            if one != value and not _kept(one, text, value):
                return "changed", f"{text if text is not None else one!r} → {value!r}"[:60]
    return "exact", ""


def _kept(wanted: Any, text: Any, value: Any) -> bool:
    """Whether a value is what is meant, or the file's text. Others may take an empty text for no value and the other way round, keep a word
    for no value as a text, tell a moment in another zone, and write JSON in another way."""
    if value is None or value == "":
        return wanted in (None, "")
    if value == text or (wanted is None and value in TYPED_NULLS) or holds(wanted, value):
        return True
    return isinstance(wanted, str) and (_same_moment(wanted, value) or _same_json(wanted, value))


def _same_moment(text: str, value: Any) -> bool:
    try:
        return isinstance(value, datetime) and value.tzinfo is not None and datetime.fromisoformat(text) == value
    except (ValueError, TypeError):
        return False


def _same_json(text: str, value: Any) -> bool:
    try:
        known = json.loads(text)
    except ValueError:
        return False
    try:
        return bool(known == value or known == json.loads(value))
    except (ValueError, TypeError):
        return False
