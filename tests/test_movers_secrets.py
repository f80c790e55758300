"""What a process that moves objects knows, and what it must not tell or get."""

from __future__ import annotations

import time
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError

from portal.errors import NameNotAllowed, SourceRefused, StoreError, explain
from portal.movers import messages
from portal.movers.messages import Item, Options, failure_of, keep_secret
from portal.movers.pool import Pool
from portal.processes import MARK
from portal.stores.s3_errors import Answer as S3Answer
from portal.stores.s3_errors import translated
from portal.wire.ends import Access
from portal.wire.words import line_of


def test_no_failure_tells_what_the_process_was_told_in_confidence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "_hidden", messages._Hidden())
    keep_secret(Access("s3", keys=("AKIDEXAMPLE", "wJalrXUtnFEMI", "session/token+1")))
    keep_secret(Access("blob", sas="sv=2024-11-04&sp=rw&sig=AbC%2FdEfGh%3D"), Access("dfs", bearer="opaque-bearer"))
    for secret in ("wJalrXUtnFEMI", "session/token+1", "session%2Ftoken%2B1", "AbC%2FdEfGh%3D", "AbC/dEfGh=", "opaque-bearer"):
        error = SourceRefused(f"It said {secret}.")
        error.__cause__ = StoreError(f"Because of {secret}.", hint=f"Look at {secret}.")
        reason = failure_of(error).reason
        assert secret not in reason and "It said" in reason and "because: Because of" in reason
    assert failure_of(StoreError("See /k%3Fa%3D1%26sig%3Dunknown")).reason == "See /k%3Fa%3D1%26sig%3D•••"


def test_words_that_quote_a_request_are_left_out_of_the_sdks_errors_too() -> None:
    told = {"Error": {"Code": "AccessDenied", "Message": "You sent X-Amz-Signature%3Dabc"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
    assert str(S3Answer(ClientError(told, "PutObject"))) == "S3 answered 403 AccessDenied"


def test_a_code_that_is_the_status_is_not_said_twice() -> None:
    told = {"Error": {"Code": "404", "Message": "Not Found"}, "ResponseMetadata": {"HTTPStatusCode": 404}}
    assert str(S3Answer(ClientError(told, "HeadObject"))) == "S3 answered 404: Not Found"
    assert line_of("S3", 414, "414", "", Access("s3")) == "S3 answered 414"
    assert line_of("Azure", 404, "BlobNotFound", "gone", Access("blob")) == "Azure answered 404 BlobNotFound: gone"


def test_a_bad_name_of_a_bucket_is_told_without_a_regular_expression() -> None:
    client = boto3.client("s3", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
    with pytest.raises(NameNotAllowed) as caught, translated("Listing", bucket="evil.com?x="):
        client.list_objects_v2(Bucket="evil.com?x=")
    told = explain(caught.value)
    assert "'evil.com?x=' cannot be the name of a bucket" in told and "lower-case" in told and "regex" not in told


def test_a_process_gets_no_more_of_the_environment_than_it_needs_and_leaves_no_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MY_LAKE_SAS", "AWS_SECRET_ACCESS_KEY", "SNOWFLAKE_PASSWORD", "SOME_TOKEN"):
        monkeypatch.setenv(name, "hidden")
    kept = {MARK: "the-job", "https_proxy": "http://127.0.0.1:9", "REQUESTS_CA_BUNDLE": "/ca", "LC_ALL": "C.UTF-8"}
    for name, value in kept.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "a").write_bytes(b"1")
    access = Access("file", scheme="file", roots=(str(tmp_path),))
    with Pool(1, Options(), lambda: (access, access)) as pool:
        pool.put([tuple(Item(0, f"{tmp_path}/a"[1:], 1, "", f"{tmp_path}/b"[1:]))])
        until = time.monotonic() + 30
        while not pool.idle and time.monotonic() < until:
            pool.wait(1)
        place = Path("/proc", str(pool._children[0].process.pid))
        environment = dict(pair.split("=", 1) for pair in (place / "environ").read_text().split("\0") if pair)
        core = next(line.split() for line in (place / "limits").read_text().splitlines() if line.startswith("Max core"))
    assert "hidden" not in environment.values()
    assert {name: environment[name] for name in kept} == kept
    assert core[4:6] == ["0", "0"]
