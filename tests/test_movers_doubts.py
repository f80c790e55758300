"""When in doubt: nothing is overwritten and nothing is called proven on a guess. The object is moved again, or fails with its cause."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from portal.context import JobContext
from portal.errors import SourceRefused, Throttled, Unreachable
from portal.ledger.journal import JournalState
from portal.movers import pool
from portal.planning import plan
from portal.wire.azure_errors import source_error
from tests.proxy import Fault, Proxy, Rule, asks, faults
from tests.proxy.messages import Message
from tests.transferring import Clouds, Ran, get, keys, put, then

CSV = b"a\n1\n"


pytestmark = pytest.mark.usefixtures("hasty")


def silent(*names: str) -> Fault:
    """The answer does not have these headers."""

    def answer(told: Message) -> Message:
        return replace(told, headers=[(name, text) for name, text in told.headers if name.lower() not in names])

    return Fault(f"no {names[0]}", answer=answer)


def again(job: JobContext, clouds: Clouds) -> JobContext:
    return JobContext(job.job_id, job.folder, clouds.config, attempt=2)


def killed_before_anything_moved(clouds: Clouds, monkeypatch: pytest.MonkeyPatch, **params: Any) -> JobContext:
    """The journal says that everything was begun, and then the attempt dies."""
    job = clouds.context()

    def die(self: pool.Pool, work: Any) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(pool.Pool, "put", die)
        assert clouds.migrate(job, **params).code == 1
    return job


def folder(clouds: Clouds, name: str, **files: bytes) -> Path:
    path = clouds.home / "data" / name
    path.mkdir()
    for file, data in files.items():
        (path / file).write_bytes(data)
    return path


def levels(ran: Ran) -> dict[str, str]:
    return {row["source_key"].rpartition("/")[2]: row["proof"] for row in ran.table}


# whose object it is


def test_a_retry_leaves_the_copy_of_another_job_alone(clouds: Clouds, monkeypatch: pytest.MonkeyPatch) -> None:
    put(clouds.s3, "a.csv", CSV)
    put(clouds.s3, "b.csv", CSV)
    then(monkeypatch, lambda: put(clouds.adls, "a.csv", b"theirs"))
    first = clouds.migrate()
    assert first.rows["a.csv"]["cause"] == "exists"
    clouds.adls.delete("a.csv")
    assert clouds.migrate(keys=["a.csv"]).code == 0, "another job copies it"
    put(clouds.s3, "a.csv", b"a\n2\n")
    ran = clouds.migrate(clouds.context(retry_of=first.job.job_id))
    assert ran.rows["a.csv"]["cause"] == "exists" and get(clouds.adls, "a.csv") == CSV


def test_a_retry_writes_over_what_the_retried_job_left_over_several_generations(clouds: Clouds, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("killed before it began anything")

    put(clouds.s3, "a.csv", CSV)
    first = clouds.context()
    assert clouds.migrate(first).code == 0
    journal = first.folder / "journal.ndjson"
    journal.write_text("".join(line for line in journal.read_text().splitlines(True) if '"begin"' in line))
    put(clouds.s3, "a.csv", b"a\n2\n")
    second = clouds.context(retry_of=first.job_id)
    then(monkeypatch, fail)
    assert clouds.migrate(second).code == 1
    monkeypatch.undo()
    third = clouds.context(retry_of=second.job_id)
    assert clouds.migrate(third).counts == {"listed": 1, "copied": 1}
    assert get(clouds.adls, "a.csv") == b"a\n2\n"
    assert [entry.ours for entry in plan.read(third.folder / "plan.ndjson")] == [f"{first.job_id}.0"]


def test_a_conversion_writes_over_its_own_target_and_over_nobody_elses(clouds: Clouds) -> None:
    for key in ("a.csv", "b.csv"):
        put(clouds.s3, key, CSV)
    job = clouds.context()
    assert clouds.migrate(job, convert="parquet").code == 0
    mine = get(clouds.adls, "a.parquet")
    journal = job.folder / "journal.ndjson"
    journal.write_text("".join(line for line in journal.read_text().splitlines(True) if '"begin"' in line))
    put(clouds.adls, "b.parquet", b"theirs")
    ran = clouds.migrate(again(job, clouds), convert="parquet")
    assert ran.rows["a.csv"]["outcome"] == "converted" and get(clouds.adls, "a.parquet") == mine
    assert ran.rows["b.csv"]["cause"] == "exists" and get(clouds.adls, "b.parquet") == b"theirs"
    retried = clouds.migrate(clouds.context(retry_of=job.job_id), convert="parquet")
    assert retried.rows["b.csv"]["cause"] == "exists" and get(clouds.adls, "b.parquet") == b"theirs"


def test_a_file_that_was_to_be_replaced_is_not_taken_for_the_copy(clouds: Clouds, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = folder(clouds, "from", a=b"good"), folder(clouds, "to", a=b"rott")
    moment = (source / "a").stat().st_mtime_ns // 1000 * 1000
    os.utime(target / "a", ns=(moment, moment))
    params = {"source": f"file://{source}/", "target": f"file://{target}/", "formats": ["any"], "overwrite": "replace"}
    job = killed_before_anything_moved(clouds, monkeypatch, **params)
    assert clouds.migrate(again(job, clouds), **params).counts == {"listed": 1, "copied": 1}
    assert (target / "a").read_bytes() == b"good"


@pytest.mark.parametrize("policy", ["different", "newer", "checksum", "replace", "mirror"])
def test_what_was_cut_off_goes_on_by_its_policy(clouds: Clouds, monkeypatch: pytest.MonkeyPatch, policy: str) -> None:
    put(clouds.adls, "a.csv", b"old old\n")
    put(clouds.s3, "a.csv", b"new\n")
    params: dict[str, Any] = {"mirror": True} if policy == "mirror" else {"overwrite": policy}
    job = killed_before_anything_moved(clouds, monkeypatch, **params)
    assert clouds.migrate(again(job, clouds), **params).counts == {"listed": 1, "copied": 1}
    assert get(clouds.adls, "a.csv") == b"new\n"


# what was proven


def other_crc(told: Message) -> Message:
    headers = [(name, text) for name, text in told.headers if name.lower() != "x-amz-checksum-crc64nvme"]
    return replace(told, headers=[*headers, ("x-amz-checksum-crc64nvme", "AAAAAAAAAAA=")])


def other_blocks(told: Message) -> Message:
    return replace(told, body=told.body.replace(b"<Size>1024<", b"<Size>1023<"))


@pytest.mark.parametrize("target", ["s3", "adls"])
def test_what_a_store_got_wrong_and_may_not_be_deleted_is_never_taken_for_done(wires: tuple[Clouds, Proxy, Proxy], target: str) -> None:
    clouds, s3, adls = wires
    data = os.urandom(3000)
    source = folder(clouds, "from", a=data)
    params: dict[str, Any] = {"source": f"file://{source}/", "target": f"{clouds.bucket if target == 's3' else clouds.lake}/", "formats": ["any"]}
    if target == "adls":
        params["block_bytes"] = 1024
    wire, store = (s3, clouds.s3) if target == "s3" else (adls, clouds.adls)
    wrong = {"s3": Rule(Fault("another checksum", answer=other_crc), asks("PUT"), times=-1),
             "adls": Rule(Fault("another list", answer=other_blocks), asks("GET", "comp=blocklist"), times=-1)}  # fmt: skip
    wire.rules = [wrong[target], Rule(faults.answer(403, "AccessDenied"), asks("DELETE"), times=-1)]
    job = clouds.context()
    ran = clouds.migrate(job, **params)
    assert [(row["outcome"], row["cause"]) for row in ran.table] == [("failed", "proof-failed")], ran.table
    (key,) = keys(store)
    wire.rules = []
    ran = clouds.migrate(again(job, clouds), **params)
    assert [row["outcome"] for row in ran.table] == ["copied"] and get(store, key) == data
    assert ran.table[0]["bytes_through"] == len(data) and ran.table[0]["reason"] == ""


def test_a_journal_knows_what_was_cut_off_and_what_is_doubtful(tmp_path: Path) -> None:
    path = tmp_path / "journal.ndjson"
    ends = '{"end":{"n":[1,2,3],"outcome":["failed","failed","copied"],"cause":["proof-failed","exists",""]}}'
    lines = ['{"begin":[0,1,2,3]}', ends, '{"begin":[1]}']
    path.write_text("\n".join(lines) + "\n")
    state = JournalState(path, 4)
    assert [state.cut_off(n) for n in range(4)] == [True, True, False, False]
    assert [state.doubtful(n) for n in range(4)] == [False, True, False, False]
    path.write_text(path.read_text() + '{"end":{"n":[1],"outcome":"copied"}}\n')
    assert not JournalState(path, 4).doubtful(1)


@pytest.mark.parametrize("lost", [0, 1])
def test_an_s3_that_tells_no_checksum_proves_the_size_whether_or_not_an_answer_was_lost(wires: tuple[Clouds, Proxy, Proxy], lost: int) -> None:
    clouds, s3, _ = wires
    source = folder(clouds, "from", a=b"x" * 1000)
    deaf = Rule(silent("x-amz-checksum-crc64nvme"), asks("", ""), times=-1)
    s3.rules = [Rule(faults.lose_answer(), asks("PUT"), times=lost), deaf] if lost else [deaf]
    ran = clouds.migrate(source=f"file://{source}/", target=f"{clouds.bucket}/", formats=["any"])
    assert levels(ran) == {"a": "size"}


@pytest.mark.parametrize("endpoint", ["blob", "dfs"])
@pytest.mark.parametrize("lost", [0, 2])
def test_a_service_that_does_not_say_what_it_got_proves_the_size(wires: tuple[Clouds, Proxy, Proxy], endpoint: str, lost: int) -> None:
    clouds, _, adls = wires
    source = folder(clouds, "from", large=b"x" * 3000, small=b"x" * 100)
    deaf = Rule(silent("x-ms-content-crc64"), asks(""), times=-1)
    last = asks("PUT", "comp=blocklist" if endpoint == "blob" else "large")
    adls.rules = [Rule(faults.lose_answer(), last, times=lost), deaf] if lost and endpoint == "blob" else [deaf]
    ran = clouds.migrate(source=f"file://{source}/", formats=["any"], endpoint=endpoint, block_bytes=1000)
    assert levels(ran) == {"large": "size", "small": "size"}


def test_a_large_object_whose_blocks_were_told_unchecked_is_not_checked_by_its_list(wires: tuple[Clouds, Proxy, Proxy]) -> None:
    clouds, _, adls = wires
    source = folder(clouds, "from", large=b"x" * 3000)
    adls.rules = [Rule(silent("x-ms-content-crc64"), asks("PUT", "comp=block&"), times=1)]
    assert levels(clouds.migrate(source=f"file://{source}/", formats=["any"], block_bytes=1000)) == {"large": "size"}


@pytest.mark.parametrize("accept_size", [False, True])
def test_what_a_service_fetched_and_did_not_sum_is_not_proven_by_the_sources_own_checksum(
    wires: tuple[Clouds, Proxy, Proxy], accept_size: bool
) -> None:
    clouds, s3, adls = wires
    put(clouds.s3, "a.csv", b"x" * 1000)
    ignores = Fault(
        "ignores checksums", answer=silent("x-ms-content-crc64").answer,
        request=lambda sent: replace(sent, headers=[(name, text) for name, text in sent.headers if name.lower() != "x-ms-source-content-crc64"]),
    )  # fmt: skip
    s3.rules = [Rule(faults.flip_answer(5), asks("GET", "X-Amz-Signature"), times=-1)]
    adls.rules = [Rule(ignores, asks("PUT", header="x-ms-copy-source"), times=-1)]
    row = clouds.migrate(accept_size=accept_size).rows["a.csv"]
    if accept_size:
        assert (row["outcome"], row["proof"], row["mode"], row["source_checksum"]) == ("copied", "size", "server", None)
        return
    assert (row["outcome"], row["proof"], row["mode"]) == ("copied", "end-to-end", "stream")
    assert "did not tell the checksum" in row["reason"] and get(clouds.adls, "a.csv") == b"x" * 1000
    refused = clouds.migrate(mode="server", overwrite="replace").rows["a.csv"]
    assert refused["outcome"] == "failed" and "did not tell the checksum" in refused["reason"]


@pytest.mark.parametrize("mode", ["server", "auto"])
def test_a_source_that_is_busy_for_a_moment_is_fetched_from_again(wires: tuple[Clouds, Proxy, Proxy], mode: str) -> None:
    clouds, s3, _ = wires
    put(clouds.s3, "a.csv", b"x" * 1000)
    s3.rules = [Rule(faults.answer(503, "SlowDown"), asks("GET", r"/a\.csv.*X-Amz-Signature"), times=1)]
    row = clouds.migrate(mode=mode).rows["a.csv"]
    assert (row["outcome"], row["mode"], row["attempts"]) == ("copied", "server", 2), row


@pytest.mark.parametrize(
    ("status", "kind"),
    [("429", Throttled), ("503", Throttled), ("500", Unreachable), ("504", Unreachable), ("408", Unreachable), ("403", SourceRefused)],
)
def test_what_the_sources_answer_means_for_pulling(status: str, kind: type) -> None:
    class Answer:
        status, code, body, said = 409, "CannotVerifyCopySource", "", None

        def header(self, name: str) -> str:
            return status if name == "x-ms-copy-source-status-code" else ""

    assert type(source_error(Answer(), "k")) is kind  # type: ignore[arg-type]
