"""Takes secrets out of text before it is written anywhere. Standard library only, because the runner imports it."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from functools import cached_property
from html import escape, unescape
from urllib.parse import quote, unquote

MASK = "•••"

_SHORTEST = 6
"""Shorter values would blank ordinary words; nothing that short protects anything."""

_PATTERNS = re.compile(
    r"(?i)((?:(?:^|[?&;\s\"']|%(?:25)*(?:3f|26))sig|x-amz-signature|x-amz-security-token|x-amz-credential|accountkey|sharedaccesssignature|password|passwd"
    r"|secret_?access_?key|session_?token|client_secret|account_key|sas_token|passphrase|\bsignature)"
    r"(?:[\"']?\s*(?:[=:]|%(?:25)*3[ad])[\s\"'\[(]*))([^\s&\"',;]+)"
    r"|(\bauthorization[\"']?\s*(?:[:=]|%(?:25)*3[ad])[\s\"'\[(]*(?:[\w-]+\s+)?(?:Token=\"?)?)([^\s\"',]+)"
    r"|(\b)(eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]+)"
)
"""Name and value of what carries secrets in URLs, headers, connection strings and JSON; and tokens that are known by their shape (JWT)."""

_SIGNED = re.compile(r"(?i)://|\bsig(?:nature)?[\"']?\s*[=:]|x-amz-(?:security|signature|credential)|authorization[\"']?\s*[=:]|\b[0-9a-f]{64}\b")
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")

_URL_PASSWORD = re.compile(r"(://[^\s/:@\"'?#]*:)([^\s/@\"'?#]+)(?=@)")
"""The password before the host of a URL."""


_HINTS = (
    "sig", "x-amz-", "accountkey", "account_key", "sharedaccess", "passw", "passphrase", "accesskey", "access_key", "secret", "token",
    "authorization", "eyj",
)  # fmt: skip
"""One of these is in every text that the patterns find something in: looking for plain words first is a hundred times faster."""


def harmless(text: str) -> str:
    """Return the first line of a service's own words; '' when it holds an address, a signature or an authorization, however they are escaped:
    services quote what they were sent, and nobody can know all secrets that are in it."""
    line = text.strip().partition("\n")[0].strip()
    plain = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), line).replace("\\", "")
    for _ in range(4):
        plain = unquote(unescape(plain))
    return "" if _SIGNED.search(plain) else line


def answered(service: str, status: int | str, code: str, words: str) -> str:
    """Return what a service answered, in one line: its status, its code (a HEAD's answer has none, and the status stands for it) and its words."""
    told = " ".join(filter(None, (service, "answered", str(status or ""), "" if code == str(status) else code)))
    return f"{told}: {harmless(words)}".strip(": ")


class Redactor:
    """Replaces known secret values, in every form they are likely to be printed in, and anything that looks like a secret."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = tuple(secrets)

    @cached_property
    def _known(self) -> re.Pattern[str] | None:
        """Made for the first text: most processes that are told secrets have nothing to say, and it takes as long as all else they begin with."""
        forms = {form for secret in self._secrets for part in _parts(secret) for form in _forms(part)}
        known = sorted((form for form in forms if len(form) >= _SHORTEST), key=lambda form: (-len(form), form))
        return re.compile("|".join(map(re.escape, known))) if known else None

    def __call__(self, text: str) -> str:
        if self._known:
            text = self._known.sub(MASK, text)
        if "@" in text:
            text = _URL_PASSWORD.sub(rf"\1{MASK}", text)
        if not _hinted(text):
            return text
        return "".join(_PATTERNS.sub(_masked, line) if _hinted(line) else line for line in text.splitlines(keepends=True))


def _hinted(text: str) -> bool:
    lowered = text.lower()
    return any(hint in lowered for hint in _HINTS)


def _masked(found: re.Match[str]) -> str:
    return (found[1] or found[3] or "") + MASK


def _parts(secret: str) -> Iterator[str]:
    """The secret, and what it is printed as elsewhere: without a SAS's '?', and line by line."""
    yield secret
    yield secret.lstrip("?")
    yield secret.strip()
    yield from (line.strip() for line in secret.splitlines())


def _forms(value: str) -> Iterator[str]:
    """A value as URLs, JSON, XML, Python and bytes show it."""
    yield value
    raw = value.encode("utf-8", "surrogatepass")
    for safe in ("", "/"):
        escaped = quote(raw, safe=safe)
        yield from (escaped, re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), escaped), escaped.replace("%20", "+"))
    yield from (json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1])
    yield from (repr(value)[1:-1], repr(raw)[2:-1])
    yield from (escape(value, quote=False), escape(value, quote=True))
    yield b64encode(raw).decode()
