"""What goes wrong between an engine and real servers is got over or reported with its cause: never a wrong byte, never a hang, never books that do
not balance. Each fault strikes on the way, in a proxy; the servers behind it are real."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import pytest
from azure.storage.blob import BlobClient

from tests.faulty import BLOCK, LARGE, SMALL, Field, field
from tests.proxy import Fault, Rule, asks, faults
from tests.servers import ADLS_ACCOUNT, ADLS_KEY, Server
from tests.transferring import Ran, get, put

SIZES = {"small/a.bin": SMALL, "small/b.bin": SMALL + 1, "small/empty.bin": 0, "large.bin": LARGE}
GET_LARGE = asks("GET", r"/large\.bin")
PUT_LIST = asks("PUT", r"comp=blocklist")
OFTEN = 3
"""Times a fault strikes an object that shall be got over: fewer than any object is tried."""
SLOW = "429 with Retry-After"
"""Strikes once: each time costs the second that it asks for."""


Sized = Callable[[Mapping[str, int]], Field]


@pytest.fixture
def sized(hasty: None, home: Path, s3_server: Server, adls_server: Server, unique: str) -> Iterator[Sized]:
    with contextlib.ExitStack() as stack:
        yield lambda sizes: stack.enter_context(field(home, s3_server, adls_server, unique, sizes))


@pytest.fixture
def wild(sized: Sized) -> Field:
    return sized(SIZES)


def keys_of(told: Iterable[str]) -> dict[str, str]:
    """Return an object's key for each: one migration meets them all, each at an object of its own."""
    return {name: f"{number:02}.bin" for number, name in enumerate(told)}


PASSING: dict[str, Fault] = {
    "500": faults.answer(500, "InternalError"), "503 slow down": faults.answer(503, "SlowDown"), "503 busy": faults.answer(503, "ServerBusy"),
    SLOW: faults.answer(429, "TooManyRequests", {"Retry-After": "1"}), "400 request timeout": faults.answer(400, "RequestTimeout"),
    "reset": faults.reset(), "answer lost": faults.lose_answer(), "late": faults.latency(0.1),
}  # fmt: skip
READING: dict[str, Fault] = {
    "cut in the head of the body": faults.cut_answer(1), "cut in mid-body": faults.cut_answer(SMALL // 2),
    "longer than announced": faults.wrong_length(-7), "shorter than announced": faults.wrong_length(7),
    "first byte flipped": faults.flip_answer(0), "last byte flipped": faults.flip_answer(-1),
}  # fmt: skip


def got_over(ran: Ran, rules: Mapping[str, Rule], objects: int) -> None:
    assert [name for name, rule in rules.items() if not rule.hits] == []
    assert (ran.code, ran.counts["copied"]) == (0, objects), ran.result
    assert {row["proof"] for row in ran.rows.values()} == {"end-to-end"}


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small objects", "large objects"])
def test_what_befalls_the_reading_is_got_over(sized: Sized, size: int) -> None:
    keys = keys_of(PASSING | READING)
    wild = sized(dict.fromkeys([*keys.values(), "none.bin"], size))
    rules = {
        name: Rule(fault, asks("GET", f"/{keys[name]}"), times=1 if name == SLOW else OFTEN) for name, fault in (PASSING | READING).items()
    }  # fmt: skip
    got_over(wild.migrate(of_s3=list(rules.values()), mode="stream"), rules, len(keys) + 1)


@pytest.mark.parametrize("place", ["small objects", "blocks", "commits"])
def test_what_befalls_the_writing_is_got_over(sized: Sized, place: str) -> None:
    striking = {**PASSING, "flipped": faults.flip_request(100)}
    del striking["400 request timeout"]
    keys = keys_of(striking)
    wild = sized(dict.fromkeys([*keys.values(), "none.bin"], SMALL if place == "small objects" else LARGE))
    asked = {"small objects": "", "blocks": ".*comp=block(&|$)", "commits": ".*comp=blocklist"}[place]
    times = 2 if place == "commits" else OFTEN
    rules = {
        name: Rule(fault, asks("PUT", f"/{keys[name]}{asked}"), times=1 if name == SLOW else times) for name, fault in striking.items()
    }  # fmt: skip
    got_over(wild.migrate(of_adls=list(rules.values()), mode="stream"), rules, len(keys) + 1)


@pytest.mark.parametrize("side", ["source", "target"])
def test_a_storm_slows_the_transfer_down_and_does_not_end_it(wild: Field, side: str) -> None:
    for n in range(40):
        put(wild.clouds.s3, f"storm/{n:02}.bin", b"x" * n)
    code, method = ("SlowDown", "GET") if side == "source" else ("ServerBusy", "PUT")
    storm = Rule(faults.answer(503, code), asks(method, "bin"), every=3, times=-1)
    ran = wild.migrate(of_s3=[storm] if side == "source" else [], of_adls=[storm] if side == "target" else [], mode="stream")
    assert storm.hits > 10
    assert (ran.code, ran.counts["copied"]) == (0, len(SIZES) + 40), ran.result


def test_a_listing_that_stumbles_is_whole(wild: Field) -> None:
    rule = Rule(faults.answer(503, "SlowDown"), asks("GET", "list-type=2"), times=2)
    cut = Rule(faults.cut_answer(200), asks("GET", "list-type=2"))
    ran = wild.migrate(of_s3=[cut, rule])
    assert rule.hits and cut.hits
    assert (ran.code, ran.result["counts"]["listed"]) == (0, len(SIZES))


LASTING: dict[str, tuple[str, Fault, str]] = {
    "the source always answers 500": ("s3", faults.answer(500, "InternalError"), "unreachable"),
    "the source is always throttled": ("s3", faults.answer(503, "SlowDown"), "throttled"),
    "the source's bytes are always changed": ("s3", faults.flip_answer(5), "proof-failed"),
    "the source is always cut off": ("s3", faults.cut_answer(9), "unreachable"),
    "the source is denied": ("s3", faults.answer(403, "AccessDenied"), "access-denied"),
    "the token has ended": ("s3", faults.answer(400, "ExpiredToken"), "access-denied"),
    "the source is archived": ("s3", faults.answer(403, "InvalidObjectState"), "archived"),
    "the target always answers 500": ("adls", faults.answer(500, "InternalError"), "unreachable"),
    "the target always changes bytes": ("adls", faults.flip_request(5), "proof-failed"),
    "the target denies": ("adls", faults.answer(403, "AuthorizationPermissionMismatch"), "access-denied"),
    "the target's signature has ended": ("adls", faults.answer(403, "AuthenticationFailed"), "access-denied"),
    "the target is leased": ("adls", faults.answer(412, "LeaseIdMissing"), "leased"),
    "the target is full": ("adls", faults.answer(507, "InsufficientStorage"), "full"),
}


def test_what_does_not_pass_is_told_with_its_cause(sized: Sized) -> None:
    keys = keys_of(LASTING)
    wild = sized({**dict.fromkeys(keys.values(), SMALL), **SIZES})
    of_s3 = [Rule(fault, asks("GET", f"/{keys[name]}"), times=-1) for name, (side, fault, _) in LASTING.items() if side == "s3"]
    of_adls = [Rule(fault, asks("PUT", f"/{keys[name]}"), times=-1) for name, (side, fault, _) in LASTING.items() if side == "adls"]
    ran = wild.migrate(of_s3=of_s3, of_adls=of_adls, mode="stream")
    assert (ran.code, ran.counts["copied"], ran.counts["failed"]) == (3, len(SIZES), len(LASTING)), ran.result
    failed = {key: row["cause"] for key, row in ran.rows.items() if row["outcome"] == "failed"}
    assert failed == {keys[name]: cause for name, (_, _, cause) in LASTING.items()}
    healed = wild.clouds.context(retry_of=ran.job.job_id, job_id=f"{ran.job.job_id}-again")
    again = wild.clouds.migrate(healed, formats=["any"], block_bytes=BLOCK, mode="stream")
    assert (again.code, again.counts) == (0, {"listed": len(LASTING), "copied": len(LASTING)}), again.result


@pytest.mark.parametrize("place", ["a small object", "a large object"])
def test_bytes_that_are_changed_where_the_source_stores_no_checksum_are_never_called_end_to_end(wild: Field, place: str) -> None:
    """Nothing can tell then; the level says so."""
    key = "small/a.bin" if place == "a small object" else "large.bin"
    client = wild.clouds.s3.client  # type: ignore[attr-defined]
    client.put_object(Bucket=wild.clouds.name, Key=key, Body=wild.objects[key])
    ran = wild.migrate(mode="stream", keys=[key])
    assert {row["proof"] for row in ran.rows.values()} <= {"streamed", "end-to-end"}
    stored = client.head_object(Bucket=wild.clouds.name, Key=key, ChecksumMode="ENABLED")
    if not any(name.startswith("Checksum") for name in stored):
        assert {row["proof"] for row in ran.rows.values()} == {"streamed"}


@pytest.mark.parametrize("what", ["replaced", "replaced by as many bytes", "deleted"])
@pytest.mark.parametrize("mode", ["stream", "auto"])
def test_a_source_that_changes_in_mid_copy_is_told_and_never_mixed(wild: Field, mode: str, what: str) -> None:
    client = wild.clouds.s3.client  # type: ignore[attr-defined]

    def change() -> None:
        if what == "deleted":
            client.delete_object(Bucket=wild.clouds.name, Key="large.bin")
        else:
            client.put_object(Bucket=wild.clouds.name, Key="large.bin", Body=b"n" * (LARGE if "as many" in what else 99))

    rule = Rule(faults.before(change), GET_LARGE, skip=1 if mode == "stream" else 0)  # the service fetches it by one request
    ran = wild.migrate(of_s3=[rule], mode=mode)
    assert rule.hits == 1
    row = ran.rows["large.bin"]
    assert (row["outcome"], row["cause"]) == ("failed", "source-changed"), row
    assert "large.bin" not in {info.key for info in wild.clouds.adls.list_page().objects}
    assert ran.counts["copied"] == len(SIZES) - 1


def test_a_lease_on_the_target_is_told_and_the_target_left_alone(wild: Field) -> None:
    wild.put_target("small/a.bin", b"what was there")
    blob = BlobClient(f"{wild.adls.upstream_url}/{ADLS_ACCOUNT}", wild.clouds.name, "small/a.bin", credential=ADLS_KEY)
    with blob:
        lease = blob.acquire_lease()
        ran = wild.migrate(overwrite="replace", mode="stream")
        assert ran.rows["small/a.bin"]["cause"] == "leased" and "lease" in ran.rows["small/a.bin"]["reason"]
        assert get(wild.clouds.adls, "small/a.bin") == b"what was there"
        lease.release()


def test_what_somebody_else_writes_meanwhile_is_not_overwritten(wild: Field) -> None:
    def intrude() -> None:
        wild.put_target("small/a.bin", b"somebody else's")

    ran = wild.migrate(of_adls=[Rule(faults.before(intrude), asks("PUT", r"/small/a\.bin"))], mode="stream")
    assert (ran.rows["small/a.bin"]["outcome"], ran.rows["small/a.bin"]["cause"]) == ("failed", "exists"), ran.rows["small/a.bin"]
    assert get(wild.clouds.adls, "small/a.bin") == b"somebody else's"


def test_a_commit_whose_answer_was_lost_counts_as_done_and_is_not_repeated_over_anothers(wild: Field) -> None:
    lost = [Rule(faults.lose_answer(), asks("PUT", r"/small/a\.bin")), Rule(faults.lose_answer(), PUT_LIST)]
    ran = wild.migrate(of_adls=lost, mode="stream")
    assert [rule.hits for rule in lost] == [1, 1]
    assert (ran.code, ran.counts["copied"]) == (0, len(SIZES))


@pytest.mark.parametrize(("side", "method"), [("source", "GET"), ("target", "PUT")])
def test_a_connection_that_stalls_is_given_up_and_the_object_tried_again(wild: Field, side: str, method: str) -> None:
    rule = Rule(faults.stall(), asks(method, r"/small/a\.bin"))
    ran = wild.migrate(of_s3=[rule] if side == "source" else [], of_adls=[rule] if side == "target" else [], mode="stream", stall_s=1)
    assert rule.hits == 1
    assert (ran.code, ran.counts["copied"]) == (0, len(SIZES)), ran.result


SERVER_SIDE = {
    "the service cannot read the source": ("s3", Rule(faults.answer(403, "AccessDenied"), asks("GET", "X-Amz-Signature"), times=-1)),
    "the service refuses to fetch": ("adls", Rule(faults.answer(409, "CannotVerifyCopySource"), asks("PUT", "", "x-ms-copy-source"), times=-1)),
    "the service does not know how": ("adls", Rule(faults.answer(501, "NotImplemented"), asks("PUT", "", "x-ms-copy-source"), times=-1)),
}  # fmt: skip


@pytest.mark.parametrize("fault", SERVER_SIDE)
def test_what_the_service_cannot_pull_is_streamed_with_the_reason(wild: Field, fault: str) -> None:
    side, rule = SERVER_SIDE[fault]
    ran = wild.migrate(of_s3=[rule] if side == "s3" else [], of_adls=[rule] if side == "adls" else [])
    assert rule.hits >= 1
    assert (ran.code, ran.counts["copied"]) == (0, len(SIZES)), ran.result
    assert ran.rows["large.bin"]["mode"] == "stream" and ran.rows["large.bin"]["reason"]
    assert ran.rows["large.bin"]["proof"] == "end-to-end"


PULLING: dict[str, tuple[str, Fault]] = {
    "500 of the source": ("s3", faults.answer(500, "InternalError")), "cut off": ("s3", faults.cut_answer(1000)),
    "a flipped byte": ("s3", faults.flip_answer(77)), "503 of the service": ("adls", faults.answer(503, "ServerBusy")),
    "a lost answer": ("adls", faults.lose_answer()), "a reset": ("adls", faults.reset()),
}  # fmt: skip


def test_what_befalls_a_server_side_copy_is_got_over(sized: Sized) -> None:
    keys = keys_of(PULLING)
    wild = sized({**dict.fromkeys(keys.values(), LARGE), **SIZES})
    asked = {"s3": ("GET", ".*X-Amz-Signature", ""), "adls": ("PUT", "", "x-ms-copy-source")}
    rules: dict[str, list[Rule]] = {"s3": [], "adls": []}
    for name, (side, fault) in PULLING.items():
        method, rest, header = asked[side]
        rules[side].append(Rule(fault, asks(method, f"/{keys[name]}{rest}", header)))
    ran = wild.migrate(of_s3=rules["s3"], of_adls=rules["adls"])
    assert [rule.hits for rule in (*rules["s3"], *rules["adls"])] == [1] * len(PULLING)
    assert (ran.code, ran.counts["copied"]) == (0, len(SIZES) + len(PULLING)), ran.result
    assert {ran.rows[key]["proof"] for key in keys.values()} == {"end-to-end"}


def test_bytes_that_are_always_changed_on_a_pull_never_become_visible(wild: Field) -> None:
    rule = Rule(faults.flip_answer(77), asks("GET", r"/large\.bin.*X-Amz-Signature"), times=-1)
    ran = wild.migrate(of_s3=[rule], mode="server")
    assert rule.hits >= 1
    assert (ran.rows["large.bin"]["outcome"], ran.rows["large.bin"]["cause"]) == ("failed", "proof-failed"), ran.rows["large.bin"]


def test_a_name_that_does_not_resolve_ends_the_job_with_a_clear_error(wild: Field) -> None:
    env = wild.clouds.home / ".env"
    env.write_text(env.read_text().replace(wild.s3.url, "https://nobody.invalid"))
    again = type(wild.clouds).__new__(type(wild.clouds))
    again.__dict__.update(wild.clouds.__dict__)
    from portal import settings

    again.config = settings.load(wild.clouds.home)
    ran = again.migrate(formats=["any"])
    assert ran.code == 1
    assert "nobody.invalid" in ran.error["message"] + " ".join(ran.error["causes"]) + ran.error["hint"], ran.error


def test_the_target_going_away_altogether_ends_the_job_soon_and_the_next_attempt_goes_on(wild: Field) -> None:
    count = itertools.count()
    rule = Rule(faults.reset(), lambda request: request.method == "PUT" and next(count) >= 3, times=-1)
    ran = wild.migrate(of_adls=[rule], mode="stream")
    assert ran.code in (1, 3)
    healed = wild.clouds.context(retry_of=ran.job.job_id, job_id=f"{ran.job.job_id}-again")
    again = wild.clouds.migrate(healed, formats=["any"], block_bytes=BLOCK, mode="stream")
    assert again.code == 0
    for key, data in wild.objects.items():
        assert get(wild.clouds.adls, key) == data
