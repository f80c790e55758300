"""Whatever call of a store does not go through while a data set is published: what stands is whole, old or new, or nothing, and a retry heals it.

Of each sequence of calls every third fails in one way, and its neighbours in the other ways; the last ones in all. PORTAL_FAULTS=all: each call
in each way.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from portal.errors import PortalError, StoreError, Unreachable
from portal.stores.base import Store
from portal.tabular.options import ConvertOptions
from portal.tabular.output.data_set import publish_data_set
from portal.tabular.output.manifest import SUCCESS, UNFINISHED
from portal.tabular.output.publish import Target
from portal.tabular.output.sink import Part
from portal.tabular.proving.digest import Digest
from portal.tabular.proving.read_back import read_back
from tests.arrow_tables import written
from tests.tabular import key_of, local_store

FAULTS = {"once": (1, False), "once, but done": (1, True), "for good": (9999, False), "for good, but done": (9999, True)}
"""How many calls do not go through, and whether they are done though nobody hears of it."""
EXHAUSTIVE = os.environ.get("PORTAL_FAULTS") == "all"
ENDING = 4
"""Calls by which a data set is finished."""
OLD = pa.table({"day": ["x", "x"], "n": [7, 8]})
NEW = pa.table({"day": ["x", None, "x"], "n": [1, 2, 3]})
Made = tuple[list[Part], Digest]


class Faulty:
    """A store of which one call, or all from one on, do not go through: without being done, or done though nobody hears of it."""

    def __init__(self, store: Store, number: int, fault: tuple[int, bool], *, renames: bool) -> None:
        self._store, self._number, (self._times, self._done), self._renames = store, number, fault, renames
        self.failed: list[str] = []
        self.calls = count()

    def __getattr__(self, name: str) -> Any:
        if name == "copy" or (name == "rename" and not self._renames):
            raise AttributeError(name)
        found = getattr(self._store, name)
        return self.watched(name, found) if callable(found) else found

    def watched(self, name: str, act: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            place = next(self.calls)  # of many threads
            fails = self._number <= place < self._number + self._times
            if fails and not self._done:
                self._fail(name)
            try:
                found = act(*arguments, **options)
            except StoreError:
                if fails:
                    self._fail(name)
                raise
            if fails:
                getattr(found, "abort", getattr(found, "close", lambda: None))()
                self._fail(name)
            return _Writer(self, found) if name == "open_write" else found

        return call

    def _fail(self, name: str) -> None:
        self.failed.append(name)
        raise Unreachable("cut off")


class _Writer:
    def __init__(self, store: Faulty, writer: Any) -> None:
        self._writer, self.write, self.commit = writer, store.watched("write", writer.write), store.watched("commit", writer.commit)

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *error: Any) -> None:
        self._writer.__exit__(*error)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Made]:
    folder = tmp_path_factory.mktemp("scratch")
    return {name: written(table, folder / name, ConvertOptions(partition_by=("day",))) for name, table in (("old", OLD), ("new", NEW))}


def publish(store: Any, folder: Path, made: Made, *, overwrite: bool) -> None:
    target = Target(store, overwrite, {}, lambda: None)
    publish_data_set(made[0], target, f"{key_of(folder)}/", lambda done: read_back(done, made[1], store, lambda: None), mark="m")


def visible(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name[0] not in "._"}


def standing(folder: Path, made: dict[str, Made]) -> str:
    """Which of the data sets stands, by what a reader sees that asks for `_SUCCESS`: old, new, '' for none."""
    if not (folder / SUCCESS).exists():
        return ""
    listed = json.loads((folder / SUCCESS).read_text())["objects"]
    assert {key.removeprefix(f"{key_of(folder)}/") for key in listed} == visible(folder)
    sizes = sorted(part.stat().st_size for part in map(folder.joinpath, visible(folder)))
    (name,) = [name for name, (parts, _) in made.items() if sorted(part.size_bytes for part in parts) == sizes]
    return name


def begun(folder: Path, made: dict[str, Made], before: str) -> None:
    folder.mkdir(parents=True)
    if before == "old":
        publish(local_store(folder), folder, made["old"], overwrite=False)
    elif before == "killed":
        key = f"{key_of(folder)}/day=x/part-0.parquet"
        (folder / "day=x").mkdir()
        (folder / "day=x/part-0.parquet").write_bytes(b"half")
        (folder / UNFINISHED).write_text(json.dumps({"format": "portal-data-set/1", "mark": "m", "objects": {key: ""}}))


def tried(folder: Path, made: dict[str, Made], before: str, store: Faulty) -> bool:
    """Publish into a fresh folder; returns whether it went through."""
    begun(folder, made, before)
    try:
        publish(store, folder, made["new"], overwrite=before == "old")
    except PortalError:
        return False
    return True


def points(calls: int, fault: tuple[int, bool]) -> list[int]:
    """Return the numbers of the calls that fail in this way."""
    if EXHAUSTIVE:
        return list(range(calls))
    return sorted({*range(list(FAULTS.values()).index(fault) % 3, calls, 3), *range(calls - ENDING, calls)})


def tries(home: Path, made: dict[str, Made], before: str, fault: tuple[int, bool], *, renames: bool) -> Iterator[tuple[Path, list[str], bool]]:
    """Publish over and over, each time with another call failing; yields the folder, what failed, and whether it was published all the same."""
    whole = Faulty(local_store(home / "whole"), sys.maxsize, fault, renames=renames)
    assert tried(home / "whole", made, before, whole)
    calls = next(whole.calls)
    assert calls > 15
    for number in points(calls, fault):
        folder = home / f"{number}"
        store = Faulty(local_store(folder), number, fault, renames=renames)
        done = tried(folder, made, before, store)
        assert store.failed
        yield folder, store.failed, done


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
@pytest.mark.parametrize("before", ["nothing", "old", "killed"])
@pytest.mark.parametrize("renames", [True, False], ids=["renames", "no rename"])
def test_what_stands_is_whole_and_a_retry_heals_it(
    renames: bool, before: str, fault: tuple[int, bool], made: dict[str, Made], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr(os, "fsync", lambda _: None)
    seen, anyway = [], 0
    for folder, failed, done in tries(tmp_path, made, before, fault, renames=renames):
        stands = standing(folder, made)
        seen.append(stands)
        anyway += done
        assert stands == "new" if done else stands in ("", "new", "old"), failed
        if not stands and fault == (1, False) and before == "nothing":
            assert visible(folder) == set(), failed
        publish(local_store(folder), folder, made["new"], overwrite=before == "old")
        assert standing(folder, made) == "new" and not (folder / UNFINISHED).exists(), failed
    assert len(seen) > 5 and anyway == 1, "only `_UNFINISHED` beside a finished data set is no failure"
    if before == "old" and fault[0] == 1 and renames:
        assert seen.count("old") > len(seen) // 3
