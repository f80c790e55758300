"""Posting a message to a webhook. What is told of an address is its host: the rest of it may be a secret."""

from __future__ import annotations

import contextlib
import ssl
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from portal.connections import WebhookConnection
from portal.connections_channels import is_this_machine
from portal.errors import NotTold, PortalError, Throttled, Unreachable
from portal.notifying import bodies, signing
from portal.notifying.facts import Facts
from portal.redact import harmless
from portal.version import RELEASE
from portal.wire.tls import ca_file

if TYPE_CHECKING:
    import requests

_READ_AT_MOST = 2048
_SHOWN_AT_MOST = 200
_AGAIN = {408, 425, 429, 500, 502, 503, 504, 507, 520, 521, 522, 523, 524, 529}
"""Answers after which the same message may go through later."""
_HINTS = {
    400: "It does not know this shape of message: see `format` of the connection.", 401: "See bearer_token or signing_secret of the connection.",
    403: "See bearer_token or signing_secret of the connection, or make a new webhook.", 404: "The address is wrong, or the webhook was removed.",
    405: "The address is that of a page, not of a webhook.", 410: "The receiver is gone: make a new webhook, or take the connection out.",
    413: "The message is too long for it.", 415: "It wants another `format`.",
}  # fmt: skip
_OTHERWISE = "Look at the receiver's own log."


def post(connection: WebhookConnection, facts: Facts, link: str) -> str:
    """Post a message once; returns what came of it, in words.

    Raises:
        Unreachable, Throttled: no answer, or one after which it may go through later.
        NotTold: refused for good.
    """
    body = (bodies.as_slack if connection.format == "slack" else bodies.as_json)(facts, link)
    headers = {
        "Content-Type": "application/json; charset=utf-8", "User-Agent": f"data-operations-portal/{RELEASE}",
        **signing.headers(f"msg_{facts.key}", int(time.time()), body, connection.signing_secrets()),
    }  # fmt: skip
    if token := connection.bearer_token.get_secret_value():
        headers["Authorization"] = f"Bearer {token}"
    status, answer, wait_s = _answer(connection, body, headers)
    if 200 <= status < 300:
        return f"{connection.host} took the message ({status})."
    raise _refusal(connection.host, status, answer, wait_s)


def _answer(connection: WebhookConnection, body: bytes, headers: dict[str, str]) -> tuple[int, str, float]:
    """The status, the first of what was said, and how long to wait."""
    import requests

    url = connection.url.get_secret_value()
    with requests.Session() as session:
        if not urlsplit(url).username:
            session.auth = _no_credentials
        session.trust_env = not is_this_machine(connection.host)  # no proxy leads to this machine
        try:
            prepared = session.prepare_request(requests.Request("POST", url, headers=headers, data=body))
            ways = session.merge_environment_settings(url, {}, True, _authorities(connection), None)
            # Not session.send, which reads all of an answer that leads elsewhere.
            with session.get_adapter(url).send(
                prepared, stream=True, timeout=connection.timeout_s, verify=ways["verify"], proxies=ways["proxies"]
            ) as found:  # fmt: skip
                return found.status_code, _first(found), _seconds(found.headers.get("Retry-After", ""))
        except (requests.RequestException, OSError, ValueError) as error:
            problem = _unreachable(connection, error)
    raise problem  # without its cause, which quotes the address


def _authorities(connection: WebhookConnection) -> str | bool:
    """Whose certificates are trusted: what the connection or the environment names, else this machine's, else those that requests brings along."""
    paths = ssl.get_default_verify_paths()
    return connection.ca_file or ca_file() or paths.cafile or paths.capath or True


def _no_credentials(request: Any) -> Any:
    """Keep requests from adding what a ~/.netrc says of the host."""
    return request


def _first(found: requests.Response) -> str:
    """The beginning of an answer; a receiver that says no more than yes is not waited for."""
    if 200 <= found.status_code < 300:
        return ""
    with contextlib.suppress(Exception):  # what it says is only for people
        return found.raw.read(_READ_AT_MOST, decode_content=True).decode("utf-8", "replace")  # type: ignore[no-any-return]
    return ""


def _seconds(text: str) -> float:
    try:
        return max(0.0, float(text))
    except ValueError:
        return 0.0


def _unreachable(connection: WebhookConnection, error: Exception) -> PortalError:
    import requests

    host = connection.host
    if isinstance(error, requests.exceptions.SSLError):
        why = next((text for cause in _chain(error) if (text := getattr(cause, "verify_message", ""))), "")
        hint = "If the receiver is yours, name its certificate authority as ca_file of the connection; if not, somebody may be in between."
        return NotTold(f"The certificate of {host} is not accepted{f': {why}' if why else ''}.", hint=hint)
    if isinstance(error, requests.Timeout):
        return Unreachable(f"{host} did not answer within {connection.timeout_s:g} s.", hint="See whether it is up, or raise timeout_s.")
    if isinstance(error, requests.exceptions.ProxyError):
        return Unreachable(f"The proxy on the way to {host} did not let the message through.", hint="See HTTPS_PROXY and NO_PROXY.")
    if isinstance(error, requests.ConnectionError):
        why = next((cause.strerror for cause in _chain(error) if isinstance(cause, OSError) and cause.strerror), "")
        hint = "See whether it is up, and whether this machine may connect to it."
        return Unreachable(f"{host} cannot be reached{f': {why}' if why else ''}.", hint=hint)
    if isinstance(error, OSError) and not isinstance(error, requests.RequestException):
        return NotTold(f"The certificates in {connection.ca_file} cannot be read.", hint="Correct ca_file of the connection; it is a PEM file.")
    return NotTold(f"The message cannot be sent to {host}: {type(error).__name__}.", hint="See the url of the connection.")


def _chain(error: BaseException) -> list[BaseException]:
    """An error and those behind it; requests and urllib3 keep them as arguments, too."""
    found: list[BaseException] = []
    ahead: list[Any] = [error]
    while ahead:
        current = ahead.pop(0)
        if isinstance(current, BaseException) and current not in found:
            found.append(current)
            ahead += [getattr(current, "reason", None), current.__cause__, current.__context__, *current.args]
    return found


def _refusal(host: str, status: int, answer: str, wait_s: float) -> PortalError:
    said = harmless(answer)[:_SHOWN_AT_MOST]
    told = f"{host} answered {status}{f': {said}' if said else ''}."
    if status in _AGAIN:
        slow = Throttled(told) if status in (429, 503) else Unreachable(told)
        if isinstance(slow, Throttled):
            slow.retry_after_s = wait_s
        return slow
    if 300 <= status < 400:
        return NotTold(told, hint="It wants the message elsewhere, and none is sent to where an answer says: correct the url of the connection.")
    return NotTold(told, hint=_HINTS.get(status, _OTHERWISE))
