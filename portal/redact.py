"""Takes secrets out of text before it is written anywhere. Standard library only, because the runner imports it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

MASK = "•••"

_SHORTEST = 6
"""Shorter values would blank ordinary words; nothing that short protects anything."""

_PATTERNS = re.compile(
    r"(?i)((?:[?&]sig|x-amz-signature|x-amz-security-token|x-amz-credential|accountkey|sharedaccesssignature|password|passwd"
    r"|secret_?access_?key|session_?token|client_secret|account_key|sas_token|passphrase)"
    r"(?:[\"']?\s*[=:]\s*[\"']?))([^\s&\"',;]+)"
    r"|(\bauthorization[\"']?\s*[:=]\s*[\"']?(?:\w+\s+)?)([^\s\"',]+)"
)


class Redactor:
    """Replaces known secret values, in every form they are likely to be printed in, and anything that looks like a secret."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms: set[str] = set()
        for secret in secrets:
            for value in (secret, secret.lstrip("?")):
                forms.update((value, quote(value, safe=""), quote(value), quote_plus(value), json.dumps(value)[1:-1], repr(value)[1:-1]))
        known = sorted((form for form in forms if len(form) >= _SHORTEST), key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def __call__(self, text: str) -> str:
        if self._known:
            text = self._known.sub(MASK, text)
        return _PATTERNS.sub(lambda found: (found[1] or found[3]) + MASK, text)
