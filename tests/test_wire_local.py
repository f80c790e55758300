"""Files of this machine as an end of the thin path."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from portal.connections import LocalConnection
from portal.errors import AccessDenied, AlreadyExists, NameNotAllowed, NotFound, ProofFailed, SettingError, SourceChanged, StoreError, UploadGone
from portal.stores import local_rename
from portal.stores.base import walk
from portal.stores.local import LocalStore
from portal.stores.url import StoreURL
from portal.wire import local_end
from portal.wire.ends import About, Access, Block, Pin
from portal.wire.local_end import LocalEnd
from portal.wire.opening import open_end

MODIFIED = "2026-11-21T10:58:31.123456Z"


@pytest.fixture
def end(tmp_path: Path) -> LocalEnd:
    found = open_end(Access("file", roots=(str(tmp_path),)))
    assert isinstance(found, LocalEnd)
    return found


def key(path: Path) -> str:
    return str(path)[1:]


def names(folder: Path) -> list[str]:
    return sorted(item.name for item in folder.iterdir())


def pin_of(end: LocalEnd, path: Path) -> Pin:
    found = end.find(key(path))
    return Pin(key(path), found.size_bytes, found.etag)


def put(end: LocalEnd, path: Path, body: bytes, *, overwrite: bool = False, modified: str = "") -> str:
    return end.put(key(path), memoryview(body), About(modified=modified), overwrite=overwrite, crc64=0).etag


def test_what_is_put_is_found_and_read_with_the_time_of_its_source(end: LocalEnd, tmp_path: Path) -> None:
    path = tmp_path / "new" / "folders" / "a b+%.bin"
    etag = put(end, path, b"0123456789", modified=MODIFIED)
    found = end.find(key(path))
    assert (found.size_bytes, found.etag, found.about.modified) == (10, etag, MODIFIED)
    assert names(path.parent) == [path.name]
    whole, part = bytearray(10), bytearray(3)
    assert end.read(Pin(key(path), 10, etag), memoryview(whole)).etag == etag
    end.read(Pin(key(path), 10, etag), memoryview(part), start=6)
    assert (whole, part) == (b"0123456789", b"678")


def test_an_existing_file_is_kept_unless_it_may_be_replaced(end: LocalEnd, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with pytest.raises(AlreadyExists):
        put(end, path, b"new")
    with pytest.raises(AlreadyExists):
        end.begin(key(path), About(), 3, overwrite=False)
    assert (path.read_bytes(), names(tmp_path)) == (b"old", ["a"])
    put(end, path, b"new", overwrite=True)
    assert (path.read_bytes(), names(tmp_path)) == (b"new", ["a"])


@pytest.mark.parametrize("has_call", [True, False])
def test_a_file_system_without_links_takes_files_too(end: LocalEnd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_call: bool) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refused)
    if not has_call:
        monkeypatch.setattr(local_rename, "_call", lambda: None)
    put(end, tmp_path / "a", b"a")
    store = LocalStore(StoreURL("file", ""), LocalConnection(roots=(str(tmp_path),)))
    with store.open_write(key(tmp_path / "b")) as writer:
        writer.write(b"b")
        writer.commit()
    store.rename(key(tmp_path / "b"), key(tmp_path / "c"))
    with pytest.raises(AlreadyExists):
        store.rename(key(tmp_path / "c"), key(tmp_path / "a"))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"a", "c": b"b"}


def test_a_file_that_appears_between_begin_and_commit_is_kept(end: LocalEnd, tmp_path: Path) -> None:
    path = tmp_path / "a"
    upload = end.begin(key(path), About(), 1, overwrite=False)
    end.put_block(key(path), upload, 0, 0, memoryview(b"x"), crc64=0)
    path.write_bytes(b"theirs")
    with pytest.raises(AlreadyExists):
        end.commit(key(path), upload, [Block(0, 1, 0, "")], About(), overwrite=False, crc64=0)
    end.abort(key(path), upload, 1)
    assert (path.read_bytes(), names(tmp_path)) == (b"theirs", ["a"])


def test_blocks_may_come_in_any_order_and_twice_and_from_another_process(end: LocalEnd, tmp_path: Path) -> None:
    path = tmp_path / "large"
    upload = end.begin(key(path), About(), 10, overwrite=False)
    assert not path.exists()
    end.put_block(key(path), upload, 1, 4, memoryview(b"4567"), crc64=0)
    other = LocalEnd(end.access)
    other.put_block(key(path), upload, 2, 8, memoryview(b"89"), crc64=0)
    for _ in range(2):
        other.put_block(key(path), upload, 0, 0, memoryview(b"0123"), crc64=0)
    blocks = [Block(0, 4, 0, ""), Block(1, 4, 0, ""), Block(2, 2, 0, "")]
    written = other.commit(key(path), upload, blocks, About(modified=MODIFIED), overwrite=False, crc64=0)
    assert path.read_bytes() == b"0123456789"
    assert (end.find(key(path)).about.modified, end.find(key(path)).etag, names(tmp_path)) == (MODIFIED, written.etag, ["large"])


@pytest.mark.parametrize("blocks", [[Block(0, 4, 0, "")], [Block(1, 10, 0, "")], [Block(0, 5, 0, ""), Block(2, 5, 0, "")], []])
def test_a_file_of_which_a_block_is_missing_does_not_appear(end: LocalEnd, tmp_path: Path, blocks: list[Block]) -> None:
    path = tmp_path / "large"
    upload = end.begin(key(path), About(), 10, overwrite=False)
    with pytest.raises(ProofFailed, match="not those of the whole file"):
        end.commit(key(path), upload, blocks, About(), overwrite=False, crc64=0)
    assert not path.exists()


def test_what_was_aborted_is_gone_and_says_so(end: LocalEnd, tmp_path: Path) -> None:
    path = tmp_path / "large"
    upload = end.begin(key(path), About(), 10, overwrite=False)
    end.abort(key(path), upload, 10)
    end.abort(key(path), upload, 10)
    assert names(tmp_path) == []
    with pytest.raises(UploadGone):
        end.put_block(key(path), upload, 0, 0, memoryview(b"x"), crc64=0)
    with pytest.raises(UploadGone):
        end.commit(key(path), upload, [], About(), overwrite=False, crc64=0)


@pytest.mark.parametrize("upload", ["other", "../other", "", ".portal-0123456789abcdef.part/x"])
def test_only_what_was_begun_is_written_to(end: LocalEnd, tmp_path: Path, upload: str) -> None:
    (tmp_path / "other").write_bytes(b"theirs")
    with pytest.raises(UploadGone):
        end.put_block(key(tmp_path / "a"), upload, 0, 0, memoryview(b"x"), crc64=0)
    end.abort(key(tmp_path / "a"), upload, 1)
    assert (tmp_path / "other").read_bytes() == b"theirs"


def _rewritten(path: Path) -> None:
    path.write_bytes(b"9876543210")


def _grown(path: Path) -> None:
    path.write_bytes(b"0123456789+")


def _replaced(path: Path) -> None:
    path.unlink()
    (path.parent / "b").write_bytes(b"0123456789")
    (path.parent / "b").rename(path)


@pytest.mark.parametrize("change", [_rewritten, _grown, _replaced, Path.unlink])
def test_a_source_that_changed_is_not_read(end: LocalEnd, tmp_path: Path, change: Callable[[Path], None]) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"0123456789")
    os.utime(path, ns=(1, 1))
    pin = pin_of(end, path)
    change(path)
    pins = [pin, pin._replace(etag="")] if change is _grown else [pin]
    for meant in pins:
        with pytest.raises(SourceChanged):
            end.read(meant, memoryview(bytearray(10)))


def test_a_source_that_is_written_to_while_it_is_read_is_noticed(end: LocalEnd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"0123456789")
    os.utime(path, ns=(1, 1))
    pin, preadv = pin_of(end, path), os.preadv

    def reading(descriptor: int, buffers: list[memoryview], offset: int) -> int:
        path.write_bytes(b"9876543210")
        return preadv(descriptor, buffers, offset)

    monkeypatch.setattr(os, "preadv", reading)
    with pytest.raises(SourceChanged, match="while it was read"):
        end.read(pin, memoryview(bytearray(10)))


def test_the_folder_of_the_file_before_is_gone_into_once_and_leads_nowhere_else(tmp_path: Path) -> None:
    """Files beside the last one are opened in its folder, which is held open; whatever is not the very file goes the whole way and is judged."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    for folder in (root / "a", outside):
        folder.mkdir(parents=True)
        for name in "12345":
            (folder / name).write_bytes(f"{folder.name} {name}".encode())
    end = LocalEnd(Access("file", roots=(str(root),)))
    pins = [pin_of(end, root / "a" / name) for name in "12345"]

    def read(pin: Pin) -> bytes:
        view = memoryview(bytearray(pin.size_bytes))
        end.read(pin, view)
        return bytes(view)

    assert [read(pin) for pin in pins[:2]] == [b"a 1", b"a 2"]
    open_before = len(os.listdir("/proc/self/fd"))
    assert read(pins[1]) == b"a 2" and len(os.listdir("/proc/self/fd")) == open_before
    (root / "a" / "3").unlink()
    (root / "a" / "3").symlink_to(outside / "3")
    with pytest.raises(AccessDenied):
        read(pins[2])
    assert read(pins[0]) == b"a 1"
    (root / "a").rename(root / "b")
    (root / "a").mkdir()
    (root / "a" / "6").write_bytes(b"new")
    assert read(pin_of(end, root / "a" / "6")) == b"new", "a folder that took the place of the one before is found"
    (root / "a").rename(root / "c")
    (root / "a").symlink_to(outside)
    with pytest.raises(AccessDenied):
        read(Pin(key(root / "a" / "4"), 9, local_end.etag((outside / "4").stat())))
    end.close()
    assert len(os.listdir("/proc/self/fd")) < open_before


def test_a_root_that_is_a_file_opens_no_way_to_those_beside_it(tmp_path: Path) -> None:
    allowed, beside = tmp_path / "allowed", tmp_path / "beside"
    allowed.write_bytes(b"may")
    beside.write_bytes(b"not")
    end = LocalEnd(Access("file", roots=(str(allowed),)))
    view = memoryview(bytearray(3))
    end.read(pin_of(end, allowed), view)
    with pytest.raises(AccessDenied):
        end.read(Pin(key(beside), 3, local_end.etag(beside.stat())), view)


def test_what_is_no_file_is_refused_and_nobody_waits_for_it(end: LocalEnd, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    done = threading.Event()

    def read() -> None:
        for name in ("pipe", "."):
            with pytest.raises(StoreError):
                end.read(Pin(key(tmp_path / name), 0), memoryview(bytearray(0)))
        with pytest.raises(NotFound):
            end.find(key(tmp_path / "pipe"))
        done.set()

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(20)
    assert done.is_set()


def test_no_way_leads_out_of_the_roots(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    (outside / "secret").write_bytes(b"x")
    (inside / "link").symlink_to(outside)
    (inside / "file").symlink_to(outside / "secret")
    end = LocalEnd(Access("file", roots=(str(inside),)))
    for name in ("link/secret", "file", "../out/secret"):
        place = key(inside / name)
        for act in (
            lambda place=place: end.read(Pin(place, 1), memoryview(bytearray(1))), lambda place=place: end.find(place),
            lambda place=place: end.put(place, memoryview(b"y"), About(), overwrite=True, crc64=0),
            lambda place=place: end.begin(place, About(), 1, overwrite=True), lambda place=place: end.delete(place),
        ):  # fmt: skip
            with pytest.raises(AccessDenied):
                act()
    listed = end.list_page(key(inside) + "/")
    assert (listed.keys, listed.sizes, listed.folders) == ([key(inside / "file"), key(inside / "link")], [0, 0], [False, False])
    assert all("outside the folders" in listed.unseen[one] for one in listed.keys)
    assert (names(outside), (outside / "secret").read_bytes()) == (["secret"], b"x")


@pytest.mark.parametrize("name", ["a/", "x" * 300, "nul\0"])
def test_names_that_no_file_can_have_are_refused(end: LocalEnd, tmp_path: Path, name: str) -> None:
    with pytest.raises(NameNotAllowed):
        end.put(f"{key(tmp_path)}/{name}", memoryview(b""), About(), overwrite=False, crc64=0)


def test_a_file_where_a_folder_is_needed_is_told(end: LocalEnd, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(NameNotAllowed):
        put(end, tmp_path / "a" / "b", b"x")


def test_deleting_takes_only_what_was_meant(end: LocalEnd, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"0123456789")
    etag = end.find(key(path)).etag
    path.write_bytes(b"other")
    with pytest.raises(SourceChanged):
        end.delete(key(path), etag=etag)
    end.delete(key(path), etag=end.find(key(path)).etag)
    end.delete(key(path))
    assert names(tmp_path) == []


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
@pytest.mark.parametrize("kept", [True, False])
def test_pages_hold_what_the_store_lists_in_its_order(tmp_path: Path, limit: int, kept: bool) -> None:
    for name in ("b/1", "b/2", "b-", "a", "c/d/e/f", "c.x", ".portal-0123456789abcdef.part"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    os.mkfifo(tmp_path / "pipe")
    access, prefix = Access("file", roots=(str(tmp_path),)), key(tmp_path) + "/"
    store = LocalStore(StoreURL("file", ""), LocalConnection(roots=(str(tmp_path),)))
    infos = [info for page in _pages_of_store(store, prefix) for info in page]
    end, continuation, rows = LocalEnd(access), None, []
    while True:
        page = (end if kept else LocalEnd(access)).list_page(prefix, continuation=continuation, limit=limit)
        rows += list(zip(page.keys, page.sizes, page.etags, page.folders, page.classes, page.sources, page.md5s, strict=True))
        assert len(page.keys) == len(page.modified) <= limit
        continuation = page.continuation
        if continuation is None:
            break
    assert rows == [(info.key, info.size_bytes, info.etag, info.is_folder, "", "", "") for info in infos]
    assert len([row for row in rows if not row[3]]) == len(list(walk(store, prefix))) == 6


def test_a_link_that_leads_nowhere_in_a_circle_or_to_a_folder_is_listed_with_the_reason(end: LocalEnd, tmp_path: Path) -> None:
    for name, place in (("away", "nowhere"), ("circle", "circle"), ("folder", "real"), ("good", "real/file")):
        (tmp_path / name).symlink_to(tmp_path / place)
    (tmp_path / "real").mkdir()
    (tmp_path / "real/file").write_bytes(b"123")
    listed = end.list_page(key(tmp_path) + "/")
    assert [one.rpartition("/")[2] for one in listed.keys] == ["away", "circle", "folder", "good", "real", "file"]
    assert listed.sizes == [0, 0, 0, 3, 0, 3] and len(listed.md5s) == len(listed.etags) == len(listed.modified) == 6
    why = {one.rpartition("/")[2]: reason for one, reason in listed.unseen.items()}
    assert why.keys() == {"away", "circle", "folder"}
    assert "leads nowhere" in why["away"] and "leads to itself" in why["circle"] and "link to a folder" in why["folder"]


def test_what_a_disk_cannot_tell_is_an_entry_and_a_folder_that_cannot_be_read_an_error(
    end: LocalEnd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Bad:
        def __init__(self, entry: os.DirEntry[str]) -> None:
            self.name, self.path = entry.name, entry.path

        def is_symlink(self) -> bool:
            return False

        def stat(self) -> os.stat_result:
            raise OSError(errno.ESTALE, "Stale file handle", self.path)

    (tmp_path / "a").write_bytes(b"")
    (tmp_path / "b").mkdir()
    real = local_end.names_below
    with monkeypatch.context() as patch:
        patch.setattr(local_end, "names_below", lambda *args, **more: ((one, Bad(entry)) for one, entry in real(*args, **more)))
        listed = end.list_page(key(tmp_path) + "/")
        assert "Stale file handle" in listed.unseen[key(tmp_path / "a")]
    scandir = os.scandir

    def scanned(folder: Path) -> object:
        if str(folder).endswith("/b"):
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", scanned)
    with pytest.raises(AccessDenied, match=key(tmp_path / "b")):
        end.list_page(key(tmp_path) + "/")


def test_a_listing_may_begin_anew_at_any_page(end: LocalEnd, tmp_path: Path) -> None:
    for name in "abcdef":
        (tmp_path / name).write_bytes(b"")
    prefix = key(tmp_path) + "/"
    first = end.list_page(prefix, limit=2)
    second = end.list_page(prefix, continuation=first.continuation, limit=2)
    assert end.list_page(prefix, continuation=first.continuation, limit=2).keys == second.keys
    assert end.list_page(prefix, limit=2).keys == first.keys


def _pages_of_store(store: LocalStore, prefix: str) -> list[tuple[object, ...]]:
    pages, continuation = [], None
    while True:
        page = store.list_page(prefix, continuation=continuation, limit=3)
        pages.append(page.objects)
        continuation = page.continuation
        if continuation is None:
            return pages


def test_a_missing_folder_is_empty_and_a_missing_root_is_told(end: LocalEnd, tmp_path: Path) -> None:
    assert end.list_page(key(tmp_path / "none") + "/").keys == []
    with pytest.raises(NotFound, match="There is no folder"):
        LocalEnd(Access("file", roots=(str(tmp_path / "none"),))).list_page(key(tmp_path / "none") + "/")


def test_a_kind_that_nobody_knows_has_no_end() -> None:
    with pytest.raises(SettingError, match="kind 'ftp'"):
        open_end(Access("ftp"))
