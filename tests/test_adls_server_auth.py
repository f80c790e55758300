"""The ADLS server's door: SharedKey, account SAS, service SAS for containers, folders and files."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from typing import Any

import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.storage.blob import BlobServiceClient, generate_account_sas, generate_blob_sas, generate_container_sas
from azure.storage.filedatalake import DataLakeServiceClient, generate_directory_sas, generate_file_sas, generate_file_system_sas

from tests.adls_client import Answer, RawClient
from tests.servers import ADLS_ACCOUNT, ADLS_KEY, Server

LATER = datetime(2100, 1, 1, tzinfo=UTC)
OTHER_KEY = base64.b64encode(b"another key").decode()


@pytest.fixture
def client(adls_server: Server) -> Iterator[RawClient]:
    with RawClient(adls_server) as made:
        yield made


@pytest.fixture
def bare(adls_server: Server) -> Iterator[RawClient]:
    """Signs nothing: for SAS."""
    with RawClient(adls_server, key=None) as made:
        yield made


@pytest.fixture
def box(client: RawClient, unique: str) -> str:
    client.container(unique)
    client.write(f"/{unique}/d/e/f", b"data")
    client.write(f"/{unique}/other", b"data")
    return unique


def refused(answer: Answer, status: int, code: str) -> None:
    assert (answer.status, answer.code) == (status, code), answer


def account_sas(permission: str = "rwdlacup", types: str = "sco", **changed: Any) -> str:
    usual = {"account_name": ADLS_ACCOUNT, "account_key": ADLS_KEY, "resource_types": types, "permission": permission, "expiry": LATER}
    return generate_account_sas(**usual | changed)


# SharedKey


def test_a_wrong_key_gets_a_403_that_shows_what_was_to_be_signed(adls_server: Server, box: str) -> None:
    with RawClient(adls_server, key=OTHER_KEY) as wrong:
        answer = wrong.send("GET", f"/{box}/d/e/f")
        refused(answer, 403, "AuthenticationFailed")
        detail = answer.xml().findtext("AuthenticationErrorDetail") or ""
        assert "MAC signature" in detail and f"/{ADLS_ACCOUNT}/{ADLS_ACCOUNT}/{box}/d/e/f" in detail
        answer = wrong.send("PUT", f"/{box}/x", {"resource": "file"})
        refused(answer, 403, "AuthenticationFailed")
        assert "AuthenticationErrorDetail" in answer.json()["error"]["detail"]


def test_the_sdk_sees_a_wrong_key_as_an_authentication_error(adls_server: Server, box: str) -> None:
    with DataLakeServiceClient(f"{adls_server.url}/{ADLS_ACCOUNT}", credential=OTHER_KEY, retry_total=0) as service:
        with pytest.raises(ClientAuthenticationError, match="AuthenticationFailed"):
            service.get_file_system_client(box).get_file_client("d/e/f").get_file_properties()


def test_credentials_that_are_missing_or_of_another_kind(adls_server: Server, bare: RawClient, box: str) -> None:
    answer = bare.send("GET", f"/{box}/other")
    refused(answer, 401, "NoAuthenticationInformation")
    assert "www-authenticate" in answer.headers
    refused(bare.send("GET", f"/{box}/other", Authorization="Bearer x.y.z"), 400, "InvalidAuthenticationInfo")
    refused(bare.send("GET", f"/{box}/other", Authorization="SharedKey nonsense"), 400, "InvalidAuthenticationInfo")
    refused(bare.send("GET", f"/{box}/other", Authorization="SharedKey someone:c2ln"), 403, "AuthenticationFailed")
    with RawClient(adls_server, account="stranger") as stranger:
        refused(stranger.send("GET", f"/{box}/other"), 403, "AuthenticationFailed")


@pytest.mark.parametrize("minutes", [-16, 16])
def test_a_request_from_another_time_is_refused(client: RawClient, box: str, minutes: int) -> None:
    moment = (datetime.now(UTC) + timedelta(minutes=minutes)).timestamp()
    refused(client.send("GET", f"/{box}/other", x_ms_date=formatdate(moment, usegmt=True)), 403, "AuthenticationFailed")
    refused(client.send("GET", f"/{box}/other", x_ms_date="now"), 403, "AuthenticationFailed")


def test_what_was_signed_cannot_be_changed(client: RawClient, bare: RawClient, box: str) -> None:
    date = formatdate(usegmt=True)
    signed = {"x-ms-date": date, "x-ms-version": "2026-10-06", "Content-Length": "0"}
    signature = client.sign("GET", f"/{ADLS_ACCOUNT}/{box}/other", "", signed)
    headers = {"x_ms_date": date, "Authorization": f"SharedKey {ADLS_ACCOUNT}:{signature}"}
    assert bare.send("GET", f"/{box}/other", **headers).status == 200
    refused(bare.send("DELETE", f"/{box}/other", **headers), 403, "AuthenticationFailed")
    refused(bare.send("GET", f"/{box}/d/e/f", **headers), 403, "AuthenticationFailed")
    refused(bare.send("GET", f"/{box}/other", {"comp": "metadata"}, **headers), 403, "AuthenticationFailed")
    refused(bare.send("GET", f"/{box}/other", **headers, x_ms_range="bytes=0-0"), 403, "AuthenticationFailed")


def test_headers_may_be_signed_in_either_order_and_parameters_hold_commas(adls_server: Server, client: RawClient, box: str) -> None:
    metadata = {"a1": "1", "a_": "2", "aB": "3"}
    sent = {f"x_ms_meta_{name}": value for name, value in metadata.items() if "_" not in name}
    assert client.send("PUT", f"/{box}/b", body=b"x", x_ms_blob_type="BlockBlob", **sent).status == 201
    with BlobServiceClient(f"{adls_server.url}/{ADLS_ACCOUNT}", credential=ADLS_KEY, retry_total=0) as service:
        blob = service.get_blob_client(box, "c")
        blob.upload_blob(b"x", metadata=metadata)
        assert blob.get_blob_properties().metadata == metadata
    assert client.send("GET", f"/{box}", "restype=container&comp=list&include=metadata,copy").status == 200
    assert client.send("GET", f"/{box}", "restype=container&comp=list&prefix=a%2Cb%2B%20c").status == 200


def test_shared_key_lite(bare: RawClient, box: str) -> None:
    date = formatdate(usegmt=True)
    text = f"GET\n\n\n\nx-ms-date:{date}\nx-ms-version:2026-10-06\n/{ADLS_ACCOUNT}/{ADLS_ACCOUNT}/{box}/other"
    signature = base64.b64encode(hmac.digest(base64.b64decode(ADLS_KEY), text.encode(), hashlib.sha256)).decode()
    assert bare.send("GET", f"/{box}/other", x_ms_date=date, Authorization=f"SharedKeyLite {ADLS_ACCOUNT}:{signature}").status == 200
    refused(bare.send("PUT", f"/{box}/other", x_ms_date=date, Authorization=f"SharedKeyLite {ADLS_ACCOUNT}:{signature}"), 403, "AuthenticationFailed")


# Account SAS


def test_an_account_sas_allows_what_it_names(bare: RawClient, box: str) -> None:
    read = account_sas("rl")
    assert bare.send("GET", f"/{box}/other", read).body == b"data"
    assert bare.send("GET", f"/{box}", f"restype=container&comp=list&{read}").status == 200
    assert bare.send("GET", f"/{box}", f"resource=filesystem&recursive=true&{read}").status == 200
    assert bare.send("GET", "/", f"comp=list&{read}").status == 200
    refused(bare.send("DELETE", f"/{box}/other", read), 403, "AuthorizationPermissionMismatch")
    refused(bare.send("PUT", f"/{box}/x", f"resource=file&{read}"), 403, "AuthorizationPermissionMismatch")
    refused(bare.send("PATCH", f"/{box}/other", f"action=append&position=4&{read}", b"x"), 403, "AuthorizationPermissionMismatch")
    objects = account_sas(types="o")
    assert bare.send("GET", f"/{box}/other", objects).status == 200
    refused(bare.send("GET", f"/{box}", f"restype=container&comp=list&{objects}"), 403, "AuthorizationResourceTypeMismatch")
    refused(bare.send("PUT", "/newcontainer", f"restype=container&{objects}"), 403, "AuthorizationResourceTypeMismatch")


@pytest.mark.parametrize(("changed", "code"), [
    ({"expiry": datetime(2020, 1, 1, tzinfo=UTC)}, "AuthenticationFailed"), ({"start": datetime(2099, 1, 1, tzinfo=UTC)}, "AuthenticationFailed"),
    ({"account_key": OTHER_KEY}, "AuthenticationFailed"), ({"protocol": "https"}, "AuthorizationProtocolMismatch"),
    ({"ip": "10.0.0.1"}, "AuthorizationSourceIPMismatch"), ({"ip": "10.0.0.1-10.0.0.9"}, "AuthorizationSourceIPMismatch"),
])  # fmt: skip
def test_a_sas_beyond_its_bounds_is_refused(bare: RawClient, box: str, changed: dict[str, Any], code: str) -> None:
    refused(bare.send("GET", f"/{box}/other", account_sas(**changed)), 403, code)


def test_a_sas_within_its_bounds(bare: RawClient, box: str) -> None:
    start = datetime.now(UTC) - timedelta(minutes=1)
    for changed in ({"start": start}, {"ip": "127.0.0.1"}, {"ip": "127.0.0.0-127.0.0.9"}, {"protocol": "https,http"}):
        assert bare.send("GET", f"/{box}/other", account_sas(**changed)).status == 200


def test_an_expired_sas_says_so(bare: RawClient, box: str) -> None:
    answer = bare.send("GET", f"/{box}/other", account_sas(expiry=datetime(2020, 1, 1, tzinfo=UTC)))
    assert "Signature not valid in the specified time frame" in (answer.xml().findtext("AuthenticationErrorDetail") or "")


def test_a_sas_cannot_be_widened(bare: RawClient, box: str) -> None:
    sas = account_sas("r")
    for forged in (sas.replace("sp=r", "sp=rwd"), sas.replace("srt=sco", "srt=o"), sas.replace("2100", "2101"), sas.replace("sig=", "sig=A")):
        assert forged != sas
        refused(bare.send("GET", f"/{box}/other", forged), 403, "AuthenticationFailed")
    refused(bare.send("GET", f"/{box}/other", "sv=2012-02-12&ss=b&srt=o&sp=r&se=2100-01-01&sig=x"), 403, "AuthenticationFailed")
    refused(bare.send("GET", f"/{box}/other", "sv=2022-11-02&sp=r&sig=x"), 403, "AuthenticationFailed")


# Service SAS


def test_a_container_sas_reaches_everything_in_its_container(client: RawClient, bare: RawClient, box: str) -> None:
    sas = generate_file_system_sas(ADLS_ACCOUNT, box, ADLS_KEY, permission="racwdl", expiry=LATER)
    assert bare.send("GET", f"/{box}/d/e/f", sas).body == b"data"
    assert bare.send("GET", f"/{box}", f"resource=filesystem&recursive=true&{sas}").status == 200
    assert bare.send("PUT", f"/{box}/new", f"resource=file&{sas}").status == 201
    assert bare.send("PATCH", f"/{box}/new", f"action=append&position=0&flush=true&{sas}", b"x").status == 202
    assert bare.send("PUT", f"/{box}/moved", f"mode=legacy&{sas}", x_ms_rename_source=f"/{box}/new?{sas}").status == 201
    assert bare.send("DELETE", f"/{box}/d", f"recursive=true&{sas}").status == 200
    refused(bare.send("DELETE", f"/{box}", f"restype=container&{sas}"), 403, "AuthorizationPermissionMismatch")
    client.container(box + "b")
    refused(bare.send("GET", f"/{box}b", f"resource=filesystem&recursive=true&{sas}"), 403, "AuthenticationFailed")


def test_a_file_sas_reaches_its_file_alone(bare: RawClient, box: str) -> None:
    for sas in (generate_file_sas(ADLS_ACCOUNT, box, "d/e", "f", ADLS_KEY, permission="r", expiry=LATER),
                generate_blob_sas(ADLS_ACCOUNT, box, "d/e/f", account_key=ADLS_KEY, permission="r", expiry=LATER)):  # fmt: skip
        assert bare.send("GET", f"/{box}/d/e/f", sas).body == b"data"
        refused(bare.send("GET", f"/{box}/other", sas), 403, "AuthenticationFailed")
        refused(bare.send("DELETE", f"/{box}/d/e/f", sas), 403, "AuthorizationPermissionMismatch")
        refused(bare.send("GET", f"/{box}", f"restype=container&comp=list&{sas}"), 403, "AuthenticationFailed")


def test_a_folder_sas_reaches_what_is_under_its_folder(bare: RawClient, box: str) -> None:
    sas = generate_directory_sas(ADLS_ACCOUNT, box, "d", ADLS_KEY, permission="racwdl", expiry=LATER)
    assert "sdd=1" in sas
    assert bare.send("GET", f"/{box}/d/e/f", sas).body == b"data"
    assert bare.send("GET", f"/{box}", f"resource=filesystem&recursive=true&directory=d%2Fe&{sas}").status == 200
    assert bare.send("PUT", f"/{box}/d/new", f"resource=file&{sas}").status == 201
    refused(bare.send("GET", f"/{box}/other", sas), 403, "AuthenticationFailed")
    refused(bare.send("GET", f"/{box}", f"resource=filesystem&recursive=true&{sas}"), 403, "AuthenticationFailed")
    refused(bare.send("PUT", f"/{box}/d/stolen", f"mode=legacy&{sas}", x_ms_rename_source=f"/{box}/other?{sas}"), 403, "AuthenticationFailed")
    refused(bare.send("PUT", f"/{box}/d/stolen", f"mode=legacy&{sas}", x_ms_rename_source=f"/{box}/other"), 403, "AuthenticationFailed")


def test_a_copy_cannot_read_what_its_sas_does_not_cover(adls_server: Server, bare: RawClient, box: str) -> None:
    source = f"{adls_server.url}/{ADLS_ACCOUNT}/{box}/other"
    sas = generate_directory_sas(ADLS_ACCOUNT, box, "d", ADLS_KEY, permission="racwdl", expiry=LATER)
    refused(bare.send("PUT", f"/{box}/d/stolen", sas, x_ms_copy_source=source), 404, "CannotVerifyCopySource")
    reader = generate_blob_sas(ADLS_ACCOUNT, box, "other", account_key=ADLS_KEY, permission="r", expiry=LATER)
    assert bare.send("PUT", f"/{box}/d/copy", sas, x_ms_copy_source=f"{source}?{reader}").status == 202


def test_create_alone_does_not_overwrite(bare: RawClient, box: str) -> None:
    sas = generate_container_sas(ADLS_ACCOUNT, box, account_key=ADLS_KEY, permission="c", expiry=LATER)
    assert bare.send("PUT", f"/{box}/new", sas, b"x", x_ms_blob_type="BlockBlob").status == 201
    refused(bare.send("PUT", f"/{box}/new", sas, b"y", x_ms_blob_type="BlockBlob"), 403, "UnauthorizedBlobOverwrite")
    refused(bare.send("PUT", f"/{box}/other", f"resource=file&{sas}"), 403, "UnauthorizedBlobOverwrite")


def test_a_sas_may_set_the_headers_of_the_answer(bare: RawClient, box: str) -> None:
    shown = {"content_type": "text/plain", "content_disposition": "attachment"}
    sas = generate_blob_sas(ADLS_ACCOUNT, box, "other", account_key=ADLS_KEY, permission="r", expiry=LATER, **shown)
    headers = bare.send("GET", f"/{box}/other", sas).headers
    assert headers["content-type"] == "text/plain" and headers["content-disposition"] == "attachment"


@pytest.mark.parametrize("version", ["2015-04-05", "2018-11-09", "2020-12-06"])
def test_older_ways_to_sign(bare: RawClient, box: str, version: str) -> None:
    fields = ["r", "", "2100-01-01", f"/blob/{ADLS_ACCOUNT}/{box}/other", "", "", "", version]
    if version >= "2018-11-09":
        fields += ["b", ""]
    if version >= "2020-12-06":
        fields += [""]
    text = "\n".join(fields + [""] * 5)
    signature = base64.b64encode(hmac.digest(base64.b64decode(ADLS_KEY), text.encode(), hashlib.sha256)).decode()
    quoted = signature.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")
    assert bare.send("GET", f"/{box}/other", f"sp=r&se=2100-01-01&sv={version}&sr=b&sig={quoted}").status == 200


@pytest.mark.parametrize(("extra", "why"), [("skoid=1&sr=b", "user delegation"), ("si=policy&sr=b", "Stored access policies"), ("sr=bs", "sr=bs")])
def test_kinds_of_sas_that_are_not_served_say_so(bare: RawClient, box: str, extra: str, why: str) -> None:
    answer = bare.send("GET", f"/{box}/other", f"sv=2022-11-02&sp=r&se=2100-01-01&sig=x&{extra}")
    refused(answer, 403, "AuthenticationFailed")
    assert why in (answer.xml().findtext("AuthenticationErrorDetail") or "")


def test_the_sdk_works_with_a_sas_and_fails_clearly_with_an_expired_one(adls_server: Server, box: str) -> None:
    url = f"{adls_server.url}/{ADLS_ACCOUNT}"
    sas = generate_directory_sas(ADLS_ACCOUNT, box, "d", ADLS_KEY, permission="racwdlm", expiry=LATER)
    with DataLakeServiceClient(url, credential=sas, retry_total=0) as service:
        folder = service.get_file_system_client(box).get_directory_client("d")
        folder.get_file_client("g").upload_data(b"x" * 10, overwrite=True)
        moved = folder.get_file_client("g").rename_file(f"{box}/d/h")
        assert moved.download_file().readall() == b"x" * 10
    with DataLakeServiceClient(url, credential=account_sas(expiry=datetime(2020, 1, 1, tzinfo=UTC)), retry_total=0) as service:
        with pytest.raises(HttpResponseError) as caught:
            list(service.get_file_system_client(box).get_paths())
        assert (caught.value.status_code, caught.value.error_code) == (403, "AuthenticationFailed")
