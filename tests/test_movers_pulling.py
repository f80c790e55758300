"""Server-side copies: Azure fetches from S3 by itself, and what cannot be proven so is streamed, with the reason in the ledger."""

from __future__ import annotations

import random
from typing import Any

import pytest

from portal.movers import pulling
from tests.moved import Trip
from tests.proxy import Proxy, Rule, asks, faults
from tests.transferring import Clouds, get, keys, put

BLOCK = 1 << 18
SMALL, LARGE = random.Random(3).randbytes(5_000), random.Random(4).randbytes(3 * BLOCK + 5)
OBJECTS = {"small": SMALL, "large": LARGE, "empty": b""}
FROM_URL = asks("PUT", "comp=block&", "x-ms-copy-source")


pytestmark = pytest.mark.usefixtures("hasty")


def fill(clouds: Clouds, algorithm: str = "CRC64NVME") -> None:
    client: Any = clouds.s3.client  # type: ignore[attr-defined]
    for key, data in OBJECTS.items():
        client.put_object(Bucket=clouds.name, Key=key, Body=data, ChecksumAlgorithm=algorithm)


def trip(clouds: Clouds, **route: Any) -> Trip:
    return Trip(clouds, f"{clouds.bucket}/", f"{clouds.lake}/", **{"mode": "auto", "block_bytes": BLOCK, **route})


def arrived(clouds: Clouds) -> bool:
    return {key: get(clouds.adls, key) for key in OBJECTS} == OBJECTS


@pytest.mark.parametrize("mode", ["auto", "server"])
@pytest.mark.parametrize("versions", [False, True])
def test_no_byte_passes_and_everything_is_proven(wires: tuple[Clouds, Proxy, Proxy], mode: str, versions: bool) -> None:
    clouds, _s3, adls = wires
    client: Any = clouds.s3.client  # type: ignore[attr-defined]
    if versions:
        client.put_bucket_versioning(Bucket=clouds.name, VersioningConfiguration={"Status": "Enabled"})
    fill(clouds)
    going = trip(clouds, mode=mode)
    sent = len(adls.seen)
    moved = going.run()
    assert moved.books.outcomes == {"copied": 3}, moved.books.failures
    assert moved.books.proofs == {"end-to-end": 3} and moved.books.bytes_through == 0
    assert {key: row["mode"] for key, row in moved.rows.items()} == {"small": "server", "large": "server", "empty": "stream"}
    assert moved.rows["large"]["source_checksum"] == f"crc64nvme:{moved.rows['large']['crc64nvme']}"
    assert all(seen.sent_bytes < 2_000 for seen in adls.seen[sent:]), "payload was sent by us"
    assert arrived(clouds) and clouds.adls.stat("small").metadata["source_etag"] == clouds.s3.stat("small").etag


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA256"])
def test_what_stores_no_crc64nvme_is_streamed_with_the_reason(wires: tuple[Clouds, Proxy, Proxy], algorithm: str) -> None:
    clouds, _, _adls = wires
    fill(clouds, algorithm)
    moved = trip(clouds).run()
    assert moved.books.proofs == {"end-to-end": 3} and {row["mode"] for row in moved.rows.values()} == {"stream"}
    assert {moved.rows[key]["reason"] for key in ("small", "large")} == {"streamed: the source stores no CRC64NVME"}
    refused = trip(clouds, mode="server", overwrite="fail").run()
    assert refused.rows["small"]["outcome"] == refused.rows["large"]["outcome"] == "failed"
    assert "stores no CRC64NVME" in refused.rows["large"]["reason"] and "accept_size" in refused.rows["large"]["reason"]


def test_size_alone_is_no_proof_where_the_user_accepts_it(wires: tuple[Clouds, Proxy, Proxy]) -> None:
    clouds, s3, _ = wires
    fill(clouds, "CRC32")
    moved = trip(clouds, accept_size=True).run()
    assert moved.books.proofs == {"size": 2, "end-to-end": 1} and moved.books.bytes_through == 0
    assert s3.count("HEAD", "large") >= 2, "a source without versions is looked at before and after"
    assert arrived(clouds)


def test_a_source_without_versions_that_changes_on_the_way_is_not_committed(
    wires: tuple[Clouds, Proxy, Proxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulling, "BLOCK_BYTES", BLOCK)
    clouds, _, adls = wires
    fill(clouds, "CRC32")
    going = trip(clouds, accept_size=True)
    changed: list[object] = []
    adls.rules = [Rule(faults.before(lambda: changed.append(put(clouds.s3, "large", LARGE[::-1]))), FROM_URL, times=1, skip=2)]
    moved = going.run()
    adls.rules = []
    assert moved.rows["large"]["outcome"] == "failed" and moved.rows["large"]["cause"] == "source-changed"
    assert "large" not in keys(clouds.adls)


def test_a_service_that_cannot_reach_the_source_has_it_streamed(wires: tuple[Clouds, Proxy, Proxy]) -> None:
    clouds, _, adls = wires
    fill(clouds)
    for n in range(8):
        put(clouds.s3, f"more/{n}", b"x" * n)
    adls.rules = [Rule(faults.answer(409, "CannotVerifyCopySource"), FROM_URL, times=-1)]
    moved = trip(clouds, processes=1, concurrency=1).run()
    assert {row["mode"] for row in moved.rows.values()} == {"stream"} and moved.books.proofs["end-to-end"] == len(moved.rows)
    assert moved.rows["small"]["reason"].startswith("streamed: ") and "sig" not in moved.rows["small"]["reason"].lower()
    assert sum(rule.hits for rule in adls.rules) < len(moved.rows), "what is refused again and again is not tried any more"
    refused = trip(clouds, mode="server").run()
    assert refused.rows["large"]["outcome"] == "failed"


@pytest.mark.parametrize("key", ["small", "large"])
def test_what_the_service_fetched_wrong_is_not_committed(wires: tuple[Clouds, Proxy, Proxy], key: str) -> None:
    clouds, s3, _ = wires
    fill(clouds)
    going = trip(clouds)
    s3.rules = [Rule(faults.flip_answer(3), asks("GET", f"{key}.*X-Amz-Signature"), times=-1)]
    moved = going.run()
    s3.rules = []
    assert (moved.rows[key]["cause"], moved.retryable) == ("proof-failed", True), moved.rows[key]
    assert key not in keys(clouds.adls)
    assert going.run().rows[key]["outcome"] == "copied" and arrived(clouds)


def test_each_request_has_its_own_url_that_is_never_written_down(wires: tuple[Clouds, Proxy, Proxy], monkeypatch: pytest.MonkeyPatch) -> None:
    clouds, s3, _ = wires
    monkeypatch.setattr(pulling, "BLOCK_BYTES", BLOCK)
    fill(clouds)
    going = trip(clouds)
    going.run()
    assert s3.count("GET", "large.*X-Amz-Signature") == 4
    for path in going.folder.iterdir():
        assert b"X-Amz-Signature" not in path.read_bytes()


def test_what_was_pulled_is_read_back_when_that_is_asked_for(wires: tuple[Clouds, Proxy, Proxy]) -> None:
    clouds, _, _ = wires
    fill(clouds)
    moved = trip(clouds, verify="crc").run()
    assert moved.books.proofs == {"read-back": 3} and moved.rows["large"]["mode"] == "server"
    clouds.adls.delete("small")
    assert trip(clouds, verify="md5", overwrite="skip").run().rows["small"]["reason"] == "streamed: an MD5 was asked for"
