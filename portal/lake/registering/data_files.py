"""Which files below a folder are a table's data: one regular expression, by which this side lists them and Snowflake takes them.

Data files are those that end in .parquet or .parq, in any case, and those without a suffix, as Hive and Trino name theirs (000000_0). What Spark and
Hive do not see is none: files and folders whose names begin with `_` or `.`, but for a folder that names a partition (_year=2026). Neither is a file
without a suffix that is named as a partition (year=2026): it marks a folder, and an expression does not see that it is empty.

Nothing but what all dialects of regular expressions read alike is in it: no look ahead, no flags. Each folder fits it in one way only, so that an
engine that tries one way after the other is done in linear time.
"""

from __future__ import annotations

import re

from portal.lake.registering.places import base_url
from portal.stores.url import StoreURL

_FOLDER = r"([^._/][^/]*|_[^/=]*=[^/]*)/"
_SUFFIX = r"[.]([pP][aA][rR][qQ][uU][eE][tT]|[pP][aA][rR][qQ])"
_FILES = rf"({_FOLDER})*([^._/=][^./=]*|[^._/][^/]*{_SUFFIX})"
_SPECIAL = re.compile(r"[\\.^$*+?()\[\]{}|]")
_known = re.compile(_FILES)


def is_data(name: str) -> bool:
    """Tell whether a file is one of data by its path below the folder."""
    return _known.fullmatch(name) is not None


def has_suffix(name: str) -> bool:
    return "." in name.rpartition("/")[2]


def pattern(folder: StoreURL) -> str:
    """Return the PATTERN of an external table over a folder.

    Snowflake's manual leaves open what it is compared with: the path below the stage's URL, the one in the container, or the whole URL. It fits each
    of them. The folder's own path stands in it literally, so that what is hidden below the folder is told from a folder that lies in a hidden one.
    """
    whole = base_url(folder)
    host, container = (whole.removeprefix("azure://").split("/", 2))[:2]
    key = folder.key.strip("/")
    above = f"((azure://{_literal(host)}/)?{_literal(container)}/)?" + (f"{_literal(key)}/" if key else "")
    return f"^(/?{above})?{_FILES}$"


def _literal(text: str) -> str:
    return _SPECIAL.sub(lambda found: f"\\{found[0]}", text)
