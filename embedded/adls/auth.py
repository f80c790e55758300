"""Who is asking: SharedKey and SharedKeyLite signatures. Source: "Authorize with Shared Key"."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping

from embedded.adls import sas
from embedded.adls.errors import StorageError
from embedded.adls.grant import ACCOUNT_KEY, Grant
from embedded.adls.request import Request
from embedded.adls.times import parse_http_date

Order = Callable[[str], tuple[list[int], str]]
MAX_SKEW_S = 15 * 60
_SIGNED = (
    "content-encoding", "content-language", "content-length", "content-md5", "content-type", "date",
    "if-modified-since", "if-match", "if-none-match", "if-unmodified-since", "range",
)  # fmt: skip
_WEIGHT = {character: weight for weight, character in enumerate("!#$%&*.^_`|~+0123456789abcdefghijklmnopqrstuvwxyz")}


def authenticate(request: Request, accounts: Mapping[str, bytes]) -> Grant:
    """What the request's credentials allow.

    Args:
        accounts: account name to key bytes.

    Raises:
        StorageError: AuthenticationFailed, NoAuthenticationInformation, InvalidAuthenticationInfo.
    """
    key = accounts.get(request.account)
    if key is None:
        raise failed(f"The account {request.account!r} is not one of this server's.")
    authorization = request.header("authorization")
    if authorization:
        return _by_header(request, authorization, key)
    if "sig" in request.query:
        return sas.grant(request.query, request, key, time.time())
    raise StorageError("NoAuthenticationInformation", headers={"WWW-Authenticate": 'SharedKey realm="embedded.adls"'})


def failed(detail: str) -> StorageError:
    return StorageError("AuthenticationFailed", detail={"AuthenticationErrorDetail": detail})


def sign(key: bytes, text: str) -> str:
    """HMAC-SHA256 in base64."""
    return base64.b64encode(hmac.digest(key, text.encode("utf-8"), hashlib.sha256)).decode()


def _by_header(request: Request, authorization: str, key: bytes) -> Grant:
    scheme, _, credential = authorization.partition(" ")
    if scheme not in ("SharedKey", "SharedKeyLite"):
        raise StorageError("InvalidAuthenticationInfo", "This server knows account keys and SAS; sign-in with Entra ID needs the real service.")
    account, colon, signature = credential.strip().partition(":")
    if not colon:
        raise StorageError("InvalidAuthenticationInfo")
    if account != request.account:
        raise failed(f"The account {account!r} of the Authorization header is not the one of the URL, {request.account!r}.")
    _check_date(request)
    build = _full if scheme == "SharedKey" else _lite
    orders: tuple[Order, ...] = (_plain_order, _service_order)
    texts = {order.__name__: build(request, order) for order in orders}
    if not any(hmac.compare_digest(sign(key, text).encode(), signature.encode()) for text in texts.values()):
        shown = texts["_plain_order"].replace("\n", "\\n")
        raise failed(
            f"The MAC signature found in the HTTP request '{signature}' is not the same as any computed signature."
            f" Server used following string to sign: '{shown}'."
        )
    return ACCOUNT_KEY


def _check_date(request: Request) -> None:
    text = request.header("x-ms-date") or request.header("date")
    try:
        moment = parse_http_date(text)
    except ValueError as error:
        raise failed("The Date or x-ms-date header is missing or not a date.") from error
    if abs(time.time() - moment) > MAX_SKEW_S:
        raise failed(f"Request date header too old: '{text}'")


def _full(request: Request, order: Order) -> str:
    headers = dict(request.head.headers)
    if headers.get("content-length") == "0":
        del headers["content-length"]
    if "x-ms-date" in headers:
        headers.pop("date", None)
    plain = "".join(headers.get(name, "") + "\n" for name in _SIGNED)
    parameters = "".join(f"\n{name}:{','.join(sorted(found))}" for name, found in sorted(request.values.items()))
    return f"{request.method}\n{plain}{_ms_headers(request, order)}/{request.account}{request.raw_path}{parameters}"


def _lite(request: Request, order: Order) -> str:
    header = request.header
    date = "" if header("x-ms-date") else header("date")
    comp = f"?comp={request.query['comp']}" if "comp" in request.query else ""
    return (
        f"{request.method}\n{header('content-md5')}\n{header('content-type')}\n{date}\n"
        f"{_ms_headers(request, order)}/{request.account}{request.raw_path}{comp}"
    )


def _ms_headers(request: Request, order: Order) -> str:
    names = sorted((name for name in request.head.headers if name.startswith("x-ms-")), key=order)
    return "".join(f"{name}:{request.head.headers[name]}\n" for name in names)


def _plain_order(name: str) -> tuple[list[int], str]:
    return [], name


def _service_order(name: str) -> tuple[list[int], str]:
    """The collation some SDKs take over from the service: hyphens count only between names equal without them."""
    return [_WEIGHT.get(character, 0) for character in name if character != "-"], name
