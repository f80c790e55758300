"""Many objects as one data set: one schema by the samples of all, read alike or refused, in bounded memory."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pyarrow.parquet as pq
import pytest

from portal.errors import ConversionFailed
from portal.stores.base import ObjectInfo, Reader, Store
from portal.tabular.conversion.converting import convert_dataset
from portal.tabular.conversion.looking import sampled
from portal.tabular.conversion.tables import Tables
from portal.tabular.options import ConvertOptions
from portal.tabular.outcome import Converted
from portal.tabular.text.objects import StoreObject
from tests.tabular import key_of, local_store


def together(folder: Path, files: dict[str, str], *, rejects: Path | None = None, **options: Any) -> Converted:
    store = local_store(folder)
    for name, text in files.items():
        (folder / name).write_text(text)
    infos = [store.stat(key_of(folder / name)) for name in files]
    return convert_dataset(store, infos, store, key_of(folder / "set"), ConvertOptions(**options), rejects=rejects)


def rows(folder: Path, done: Converted) -> list[dict[str, Any]]:
    return [row for part in done.parts for row in pq.read_table(Path("/") / part.key, partitioning=None).to_pylist()]


def test_the_samples_of_all_decide_on_one_schema(tmp_path: Path) -> None:
    done = together(tmp_path, {"a.csv": "a,b\n1,x\n", "b.csv": "a,b\n2.5,y\n", "c.csv": "a,b\n,007\n"})
    assert rows(tmp_path, done) == [{"a": 1.0, "b": "x"}, {"a": 2.5, "b": "y"}, {"a": None, "b": "007"}]
    assert [(source.rows_in, source.rows_out) for source in done.sources] == [(1, 1)] * 3
    assert (tmp_path / "set" / "_SUCCESS").exists()
    assert done.schema_key == key_of(tmp_path / "set" / "_set.schema.json")


def test_a_late_surprise_in_a_later_file_widens_all(tmp_path: Path) -> None:
    body = "a\n" + "1\n" * 2000
    files = {"a.csv": body, "b.csv": body.replace("1\n1\n1\n", "1\n007\n1\n", 1000)}
    done = together(tmp_path, {**files, "c.csv": body[:-2000] + "x\n" + body[-2000:]}, on_reject="widen", sample_bytes=1024)
    assert {row["a"] for row in rows(tmp_path, done)} == {"1", "007", "x"}


@pytest.mark.parametrize(("other", "reason"), [("b,a\n1,x\n", "names"), ("a;b\n1;x\n", "delimiter"), ("a,b,c\n1,x,2\n", "names")])
def test_files_that_are_read_otherwise_are_refused_and_nothing_is_written(other: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(ConversionFailed, match=rf"b.csv cannot be in one data set with .*a.csv: {reason}"):
        together(tmp_path, {"a.csv": "a,b\n1,x\n", "b.csv": other})
    assert not (tmp_path / "set").exists() or not list((tmp_path / "set").iterdir())


def test_rejects_name_the_file_that_they_come_from(tmp_path: Path) -> None:
    rejects = tmp_path / "rejects.ndjson"
    done = together(tmp_path, {"a.csv": "a,b\n1,x\n", "b.csv": "a,b\n2\n3,y\n"}, rejects=rejects, on_reject="keep")
    assert (done.rows_in, done.rows_out, done.rows_rejected) == (3, 2, 1)
    assert [(Path(row["source"]).name, row["line"]) for row in map(json.loads, rejects.read_text().splitlines())] == [("b.csv", 2)]


def test_constants_differ_by_file(tmp_path: Path) -> None:
    done = together(tmp_path, {"a.ndjson": '{"x":1}\n', "b.ndjson": '{"x":2}\n'}, constants={"from": "{source_name}"})
    assert rows(tmp_path, done) == [{"x": 1, "from": "a.ndjson"}, {"x": 2, "from": "b.ndjson"}]


@dataclass
class Asked:
    """A store that tells which reads are opened."""

    store: Store
    reads: list[tuple[str, int | None]] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def open_read(self, key: str, *, start: int = 0, length: int | None = None, pin: ObjectInfo | None = None) -> Reader:
        self.reads.append((Path(key).name, length))
        return self.store.open_read(key, start=start, length=length, pin=pin)


def many(folder: Path) -> tuple[Asked, list[ObjectInfo]]:
    store = Asked(local_store(folder))
    for name in ("a.csv", "b.csv", "c.csv"):
        (folder / name).write_text("a,b\n,1\n")
    return store, [store.store.stat(key_of(folder / name)) for name in ("a.csv", "b.csv", "c.csv")]


@pytest.mark.parametrize(("full_scan", "passes"), [(False, 1), (True, 2)])
def test_each_file_costs_one_range_and_one_read_for_each_pass(full_scan: bool, passes: int, tmp_path: Path) -> None:
    store, infos = many(tmp_path)
    convert_dataset(cast(Store, store), infos, store.store, key_of(tmp_path / "set"), ConvertOptions(full_scan=full_scan))
    asked = Counter(store.reads)
    assert [asked[info.key.rpartition("/")[2], info.size_bytes] for info in infos] == [1] * 3
    assert [asked[info.key.rpartition("/")[2], None] for info in infos] == [passes] * 3


def test_samples_of_many_files_are_not_held(tmp_path: Path) -> None:
    store, infos = many(tmp_path)
    tables = Tables([StoreObject(store.store, info) for info in infos], ConvertOptions(), lambda: None)
    assert sampled(tables).names == ("a", "b")
    assert not any({"_looked", "_head"} & set(table.text.__dict__) for table in tables.all)  # type: ignore[attr-defined]
    assert len(list(tables.samples())) == 3
