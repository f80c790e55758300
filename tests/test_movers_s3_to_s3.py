"""Copies from bucket to bucket that the S3 makes by itself, on two servers: moto tells the checksum of what CopyObject made, SeaweedFS that of
each part. What an S3 does not tell is streamed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from portal.movers import pulling
from portal.movers.copying import APART, one_service
from portal.stores.base import Store
from portal.wire.ends import Access
from tests.moved import Trip
from tests.proxy import Proxy, Rule, Upstream, asks, faults
from tests.servers import ADLS_ACCOUNT, ADLS_KEY, Server
from tests.transferring import Clouds, get, keys, put
from tests.weed import KEYS

PART = 5 << 20
SMALL, LARGE = random.Random(5).randbytes(5_000), random.Random(6).randbytes(2 * PART + 5)
OBJECTS = {"a/sm+all é": SMALL, "large": LARGE, "empty": b""}
SMALL_KEY, *_ = OBJECTS
COPY, COPY_PART = asks("PUT", "sm.*all[^?]*$", "x-amz-copy-source"), asks("PUT", "partNumber", "x-amz-copy-source")
UNTOLD = "streamed: the service did not tell the checksum of what it copied"


class Wire:
    """Two buckets of one S3 behind a proxy."""

    def __init__(self, clouds: Clouds, proxy: Proxy) -> None:
        self.clouds, self.proxy = clouds, proxy
        self.client: Any = clouds.s3.client  # type: ignore[attr-defined]
        self.client.create_bucket(Bucket=f"{clouds.name}-to")
        self.source, self.target = clouds.s3, self.trip().target.store

    def trip(self, **route: Any) -> Trip:
        return Trip(self.clouds, f"{self.clouds.bucket}/", f"{self.clouds.bucket}-to/", **{"mode": "auto", "block_bytes": PART, **route})

    def fill(self, algorithm: str = "CRC64NVME", **about: Any) -> None:
        for key, data in OBJECTS.items():
            self.client.put_object(Bucket=self.clouds.name, Key=key, Body=data, ChecksumAlgorithm=algorithm, **about)

    def arrived(self) -> bool:
        return {key: get(self.target, key) for key in OBJECTS} == OBJECTS

    def uploads(self) -> list[Any]:
        found: list[Any] = self.client.list_multipart_uploads(Bucket=f"{self.clouds.name}-to").get("Uploads", [])
        return found


@pytest.fixture(autouse=True)
def quick(hasty: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulling, "BLOCK_BYTES", PART)


def wired(home: Path, url: str, access_key: str, secret: str, adls_server: Server, name: str) -> Iterator[Wire]:
    with Proxy(Upstream.of(url)) as proxy:
        (home / ".env").write_text(
            f"AWS_ENDPOINT_URL={proxy.url}\nAWS_ACCESS_KEY_ID={access_key}\nAWS_SECRET_ACCESS_KEY={secret}\nAZURE_STORAGE_ACCOUNT={ADLS_ACCOUNT}\n"
            f"AZURE_STORAGE_KEY={ADLS_KEY}\nAZURE_STORAGE_ENDPOINT={adls_server.url}/{ADLS_ACCOUNT}\n"
        )
        clouds = Clouds(home, name)
        yield Wire(clouds, proxy)
        clouds.close()


@pytest.fixture
def moto(home: Path, s3_server: Server, adls_server: Server, unique: str) -> Iterator[Wire]:
    yield from wired(home, s3_server.url, "testing", "testing-secret", adls_server, unique)


@pytest.fixture
def weed(home: Path, strict_s3: str, adls_server: Server, unique: str) -> Iterator[Wire]:
    yield from wired(home, strict_s3, KEYS["access_key_id"], KEYS["secret_access_key"], adls_server, unique)


@pytest.mark.parametrize(("server", "copied", "streamed"), [("moto", SMALL_KEY, "large"), ("weed", "large", SMALL_KEY)])
def test_what_the_service_proves_does_not_pass_this_machine(request: pytest.FixtureRequest, server: str, copied: str, streamed: str) -> None:
    wire: Wire = request.getfixturevalue(server)
    wire.fill(ContentType="text/x-mine", Metadata={"who": "me"}, Tagging="team=blue")
    moved = wire.trip().run()
    assert moved.books.outcomes == {"copied": 3}, moved.books.failures
    row = moved.rows[copied]
    assert (row["mode"], row["proof"], row["bytes_through"]) == ("server", "end-to-end", 0)
    assert row["source_checksum"] == f"crc64nvme:{row['crc64nvme']}"
    assert (moved.rows[streamed]["mode"], moved.rows[streamed]["reason"]) == ("stream", UNTOLD)
    assert wire.arrived() and wire.uploads() == []
    for key in (copied, streamed):
        found = wire.target.stat(key)
        assert found.content_type == "text/x-mine" and found.metadata["who"] == "me"
        assert found.metadata["source_etag"] == wire.source.stat(key).etag and "portal_copy" in found.metadata
        tags = wire.client.get_object_tagging(Bucket=f"{wire.clouds.name}-to", Key=key)["TagSet"]
        assert tags == [{"Key": "team", "Value": "blue"}]


@pytest.mark.parametrize(("server", "copied", "refused"), [("moto", SMALL_KEY, "large"), ("weed", "large", SMALL_KEY)])
def test_server_alone_fails_what_the_service_does_not_prove(request: pytest.FixtureRequest, server: str, copied: str, refused: str) -> None:
    wire: Wire = request.getfixturevalue(server)
    wire.fill()
    moved = wire.trip(mode="server").run()
    assert (moved.rows[copied]["outcome"], moved.rows[refused]["outcome"]) == ("copied", "failed")
    assert "did not tell the checksum" in moved.rows[refused]["reason"]
    assert keys(wire.target) == sorted([copied, "empty"]) and wire.uploads() == [], "nothing unproven stays"


def test_a_large_object_is_copied_by_blocks_and_read_back_when_that_is_asked_for(weed: Wire) -> None:
    weed.fill()
    moved = weed.trip(verify="crc").run()
    assert (moved.rows["large"]["proof"], moved.rows["large"]["mode"]) == ("read-back", "server")
    assert weed.proxy.count("PUT", "partNumber") == 3 and get(weed.target, "large") == LARGE


def test_a_small_object_is_copied_by_one_request_and_read_back_when_that_is_asked_for(moto: Wire) -> None:
    moto.fill()
    before = moto.proxy.count("PUT", f"{moto.clouds.name}-to/a")
    moved = moto.trip(verify="crc").run()
    assert (moved.rows[SMALL_KEY]["proof"], moved.rows[SMALL_KEY]["mode"]) == ("read-back", "server")
    assert moto.proxy.count("PUT", f"{moto.clouds.name}-to/a") == before + 1


def change(store: Store, key: str) -> None:
    put(store, key, OBJECTS[key][::-1])


@pytest.mark.parametrize(
    ("server", "key", "rule", "algorithm"),
    [("moto", SMALL_KEY, COPY, "CRC64NVME"), ("moto", SMALL_KEY, COPY, "CRC32"), ("weed", "large", COPY_PART, "CRC64NVME")],
)
def test_a_source_that_changes_on_the_way_leaves_nothing(request: pytest.FixtureRequest, server: str, key: str, rule: Any, algorithm: str) -> None:
    wire: Wire = request.getfixturevalue(server)
    wire.fill(algorithm)
    going = wire.trip(accept_size=algorithm == "CRC32")
    wire.proxy.rules = [Rule(faults.before(lambda: change(wire.source, key)), rule, times=1)]
    moved = going.run()
    wire.proxy.rules = []
    assert (moved.rows[key]["outcome"], moved.rows[key]["cause"]) == ("failed", "source-changed"), moved.rows[key]
    assert key not in keys(wire.target) and wire.uploads() == []


def test_what_stores_no_crc64nvme_is_streamed_unless_its_size_is_enough(moto: Wire) -> None:
    moto.fill("SHA256")
    assert moto.trip().run().rows[SMALL_KEY]["reason"] == "streamed: the source stores no CRC64NVME"
    moto.target.delete(SMALL_KEY)
    row = moto.trip(accept_size=True, overwrite="skip").run().rows[SMALL_KEY]
    assert (row["proof"], row["mode"], row["bytes_through"]) == ("size", "server", 0)


@pytest.mark.parametrize(("server", "key", "rule"), [("moto", SMALL_KEY, COPY), ("weed", "large", COPY_PART)])
def test_a_copy_that_is_not_allowed_is_streamed_or_fails_with_its_cause(request: pytest.FixtureRequest, server: str, key: str, rule: Any) -> None:
    wire: Wire = request.getfixturevalue(server)
    wire.fill()
    wire.proxy.rules = [Rule(faults.answer(403, "AccessDenied"), rule, times=-1)]
    failed = wire.trip(mode="server").run().rows[key]
    assert (failed["outcome"], failed["cause"]) == ("failed", "access-denied") and wire.uploads() == []
    row = wire.trip().run().rows[key]
    assert (row["mode"], row["proof"]) == ("stream", "end-to-end") and row["reason"].startswith("streamed: Copying ")
    assert "not allowed" in row["reason"] and get(wire.target, key) == OBJECTS[key] and wire.uploads() == []


def test_a_lost_answer_leaves_no_copy_that_nobody_compared(moto: Wire) -> None:
    moto.fill()
    moto.proxy.rules = [Rule(faults.lose_answer(), COPY, times=1)]
    row = moto.trip().run().rows[SMALL_KEY]
    assert (row["mode"], row["proof"]) == ("server", "end-to-end") and get(moto.target, SMALL_KEY) == SMALL


def test_other_keys_stream_and_say_so(moto: Wire) -> None:
    moto.fill()
    for mode, outcome in (("server", "failed"), ("auto", "copied")):
        going = moto.trip(mode=mode)
        other = partial(replace, going.target.access(), keys=("other", "other-secret", ""))
        going.route = replace(going.route, target=replace(going.target, access=other))
        moved = going.run()
        assert {moved.rows[key]["outcome"] for key in (SMALL_KEY, "large")} == {outcome}
    assert {moved.rows[key]["reason"] for key in (SMALL_KEY, "large")} == {APART}
    assert moved.books.modes == {"stream": 3} and moto.arrived()


def test_a_dry_run_knows_that_s3_copies_by_itself(moto: Wire) -> None:
    moto.fill()
    told = {}
    for mode in ("auto", "stream"):
        job = moto.clouds.context(dry_run=True)
        ran = moto.clouds.migrate(job, source=f"{moto.clouds.bucket}/", target=f"{moto.clouds.bucket}-to/", formats=["any"], mode=mode)
        told[mode] = ran.result["report"]["dry_run"]
    lines = {mode: {line["what"]: line["count"] for line in found["cost"]["lines"]} for mode, found in told.items()}
    assert "S3 GET" not in lines["auto"] and (lines["auto"]["S3 HEAD"], lines["auto"]["S3 PUT"]) == (3, 6)
    assert (lines["stream"]["S3 GET"], lines["stream"]["S3 PUT"]) == (4, 6)
    assert [any("copied by S3 itself" in line for line in told[mode]["assumptions"]) for mode in told] == [True, False]


AWS = Access("s3", "one", host="one.s3.eu-west-1.amazonaws.com", region="eu-west-1", keys=("id", "secret", ""))


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"container": "two", "host": "two.s3.eu-west-1.amazonaws.com"}, True),
        ({"container": "t.wo", "host": "s3.eu-west-1.amazonaws.com", "path_style": True}, True),
        ({"container": "two", "host": "two.s3.eu-west-2.amazonaws.com", "region": "eu-west-2"}, False),
        ({"keys": ("id", "secret", "token")}, False),
        ({"port": 444}, False),
        ({"scheme": "http"}, False),
        ({"base_path": "/other"}, False),
        ({"kind": "blob"}, False),
    ],
)
def test_one_service_has_one_address_and_one_pair_of_keys(changes: dict[str, Any], same: bool) -> None:
    assert one_service(AWS, replace(AWS, **changes)) is same
