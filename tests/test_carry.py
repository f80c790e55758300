"""What is carried along with bytes: everything is at the target or in the file of what found no place, and a way back leads to what was."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from portal.connections import Connections
from portal.stores.checksums import crc64
from portal.stores.url import StoreURL
from portal.transfer import carry_file, carry_names
from portal.transfer.carry import ROOM_BYTES, S3_MAX_TAGS, Carrier, LeftOut, note
from portal.transfer.carry_names import MARK, NAMES, Own, encoded, own
from portal.wire.access import access_of
from portal.wire.ends import About, End, Found, Pin
from portal.wire.opening import open_end
from tests.proxy import Proxy, Rule, Upstream, asks, faults
from tests.servers import Server
from tests.transferring import Clouds

PIN = Pin("dir/a.csv", 9, "e1")
OF_OURS = ["source_url", "source_etag", "source_names", "origin_url", "source_expires", "source_crc64nvme", "tag_env", "tag_Env".lower(), "source"]
S3_NAMES = st.one_of(st.text(st.sampled_from("ab09-._!&#~'"), min_size=1, max_size=6), st.sampled_from(OF_OURS))
AZURE_NAMES = st.one_of(st.from_regex(r"[a-b_][a-b0-9_]{0,5}", fullmatch=True), st.sampled_from(OF_OURS))
ODD_VALUES = ["", " a", "é", "100%", "UTF-8''%41", "=?UTF-8?B?YQ==?=", "=?", "a  b", "x" * 900, "ü" * 300]
VALUES = st.one_of(st.text(max_size=12), st.sampled_from(ODD_VALUES))
PRINTABLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=20)
HEADER_TEXTS = st.sampled_from(["a", "en, de", 'attachment; filename="a b.csv"', "no-cache, max-age=5", "Wed, 21 Oct 2026 07:28:00 GMT"])
MOTO_NAMES = st.one_of(st.text(st.sampled_from("ab09-._"), min_size=1, max_size=6), st.sampled_from(OF_OURS))
HEADERS = st.dictionaries(
    st.sampled_from(["content-encoding", "content-language", "content-disposition", "cache-control", "expires"]),
    st.one_of(PRINTABLE, st.sampled_from(["attachment; filename=é.csv", "Wed, 21 Oct 2026 07:28:00 GMT"])),
)
TAGS = st.dictionaries(st.one_of(st.text(min_size=1, max_size=6), st.sampled_from(["env", "Env", "ENV", "aws:x"])), st.text(max_size=20), max_size=10)
KINDS = ["s3", "blob", "dfs"]


def found(
    metadata: Mapping[str, str] | None = None, *, headers: Mapping[str, str] | None = None, content_type: str = "text/csv", storage_class: str = "",
    checksums: Mapping[str, str] | None = None, version: str = "", etag: str = "e1", tags: int = 0,
) -> Found:  # fmt: skip
    about = About(content_type, headers or {}, metadata or {}, {}, storage_class, "2026-01-02T03:04:05Z")
    return Found(9, etag, version, about, checksums or {}, tag_count=tags)


def carrier(source: str = "s3", target: str = "dfs", **options: bool | str) -> Carrier:
    roots = {"s3": "s3://bucket/", "blob": "abfss://c@account/", "dfs": "abfss://c@account/", "file": "file:///"}
    return Carrier(roots[source], source, target, "01JOB", **options)  # type: ignore[arg-type]


def beside(left_out: Sequence[LeftOut], kind: str) -> dict[str, str]:
    return {item.name: item.value for item in left_out if item.kind == kind}


def assert_fits(about: About, kind: str) -> None:
    """The target takes it: names, values, sizes, numbers."""
    name = r"[!#$%&'*+\-.^_`|~0-9a-z]+" if kind == "s3" else "[a-z_][a-z0-9_]*"
    assert all(re.fullmatch(name, found) for found in about.metadata)
    values = [*about.metadata.values(), *about.headers.values(), about.content_type]
    assert all(value.isascii() and value.isprintable() and value == value.strip() for value in values)
    assert all(about.metadata.values()) or kind == "s3"
    assert sum(len(name) + len(value) for name, value in about.metadata.items()) <= ROOM_BYTES[kind]
    assert not about.tags if kind != "s3" else len(about.tags) <= S3_MAX_TAGS
    assert kind == "s3" or "expires" not in about.headers


def assert_nothing_lost(before: Own, about: About, kind: str, left_out: Sequence[LeftOut]) -> Own:
    """What was there is at the target or beside it, each once; returns what is at the target."""
    after = own(about, kind, about.tags)
    for one, other, name in (
        (before.metadata, after.metadata, "metadata"), (before.tags, after.tags, "tag"), (before.headers, after.headers, "header"),
    ):  # fmt: skip
        assert not other.keys() & beside(left_out, name).keys()
        assert {**other, **beside(left_out, name)} == one
    if before.origin:
        assert {**after.origin, **beside(left_out, "source")}.items() >= before.origin.items()
    return after


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(S3_NAMES, VALUES, max_size=8), HEADERS, TAGS, st.sampled_from(KINDS[1:]), st.sampled_from(["", "é.csv", "x" * 900]))
def test_from_s3_to_azure_and_back_nothing_is_lost(
    metadata: dict[str, str], headers: dict[str, str], tags: dict[str, str], azure: str, key: str
) -> None:
    first = own(About("text/csv", headers, {name: encoded(value, "s3") for name, value in metadata.items()}), "s3", tags)
    assert first.metadata == metadata
    pin = PIN._replace(key=key or PIN.key)
    there, left_there = carrier("s3", azure)(0, pin, found({name: encoded(value, "s3") for name, value in metadata.items()}, headers=headers), tags)
    assert_fits(there, azure)
    second = assert_nothing_lost(first, there, azure, left_there)
    back, left_back = carrier(azure, "s3")(0, pin, Found(9, "e2", "", there), {})
    assert_fits(back, "s3")
    assert_nothing_lost(second, back, "s3", left_back)
    assert back.metadata[MARK] == "01JOB.0" and back.metadata["source_etag"] == "e2"


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(AZURE_NAMES, PRINTABLE, max_size=8), HEADERS, st.permutations(KINDS))
def test_on_any_way_through_the_clouds_nothing_is_lost(metadata: dict[str, str], headers: dict[str, str], way: list[str]) -> None:
    headers.pop("expires", None)
    about, kind = About("text/csv", headers, metadata), "dfs"
    for target in way:
        before = own(about, kind, about.tags)
        sent, left_out = carrier(kind, target)(0, PIN, Found(9, "e", "", about), about.tags)
        assert_fits(sent, target)
        assert_nothing_lost(before, sent, target, left_out)
        about, kind = sent, target


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(S3_NAMES, PRINTABLE, min_size=2, max_size=6), st.randoms())
def test_names_are_changed_alike_whatever_the_order(metadata: dict[str, str], random: object) -> None:
    turned = list(metadata.items())
    random.shuffle(turned)  # type: ignore[attr-defined]
    one, _ = carrier()(0, PIN, found(metadata), {"B": "1", "b": "2"})
    other, _ = carrier()(0, PIN, found(dict(turned)), {"b": "2", "B": "1"})
    assert one.metadata.items() - {NAMES} == other.metadata.items() - {NAMES}
    assert own(one, "dfs") == own(other, "dfs")


def test_names_that_azure_cannot_have_stay_readable() -> None:
    of = found({"my-key": "1", "my_key": "2", "my.key": "3", "1st": "4", "source_url": "mine"})
    sent, left_out = carrier()(0, PIN, of, {"Team": "x", "env": "y"})
    assert not left_out
    told = {name: value for name, value in sent.metadata.items() if not name.startswith("source_") or name == "source_url_"}
    assert told == {
        "portal_copy": "01JOB.0", "my_key": "2", "my_key_": "1", "my_key__": "3", "_1st": "4", "source_url_": "mine", "tag_env": "y", "tag_team": "x",
    }  # fmt: skip
    assert sent.metadata[NAMES] == "_1st=1st&my_key_=my-key&my_key__=my.key&source_url_=source_url&tag_team=tag:Team"


def test_s3_keeps_every_name_but_ours() -> None:
    sent, _ = carrier("s3", "s3")(0, PIN, found({"my-key": "1", "source_etag": "2"}), {"Team": "x"})
    assert (sent.metadata["my-key"], sent.metadata["source_etag_"], sent.tags) == ("1", "2", {"Team": "x"})


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("=?UTF-8?B?w6k=?=", "é"), ("=?UTF-8?Q?caf=C3=A9_au_lait?=", "café au lait"), ("=?ISO-8859-1?Q?=E9?=", "é"),
        ("a =?UTF-8?B?w6k=?= b", "a é b"),
        ("=?UTF-8?B?w6k=?= =?UTF-8?B?w6k=?=", "éé"), ("=?UTF-8*en?Q?a?=", "a"), ("=?no-such-charset?B?w6k=?=", "=?no-such-charset?B?w6k=?="),
        ("=?UTF-8?B?w6?=", "=?UTF-8?B?w6?="), ("=?UTF-8?B?6Q==?=", "=?UTF-8?B?6Q==?="), ("=?", "=?"), ("UTF-8''%41", "UTF-8''%41"),
    ],
)  # fmt: skip
def test_values_beyond_ascii_are_read_as_s3_returns_them(given: str, text: str) -> None:
    assert own(About(metadata={"a": given}), "s3").metadata == {"a": text}


@settings(max_examples=200, deadline=None)
@given(VALUES, st.sampled_from(KINDS))
def test_every_value_survives_its_spelling(value: str, kind: str) -> None:
    text = encoded(value, kind)
    assert carry_names.is_plain(text)
    assert own(About(metadata={MARK: "j.1", "a": text}), kind).metadata == {"a": value}
    assert all(len(word) <= 75 for word in text.split(" ") if word.startswith("=?UTF-8?B?"))


def test_plain_values_are_written_as_they_are() -> None:
    for value in ("a", "100% sure", "2026-01-01 00:00", "a=b&c"):
        assert {encoded(value, kind) for kind in KINDS} == {value}


def test_where_it_came_from_is_told() -> None:
    of = found(version="v1", storage_class="GLACIER_IR", checksums={"crc32": "aa", "sha256": "bb"})
    sent, left_out = carrier()(7, PIN._replace(key="ü %.csv"), of)
    assert (sent.content_type, sent.headers, sent.tags, sent.storage_class, left_out) == ("text/csv", {}, {}, "", ())
    assert "source_storage_class" not in carrier()(7, PIN, found(storage_class="STANDARD"))[0].metadata
    assert sent.metadata == {
        "portal_copy": "01JOB.7", "source_url": "s3://bucket/%C3%BC %25.csv", "source_etag": "e1", "source_modified": "2026-01-02T03:04:05Z",
        "source_version": "v1", "source_storage_class": "GLACIER_IR", "source_sha256": "bb",
    }  # fmt: skip


def test_a_copy_of_a_copy_tells_its_source_and_the_first_one() -> None:
    one, _ = carrier()(1, PIN, found({"a": "b"}, version="v1", checksums={"crc64nvme": "cc"}))
    two, _ = carrier("dfs", "s3")(2, Pin("d/a.csv", 9), Found(9, "e2", "", one))
    three, _ = carrier("s3", "blob")(3, Pin("x.csv", 9), Found(9, "e3", "", two))
    first = {
        "origin_url": "s3://bucket/dir/a.csv", "origin_etag": "e1", "origin_modified": "2026-01-02T03:04:05Z", "origin_version": "v1",
        "origin_crc64nvme": "cc",
    }  # fmt: skip
    assert {name: value for name, value in two.metadata.items() if name.startswith("origin_")} == first
    assert {name: value for name, value in three.metadata.items() if name.startswith("origin_")} == first
    assert (two.metadata["source_etag"], two.metadata["source_url"]) == ("e2", "abfss://c@account/d/a.csv")
    assert (three.metadata["source_etag"], three.metadata[MARK], three.metadata["a"]) == ("e3", "01JOB.3", "b")
    assert not any(name.startswith("origin_origin") for name in three.metadata)


def test_headers_that_azure_has_no_place_for_become_metadata_and_headers_again() -> None:
    headers = {"expires": "Wed, 21 Oct 2026 07:28:00 GMT", "cache-control": "no-cache", "content-disposition": "attachment; filename=é.csv"}
    there, _ = carrier()(0, PIN, found(headers=headers))
    assert there.headers == {"cache-control": "no-cache"}
    assert there.metadata["source_expires"] == headers["expires"]
    assert there.metadata["source_content_disposition"].startswith("UTF-8''")
    back, _ = carrier("dfs", "s3")(0, PIN, Found(9, "e2", "", there))
    assert back.headers == {"cache-control": "no-cache", "expires": headers["expires"]}
    assert own(back, "s3").headers["content-disposition"] == headers["content-disposition"]


def test_what_finds_no_room_is_named_and_the_rest_is_kept() -> None:
    sent, left_out = carrier("s3", "s3")(0, PIN, found({"long": "x" * 3000, "short": "y"}))
    assert sent.metadata["short"] == "y"
    assert [(item.kind, item.name, item.value) for item in left_out] == [("metadata", "long", "x" * 3000)]
    assert "2000 bytes" in left_out[0].why
    assert note(left_out) == "not at the target but in carried.ndjson: long"
    assert note([left_out[0]] * 7) == "not at the target but in carried.ndjson: long, long, long, long, long and 2 more"


def test_a_tag_more_than_s3_takes_is_left_out() -> None:
    tags = {f"t{n:02}": "é" for n in range(12)} | {"aws:owner": "x", "n" * 129: "", "v": "v" * 257}
    of = Found(9, "e", "", About(metadata={MARK: "j.1", **{f"tag_{name}": value for name, value in tags.items() if name[0] == "t"}}))
    sent, left_out = carrier("dfs", "s3")(0, PIN, of, {name: value for name, value in tags.items() if name[0] != "t"})
    assert len(sent.tags) == 10
    assert sent.tags.keys() | beside(left_out, "tag").keys() == tags.keys()
    assert {"aws:owner", "n" * 129, "v"} < beside(left_out, "tag").keys()


def test_tags_that_nobody_may_read_are_named() -> None:
    of = found(tags=3)
    assert carrier().wants_tags(of) and not carrier(tags=False).wants_tags(of) and not carrier(carry=False).wants_tags(of)
    assert not carrier().wants_tags(found())
    sent, left_out = carrier()(0, PIN, of, tags_refused="s3:GetObjectTagging is not allowed")
    assert sent.metadata["source_etag"] == "e1"
    assert note(left_out) == "its tags were not carried: s3:GetObjectTagging is not allowed"


def test_files_hold_a_time_and_the_rest_stands_beside_them() -> None:
    sent, left_out = carrier("s3", "file")(0, PIN, found({"a": "b"}, headers={"cache-control": "no-cache"}), {"Team": "x"})
    assert sent == About(modified="2026-01-02T03:04:05Z")
    assert {(item.kind, item.name, item.value) for item in left_out} == {
        ("metadata", "a", "b"), ("header", "cache-control", "no-cache"), ("tag", "Team", "x"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("content_type", "told"), [("text/csv", []), ("binary/octet-stream", []), ("", []), ("text/weird", [("header", "content-type", "text/weird")])]
)
def test_a_files_content_type_is_told_only_if_its_name_does_not(content_type: str, told: list[tuple[str, str, str]]) -> None:
    _, left_out = carrier("s3", "file")(0, PIN, found(content_type=content_type))
    assert [(item.kind, item.name, item.value) for item in left_out] == told


@pytest.mark.parametrize(
    ("key", "content_type"), [("a.csv", "text/csv"), ("x/B.PARQUET", "application/vnd.apache.parquet"), ("a", ""), ("csv", ""), ("a.csv/c", "")]
)
def test_a_file_gets_the_content_type_of_its_name(key: str, content_type: str) -> None:
    sent, _ = carrier("file", "s3")(0, PIN._replace(key=key), found(content_type=""))
    assert sent.content_type == content_type
    assert carrier("s3", "s3")(0, PIN._replace(key=key), found(content_type=""))[0].content_type == ""


def test_carry_off_leaves_type_time_and_provenance() -> None:
    of = found({"a": "b"}, headers={"cache-control": "no-cache"})
    sent, left_out = carrier(carry=False, tier="Cool")(0, PIN, of, {"t": "x"})
    assert (sent.content_type, sent.headers, sent.modified, sent.storage_class, left_out) == ("text/csv", {}, "2026-01-02T03:04:05Z", "Cool", ())
    assert sent.metadata.keys() == {"portal_copy", "source_url", "source_etag", "source_modified"}
    assert carrier("s3", "file", carry=False)(0, PIN, of) == (About(modified="2026-01-02T03:04:05Z"), ())
    assert carrier(tags=False)(0, PIN, of, {"t": "x"})[0].metadata["a"] == "b"
    assert "tag_t" not in carrier(tags=False)(0, PIN, of, {"t": "x"})[0].metadata


def test_azure_metadata_named_like_a_tag_stay_metadata_unless_we_wrote_them() -> None:
    theirs = own(About(metadata={"tag_env": "x"}), "dfs")
    ours = own(About(metadata={MARK: "j.1", "tag_env": "x"}), "dfs")
    assert (theirs.metadata, theirs.tags) == ({"tag_env": "x"}, {})
    assert (ours.metadata, ours.tags) == ({}, {"env": "x"})


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 400), values=st.lists(st.text(max_size=8), min_size=1, max_size=4))
def test_a_line_that_was_cut_off_costs_only_itself(tmp_path_factory: pytest.TempPathFactory, cut: int, values: list[str]) -> None:
    path = tmp_path_factory.mktemp("carried") / carry_file.CARRIED_FILE
    lines = [carry_file.line(n, f"k{n}", "t", [LeftOut("metadata", "a", value, "no room")]) for n, value in enumerate(values)]
    with carry_file.CarriedFile(path) as file:
        file.add(lines)
    whole = path.read_bytes()
    path.write_bytes(whole[: min(cut, len(whole))])
    kept = path.read_bytes().count(b"\n")
    with carry_file.CarriedFile(path) as file:
        file.add([carry_file.line(9, "k9", "t", [])])
    told = [item["n"] for item in carry_file.read(path)]
    assert told[:kept] == list(range(kept)) and told[-1] == 9 and len(told) <= kept + 2


def test_nothing_left_out_makes_no_file(tmp_path: Path) -> None:
    with carry_file.CarriedFile(tmp_path / "carried.ndjson") as file:
        file.add([])
    assert not list(tmp_path.iterdir())
    assert not list(carry_file.read(tmp_path / "carried.ndjson"))


def test_a_line_says_what_was_left_out_and_why() -> None:
    told = json.loads(carry_file.line(3, "a/ü", "b", [LeftOut("tag", "é", "x", "why")]))
    assert told == {"n": 3, "source_key": "a/ü", "target_key": "b", "left_out": [{"kind": "tag", "name": "é", "value": "x", "why": "why"}]}


@pytest.fixture
def ends(home: Path, s3_server: Server, adls_server: Server, unique: str) -> Iterator[dict[str, End]]:
    """An end of each kind at a bucket, a container and a folder of this test."""
    clouds = Clouds.behind(home, s3_server, adls_server, unique)
    connections = Connections.load(clouds.config)
    lake = StoreURL.parse(f"{clouds.lake}/")
    found = {
        "s3": open_end(access_of(StoreURL.parse(f"{clouds.bucket}/"), connections.get("s3"))),
        "blob": open_end(access_of(lake, connections.get("adls"))), "dfs": open_end(access_of(lake, connections.get("adls"), endpoint="dfs")),
        "file": open_end(access_of(StoreURL("file", ""), connections.get("local"))),
    }  # fmt: skip
    yield found
    for end in found.values():
        end.close()
    clouds.close()


def written(end: End, key: str, about: About) -> Found:
    """Write an object of one byte and look at it as a source is looked at, its tags too."""
    end.put(key, memoryview(b"x"), about, overwrite=True, crc64=crc64(b"x"))
    there = end.find(key)
    there.about.tags = end.tags(Pin(key, 1)) if there.tag_count else {}
    return there


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(MOTO_NAMES, VALUES, max_size=5),
    st.dictionaries(st.sampled_from(["content-encoding", "content-language", "content-disposition", "cache-control", "expires"]), HEADER_TEXTS),
    st.dictionaries(st.text(st.sampled_from("aB é+-=._:/@"), min_size=1, max_size=4).filter(str.strip), st.text("aé =", max_size=5), max_size=10),
    st.sampled_from(KINDS[1:]),
)
def test_through_real_stores_nothing_is_lost(
    ends: dict[str, End], metadata: dict[str, str], headers: dict[str, str], tags: dict[str, str], azure: str
) -> None:
    assume(sum(len(name) + len(encoded(value, "s3")) for name, value in metadata.items()) <= 2_000)
    sent = About("text/csv", headers, {name: encoded(value, "s3") for name, value in metadata.items()}, tags)
    first = written(ends["s3"], "in.csv", sent)
    before = own(first.about, "s3", first.about.tags)
    assert (before.metadata, before.tags, before.headers) == (metadata, tags, {**headers, "content-type": "text/csv"})
    about, left_there = carrier("s3", azure)(1, PIN, first, first.about.tags)
    there = written(ends[azure], "there.csv", about)
    after = assert_nothing_lost(before, there.about, azure, left_there)
    about, left_back = carrier(azure, "s3")(2, PIN, there)
    back = written(ends["s3"], "back.csv", about)
    assert_nothing_lost(after, back.about, "s3", left_back)


def test_a_file_gets_its_sources_time_and_tells_its_own(ends: dict[str, End], home: Path) -> None:
    key = f"{home}/data/a.csv".lstrip("/")
    about, _ = carrier("s3", "file")(0, PIN, found({"a": "b"}))
    there = written(ends["file"], key, about)
    assert Path(f"/{key}").stat().st_mtime == 1767323045
    up, left_out = carrier("file", "blob")(0, Pin(key, 1), there)
    assert written(ends["blob"], "a.csv", up).about.metadata["source_modified"].startswith("2026-01-02T03:04:05")
    assert (up.content_type, left_out) == ("text/csv", ())


def put_of_every_kind(clouds: Clouds, key: str, **more: Any) -> None:
    """An object of S3 with headers, metadata and tags."""
    kinds = {
        "Metadata": {"my-key": "1", "mtime": "1767323045.5"}, "Tagging": "Team=a%20b&env=x", "CacheControl": "no-cache", "ContentType": "text/csv",
        "Expires": datetime(2030, 1, 1, tzinfo=UTC),
    }  # fmt: skip
    clouds.s3.client.put_object(Bucket=clouds.name, Key=key, Body=b"a\n1\n", **{**kinds, **more})  # type: ignore[attr-defined]


def test_a_migration_there_and_back_carries_everything(ends: dict[str, End], home: Path, unique: str) -> None:
    clouds = Clouds(home, unique)
    put_of_every_kind(clouds, "in/a.csv")
    there = clouds.migrate(source=f"{clouds.bucket}/in/", target=f"{clouds.lake}/there/")
    back = clouds.migrate(source=f"{clouds.lake}/there/", target=f"{clouds.bucket}/back/")
    assert [ran.rows[key]["outcome"] for ran, key in ((there, "in/a.csv"), (back, "there/a.csv"))] == ["copied", "copied"]
    one, two = ends["s3"].find("in/a.csv"), ends["s3"].find("back/a.csv")
    before = own(one.about, "s3", ends["s3"].tags(Pin("in/a.csv", 4)))
    after = own(two.about, "s3", ends["s3"].tags(Pin("back/a.csv", 4)))
    assert (after.headers, after.metadata, after.tags) == (before.headers, before.metadata, before.tags)
    assert before.tags == {"Team": "a b", "env": "x"} and before.metadata == {"my-key": "1", "mtime": "1767323045.5"} and "expires" in before.headers
    assert two.about.metadata["origin_url"] == f"{clouds.bucket}/in/a.csv"
    assert not (back.job.folder / carry_file.CARRIED_FILE).exists()
    down = clouds.migrate(source=f"{clouds.bucket}/in/", target=f"file://{home}/data/down/")
    left_out = next(iter(carry_file.read(down.job.folder / carry_file.CARRIED_FILE)))["left_out"]
    assert {item["name"] for item in left_out} == {"my-key", "mtime", "Team", "env", "cache-control", "expires"}
    assert "carried.ndjson" in down.rows["in/a.csv"]["reason"]
    clouds.close()


def test_tags_that_may_not_be_read_do_not_stop_a_copy(home: Path, s3_server: Server, adls_server: Server, unique: str) -> None:
    refused = Rule(faults.answer(403, "AccessDenied"), asks("GET", "tagging"), times=-1)
    with Proxy(Upstream.of(s3_server.url)) as s3:
        clouds = Clouds.behind(home, s3, adls_server, unique)  # type: ignore[arg-type]
        put_of_every_kind(clouds, "a.csv")
        s3.rules = [refused]
        ran = clouds.migrate()
        row = ran.rows["a.csv"]
        assert refused.hits and (ran.code, row["outcome"]) == (0, "copied")
        assert "its tags were not carried: " in row["reason"]
        assert [item["kind"] for line in carry_file.read(ran.job.folder / carry_file.CARRIED_FILE) for item in line["left_out"]] == ["tags"]
        clouds.close()


def test_a_process_that_moves_objects_loads_nothing_heavy_for_it() -> None:
    heavy = "('pydantic', 'boto3', 'azure', 'pyarrow')"
    code = f"import sys, portal.transfer.carry, portal.transfer.carry_file; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip() == "[]"
