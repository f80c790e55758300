"""Hard files become what was promised: exact values, records set apart with their place, or a refusal and nothing published."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from portal.errors import ConversionFailed
from portal.tabular.conversion.converting import convert_object
from portal.tabular.options import ConvertOptions
from portal.tabular.outcome import Converted
from tests.corpus import CASES
from tests.corpus.case import Case, holds, values_of
from tests.tabular import key_of, local_store


def converted(case: Case, folder: Path) -> Converted:
    """Convert a case's file beside it."""
    path = folder / case.file
    path.write_bytes(case.content)
    store = local_store(folder)
    options = ConvertOptions(**{"write_schema": False, **case.options})
    return convert_object(
        store, store.stat(key_of(path)), store, key_of(folder / "out.parquet"), options, rejects=folder / "rejects.ndjson", scratch=folder
    )  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_hard_file(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    if case.error:
        with pytest.raises(ConversionFailed, match=case.error) as told:
            converted(case, tmp_path)
        assert told.value.hint and {path.name for path in tmp_path.iterdir()} <= {case.file, "rejects.ndjson"}
        return
    done = converted(case, tmp_path)
    _compare(case, pq.read_table(tmp_path / "out.parquet"))
    assert _rejected(tmp_path / "rejects.ndjson", case) == list(case.rejects)
    assert done.rows_in == done.rows_out + len(case.rejects) and done.rows_rejected == len(case.rejects)
    assert re.search(case.warning, json.dumps([done.warnings, dict(done.reading)]))


def _compare(case: Case, table: pa.Table) -> None:
    names = table.column_names if case.any_names else list(case.columns)
    assert table.column_names == names and len(set(names)) == len(case.columns)
    for place, (name, wanted) in enumerate(zip(names, case.columns.values(), strict=True)):
        kind = str(table.schema.field(name).type)
        expected = case.types.get(str(place) if case.any_names else name, "string")
        assert kind.startswith(expected), f"{name} is {kind}, not {expected}"
        wrong = first_wrong(wanted, values_of(table[name]))
        assert not wrong, f"{name} ({kind}): {wrong}"


def first_wrong(wanted: Sequence[Any], values: Sequence[Any]) -> str:
    """What is wrong first, '' when every value is what the file says."""
    if list(wanted) == list(values):
        return ""
    if len(wanted) != len(values):
        return f"{len(values)} values instead of {len(wanted)}"
    pairs = ((one, other) for one, other in zip(wanted, values, strict=True) if not (one == str(other) and isinstance(other, int)))
    return next((f"{other!r} instead of {one!r}"[:300] for one, other in pairs if not holds(one, other)), "")


def _rejected(path: Path, case: Case) -> list[tuple[int, str]]:
    rejects = [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []
    for reject in rejects:
        assert reject["reason"] and case.content[reject["offset"] :].decode().startswith(reject["raw"])
    return [(reject["line"], reject["column"]) for reject in rejects]


def test_the_names_of_the_corpus_are_its_own() -> None:
    assert len(CASES) > 150
