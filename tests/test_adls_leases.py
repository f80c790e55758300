"""Leases on the ADLS server: who may change what, for how long, and what clients are told."""

from __future__ import annotations

import base64
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError
from azure.storage.blob import BlobLeaseClient, BlobServiceClient
from azure.storage.filedatalake import DataLakeLeaseClient, DataLakeServiceClient
from hypothesis import given
from hypothesis import strategies as st

from embedded.adls import leases, leasing
from embedded.adls.errors import StorageError
from embedded.adls.leases import Lease
from embedded.adls.server import Server as AdlsServer
from tests.adls_client import Answer, RawClient
from tests.servers import ADLS_ACCOUNT, ADLS_KEY, Server

MINE, OTHER = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"
SECOND = 1_000_000_000


@pytest.fixture
def client(adls_server: Server) -> Iterator[RawClient]:
    with RawClient(adls_server) as made:
        yield made


@pytest.fixture
def box(client: RawClient, unique: str) -> str:
    return "/" + client.container(unique)


@pytest.fixture
def moment(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The time that `patched` goes by, in nanoseconds since 1970."""
    held = [10**18]
    monkeypatch.setattr(leasing, "now", lambda: held[0])
    return held


@pytest.fixture
def patched(tmp_path: Path, moment: list[int]) -> Iterator[RawClient]:
    """A client of a server in this process."""
    server = AdlsServer(0, tmp_path, {ADLS_ACCOUNT: base64.b64decode(ADLS_KEY)})
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    with RawClient(Server(server.url, None)) as made:  # type: ignore[arg-type]
        yield made
    server.shutdown()
    server.server_close()
    thread.join()
    server.store.close()


def refused(answer: Answer, status: int, code: str) -> None:
    assert (answer.status, answer.code) == (status, code), answer


def put(client: RawClient, path: str, data: bytes = b"x", **headers: str) -> Answer:
    return client.send("PUT", path, body=data, x_ms_blob_type="BlockBlob", **headers)


def lease(client: RawClient, path: str, action: str, **headers: str) -> Answer:
    query = {"comp": "lease"} if path.count("/") > 1 else {"comp": "lease", "restype": "container"}
    return client.send("PUT", path, query, x_ms_lease_action=action, **{f"x_ms_{name}": value for name, value in headers.items()})


def acquire(client: RawClient, path: str, lease_id: str = MINE, duration: int = -1) -> Answer:
    return lease(client, path, "acquire", lease_duration=str(duration), proposed_lease_id=lease_id)


def state(client: RawClient, path: str) -> tuple[str, ...]:
    query = {} if path.count("/") > 1 else {"restype": "container"}
    headers = client.send("HEAD", path, query).headers
    return tuple(headers[name] for name in ("x-ms-lease-status", "x-ms-lease-state", "x-ms-lease-duration") if name in headers)


# The life of a lease


def test_a_lease_is_taken_renewed_changed_and_given_back(client: RawClient, box: str) -> None:
    tag = put(client, f"{box}/f").headers["etag"]
    assert state(client, f"{box}/f") == ("unlocked", "available")
    taken = acquire(client, f"{box}/f", duration=30)
    assert (taken.status, taken.headers["x-ms-lease-id"], taken.headers["etag"]) == (201, MINE, tag)
    assert state(client, f"{box}/f") == ("locked", "leased", "fixed")
    renewed = lease(client, f"{box}/f", "renew", lease_id=MINE)
    assert (renewed.status, renewed.headers["x-ms-lease-id"]) == (200, MINE)
    changed = lease(client, f"{box}/f", "change", lease_id=MINE, proposed_lease_id=OTHER)
    assert (changed.status, changed.headers["x-ms-lease-id"]) == (200, OTHER)
    assert lease(client, f"{box}/f", "change", lease_id=MINE, proposed_lease_id=OTHER).status == 200, "a repeated change is no error"
    refused(lease(client, f"{box}/f", "release", lease_id=MINE), 409, "LeaseIdMismatchWithLeaseOperation")
    assert lease(client, f"{box}/f", "release", lease_id=OTHER).status == 200
    assert state(client, f"{box}/f") == ("unlocked", "available") and client.send("HEAD", f"{box}/f").headers["etag"] == tag


def test_the_server_names_a_lease_nobody_named_and_only_its_holder_takes_it_again(client: RawClient, box: str) -> None:
    put(client, f"{box}/f")
    name = lease(client, f"{box}/f", "acquire", lease_duration="-1").headers["x-ms-lease-id"]
    assert str(uuid.UUID(name)) == name and state(client, f"{box}/f") == ("locked", "leased", "infinite")
    refused(acquire(client, f"{box}/f"), 409, "LeaseAlreadyPresent")
    refused(lease(client, f"{box}/f", "acquire", lease_duration="-1"), 409, "LeaseAlreadyPresent")
    assert acquire(client, f"{box}/f", name.upper(), 15).status == 201
    assert state(client, f"{box}/f") == ("locked", "leased", "fixed")


def test_breaking_a_lease(client: RawClient, box: str) -> None:
    put(client, f"{box}/f")
    refused(lease(client, f"{box}/f", "break"), 409, "LeaseNotPresentWithLeaseOperation")
    acquire(client, f"{box}/f")
    slowly = lease(client, f"{box}/f", "break", lease_break_period="60")
    assert slowly.status == 202 and 0 < int(slowly.headers["x-ms-lease-time"]) <= 60 and state(client, f"{box}/f") == ("locked", "breaking")
    refused(acquire(client, f"{box}/f"), 409, "LeaseIsBreakingAndCannotBeAcquired")
    refused(acquire(client, f"{box}/f", OTHER), 409, "LeaseAlreadyPresent")
    refused(lease(client, f"{box}/f", "change", lease_id=MINE, proposed_lease_id=OTHER), 409, "LeaseIsBreakingAndCannotBeChanged")
    refused(lease(client, f"{box}/f", "renew", lease_id=MINE), 409, "LeaseIsBrokenAndCannotBeRenewed")
    refused(put(client, f"{box}/f"), 412, "LeaseIdMissing")
    assert put(client, f"{box}/f", x_ms_lease_id=MINE).status == 201
    assert lease(client, f"{box}/f", "break", lease_break_period="0").headers["x-ms-lease-time"] == "0"
    assert state(client, f"{box}/f") == ("unlocked", "broken")
    refused(put(client, f"{box}/f", x_ms_lease_id=MINE), 412, "LeaseLost")
    assert put(client, f"{box}/f").status == 201 and state(client, f"{box}/f") == ("unlocked", "available")


def test_a_lease_runs_out(patched: RawClient, moment: list[int]) -> None:
    patched.container("runs-out")
    put(patched, "/runs-out/f")
    acquire(patched, "/runs-out/f", duration=15)
    moment[0] += 15 * SECOND - 1
    refused(put(patched, "/runs-out/f"), 412, "LeaseIdMissing")
    moment[0] += 1
    assert state(patched, "/runs-out/f") == ("unlocked", "expired")
    refused(put(patched, "/runs-out/f", x_ms_lease_id=MINE), 412, "LeaseLost")
    assert lease(patched, "/runs-out/f", "renew", lease_id=MINE).status == 200 and state(patched, "/runs-out/f") == ("locked", "leased", "fixed")
    moment[0] += 15 * SECOND
    refused(put(patched, "/runs-out/f", If_None_Match="*"), 409, "BlobAlreadyExists")
    refused(put(patched, "/runs-out/f", Content_MD5=base64.b64encode(bytes(16)).decode()), 400, "Md5Mismatch")
    assert state(patched, "/runs-out/f") == ("unlocked", "expired")
    assert put(patched, "/runs-out/f").status == 201 and state(patched, "/runs-out/f") == ("unlocked", "available")
    refused(lease(patched, "/runs-out/f", "renew", lease_id=MINE), 409, "LeaseIdMismatchWithLeaseOperation")


def test_a_break_waits_for_the_rest_of_the_lease_or_its_period(patched: RawClient, moment: list[int]) -> None:
    patched.container("breaks")
    for name, period, seconds in (("a", {}, 50), ("b", {"lease_break_period": "20"}, 20), ("c", {"lease_break_period": "60"}, 50)):
        put(patched, f"/breaks/{name}")
        acquire(patched, f"/breaks/{name}", duration=60)
        moment[0] += 10 * SECOND + 1
        assert lease(patched, f"/breaks/{name}", "break", **period).headers["x-ms-lease-time"] == str(seconds)
        moment[0] += seconds * SECOND - 2
        assert state(patched, f"/breaks/{name}") == ("locked", "breaking")
        moment[0] += 2
        assert state(patched, f"/breaks/{name}") == ("unlocked", "broken")
    assert acquire(patched, "/breaks/a", OTHER).status == 201


@pytest.mark.parametrize("headers", [
    {}, {"lease_duration": "14"}, {"lease_duration": "61"}, {"lease_duration": "-2"}, {"lease_duration": "x"}, {"lease_duration": "0"},
    {"lease_duration": "15", "proposed_lease_id": "no"},
])  # fmt: skip
def test_what_an_acquire_cannot_say(client: RawClient, box: str, headers: dict[str, str]) -> None:
    put(client, f"{box}/f")
    refused(lease(client, f"{box}/f", "acquire", **headers), 400, "InvalidHeaderValue" if headers else "MissingRequiredHeader")
    assert state(client, f"{box}/f") == ("unlocked", "available")


def test_what_other_actions_cannot_say(client: RawClient, box: str) -> None:
    put(client, f"{box}/f")
    acquire(client, f"{box}/f")
    refused(lease(client, f"{box}/f", "steal", lease_id=MINE), 400, "InvalidHeaderValue")
    refused(lease(client, f"{box}/f", "break", lease_break_period="61"), 400, "InvalidHeaderValue")
    refused(lease(client, f"{box}/f", "renew"), 400, "MissingRequiredHeader")
    refused(lease(client, f"{box}/f", "change", lease_id=MINE), 400, "MissingRequiredHeader")
    refused(lease(client, f"{box}/none", "acquire", lease_duration="15"), 404, "BlobNotFound")
    refused(
        client.send("PUT", f"{box}/f", {"comp": "lease"}, x_ms_lease_action="release", x_ms_lease_id=MINE, If_Match='"0x1"'), 412, "ConditionNotMet"
    )


# What a lease locks

WRITES: dict[str, Callable[[RawClient, str, dict[str, str]], Answer]] = {
    "put blob": lambda c, p, h: put(c, p, b"new", **h),
    "metadata": lambda c, p, h: c.send("PUT", p, {"comp": "metadata"}, x_ms_meta_a="b", **h),
    "properties": lambda c, p, h: c.send("PUT", p, {"comp": "properties"}, x_ms_blob_content_type="a/b", **h),
    "put block": lambda c, p, h: c.send("PUT", p, {"comp": "block", "blockid": "MQ=="}, b"b", **h),
    "put block list": lambda c, p, h: c.send("PUT", p, {"comp": "blocklist"}, b"<BlockList></BlockList>", **h),
    "delete": lambda c, p, h: c.send("DELETE", p, **h),
    "copy": lambda c, p, h: c.send("PUT", p, x_ms_copy_source=f"{p.rpartition('/')[0]}/source", **h),
    "put blob from url": lambda c, p, h: c.send("PUT", p, x_ms_blob_type="BlockBlob", x_ms_copy_source="http://127.0.0.1:1/", **h),
    "put block from url": lambda c, p, h: c.send("PUT", p, {"comp": "block", "blockid": "MQ=="}, x_ms_copy_source="http://127.0.0.1:1/", **h),
    "dfs create": lambda c, p, h: c.send("PUT", p, {"resource": "file"}, **h),
    "dfs append": lambda c, p, h: c.send("PATCH", p, {"action": "append", "position": 4}, b"more", **h),
    "dfs flush": lambda c, p, h: c.send("PATCH", p, {"action": "flush", "position": 4}, **h),
    "dfs properties": lambda c, p, h: c.send("PATCH", p, {"action": "setProperties"}, x_ms_properties="a=Yg==", **h),
    "dfs delete": lambda c, p, h: c.send("DELETE", p, User_Agent="azsdk-storage-dfs", **h),
    "rename onto": lambda c, p, h: c.send("PUT", p, {"mode": "legacy"}, x_ms_rename_source=f"{p.rpartition('/')[0]}/source", **h),
}  # fmt: skip


@pytest.mark.parametrize("name", WRITES)
def test_a_leased_file_changes_only_for_who_has_the_lease(client: RawClient, box: str, name: str) -> None:
    client.write(f"{box}/f", b"data")
    client.write(f"{box}/source", b"other")
    run = WRITES[name]
    refused(run(client, f"{box}/f", {"x_ms_lease_id": MINE}), 412, "LeaseNotPresentWithBlobOperation")
    acquire(client, f"{box}/f")
    before = client.send("GET", f"{box}/f")
    refused(run(client, f"{box}/f", {}), 412, "LeaseIdMissing")
    refused(run(client, f"{box}/f", {"x_ms_lease_id": OTHER}), 412, "LeaseIdMismatchWithBlobOperation")
    after = client.send("GET", f"{box}/f")
    assert (after.body, after.headers["etag"]) == (before.body, before.headers["etag"])
    assert client.send("GET", f"{box}/f", {"comp": "blocklist", "blocklisttype": "uncommitted"}).xml().find(".//Block") is None
    answer = run(client, f"{box}/f", {"x_ms_lease_id": MINE})
    assert answer.status < 300 or answer.code == "CannotVerifyCopySource", answer
    if "delete" not in name and name != "rename onto":
        assert state(client, f"{box}/f") == ("locked", "leased", "infinite")


def test_a_source_of_a_rename_may_be_leased(client: RawClient, box: str) -> None:
    put(client, f"{box}/f", b"data")
    acquire(client, f"{box}/f")
    refused(client.send("PUT", f"{box}/g", {"mode": "legacy"}, x_ms_rename_source=f"{box}/f"), 412, "LeaseIdMissing")
    refused(client.send("PUT", f"{box}/g", {"mode": "legacy"}, x_ms_rename_source=f"{box}/f", x_ms_lease_id=MINE), 412, "LeaseIdMissing")
    moved = client.send("PUT", f"{box}/g", {"mode": "legacy"}, x_ms_rename_source=f"{box}/f", x_ms_source_lease_id=MINE)
    assert moved.status == 201 and client.send("GET", f"{box}/g").body == b"data" and state(client, f"{box}/g")[1] == "available"


def test_a_folder_with_a_leased_file_stays(client: RawClient, box: str) -> None:
    put(client, f"{box}/d/e/f")
    acquire(client, f"{box}/d/e/f")
    refused(client.send("DELETE", f"{box}/d", {"recursive": "true"}), 412, "LeaseIdMissing")
    refused(client.send("PUT", f"{box}/g", {"mode": "legacy"}, x_ms_rename_source=f"{box}/d"), 412, "LeaseIdMissing")
    lease(client, f"{box}/d/e/f", "release", lease_id=MINE)
    assert client.send("DELETE", f"{box}/d", {"recursive": "true"}).status == 200


def test_reading_needs_no_lease_but_not_a_wrong_one_either(client: RawClient, box: str) -> None:
    put(client, f"{box}/f", b"data")
    for method in ("GET", "HEAD"):
        refused_now = client.send(method, f"{box}/f", x_ms_lease_id=MINE)
        assert (refused_now.status, refused_now.headers["x-ms-error-code"]) == (412, "LeaseNotPresentWithBlobOperation")
    acquire(client, f"{box}/f")
    assert client.send("GET", f"{box}/f").body == client.send("GET", f"{box}/f", x_ms_lease_id=MINE).body == b"data"
    refused(client.send("GET", f"{box}/f", x_ms_lease_id=OTHER), 412, "LeaseIdMismatchWithBlobOperation")
    refused(client.send("GET", f"{box}/f", x_ms_lease_id="no"), 400, "InvalidHeaderValue")
    assert client.send("HEAD", f"{box}/f", {"action": "getStatus"}).headers["x-ms-lease-state"] == "leased"
    assert client.send("HEAD", f"{box}/f", {"action": "getStatus"}, x_ms_lease_id=OTHER).status == 412
    assert client.send("PUT", f"{box}/f", {"comp": "tier"}, x_ms_access_tier="Cool").status == 200


def test_a_leased_container_stays_but_its_files_change(client: RawClient, box: str) -> None:
    assert acquire(client, box).status == 201 and state(client, box) == ("locked", "leased", "infinite")
    refused(client.send("DELETE", box, {"restype": "container"}), 412, "LeaseIdMissing")
    refused(client.send("DELETE", box, {"restype": "container"}, x_ms_lease_id=OTHER), 412, "LeaseIdMismatchWithContainerOperation")
    refused(client.send("PUT", box, {"restype": "container", "comp": "metadata"}, x_ms_lease_id=OTHER), 412, "LeaseIdMismatchWithContainerOperation")
    assert put(client, f"{box}/f").status == 201 and state(client, f"{box}/f") == ("unlocked", "available")
    listed = client.send("GET", "/", {"comp": "list", "prefix": box[1:]}).xml().find(".//Container/Properties")
    assert listed is not None and [listed.findtext(f"Lease{name}") for name in ("Status", "State", "Duration")] == ["locked", "leased", "infinite"]
    assert client.send("DELETE", box, {"restype": "container"}, x_ms_lease_id=MINE).status == 202
    client.container(box[1:])
    assert state(client, box) == ("unlocked", "available")


def test_listings_tell_of_leases(client: RawClient, box: str) -> None:
    for name in ("a", "b", "c"):
        put(client, f"{box}/{name}")
    acquire(client, f"{box}/b", duration=60)
    acquire(client, f"{box}/c")
    lease(client, f"{box}/c", "break")
    found = client.send("GET", box, {"restype": "container", "comp": "list"}).xml().iter("Properties")
    told = [tuple(item.findtext(f"Lease{name}") for name in ("Status", "State", "Duration")) for item in found]
    assert told == [("unlocked", "available", None), ("locked", "leased", "fixed"), ("unlocked", "broken", None)]


def test_a_deleted_file_takes_its_lease_with_it(client: RawClient, box: str) -> None:
    put(client, f"{box}/d/f")
    acquire(client, f"{box}/d/f")
    client.send("DELETE", f"{box}/d/f", x_ms_lease_id=MINE)
    put(client, f"{box}/d/g")
    put(client, f"{box}/d/f")
    assert state(client, f"{box}/d/f") == state(client, f"{box}/d/g") == ("unlocked", "available")


# The dfs endpoint's own ways


def test_the_dfs_endpoint_leases_by_post(client: RawClient, box: str) -> None:
    client.write(f"{box}/f", b"data")
    taken = client.send("POST", f"{box}/f", x_ms_lease_action="acquire", x_ms_lease_duration="-1", x_ms_proposed_lease_id=MINE)
    assert (taken.status, taken.headers["x-ms-lease-id"]) == (201, MINE)
    refused(client.send("POST", f"{box}/f", x_ms_lease_action="release", x_ms_lease_id=OTHER), 409, "LeaseIdMismatchWithLeaseOperation")
    assert client.send("POST", f"{box}/f", x_ms_lease_action="release", x_ms_lease_id=MINE).status == 200


def test_an_append_or_flush_may_take_renew_and_give_back_a_lease(patched: RawClient, moment: list[int]) -> None:
    patched.container("appends")
    path, new = "/appends/f", {"x_ms_proposed_lease_id": MINE, "x_ms_lease_duration": "15"}
    patched.send("PUT", path, {"resource": "file"})
    append = lambda position, **h: patched.send("PATCH", path, {"action": "append", "position": position}, b"abc", **h)  # noqa: E731
    flush = lambda position, **h: patched.send("PATCH", path, {"action": "flush", "position": position}, **h)  # noqa: E731
    refused(append(0, x_ms_lease_action="acquire"), 400, "MissingRequiredHeader")
    refused(append(0, x_ms_lease_action="break"), 400, "InvalidHeaderValue")
    assert append(0, x_ms_lease_action="acquire", **new).status == 202 and state(patched, path)[1] == "leased"
    refused(append(3), 412, "LeaseIdMissing")
    moment[0] += 14 * SECOND
    assert append(3, x_ms_lease_action="auto-renew", x_ms_lease_id=MINE).status == 202
    moment[0] += 14 * SECOND
    assert state(patched, path)[1] == "leased"
    assert flush(6, x_ms_lease_action="release", x_ms_lease_id=MINE).status == 200 and state(patched, path)[1] == "available"
    append(6)
    assert flush(9, x_ms_lease_action="acquire-release", **new).status == 200 and state(patched, path)[1] == "available"
    assert patched.send("GET", path).body == b"abc" * 3


# The SDKs


def test_the_sdks_lease_clients(adls_server: Server, unique: str) -> None:
    url = f"{adls_server.url}/{ADLS_ACCOUNT}"
    with BlobServiceClient(url, credential=ADLS_KEY, retry_total=0) as service:
        container = service.create_container(unique)
        blob = container.upload_blob("f", b"data")
        held = BlobLeaseClient(blob)
        held.acquire(lease_duration=15)
        assert blob.get_blob_properties().lease.state == "leased" and [item.lease.status for item in container.list_blobs()] == ["locked"]
        with pytest.raises(HttpResponseError, match="LeaseIdMissing"):
            blob.upload_blob(b"other", overwrite=True)
        with pytest.raises(ResourceExistsError, match="LeaseAlreadyPresent"):
            BlobLeaseClient(blob).acquire()
        blob.upload_blob(b"new", overwrite=True, lease=held)
        held.renew()
        held.change(MINE)
        assert held.id == MINE
        held.release()
        held = BlobLeaseClient(container)
        held.acquire()
        with pytest.raises(HttpResponseError, match="LeaseIdMissing"):
            container.delete_container()
        assert held.break_lease() == 0
    with DataLakeServiceClient(url, credential=ADLS_KEY, retry_total=0) as lake:
        file = lake.get_file_client(unique, "d/g")
        file.upload_data(b"abc", overwrite=True)
        lease = DataLakeLeaseClient(file)
        lease.acquire()
        with pytest.raises(HttpResponseError, match="LeaseIdMissing"):
            file.upload_data(b"other", overwrite=True)
        with pytest.raises(HttpResponseError, match="LeaseIdMissing"):
            file.delete_file()
        file.upload_data(b"other", overwrite=True, lease=lease)
        assert file.get_file_properties().lease.state == "leased" and file.download_file().readall() == b"other"
        assert lease.break_lease(10) in (9, 10)
        file.delete_file(lease=lease)


# The rules themselves

STEPS = st.lists(st.tuples(
    st.sampled_from(("acquire", "renew", "change", "release", "break", "write")), st.sampled_from((MINE, OTHER)), st.sampled_from((MINE, OTHER)),
    st.sampled_from((leases.INFINITE, 15, 60)), st.sampled_from((None, 0, 5, 60)), st.integers(0, 70),
), max_size=12)  # fmt: skip


def after(held: Lease | None, step: tuple[Any, ...], now: int) -> Lease | None:
    action, given_id, wanted, duration, period, _ = step
    if action == "acquire":
        return leases.acquire(held, wanted, duration, now)
    if action == "renew":
        return leases.renew(held, given_id, now)
    if action == "change":
        return leases.change(held, given_id, wanted, now)
    if action == "break":
        return leases.break_off(held, period, now)[0]
    if action == "release":
        leases.release(held, given_id)
        return None
    leases.check(held, given_id, now, "Blob")
    return held


@given(STEPS)
def test_whatever_happens_only_the_holder_of_a_lease_gets_past_it(steps: list[tuple[Any, ...]]) -> None:
    now, held = 10**18, None
    for step in steps:
        now += step[-1] * SECOND
        before = held
        try:
            held = after(held, step, now)
        except StorageError:
            continue
        if before and before.active(now):
            own = before.id in step[1:3]
            assert own or step[0] == "break"
            assert held is None or held.id == before.id or step[0] == "change"
        if step[0] == "break" and held:
            latest = min([now + 60 * SECOND, *((before.ends,) if before and before.ends > now else ())])
            assert not held.active(latest) and not (before and not before.active(now) and held.active(now))
        if step[0] == "write":
            assert before and before.active(now) and before.id == step[1]
