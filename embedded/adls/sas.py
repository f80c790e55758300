"""Shared access signatures: account SAS and service SAS for containers, folders and files.

Source: "Create an account SAS", "Create a service SAS". A user delegation SAS needs Entra ID and is refused with that reason.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
from collections.abc import Mapping

from embedded.adls.errors import StorageError
from embedded.adls.grant import Grant
from embedded.adls.request import Request
from embedded.adls.times import parse_sas_time

_OVERRIDES = {
    "rscc": "Cache-Control", "rscd": "Content-Disposition", "rsce": "Content-Encoding", "rscl": "Content-Language", "rsct": "Content-Type",
}  # fmt: skip


def grant(token: Mapping[str, str], request: Request, key: bytes, now: float, *, resource: tuple[str, str, str] | None = None) -> Grant:
    """Verify a SAS and say what it allows.

    Args:
        token: its query parameters, names in lower case.
        now: seconds since 1970.
        resource: account, container and path, where they are not the request's own (the source of a rename).

    Raises:
        StorageError: AuthenticationFailed, or Authorization…Mismatch.
    """
    if "skoid" in token:
        raise _failed("A user delegation SAS needs Entra ID, which this server does not have. Sign with the account key.")
    if "si" in token:
        raise _failed("Stored access policies are not kept by this server. Put permissions and expiry into the SAS.")
    if "sv" not in token or token["sv"] < "2015-04-05":
        raise _failed("sv is mandatory and must be 2015-04-05 or later.")
    made = _account(token, request) if "ss" in token or "srt" in token else _service(token, resource or _resource(request))
    text, granted = made
    if not hmac.compare_digest(_sign(key, text).encode(), token["sig"].encode()):
        shown = text.replace("\n", "\\n")
        raise _failed(f"Signature did not match. String to sign used was {shown}")
    _check_time(token, now)
    _check_place(token, request)
    if granted.kind == "account" and "b" not in token["ss"]:
        raise StorageError("AuthorizationServiceMismatch")
    return granted


def _account(token: Mapping[str, str], request: Request) -> tuple[str, Grant]:
    for name in ("ss", "srt", "sp", "se"):
        if not token.get(name):
            raise _failed(f"{name} is mandatory. Cannot be empty")
    fields = ["sp", "ss", "srt", "st", "se", "sip", "spr", "sv"] + (["ses"] if token["sv"] >= "2020-12-06" else [])
    text = "".join(f"{value}\n" for value in [request.account, *(token.get(name, "") for name in fields)])
    return text, Grant("account", token["sp"], token["srt"])


def _service(token: Mapping[str, str], resource: tuple[str, str, str]) -> tuple[str, Grant]:
    kind = token.get("sr", "")
    for name in ("sr", "sp", "se"):
        if not token.get(name):
            raise _failed(f"{name} is mandatory. Cannot be empty")
    if kind not in ("c", "d", "b"):
        raise _failed(f"sr={kind} is not served: c, d and b are.")
    sv = token["sv"]
    fields = ["", "sip", "spr", "sv"]
    if sv >= "2018-11-09":
        fields += ["sr", ""]
    if sv >= "2020-12-06":
        fields += ["ses"]
    fields += list(_OVERRIDES)
    head = [token.get(name, "") for name in ("sp", "st", "se")] + [_canonical(token, kind, resource)]
    text = "\n".join(head + [token.get(name, "") for name in fields])
    overrides = {header: token[name] for name, header in _OVERRIDES.items() if token.get(name)}
    return text, Grant(kind, token["sp"], "sco", overrides)


def _canonical(token: Mapping[str, str], kind: str, resource: tuple[str, str, str]) -> str:
    account, container, path = resource
    base = f"/blob/{account}/{container}"
    if kind == "c":
        return base
    if kind == "b":
        return f"{base}/{path}"
    depth = token.get("sdd", "")
    if not depth.isdigit():
        raise _failed("sdd, the directory depth, is mandatory with sr=d.")
    parts = path.split("/") if path else []
    return "/".join([base, *parts[: int(depth)]]) if len(parts) >= int(depth) else f"{base}/{path}/"


def _resource(request: Request) -> tuple[str, str, str]:
    """What a request touches; a listing touches the folder it names."""
    path = request.path
    if not path and request.method == "GET":
        path = request.query.get("directory", request.query.get("prefix", "")).strip("/")
    return request.account, request.container, path


def _check_time(token: Mapping[str, str], now: float) -> None:
    try:
        start = parse_sas_time(token["st"]) if token.get("st") else None
        end = parse_sas_time(token["se"])
    except ValueError as error:
        raise _failed("st or se is not a date.") from error
    if now >= end or (start is not None and now < start):
        raise _failed(f"Signature not valid in the specified time frame: Start [{token.get('st', '')}] - Expiry [{token['se']}]")


def _check_place(token: Mapping[str, str], request: Request) -> None:
    if token.get("spr", "https,http") == "https":
        raise StorageError("AuthorizationProtocolMismatch")
    if token.get("sip"):
        first, _, last = token["sip"].partition("-")
        try:
            low, high = ipaddress.ip_address(first), ipaddress.ip_address(last or first)
            inside = int(low) <= int(ipaddress.ip_address(request.client)) <= int(high)
        except ValueError as error:
            raise _failed("sip is neither an address nor a range of addresses.") from error
        if not inside:
            raise StorageError("AuthorizationSourceIPMismatch")


def _failed(detail: str) -> StorageError:
    return StorageError("AuthenticationFailed", detail={"AuthenticationErrorDetail": detail})


def _sign(key: bytes, text: str) -> str:
    return base64.b64encode(hmac.digest(key, text.encode("utf-8"), hashlib.sha256)).decode()
