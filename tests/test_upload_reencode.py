"""Uploads that make UTF-8 of CSV files: nothing else changes, and what cannot be read fails alone."""

from __future__ import annotations

import gzip
import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portal.connections import LocalConnection
from portal.errors import ConversionFailed, ProofFailed
from portal.planning.plan import Entry
from portal.stores.base import ObjectInfo
from portal.stores.local import LocalWriter
from portal.stores.opening import open_store
from portal.stores.url import StoreURL
from portal.transfer.uploading.reencoding import Recoder, recoded_name
from tests.transferring import get, keys
from tests.uploading import Shop, shop

__all__ = ["shop"]

CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\ufeff")
TEXT = 'Ort;Umsatz\r\nKöln;"1,5\n€"\r\n„Zürich“;2\n'


def test_files_of_any_encoding_become_utf8_and_keep_everything_else(shop: Shop) -> None:
    encodings = {"cp1252": "cp1252", "utf16": "utf-16", "utf16be": "utf-16-be", "utf8": "utf-8", "utf8sig": "utf-8-sig", "utf32": "utf-32"}
    for name, encoding in encodings.items():
        shop.drop(f"{name}.csv", TEXT.encode(encoding))
    shop.drop("packed.csv.gz", gzip.compress(TEXT.encode("cp1252")))
    shop.drop("note.txt", TEXT.encode("cp1252"))
    shop.drop("empty.csv", b"")
    ran = shop.announced(template="{path}", reencode="utf-8")
    assert (ran.code, ran.counts) == (0, {"listed": 9, "copied": 2, "converted": 7, "announced": 9, "moved": 9})
    assert {get(shop.clouds.s3, f"{name}.csv") for name in encodings} == {TEXT.encode()}
    assert (get(shop.clouds.s3, "empty.csv"), get(shop.clouds.s3, "note.txt")) == (b"", TEXT.encode("cp1252"))
    rows = {row["target_key"]: row for row in ran.table}
    assert (rows["cp1252.csv"]["proof"], rows["cp1252.csv"]["target_size"]) == ("converted", len(TEXT.encode()))
    assert "do 'Köln'" in rows["cp1252.csv"]["reason"]
    notice = next(one for one in shop.notices() if one.key == "cp1252.csv")
    assert (notice.crc64nvme, notice.size_bytes) == (rows["cp1252.csv"]["crc64nvme"], len(TEXT.encode()))
    assert shop.clouds.s3.stat("cp1252.csv").content_type == "text/csv; charset=utf-8"


def test_what_is_there_in_utf8_already_is_not_sent_again(shop: Shop) -> None:
    shop.drop("a.csv", TEXT.encode("cp1252"))
    for wanted in ({"listed": 1, "converted": 1}, {"listed": 1, "skipped": 1}):
        assert shop.upload(template="{path}", reencode="utf-8", overwrite="fail").counts == wanted
    shop.drop("a.csv", TEXT.replace("2", "3").encode("cp1252"))
    assert shop.upload(template="{path}", reencode="utf-8").counts == {"listed": 1, "converted": 1}


def test_what_cannot_be_read_fails_alone_and_stays(shop: Shop) -> None:
    shop.drop("bad.csv", b"a,b\n1,\xff\xfe\x80\n" * 3)
    shop.drop("packed.csv", b"PK\x03\x04")
    shop.drop("good.csv", "a\nü\n".encode("cp1252"))
    ran = shop.announced(template="{path}", reencode="utf-8")
    assert (ran.counts["failed"], ran.counts["converted"], shop.left()) == (2, 1, ["bad.csv", "packed.csv"])
    assert keys(shop.clouds.s3) == ["good.csv"]
    told = {row["source_key"].rpartition("/")[2]: row["reason"] for row in ran.table if row["outcome"] == "failed"}
    assert "byte 6 (0xff)" in told["bad.csv"]
    assert "zip archive" in told["packed.csv"]
    assert shop.announced(template="{path}", reencode="utf-8", encoding="latin-1", include=["bad.csv"]).counts["converted"] == 1
    assert get(shop.clouds.s3, "bad.csv") == (b"a,b\n1,\xff\xfe\x80\n" * 3).decode("latin-1").encode()


def test_a_dry_run_tells_the_encoding(shop: Shop) -> None:
    shop.drop("a.csv", TEXT.encode("cp1252"))
    ran = shop.upload(shop.clouds.context(dry_run=True), reencode="utf-8")
    assert ran.result["report"]["dry_run"]["previews"][0]["reading"]["encoding"] == "cp1252"


@settings(deadline=None, max_examples=60)
@given(st.text(CHARACTERS, min_size=1), st.sampled_from(["utf-8", "utf-16-le", "utf-32-be"]))
def test_every_character_arrives(tmp_path_factory: pytest.TempPathFactory, text: str, encoding: str) -> None:
    folder = tmp_path_factory.mktemp("files")
    (folder / "a.csv").write_bytes(text.encode(encoding))
    store = open_store(StoreURL("file", ""), LocalConnection(roots=(str(folder),)))
    info = store.stat(f"{folder}/a.csv".lstrip("/"))
    entry = Entry(0, info.key, info.size_bytes, info.etag, "", f"{folder}/b.csv".lstrip("/"), "convert")
    recoder = Recoder(store, store, encoding, "job", lambda: None)
    with suppress(ConversionFailed):  # bytes that begin like another kind of file's
        done = recoder(entry, info, overwrite=False, moved=lambda _: None)
        assert (folder / "b.csv").read_bytes() == text.encode()
        assert recoder.digests(info).crc64nvme == done.target_crc64


@pytest.mark.parametrize(("name", "wanted"), [("a.CSV", "a.CSV"), ("x/a.tsv", "x/a.tsv"), ("a.csv.gz", None), ("a.json", None)])
def test_which_files_are_reencoded(name: str, wanted: str | None) -> None:
    assert recoded_name(name) == wanted


def test_what_the_store_holds_is_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.csv").write_bytes(b"a\n\xe4\n")
    store = open_store(StoreURL("file", ""), LocalConnection(roots=(str(tmp_path),)))
    commit = LocalWriter.commit

    def broken(self: LocalWriter, *, md5: str = "") -> ObjectInfo:
        done, path = commit(self, md5=md5), tmp_path / "b.csv"
        moment = path.stat().st_mtime_ns
        path.write_bytes(path.read_bytes()[::-1])
        os.utime(path, ns=(moment, moment))
        return done

    monkeypatch.setattr(LocalWriter, "commit", broken)
    info = store.stat(f"{tmp_path}/a.csv".lstrip("/"))
    entry = Entry(0, info.key, info.size_bytes, info.etag, "", f"{tmp_path}/b.csv".lstrip("/"), "convert")
    with pytest.raises(ProofFailed, match="other bytes"):
        Recoder(store, store, "latin-1", "job", lambda: None)(entry, info, overwrite=False, moved=lambda _: None)
