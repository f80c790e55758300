"""What a service says when it refuses, fit to be shown and kept: services quote requests, and requests carry secrets."""

from __future__ import annotations

import re
from functools import lru_cache

from portal.redact import Redactor, answered
from portal.wire.ends import Access

_CODE = re.compile(r"[A-Za-z][A-Za-z0-9]{0,62}(?:\.[A-Za-z][A-Za-z0-9]{0,62})?|[0-9]{3}")
_LONGEST_CODE = 63
"""A signature of SigV4 has 64 letters and digits."""


def code_of(text: str) -> str:
    """Return an error code as services have them, '' for anything else."""
    return text if len(text) <= _LONGEST_CODE and _CODE.fullmatch(text) else ""


def line_of(service: str, status: int, code: str, words: str, access: Access) -> str:
    """Return what a service answered, in one line without secrets: addresses and signatures are left out, the Access's own are masked."""
    told = answered(service, status, code, words)
    return _redactor(access.secrets)(told) if words or code else told


@lru_cache(maxsize=8)
def _redactor(secrets: tuple[str, ...]) -> Redactor:
    return Redactor(secrets)
