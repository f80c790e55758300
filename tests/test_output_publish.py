"""Parts become objects whole or not at all, a data set as well; what others put there is never touched."""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from portal.errors import AlreadyExists, Cancelled, ProofFailed, StoreError, Unreachable
from portal.stores.base import ObjectInfo, Renames, Store
from portal.tabular.options import ConvertOptions
from portal.tabular.output import data_set
from portal.tabular.output.data_set import publish_data_set
from portal.tabular.output.manifest import SUCCESS, UNFINISHED
from portal.tabular.output.many import in_threads
from portal.tabular.output.publish import Published, Target, publish_file, withdraw
from portal.tabular.output.sink import Part
from portal.tabular.proving.digest import Digest
from portal.tabular.proving.read_back import read_back
from tests.arrow_tables import written
from tests.transferring import Clouds, get, keys, put

Make = Callable[..., tuple[list[Part], Digest]]
TABLE = pa.table({"day": ["x", "y", None, "x"], "n": [1, 2, 3, 4]})


class Failing:
    """A store whose n-th call of a method, counted from 0, does not go through."""

    def __init__(self, store: Store, method: str, number: int) -> None:
        self._store, self._method, self._left = store, method, number

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        return self._failing(found) if name == self._method else found

    def _failing(self, found: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            self._left -= 1
            if self._left == -1:
                raise Unreachable("cut off")
            return found(*arguments, **options)

        return call


@pytest.fixture(params=["local", "s3", "adls"])
def place(request: pytest.FixtureRequest, clouds: Clouds, tmp_path: Path) -> tuple[Store, str]:
    folder = f"{str(clouds.home / 'data').lstrip('/')}/set/" if request.param == "local" else "some/set/"
    return getattr(clouds, request.param), folder


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    def made(rows: int = 4, **options: Any) -> tuple[list[Part], Digest]:
        return written(TABLE.slice(0, rows), tmp_path / f"scratch-{rows}", ConvertOptions(**options))

    yield made


def target(store: Any, *, overwrite: bool = False) -> Target:
    return Target(store, overwrite, {}, lambda: None)


def proof(store: Any, digest: Digest) -> Callable[[Sequence[Published]], None]:
    return lambda done: read_back(done, digest, store, lambda: None)


def refuted(done: Sequence[Published]) -> None:
    raise ProofFailed("not so")


def publish(store: Any, folder: str, made: tuple[list[Part], Digest], *, overwrite: bool = False, mark: str = "m") -> list[Published]:
    return publish_data_set(made[0], target(store, overwrite=overwrite), folder, proof(store, made[1]), mark=mark)[0]


def test_a_file_is_published_proven_and_replaced(place: tuple[Store, str], make: Make) -> None:
    store, folder = place
    key = f"{folder}a.parquet"
    for rows in (4, 3):
        parts, digest = make(rows)
        done = publish_file(parts[0], target(store, overwrite=rows == 3), key, proof(store, digest))
        assert (done.object.key, done.object.size_bytes) == (key, parts[0].size_bytes)
        assert get(store, key) == parts[0].path.read_bytes()
    with pytest.raises(AlreadyExists):
        publish_file(parts[0], target(store), key, proof(store, digest))
    assert keys(store, folder) == [key]


def test_a_file_that_is_not_proven_leaves_what_it_would_replace(place: tuple[Store, str], make: Make) -> None:
    store, folder = place
    key = f"{folder}a.parquet"
    put(store, key, "precious")
    with pytest.raises(ProofFailed):
        publish_file(make()[0][0], target(store, overwrite=True), key, refuted)
    assert keys(store, folder) == [key]
    assert get(store, key) == b"precious"


def test_a_proven_file_takes_the_place_of_another_by_a_copy_within_s3(clouds: Clouds, make: Make) -> None:
    put(clouds.s3, "set/a.parquet", "precious")
    parts, digest = make()
    seen: list[bytes] = []

    def prove(done: Sequence[Published]) -> None:
        seen.append(get(clouds.s3, "set/a.parquet"))
        proof(clouds.s3, digest)(done)

    done = publish_file(parts[0], Target(clouds.s3, True, {"rows": "4"}, lambda: None), "set/a.parquet", prove)
    assert seen == [b"precious"]
    assert keys(clouds.s3, "set/") == ["set/a.parquet"] and get(clouds.s3, "set/a.parquet") == parts[0].path.read_bytes()
    info = clouds.s3.stat("set/a.parquet")
    assert (info.etag, info.metadata, info.content_type) == (done.object.etag, {"rows": "4"}, parts[0].content_type)


@pytest.mark.parametrize("told", [True, False])
def test_a_copy_that_is_not_the_same_is_told_and_what_was_proven_stays(
    told: bool, clouds: Clouds, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """Whether the store tells a checksum or the bytes must be read."""
    put(clouds.s3, "set/a.parquet", "precious")
    parts, digest = make()

    def copy(pin: ObjectInfo, key: str) -> ObjectInfo:
        put(clouds.s3, key, "something else")
        info = clouds.s3.stat(key)
        return info if told else replace(info, checksums={})

    monkeypatch.setattr(clouds.s3, "copy", copy)
    with pytest.raises(ProofFailed, match="not what was copied there") as caught:
        publish_file(parts[0], target(clouds.s3, overwrite=True), "set/a.parquet", proof(clouds.s3, digest))
    (staged,) = set(keys(clouds.s3, "set/")) - {"set/a.parquet"}
    assert staged in caught.value.hint and get(clouds.s3, staged) == parts[0].path.read_bytes()


def test_a_copy_that_does_not_go_through_leaves_what_was_there(clouds: Clouds, make: Make) -> None:
    put(clouds.s3, "set/a.parquet", "precious")
    parts, digest = make()
    with pytest.raises(Unreachable):
        publish_file(parts[0], target(Failing(clouds.s3, "copy", 0), overwrite=True), "set/a.parquet", proof(clouds.s3, digest))
    assert keys(clouds.s3, "set/") == ["set/a.parquet"] and get(clouds.s3, "set/a.parquet") == b"precious"


def test_what_is_not_proven_is_gone_under_its_hidden_name_too(clouds: Clouds, make: Make) -> None:
    folder = clouds.home / "data" / "set"
    with pytest.raises(ProofFailed):
        publish_file(make()[0][0], target(clouds.local), f"{str(folder).lstrip('/')}/a.parquet", refuted)
    assert list(folder.iterdir()) == []


def test_what_somebody_put_in_the_place_of_ours_is_not_withdrawn(place: tuple[Store, str], make: Make) -> None:
    store, folder = place
    parts, digest = make()
    done = publish_file(parts[0], target(store), f"{folder}a.parquet", proof(store, digest))
    put(store, done.object.key, "precious")
    withdraw(store, done)
    assert get(store, done.object.key) == b"precious"


def test_a_data_set_is_read_as_one_table_and_its_marker_lists_it(place: tuple[Store, str], make: Make, tmp_path: Path) -> None:
    store, folder = place
    done = publish(store, folder, make(partition_by=("day",)))
    found = keys(store, folder)
    assert found == sorted([f"{folder}{SUCCESS}", *(each.object.key for each in done)])
    manifest = json.loads(get(store, folder + SUCCESS))
    assert manifest["objects"] == {each.object.key: each.object.etag for each in done}
    assert sum(part["rows"] for part in manifest["parts"]) == 4
    for key in found:
        copy = tmp_path / "copy" / key.removeprefix(folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(get(store, key))
    table = ds.dataset(tmp_path / "copy", format="parquet", partitioning="hive").to_table().sort_by("n")
    assert table.select(["day", "n"]).to_pydict() == TABLE.to_pydict()


def test_a_data_set_is_replaced_by_those_who_may(place: tuple[Store, str], make: Make) -> None:
    store, folder = place
    first = publish(store, folder, make(partition_by=("day",)), mark="one")
    put(store, f"{folder}_notes.txt", "mine")
    with pytest.raises(AlreadyExists, match="holds a data set already"):
        publish(store, folder, make(3), mark="two")
    assert {each.object.key for each in first} <= set(keys(store, folder))
    again = publish(store, folder, make(3), mark="one")
    assert keys(store, folder) == sorted([again[0].object.key, folder + SUCCESS, f"{folder}_notes.txt"])
    last = publish(store, folder, make(), mark="two", overwrite=True)
    assert keys(store, folder) == sorted([last[0].object.key, folder + SUCCESS, f"{folder}_notes.txt"])


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_others_put_there_is_never_touched(place: tuple[Store, str], make: Make, overwrite: bool) -> None:
    store, folder = place
    first = publish(store, folder, make(3))
    put(store, f"{folder}theirs.parquet", "precious")
    before = keys(store, folder)
    with pytest.raises(AlreadyExists, match=r"objects of others, like theirs\.parquet"):
        publish(store, folder, make(), overwrite=overwrite)
    store.delete(f"{folder}theirs.parquet")
    put(store, first[0].object.key, "written by somebody else meanwhile")
    with pytest.raises(AlreadyExists, match="objects of others"):
        publish(store, folder, make(), overwrite=overwrite)
    assert keys(store, folder) == [key for key in before if not key.endswith("theirs.parquet")]


@pytest.mark.parametrize(("method", "number"), [("open_write", n) for n in range(5)] + [("rename", n) for n in range(3)] + [("open_read", 2)])
def test_a_failure_leaves_the_data_set_that_was_there(place: tuple[Store, str], make: Make, method: str, number: int) -> None:
    store, folder = place
    if method == "rename" and not isinstance(store, Renames):
        return
    publish(store, folder, make(3))
    before = {key: get(store, key) for key in keys(store, folder)}
    with pytest.raises(StoreError):
        publish(Failing(store, method, number), folder, make(partition_by=("day",)), overwrite=True)
    if method == "open_write" and number == 4:  # the marker: what was replaced is gone, what replaces it is there
        assert len(publish(store, folder, make(partition_by=("day",)))) == 3
    else:
        assert {key: get(store, key) for key in keys(store, folder)} == before
        publish(store, folder, make(partition_by=("day",)), overwrite=True)
    assert len(keys(store, folder)) == 4


@pytest.mark.parametrize("number", range(3))
def test_a_first_data_set_that_fails_leaves_nothing(place: tuple[Store, str], make: Make, number: int) -> None:
    store, folder = place
    with pytest.raises(StoreError):
        publish(Failing(store, "open_write", number), folder, make(partition_by=("day",)))
    with pytest.raises(ProofFailed):
        publish_data_set(make()[0], target(store), folder, refuted, mark="m")
    assert keys(store, folder) == []


def test_what_a_killed_try_left_is_cleared_by_the_next(place: tuple[Store, str], make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    store, folder = place
    publish(store, folder, make(3))
    with monkeypatch.context() as patch:
        patch.setattr(data_set._Attempt, "give_up", lambda self: None)
        patch.setattr(data_set._Attempt, "clear", lambda self: (_ for _ in ()).throw(Cancelled()))
        with pytest.raises(Cancelled):
            publish(store, folder, make(partition_by=("day",)))
    assert folder + UNFINISHED in keys(store, folder)
    assert folder + SUCCESS not in keys(store, folder)
    done = publish(store, folder, make(3))
    assert keys(store, folder) == sorted([done[0].object.key, folder + SUCCESS])


def test_a_cancel_leaves_nothing(place: tuple[Store, str], make: Make) -> None:
    def cancelled() -> None:
        raise Cancelled

    store, folder = place
    parts, digest = make()
    with pytest.raises(Cancelled):
        publish_data_set(parts, Target(store, False, {}, cancelled), folder, proof(store, digest), mark="m")
    with pytest.raises(Cancelled):
        publish_file(parts[0], Target(store, False, {}, cancelled), f"{folder}a", proof(store, digest))
    assert keys(store, folder) == []


MANY = pa.table({"day": [f"{number:03}" for number in range(30)], "n": range(30)})
SOME = 12


class Watched:
    """A store that tells of its calls by name, and calls `act` with the number of those of one method."""

    def __init__(self, store: Store, method: str = "", act: Callable[[int], None] = lambda number: None) -> None:
        self._store, self._method, self._act = store, method, act
        self._lock, self.calls = threading.Lock(), Counter[str]()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        return self._watched(name, found) if callable(found) else found

    def _watched(self, name: str, found: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            with self._lock:
                self.calls[name] += 1
                number = self.calls[name]
            if name == self._method:
                self._act(number)
            return found(*arguments, **options)

        return call


def fail_at(place: int, error: type[Exception]) -> Callable[[int], None]:
    def act(number: int) -> None:
        if number == place:
            raise error("cut off")

    return act


def everything(clouds: Clouds, store: Store, folder: str) -> list[str]:
    """What is there, hidden files and empty folders too where there are such."""
    if store is clouds.local:
        return [str(path) for path in Path(f"/{folder}").rglob("*")] + [folder] * Path(f"/{folder}").exists()
    return keys(store, folder)


@pytest.fixture
def some(tmp_path: Path) -> tuple[list[Part], Digest]:
    """More parts than there are threads, few enough for stores that are asked over HTTP."""
    return written(MANY.slice(0, SOME), tmp_path / "some", ConvertOptions(partition_by=("day",)))


@pytest.fixture
def many(tmp_path: Path) -> tuple[list[Part], Digest]:
    return written(MANY, tmp_path / "many", ConvertOptions(partition_by=("day",)))


def test_many_parts_are_some_calls_each_and_listed_in_their_order(place: tuple[Store, str], some: tuple[list[Part], Digest]) -> None:
    store, folder = place
    watched = Watched(store)
    done = publish(watched, folder, some)
    assert [each.part.name for each in done] == [part.name for part in some[0]] and len(done) == SOME
    assert list(json.loads(get(store, folder + SUCCESS))["objects"]) == [each.object.key for each in done]
    assert sum(watched.calls.values()) <= SOME * 9 + 20, watched.calls


def test_a_folder_of_the_disk_is_synced_once_for_all_its_parts(clouds: Clouds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = written(MANY, tmp_path / "scratch", ConvertOptions(split_bytes=1, row_group_rows=1))
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    assert len(publish(clouds.local, f"{str(clouds.home / 'data').lstrip('/')}/set/", made)) == 30
    assert len(synced) <= 30 + 8, "each file once, and the folder for all of them"


@pytest.mark.parametrize(("method", "place_of_error"), [("open_write", 10), ("open_read", SOME + 6), ("rename", 10)])
@pytest.mark.parametrize("error", [Unreachable, Cancelled])
def test_an_error_in_one_of_many_parts_leaves_nothing_and_a_retry_succeeds(
    place: tuple[Store, str], clouds: Clouds, some: tuple[list[Part], Digest], method: str, place_of_error: int, error: type[Exception]
) -> None:  # fmt: skip
    store, folder = place
    if method == "rename" and not isinstance(store, Renames):
        return
    with pytest.raises(error):
        publish(Watched(store, method, fail_at(place_of_error, error)), folder, some)
    assert everything(clouds, store, folder) == []
    assert len(publish(store, folder, some)) == SOME


def test_a_cancel_is_heard_while_many_parts_are_published(clouds: Clouds, many: tuple[list[Part], Digest]) -> None:
    """Folders that were there before stay, those that were made go."""
    folder = clouds.home / "data" / "set"
    (folder / "day=003").mkdir(parents=True)
    stop = threading.Event()
    store = Watched(clouds.local, "open_write", lambda number: stop.set() if number == 12 else None)

    def check() -> None:
        if stop.is_set():
            raise Cancelled

    with pytest.raises(Cancelled):
        publish_data_set(many[0], Target(store, False, {}, check), f"{str(folder).lstrip('/')}/", refuted, mark="m")
    assert store.calls["open_write"] < 30
    assert [path.name for path in folder.rglob("*")] == ["day=003"]


def test_a_cancel_is_heard_in_the_middle_of_a_single_part() -> None:
    begun, heard = threading.Event(), threading.Event()

    def check() -> None:
        if begun.is_set():
            heard.set()
            raise Cancelled

    def work(_: int) -> None:
        begun.set()
        if not heard.wait(10):
            raise TimeoutError("nobody asked while it worked")

    with pytest.raises(Cancelled):
        in_threads(work, [1], check)


def test_folders_that_a_replaced_data_set_leaves_empty_go_with_it(clouds: Clouds, make: Make, many: tuple[list[Part], Digest]) -> None:
    folder = clouds.home / "data" / "set"
    key = f"{str(folder).lstrip('/')}/"
    publish(clouds.local, key, many)
    publish(clouds.local, key, make(partition_by=("day",)), overwrite=True)
    assert sorted(path.name for path in folder.iterdir()) == [SUCCESS, "day=__HIVE_DEFAULT_PARTITION__", "day=x", "day=y"]


def test_the_log_tells_how_many_parts_are_done(
    clouds: Clouds, many: tuple[list[Part], Digest], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:  # fmt: skip
    monkeypatch.setattr("portal.tabular.output.many.TELL_S", 0)
    with caplog.at_level("INFO", "portal.tabular"):
        publish(clouds.local, f"{str(clouds.home / 'data').lstrip('/')}/set/", many)
    assert {"published 12 of 30 parts", "read back 12 of 30 parts", "named 30 of 30 parts"} <= set(caplog.messages)
