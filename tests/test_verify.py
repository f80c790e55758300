"""The verify engine: what belongs together, what is compared and how far, and that the books balance."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portal.comparing import comparison
from portal.comparing import join as comparison_join
from portal.comparing.evidence import Compared, Kinds, Pair, by_checksums, by_listing, computed_by_store
from portal.comparing.join import SortedRows, joined
from portal.comparing.reading import BLOCK_BYTES, Comparer
from portal.comparing.report import Line, Report
from portal.context import JobContext
from portal.errors import AccessDenied, BooksDoNotBalance, Cancelled, SourceChanged, Unreachable
from portal.planning import listing
from portal.tabular.conversion.converting import convert_object
from portal.tabular.options import ConvertOptions
from portal.wire.ends import Found, Pin
from tests.transferring import Clouds, Ran, get, keys, put

S3_TO_LAKE = Kinds("s3", "blob")
PAIR = Pair("a.csv", "a.csv", 3, "e1", "", 3, "t1", "", "", converted=False)
MD5 = hashlib.md5(b"abc").hexdigest()
NAMES = st.lists(st.text(st.sampled_from("ab/-\x00é\ud800"), max_size=3), max_size=30)


# What belongs together


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(st.sampled_from("ab/"), max_size=3), max_size=12), st.sets(st.text(st.sampled_from("ab/"), max_size=3), max_size=12))
def test_what_has_one_name_stands_side_by_side(ones: list[str], others: set[str]) -> None:
    found = list(joined([(name, n) for n, name in enumerate(sorted(ones))], [(name,) for name in sorted(others)]))
    assert sorted(one[0] for one, _ in found if one) == sorted(ones)
    assert {other[0] for _, other in found if other} == others
    assert all(one is None or other is None or one[0] == other[0] for one, other in found)
    assert {one[0] for one, other in found if one and not other} == set(ones) - others
    assert [other[0] for one, other in found if other and not one] == sorted(others - set(ones))


@settings(max_examples=50, deadline=None)
@given(NAMES, st.integers(1, 5))
def test_rows_come_sorted_however_many_there_are(tmp_path_factory: pytest.TempPathFactory, keys: list[str], held: int) -> None:
    folder = tmp_path_factory.mktemp("rows")
    with SortedRows(folder / ".rows", rows_in_memory=held) as rows:
        for n, name in enumerate(keys):
            rows.add([(name, n)])
        assert rows.count == len(keys)
        assert list(rows) == sorted(((name, n) for n, name in enumerate(keys)), key=lambda row: row[0])
    assert not list(folder.iterdir())


# What the stores say


@pytest.mark.parametrize(
    ("change", "kinds", "told"),
    [
        ({}, S3_TO_LAKE, ("equal", "size")),
        ({"target_size": 4}, S3_TO_LAKE, ("different", "size")),
        ({"size_bytes": 0, "target_size": 0}, S3_TO_LAKE, ("equal", "read")),
        ({"recorded": "e1"}, S3_TO_LAKE, ("equal", "recorded")),
        ({"recorded": "e0"}, S3_TO_LAKE, ("different", "recorded")),
        ({"md5": MD5, "target_md5": MD5}, S3_TO_LAKE, ("equal", "stored")),
        ({"etag": MD5, "target_md5": MD5}, S3_TO_LAKE, ("equal", "stored")),
        ({"etag": MD5, "target_md5": MD5[::-1]}, S3_TO_LAKE, ("equal", "size")),
        ({"etag": MD5, "target_md5": MD5}, Kinds("blob", "blob"), ("equal", "size")),
        ({"etag": f"{MD5}-2", "target_etag": f"{MD5}-2"}, Kinds("s3", "s3"), ("equal", "stored")),
        ({"etag": "x", "target_etag": "x"}, Kinds("blob", "blob"), ("equal", "size")),
        ({"converted": True, "target_size": 99, "recorded": "e1"}, S3_TO_LAKE, ("equal", "recorded")),
        ({"converted": True, "recorded": "e0"}, S3_TO_LAKE, ("different", "recorded")),
        ({"converted": True}, S3_TO_LAKE, ("error", "none")),
    ],
)
def test_what_listings_tell(change: Mapping[str, Any], kinds: Kinds, told: tuple[str, str]) -> None:
    found = by_listing(PAIR._replace(**change), kinds)
    assert (found.kind, found.level) == told
    assert bool(found.reason) == (found.kind != "equal")


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        ({"crc64nvme": "a", "md5": "x"}, {"crc64nvme": "a", "md5": "y"}, ("equal", "crc64nvme: stored, stored")),
        ({"crc64nvme": "a"}, {"crc64nvme": "b"}, ("different", "crc64nvme: stored, stored")),
        ({"crc32": "a"}, {"crc32c": "a"}, None), ({"sha256": "a", "crc32": "c"}, {"crc32": "c"}, ("equal", "crc32: stored, stored")),
        ({"crc32-composite": "a"}, {"crc32-composite": "a"}, ("equal", "crc32-composite: stored, stored")),
        ({"crc32-composite": "a"}, {"crc32-composite": "b"}, None), ({}, {}, None),
    ],
)  # fmt: skip
def test_stored_checksums_of_one_kind_decide(one: dict[str, str], other: dict[str, str], told: tuple[str, str] | None) -> None:
    found = by_checksums(Found(3, checksums=one), Found(3, checksums=other), S3_TO_LAKE)
    assert (found and (found.kind, found.how)) == told


def test_only_s3_computes_what_it_stores() -> None:
    of = Found(3, checksums={"md5": "x"})
    assert (computed_by_store(of, "s3"), computed_by_store(of, "blob")) == (("md5", "x"), ("", ""))


# Asking and reading, with ends that do what is wanted


class FakeEnd:
    """Objects in memory; `trouble` is called before each answer with what is asked and may raise."""

    class _Access:
        renew_at = float("inf")

    access: Any = _Access()

    def __init__(self, objects: Mapping[str, tuple[bytes, Found]], trouble: Callable[[str], None] = lambda asked: None) -> None:
        self.objects, self.trouble, self.read_bytes = objects, trouble, 0

    def find(self, key: str, *, version_id: str = "") -> Found:
        self.trouble("find")
        return self.objects[key][1]

    def read(self, pin: Pin, buffer: memoryview, *, start: int = 0) -> Found:
        self.trouble("read")
        data = self.objects[pin.key][0][start : start + len(buffer)]
        buffer[:] = data
        self.read_bytes += len(data)
        return self.objects[pin.key][1]

    def close(self) -> None:
        pass


def compared(
    source: bytes, target: bytes, proof: Any = "read", *, source_sums: dict[str, str] | None = None, target_sums: dict[str, str] | None = None,
    kinds: Kinds = S3_TO_LAKE, trouble: Callable[[str], None] = lambda asked: None, passed: Callable[[int], None] = lambda size: None,
) -> tuple[Compared, int, int]:  # fmt: skip
    """Return what came of a pair, and the bytes that were read of both."""
    one = FakeEnd({"a.csv": (source, Found(len(source), "e1", checksums=source_sums or {}))}, trouble)
    other = FakeEnd({"a.csv": (target, Found(len(target), "t1", checksums=target_sums or {}))})
    comparer = Comparer(lambda: one, lambda: other, kinds, proof, passed)  # type: ignore[arg-type, return-value]
    pair = PAIR._replace(size_bytes=len(source), target_size=len(target))
    found = comparer.at_once(pair) or comparer.by_asking(pair)
    comparer.close()
    return found, one.read_bytes, other.read_bytes


SHA = hashlib.sha256(b"abc").hexdigest()


@pytest.mark.parametrize(
    ("target", "options", "told", "read"),
    [
        (b"abc", {}, ("equal", "read", "crc64nvme: read, read"), (3, 3)), (b"abd", {}, ("different", "read", "crc64nvme: read, read"), (3, 3)),
        (b"abc", {"source_sums": {"sha256": SHA}}, ("equal", "read", "sha256: stored, read"), (0, 3)),
        (b"abd", {"source_sums": {"sha256": SHA}}, ("different", "read", "sha256: stored, read"), (0, 3)),
        (b"abc", {"target_sums": {"sha256": SHA}, "kinds": Kinds("file", "s3")}, ("equal", "read", "sha256: read, stored"), (3, 0)),
        (b"abc", {"target_sums": {"md5": MD5}}, ("equal", "read", "crc64nvme: read, read"), (3, 3)),
        (b"abc", {"source_sums": {"md5": MD5}, "target_sums": {"md5": "0" * 32}}, ("equal", "read", "md5: stored, read"), (0, 3)),
        (b"abc", {"source_sums": {"md5": MD5}, "target_sums": {"md5": "0" * 32}, "proof": "stored"}, ("different", "stored", None), (0, 0)),
        (b"abd", {"proof": "stored"}, ("equal", "size", "size"), (0, 0)), (b"abd", {"proof": "listing"}, ("equal", "size", "size"), (0, 0)),
        (b"abcd", {}, ("different", "size", "size"), (0, 0)),
    ],
)  # fmt: skip
def test_no_more_is_read_than_the_proof_needs(target: bytes, options: dict[str, Any], told: tuple[Any, ...], read: tuple[int, int]) -> None:
    found, *sizes = compared(b"abc", target, **options)
    assert (found.kind, found.level, found.how if told[2] else None) == told
    assert tuple(sizes) == read


def test_a_large_object_is_read_in_blocks_to_its_last_byte() -> None:
    data = bytes(range(256)) * (BLOCK_BYTES // 256 + 1)
    passed: list[int] = []
    assert compared(data, data, passed=passed.append)[0].kind == "equal"
    assert max(passed) == BLOCK_BYTES and sum(passed) == 2 * len(data)
    assert compared(data, data[:-1] + b"x")[0].kind == "different"


@pytest.mark.parametrize("error", [AccessDenied("no"), SourceChanged("other"), KeyError("x")])
@pytest.mark.parametrize("asked", ["find", "read"])
def test_what_cannot_be_compared_is_an_error_of_that_object(error: Exception, asked: str) -> None:
    def trouble(now: str) -> None:
        if now == asked:
            raise error

    found, *_ = compared(b"abc", b"abc", trouble=trouble)
    assert (found.kind, found.level) == ("error", "none") and found.reason


def test_what_may_pass_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_wait", lambda seconds, check: None)
    left = [Unreachable("a"), Unreachable("b")]

    def trouble(now: str) -> None:
        if now == "read" and left:
            raise left.pop()

    assert compared(b"abc", b"abc", trouble=trouble)[0].level == "read"


def test_a_cancel_ends_the_whole() -> None:
    def passed(size: int) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        compared(b"abc", b"abc", passed=passed)


# The report


def line(kind: Any, name: str = "a") -> Line:
    return Line(name, name, name, 1, 1, "e", "t", Compared(kind, "read"))


def test_a_report_has_a_line_and_a_row_for_each(tmp_path: Path) -> None:
    with Report(tmp_path) as report:
        for kind in ("equal", "different", "only-source", "only-target", "error"):
            report.add(line(kind, f"{kind}\nx"))
    assert (tmp_path / "combined.txt").read_text() == "= equal\\nx\n* different\\nx\n+ only-source\\nx\n- only-target\\nx\n! error\\nx\n"
    rows = pq.read_table(tmp_path / "combined.parquet").to_pylist()
    assert [row["class"] for row in rows] == ["equal", "different", "only-source", "only-target", "error"]
    assert rows[0] == {
        "class": "equal", "name": "equal\nx", "source_key": "equal\nx", "target_key": "equal\nx", "source_size": 1, "target_size": 1,
        "source_etag": "e", "target_etag": "t", "level": "read", "compared": "", "reason": "",
    }  # fmt: skip


def test_books_that_do_not_balance_are_refused(tmp_path: Path) -> None:
    with Report(tmp_path) as report:
        report.add(line("equal"))
        report.paired_targets = 1
    report.refuse_imbalance(1, 1)
    for listed, targets in ((2, 1), (1, 2), (0, 1)):
        with pytest.raises(BooksDoNotBalance):
            report.refuse_imbalance(listed, targets)


def test_a_report_that_was_cut_off_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(Cancelled), Report(tmp_path):
        raise Cancelled
    assert not list(tmp_path.iterdir())


# The engine, on real stores


def verify(clouds: Clouds, job: JobContext | None = None, **params: Any) -> Ran:
    return clouds.run("verify", job, **{"source": f"{clouds.bucket}/", "target": f"{clouds.lake}/", "formats": ["any"], **params})


def combined(ran: Ran) -> list[str]:
    return (ran.job.folder / "combined.txt").read_text().splitlines()


def rows(ran: Ran) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in pq.read_table(ran.job.folder / "combined.parquet").to_pylist()}


def two_sides(clouds: Clouds) -> None:
    """Two of the same, one of the same size with another byte, one of another size, one only here, one only there."""
    for key, here, there in (
        ("d/same.csv", "a,b\n", "a,b\n"), ("é/same.json", "[]", "[]"), ("byte.csv", "a,b\n", "a,c\n"), ("size.csv", "a,b\n", "a\n"),
        ("here.csv", "x", ""), ("there.csv", "", "x"), ("empty.csv", "", None),
    ):  # fmt: skip
        if here or there is None:
            put(clouds.s3, key, here)
        if there or there is None:
            put(clouds.adls, key, there or "")


def test_reading_tells_what_is_equal_different_missing_and_extra(clouds: Clouds) -> None:
    two_sides(clouds)
    ran = verify(clouds, proof="read")
    assert (ran.code, ran.counts) == (3, {"listed": 6, "equal": 3, "different": 2, "only_source": 1, "only_target": 1})
    assert combined(ran) == ["* byte.csv", "= d/same.csv", "= empty.csv", "+ here.csv", "* size.csv", "- there.csv", "= é/same.json"]
    assert ran.result["report"]["proof"] == {"read": 3} and not ran.result["warnings"]
    assert rows(ran)["byte.csv"]["level"] == "read" and rows(ran)["size.csv"]["level"] == "size"
    assert {"sign": "+", "name": "here.csv", "reason": "there is no such target"} in ran.result["report"]["differences"]
    assert {"combined.txt", "combined.parquet"} <= {path.name for path in ran.job.folder.iterdir()}
    assert not [path.name for path in ran.job.folder.iterdir() if path.name.startswith((".sources", ".targets", ".combined"))]


def test_sizes_alone_are_never_called_verified(clouds: Clouds) -> None:
    put(clouds.s3, "byte.csv", "a,b\n")
    put(clouds.adls, "byte.csv", "a,c\n")
    for proof in ("listing", "stored"):
        ran = verify(clouds, proof=proof)
        assert (ran.code, ran.counts) == (0, {"listed": 1, "equal": 1})
        assert (ran.result["report"]["proof"], ran.result["report"]["verified"]) == ({"size": 1}, 0)
        assert "only the lengths were compared; they are not verified" in ran.result["warnings"][0]


def test_a_listing_tells_of_our_own_copies_what_they_were_copied_from(clouds: Clouds) -> None:
    etag = put(clouds.s3, "a.csv").etag
    put(clouds.s3, "b.csv")
    put(clouds.adls, "a.csv", metadata={"source_etag": etag})
    put(clouds.adls, "b.csv", metadata={"source_etag": "another"})
    ran = verify(clouds, proof="listing")
    assert combined(ran) == ["= a.csv", "* b.csv"]
    assert ran.result["report"]["proof"] == {"recorded": 1}
    assert "another version of the source" in rows(ran)["b.csv"]["reason"]
    assert combined(verify(clouds, proof="read")) == ["= a.csv", "= b.csv"], "what the bytes say goes before what was written down"


def test_stored_checksums_of_s3_and_s3_need_no_reading(clouds: Clouds) -> None:
    for key in ("one/a.csv", "two/a.csv", "two/c.csv", "one/c.csv"):
        put(clouds.s3, key, "changed" if key == "two/c.csv" else "control")
    ran = verify(clouds, source=f"{clouds.bucket}/one/", target=f"{clouds.bucket}/two", proof="read")
    assert combined(ran) == ["= a.csv", "* c.csv"]
    assert ran.result["report"]["read_bytes"] == 0
    assert {row["level"] for row in rows(ran).values()} == {"stored"}


def test_files_are_compared_with_what_s3_computed(clouds: Clouds) -> None:
    folder = clouds.home / "data" / "in"
    folder.mkdir()
    for name, data in (("a.csv", b"abc"), ("b.csv", b"abd")):
        (folder / name).write_bytes(data)
        put(clouds.s3, name, b"abc")
    ran = verify(clouds, source=f"file://{folder}/", target=f"{clouds.bucket}/", proof="read")
    assert combined(ran) == ["= a.csv", "* b.csv"]
    assert ran.result["report"]["read_bytes"] == 6, "only the files were read"


def test_one_way_and_filters_leave_out_what_only_the_target_has(clouds: Clouds) -> None:
    two_sides(clouds)
    put(clouds.adls, "extra.json", "{}")
    assert verify(clouds, proof="read", one_way=True).counts["ignored"] == 2
    ran = verify(clouds, proof="read", formats=["csv"], exclude=["byte.csv"], min_bytes=1)
    assert combined(ran) == ["= d/same.csv", "+ here.csv", "* size.csv", "- there.csv"]
    assert ran.counts == {"listed": 6, "excluded": 3, "equal": 1, "only_source": 1, "different": 1, "only_target": 1, "ignored": 1}


def test_one_object_is_compared_with_its_copy_alone(clouds: Clouds) -> None:
    two_sides(clouds)
    ran = verify(clouds, source=f"{clouds.bucket}/d/same.csv", target=f"{clouds.lake}/d", proof="read")
    put(clouds.adls, "d/other.csv")
    assert combined(ran) == ["= same.csv"] == combined(verify(clouds, source=f"{clouds.bucket}/d/same.csv", target=f"{clouds.lake}/d/", proof="read"))


def test_names_that_migrate_encodes_are_found(clouds: Clouds) -> None:
    for key in ("a//b.csv", "50%25.csv", "plain.csv"):
        put(clouds.s3, key)
    for key in ("a/%/b.csv", "50%2525.csv", "plain.csv"):
        put(clouds.adls, key)
    assert combined(verify(clouds, proof="read", bad_names="rename")) == ["= 50%25.csv", "= a//b.csv", "= plain.csv"]
    ran = verify(clouds, proof="read")
    assert sorted(combined(ran)) == ["+ 50%25.csv", "+ a//b.csv", "- 50%2525.csv", "- a/%/b.csv", "= plain.csv"]
    assert "cannot hold" in rows(ran)["a//b.csv"]["reason"]


def test_what_was_migrated_verifies(clouds: Clouds) -> None:
    for key in ("a//b.csv", "50%25.csv", "é.csv", "empty.csv"):
        put(clouds.s3, key, "" if key == "empty.csv" else key)
    assert clouds.migrate(bad_names="rename").counts == {"listed": 4, "copied": 4}
    ran = verify(clouds, proof="listing", bad_names="rename")
    assert (ran.code, ran.result["report"]["proof"]) == (0, {"read": 1, "recorded": 3})
    ran = verify(clouds, proof="read", bad_names="rename")
    assert (ran.code, ran.result["report"]["proof"], ran.result["report"]["verified"]) == (0, {"read": 4}, 4)


def test_a_flat_copy_is_found_and_twins_are_each_compared(clouds: Clouds) -> None:
    put(clouds.s3, "x/a.csv", "1")
    put(clouds.s3, "y/a.csv", "2")
    put(clouds.adls, "raw_data/a.csv", "1")
    ran = verify(clouds, proof="read", layout="flat")
    assert sorted(combined(ran)) == ["* y/a.csv", "= x/a.csv"]


def test_converted_objects_are_compared_by_what_their_copies_record(clouds: Clouds) -> None:
    for key in ("a.csv", "b.csv", "c.csv"):
        put(clouds.s3, key)
    for key in ("a", "b"):
        convert_object(clouds.s3, clouds.s3.stat(f"{key}.csv"), clouds.adls, f"{key}.parquet", ConvertOptions(write_schema=False))
    put(clouds.s3, "b.csv", "a,b\n3,4\n")
    put(clouds.adls, "c.parquet", "PAR1")
    ran = verify(clouds, proof="read", convert="parquet")
    assert combined(ran) == ["= a.csv", "* b.csv", "! c.csv"]
    assert (rows(ran)["a.csv"]["level"], rows(ran)["a.csv"]["target_key"]) == ("recorded", "a.parquet")


def converted(clouds: Clouds, **params: Any) -> None:
    for key in ("a.csv", "d/b.ndjson", "d/c.csv"):
        put(clouds.s3, key, '{"a": 1, "b": 2}' if key.endswith("json") else "a,b\n1,2\n2,3\n")
    assert clouds.run("convert", source=f"{clouds.bucket}/", target=f"{clouds.lake}/out", **params).code == 0


@pytest.mark.parametrize(("params", "convert"), [({}, "parquet"), ({"partition_by": ["a"]}, "folders"), ({"split_bytes": 1}, "folders")])
def test_what_was_converted_verifies_whole(clouds: Clouds, params: dict[str, Any], convert: str) -> None:
    converted(clouds, **({"types": {"a": "string"}} if "partition_by" in params else {}), **params)
    ran = verify(clouds, target=f"{clouds.lake}/out", convert=convert)
    assert (ran.code, combined(ran)) == (0, ["= a.csv", "= d/b.ndjson", "= d/c.csv"])
    assert ran.result["report"]["proof"] == {"recorded": 3} and ran.result["report"]["beside"] >= 3
    assert rows(ran)["a.csv"]["target_key"] == ("out/a.parquet" if convert == "parquet" else "out/a/_SUCCESS")


def test_a_schema_belongs_to_a_result_that_is_there_and_to_nothing_else(clouds: Clouds) -> None:
    converted(clouds)
    clouds.adls.delete("out/a.parquet")
    put(clouds.adls, "out/_x.parquet.schema.json")
    put(clouds.adls, "out/d/_b.parquet.schema.json.bak")
    ran = verify(clouds, target=f"{clouds.lake}/out", convert="parquet")
    extra = ["- _a.parquet.schema.json", "- _x.parquet.schema.json", "- d/_b.parquet.schema.json.bak"]
    assert sorted(combined(ran)) == sorted([*extra, "+ a.csv", "= d/b.ndjson", "= d/c.csv"])
    plain = verify(clouds, target=f"{clouds.lake}/out")
    assert plain.counts["only_target"] == 7


@pytest.mark.parametrize(("change", "reason"), [("delete", "is missing"), ("replace", "was replaced"), ("add", "is no part of what was converted")])
def test_a_folder_is_equal_only_with_all_its_parts_and_no_others(clouds: Clouds, change: str, reason: str) -> None:
    converted(clouds, split_bytes=1)
    key = next(key for key in keys(clouds.adls, "out/d/c/") if key.endswith(".parquet"))
    if change == "delete":
        clouds.adls.delete(key)
    else:
        put(clouds.adls, key if change == "replace" else "out/d/c/Another.parquet", b"PAR1")
    ran = verify(clouds, target=f"{clouds.lake}/out", convert="folders")
    assert combined(ran) == ["= a.csv", "= d/b.ndjson", "* d/c.csv"]
    assert reason in rows(ran)["d/c.csv"]["reason"]


def test_a_folder_without_its_mark_is_no_target(clouds: Clouds) -> None:
    converted(clouds, split_bytes=1)
    clouds.adls.delete("out/d/c/_SUCCESS")
    ran = verify(clouds, target=f"{clouds.lake}/out", convert="folders")
    assert ran.counts["only_source"] == 1 and ran.counts["only_target"] >= 2 and ran.counts["equal"] == 2


def test_an_object_that_changes_meanwhile_is_an_error(clouds: Clouds, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("a.csv", "b.csv"):
        put(clouds.s3, key)
        put(clouds.adls, key)
    pairs = comparison.Comparison._pairs

    def replaced(*arguments: Any) -> Any:
        put(clouds.s3, "a.csv", b"c,d\n1,2\n")
        put(clouds.adls, "b.csv", b"c,d\n1,2\n")
        yield from pairs(*arguments)

    monkeypatch.setattr(comparison.Comparison, "_pairs", replaced)
    ran = verify(clouds, proof="read")
    assert (ran.code, combined(ran)) == (3, ["! a.csv", "! b.csv"])
    assert "replaced after it was listed" in rows(ran)["a.csv"]["reason"]


def test_more_objects_than_are_held_at_once(clouds: Clouds, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison_join.SortedRows.__init__, "__defaults__", (7,))
    for n in range(25):
        put(clouds.s3, f"{n % 3}/{n}.csv", str(n))
        put(clouds.adls, f"{n % 3}/{n}.csv", str(n if n % 5 else -n - 100))
    ran = verify(clouds, proof="read", concurrency=4)
    assert ran.counts == {"listed": 25, "equal": 20, "different": 5}
    assert [text[2:] for text in combined(ran)] == sorted(text[2:] for text in combined(ran))


def test_nothing_at_either_side_is_a_mistake_unless_allowed(clouds: Clouds) -> None:
    assert (verify(clouds).error["type"], verify(clouds, allow_empty=True).code) == ("NothingMatched", 0)
    assert verify(clouds, source=f"{clouds.bucket}-none/").error["type"] in ("NotFound", "NoBucket")


def test_a_dry_run_looks_at_listings_only(clouds: Clouds) -> None:
    two_sides(clouds)
    ran = verify(clouds, job=clouds.context(dry_run=True), proof="read")
    assert ran.result["report"]["dry_run"] and ran.result["report"]["read_bytes"] == 0
    assert "* size.csv" in combined(ran) and "= byte.csv" in combined(ran)


def test_a_cancel_leaves_no_report(clouds: Clouds) -> None:
    two_sides(clouds)
    job: JobContext = clouds.context()
    job.cancel()
    ran = verify(clouds, job)
    assert ran.error["type"] == "Cancelled"
    assert not list(job.folder.glob("*combined*"))
    assert get(clouds.s3, "here.csv") == b"x"
