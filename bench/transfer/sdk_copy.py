"""What one writes with the SDKs alone: `python -m bench.transfer.sdk_copy BUCKET CONTAINER SIZE_BYTES`, ends named by the usual variables.

Two processes, each with a listing of its own of which it takes every second object, and threads. MD5 of every block goes with it and the ETag
of the source is compared: what rclone compares. No ledger, no journal, no resuming.
"""

from __future__ import annotations

import base64
import hashlib
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import Process
from typing import Any

import boto3
from azure.storage.blob import BlobBlock, ContainerClient, ContentSettings
from botocore.config import Config

_PROCESSES, _THREADS = 2, 8
_BLOCK_BYTES = 8 << 20


def ends(container: str) -> tuple[Any, ContainerClient]:
    checks = {"request_checksum_calculation": "when_required", "response_checksum_validation": "when_required"}
    s3 = boto3.client("s3", config=Config(s3={"addressing_style": "path"}, max_pool_connections=_THREADS, **checks))
    account = {"account_name": os.environ["AZURE_STORAGE_ACCOUNT"], "account_key": os.environ["AZURE_STORAGE_KEY"]}
    return s3, ContainerClient(os.environ["AZURE_STORAGE_ENDPOINT"], container, credential=account, connection_timeout=60)


def listed(s3: Any, bucket: str) -> Iterator[tuple[str, int, str]]:
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for item in page.get("Contents", ()):
            yield item["Key"], item["Size"], item["ETag"].strip('"')


def copy_small(s3: Any, target: ContainerClient, bucket: str, key: str, etag: str) -> None:
    data = s3.get_object(Bucket=bucket, Key=key, IfMatch=etag)["Body"].read()
    md5 = hashlib.md5(data)
    if md5.hexdigest() != etag:
        raise RuntimeError(f"{key} is not what its ETag says")
    target.upload_blob(key, data, overwrite=True, content_settings=ContentSettings(content_md5=bytearray(md5.digest())))


def copy_large(s3: Any, target: ContainerClient, bucket: str, key: str, size: int, etag: str) -> None:
    body, whole, blob = s3.get_object(Bucket=bucket, Key=key, IfMatch=etag)["Body"], hashlib.md5(), target.get_blob_client(key)
    names = [base64.b64encode(b"%06d" % number).decode() for number in range(-(-size // _BLOCK_BYTES))]
    for name in names:
        data = body.read(_BLOCK_BYTES)
        whole.update(data)
        blob.stage_block(name, data, len(data), validate_content=True)
    if whole.hexdigest() != etag:
        raise RuntimeError(f"{key} is not what its ETag says")
    blob.commit_block_list([BlobBlock(name) for name in names], content_settings=ContentSettings(content_md5=bytearray(whole.digest())))


def work(number: int, bucket: str, container: str) -> None:
    s3, target = ends(container)

    def copy(item: tuple[str, int, str]) -> None:
        key, size, etag = item
        if size > _BLOCK_BYTES:
            copy_large(s3, target, bucket, key, size, etag)
        else:
            copy_small(s3, target, bucket, key, etag)

    mine = [item for at, item in enumerate(listed(s3, bucket)) if at % _PROCESSES == number]
    with ThreadPoolExecutor(_THREADS) as threads:
        for _ in threads.map(copy, mine):
            pass


def main() -> int:
    bucket, container = sys.argv[1:3]
    both = [Process(target=work, args=(number, bucket, container)) for number in range(_PROCESSES)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    return max(abs(process.exitcode or 0) for process in both)


if __name__ == "__main__":
    sys.exit(main())
