"""Uploads with overwrite=apart: what is at a target stays, and every file has an object of its own, whoever was first, died or came again."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from portal.context import JobContext
from portal.jobs import Status
from portal.ledger.journal import Journal
from portal.stores.base import Store
from tests.folders import Box
from tests.transferring import Clouds, get, keys, put, then
from tests.uploading import Shop, shop

__all__ = ["shop"]

OLDER, NEWER = "01M80AW0A9PF7Q4EB3NTHCZ3VP", "01M80AW0A9PF7Q4EB3NTHCZ3VQ"
LARGE = bytes(range(256)) * (9 << 12)


@pytest.fixture(params=["s3", "adls"])
def target(shop: Shop, request: pytest.FixtureRequest) -> tuple[Store, Mapping[str, Any]]:
    """A store, and what sends files there under their names."""
    s3 = request.param == "s3"
    url = shop.clouds.bucket if s3 else shop.clouds.lake
    return shop.clouds.s3 if s3 else shop.clouds.adls, {"target": f"{url}/", "template": "{filename}", "overwrite": "apart"}


def held(store: Store) -> list[bytes]:
    return sorted(get(store, key) for key in keys(store))


def own(store: Store, key: str) -> str:
    """The one key beside another."""
    (found,) = [one for one in keys(store) if one != key]
    return found


def test_files_of_one_name_in_jobs_one_after_the_other_all_have_an_object(shop: Shop, target: tuple[Store, dict[str, Any]]) -> None:
    store, params = target
    told = []
    for content in ("one", "two"):
        shop.drop("in/sales.csv.gz", content)
        ran = shop.announced(**params)
        assert (ran.code, ran.counts["copied"], ran.counts["moved"]) == (0, 1, 1)
        told.append(ran.table[0]["target_key"])
    assert {key: get(store, key) for key in keys(store)} == dict(zip(told, (b"one", b"two"), strict=True))
    assert told[0] == "sales.csv.gz" and told[1].startswith("sales~") and told[1].endswith(".csv.gz")
    assert sorted(notice.key for notice in shop.notices()) == sorted(told)
    with (ran.job.folder / "names.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["source_key"], row["target_key"]) == (f"{str(shop.folder).lstrip('/')}/in/sales.csv.gz", told[1])
    assert "sales.csv.gz is there already" in row["why"] and "is there already" in ran.table[0]["reason"]
    assert store.stat(told[1]).metadata["source_url"].endswith("/in/sales.csv.gz")


@pytest.mark.parametrize(
    ("content", "arrives", "more"), [(b"mine", b"mine", {}), ("Stück".encode("utf-16"), "Stück".encode(), {"reencode": "utf-8"})]
)  # fmt: skip
def test_who_loses_a_race_for_a_key_goes_apart(
    shop: Shop, target: tuple[Store, dict[str, Any]], content: bytes, arrives: bytes, more: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    store, params = target
    for name, data in {"a.csv": content, "big.bin": LARGE, "b.csv": b"b"}.items():
        shop.drop(name, data)
    then(monkeypatch, lambda: [put(store, key, "theirs") for key in ("a.csv", "big.bin")])
    ran = shop.announced(**params, **more)
    assert (ran.code, ran.result["outcome"], ran.counts["moved"], ran.counts.get("failed", 0)) == (0, "succeeded", 3, 0)
    told = {row["source_key"].rpartition("/")[2]: row["target_key"] for row in ran.table}
    assert (get(store, "a.csv"), get(store, "big.bin"), told["b.csv"]) == (b"theirs", b"theirs", "b.csv")
    assert (get(store, told["a.csv"]), get(store, told["big.bin"])) == (arrives, LARGE) and told["a.csv"].startswith("a~")
    assert {notice.key for notice in shop.notices()} == set(told.values()) and len(keys(store)) == 5


def test_who_loses_a_race_to_the_same_bytes_sends_nothing_more(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.drop("a.csv", "same")
    then(monkeypatch, lambda: put(shop.clouds.s3, "a.csv", "same"))
    ran = shop.announced(template="{path}", overwrite="apart")
    assert (ran.code, ran.counts) == (0, {"listed": 1, "skipped": 1, "announced": 1, "moved": 1})
    assert keys(shop.clouds.s3) == ["a.csv"]


def dies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a job end between an object that arrived and the line that says so."""
    end = Journal.end

    def ended(self: Journal, rows: Any) -> None:
        if "copied" in rows["outcome"]:
            raise MemoryError
        end(self, rows)

    monkeypatch.setattr(Journal, "end", ended)


@pytest.mark.parametrize("when", ["before the plan", "while it is written", "never"])
def test_another_attempt_finds_its_own_object_under_either_name(
    shop: Shop, target: tuple[Store, dict[str, Any]], when: str, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    store, params = target
    shop.drop("a.csv", "mine")
    job = shop.clouds.context(job_id=OLDER)
    if when == "before the plan":
        put(store, "a.csv", "theirs")
    with monkeypatch.context() as patch:
        dies(patch)
        if when == "while it is written":
            then(patch, lambda: put(store, "a.csv", "theirs"))
        assert shop.announced(job, **params).code == 1
    before = held(store)
    assert before == ([b"mine"] if when == "never" else [b"mine", b"theirs"])
    job.attempt = 2
    again = shop.announced(job, **params)
    assert (again.code, again.counts) == (0, {"listed": 1, "skipped": 1, "announced": 1, "moved": 1})
    assert held(store) == before
    assert get(store, again.table[0]["target_key"]) == b"mine" and [notice.key for notice in shop.notices()] == [again.table[0]["target_key"]]


def test_what_an_attempt_left_half_done_under_the_key_itself_is_completed_there(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.drop("a.csv", "mine")
    job = shop.clouds.context(job_id=OLDER)
    with monkeypatch.context() as patch:
        dies(patch)
        shop.upload(job, template="{path}", overwrite="apart")
    put(shop.clouds.s3, "a.csv", "min", metadata=shop.clouds.s3.stat("a.csv").metadata)
    job.attempt = 2
    assert shop.upload(job, template="{path}", overwrite="apart").counts == {"listed": 1, "copied": 1}
    assert {key: get(shop.clouds.s3, key) for key in keys(shop.clouds.s3)} == {"a.csv": b"mine"}


@pytest.fixture
def queued(shop: Shop) -> Iterator[Any]:
    """Runs a job of a watched folder, whose files are in a folder of its own."""

    def run(owner: str, job: JobContext, params: Mapping[str, Any]) -> Any:
        return shop.announced(job, **{**params, "source": f"file://{shop.folder}/{owner}/"})

    yield run


def test_an_older_job_that_comes_after_a_newer_one_replaces_nothing(shop: Shop, target: tuple[Store, dict[str, Any]], queued: Any) -> None:
    store, params = target
    shop.drop(f"{OLDER}/export.csv", "older")
    shop.drop(f"{NEWER}/export.csv", "newer")
    assert queued(NEWER, shop.clouds.context(job_id=NEWER), params).counts["moved"] == 1
    away = shop.done.rename(shop.done.with_name("away"))
    shop.done.write_text("a file where the folder should be")
    first = shop.clouds.context(job_id=OLDER)
    assert queued(OLDER, first, params).counts["stayed"] == 1
    assert held(store) == [b"newer", b"older"]
    shop.done.unlink()
    away.rename(shop.done)
    retry = queued(OLDER, shop.clouds.context(retry_of=first.folder.name), params)
    assert retry.counts == {"listed": 1, "skipped": 1, "moved": 1, "renamed": 1}, "announced twice, or sent again"
    assert (get(store, "export.csv"), get(store, own(store, "export.csv"))) == (b"newer", b"older")
    assert {notice.key for notice in shop.notices()} == set(keys(store))


def test_a_retry_of_a_retry_finds_what_the_first_job_brought(shop: Shop) -> None:
    shop.drop("a.csv", "mine")
    put(shop.clouds.s3, "a.csv", "theirs")
    job = shop.clouds.context()
    shop.upload(job, template="{path}", overwrite="apart")
    for _ in range(2):
        job = shop.clouds.context(retry_of=job.folder.name)
        assert shop.upload(job, template="{path}", overwrite="apart").counts == {"listed": 1, "skipped": 1}
    assert held(shop.clouds.s3) == [b"mine", b"theirs"]
    shop.drop("a.csv", "changed")
    assert shop.upload(shop.clouds.context(retry_of=job.folder.name), template="{path}", overwrite="apart").counts == {"listed": 1, "copied": 1}
    assert held(shop.clouds.s3) == [b"changed", b"mine", b"theirs"]


def test_a_dry_run_tells_the_key_and_a_name_without_room_fails_alone(shop: Shop) -> None:
    shop.drop("a.csv", "mine")
    long = "x/" * 400 + "n" * 224
    for key in ("a.csv", long):
        put(shop.clouds.s3, key, "theirs")
    shop.drop("n" * 224, "mine")
    params = {"template": "{path}", "overwrite": "apart"}
    dry = shop.upload(shop.clouds.context(dry_run=True), **params)
    assert any(line["target"].startswith("a~") for line in dry.result["report"]["dry_run"]["sample"])
    assert held(shop.clouds.s3) == [b"theirs", b"theirs"]
    ran = shop.upload(**{**params, "template": "x/" * 400 + "{path}"})
    assert (ran.result["outcome"], ran.counts) == ("partial", {"listed": 2, "copied": 1, "failed": 1})
    assert get(shop.clouds.s3, long) == b"theirs"


def test_batches_of_a_watched_folder_lose_nothing(clouds: Clouds) -> None:
    target = {"target": f"{clouds.bucket}/", "dataset": "sales"}
    box = Box(clouds.home, {"max_files": 1}, {"engine": "upload", "params": target})
    for name in ("in1", "in2", "in3"):
        box.drop(f"{name}/sales.csv", name)
    jobs = box.settled()
    assert [clouds.run("upload", None, **job.params).counts["moved"] for job in jobs] == [1, 1, 1]
    assert held(clouds.s3) == [b"in1", b"in2", b"in3"]
    for job in jobs:
        box.end(job, Status.SUCCEEDED)
    box.close()


@pytest.mark.parametrize(("given", "wanted"), [({}, "apart"), ({"overwrite": "replace"}, "replace")])
def test_a_watched_folder_replaces_nothing_unless_it_is_told_to(tmp_path: Path, given: dict[str, Any], wanted: str) -> None:
    box = Box(tmp_path, {}, {"engine": "upload", "params": {"target": "s3://sales/", **given}})
    box.drop("a.csv")
    (job,) = box.settled()
    assert (job.params["overwrite"], job.params["after"]) == (wanted, "move")
    box.close()
