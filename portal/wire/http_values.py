"""Values of HTTP headers that say a time (RFC 9110 sections 5.6.7 and 10.2.3)."""

from __future__ import annotations

import time
from calendar import timegm
from functools import lru_cache

_DIGITS = 18
_MONTHS = {name: number for number, name in enumerate("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)}


def whole_number(text: str) -> int:
    """Return a size or count, which 63 bits hold. Raises ValueError for anything else."""
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        raise ValueError("no number, or one that nothing has")
    return int(text)


@lru_cache(maxsize=4096)
def rfc3339(date: str) -> str:
    """Return an HTTP date (`Wed, 21 Oct 2015 07:28:00 GMT`) as RFC 3339, '' when it is none. Many objects have the date of the one before."""
    month = _MONTHS.get(date[8:11])
    digits = date[5:7] + date[12:16] + date[17:19] + date[20:22] + date[23:25]
    if month is None or len(date) != 29 or not (digits.isascii() and digits.isdigit()):
        return ""
    return f"{date[12:16]}-{month:02}-{date[5:7]}T{date[17:25]}Z"


def retry_after_s(text: str) -> float:
    """Return for how many seconds a service asked to be left alone (Retry-After: seconds or a date); 0 when it did not say."""
    if text.isascii() and text.isdigit():
        return float(text[:6])
    moment = rfc3339(text)
    if not moment:
        return 0.0
    try:
        return max(0.0, timegm(time.strptime(moment, "%Y-%m-%dT%H:%M:%SZ")) - time.time())
    except ValueError:  # a day that no month has
        return 0.0
