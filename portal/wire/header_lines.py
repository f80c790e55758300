"""Headers as they are sent. A value may come from a message, a listing or a form: none of them may end its line and begin another."""

from __future__ import annotations

import re
from collections.abc import Iterable

from portal.errors import StoreError

_UNSENDABLE = re.compile(r"[\0-\x1f\x7f\ud800-\udfff]")
"""Control characters, and halves of characters."""
_WHERE = "Look at the object's metadata, content type and ETag, and at the credentials."
_NO_TARGET = re.compile(r"[^!-~]")


def header_lines(headers: Iterable[tuple[str, str]]) -> str:
    """Return headers as they are sent. Raises StoreError for a control character in one: a line break would make two of it."""
    pairs = list(headers)
    if _UNSENDABLE.search("".join([part for pair in pairs for part in pair])):
        raise StoreError("A header with a control character in it cannot be sent.", hint=_WHERE)
    return "".join([f"{name}: {value}\r\n" for name, value in pairs])


def refuse_bad_target(target: str) -> None:
    """Raises StoreError for a path and query with a blank or a line break in it, which would end the request's first line."""
    if _NO_TARGET.search(target):
        raise StoreError("An address with a blank or a line break in it cannot be asked for.", hint="Percent-encode it; check the endpoint.")
