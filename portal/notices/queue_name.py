"""What people write to name an SQS queue: its name, or its URL. No I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from portal.errors import BadParameters

_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}|[A-Za-z0-9_-]{1,75}\.fifo")
_ACCOUNT = re.compile(r"[0-9]{12}")
_AWS_HOST = re.compile(r"(?:sqs(?:-fips)?\.([a-z0-9-]+)|([a-z0-9-]+)\.queue|queue)\.(?:amazonaws\.com(?:\.cn)?|api\.aws)")
_HINT = "Write a queue's name (letters, digits, '-' and '_', at most 80; a FIFO queue's ends in .fifo) or its URL."


@dataclass(frozen=True)
class QueueName:
    """A queue as it was named."""

    name: str
    account: str = ""
    """Id of the account that owns it; '' that of the credentials."""
    region: str = ""
    """Region that the URL leads to; '' that of the connection."""
    url: str = ""
    """As it was given; '' a name was."""

    @property
    def fifo(self) -> bool:
        return self.name.endswith(".fifo")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises BadParameters, saying how to write it."""
        text = text.strip()
        if "://" not in text:
            return cls(_checked(text, text))
        parts = urlsplit(text)
        account, _, name = parts.path.strip("/").rpartition("/")
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
            raise BadParameters("The URL of a queue is https://HOST/ACCOUNT/NAME, without user name, password and '?'.", hint=_HINT)
        account = account.rpartition("/")[2]
        host = _AWS_HOST.fullmatch(parts.hostname)
        region = (host[1] or host[2] or "us-east-1") if host else ""
        return cls(_checked(name, text), account if _ACCOUNT.fullmatch(account) else "", region, text)


def _checked(name: str, told: str) -> str:
    if not _NAME.fullmatch(name):
        raise BadParameters(f"{told!r} does not name a queue.", hint=_HINT)
    return name
