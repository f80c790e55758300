"""One request as the handlers see it: account, container, path, query, headers, body, and which endpoint it is meant for."""

from __future__ import annotations

import re
import uuid
from collections.abc import Container as Holder
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote, unquote_plus

from embedded.adls.errors import StorageError
from embedded.adls.wire import Body, Head

if TYPE_CHECKING:
    from embedded.adls.grant import Grant

VERSION = "2026-10-06"
"""What a request without x-ms-version is taken for."""
_HOST = re.compile(r"([a-z0-9]{3,24})\.(dfs|blob)\.")
_DFS_AGENT = re.compile(r"storage-dfs|data-?lake", re.IGNORECASE)
_DFS_QUERY = {"resource", "action", "recursive", "paginated", "mode"}
_CONTAINER = re.compile(r"\$root|\$logs|\$web|[a-z0-9](?!.*--)[a-z0-9-]{1,61}[a-z0-9]")
MAX_PATH_UNITS, MAX_DEPTH = 1024, 63


@dataclass
class Request:
    """`path` has no slash at either end and is empty for the container itself; `raw_path` is what the client signed.

    `query` has lower-case names and decoded values, of a repeated parameter the last; `values` has all of them.
    """

    head: Head
    body: Body
    client: str
    account: str
    container: str
    path: str
    raw_path: str
    query: dict[str, str]
    values: dict[str, list[str]]
    endpoint: str
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    grant: Grant | None = None

    @property
    def method(self) -> str:
        return self.head.method

    def header(self, name: str, default: str = "") -> str:
        """By lower-case name."""
        return self.head.headers.get(name, default)

    @property
    def scope(self) -> str:
        """account, container or path."""
        if not self.container:
            return "account"
        return "path" if self.path else "container"

    def metadata(self) -> dict[str, str]:
        """The x-ms-meta-* headers, names as sent.

        Raises:
            StorageError: InvalidMetadata or MetadataTooLarge.
        """
        return checked_metadata({name[10:]: value for name, value in self.head.fields if name.lower().startswith("x-ms-meta-")})

    def flag(self, name: str) -> bool:
        """A query parameter that says true or false.

        Raises:
            StorageError: InvalidQueryParameterValue.
        """
        value = self.query.get(name, "false").lower()
        if value not in ("true", "false"):
            raise StorageError("InvalidQueryParameterValue", detail={"QueryParameterName": name, "QueryParameterValue": value})
        return value == "true"

    def number(self, name: str, default: int | None = None, *, low: int = 0, high: int = 1 << 62) -> int:
        """A query parameter that is a whole number.

        Raises:
            StorageError: MissingRequiredQueryParameter, InvalidQueryParameterValue or OutOfRangeQueryParameterValue.
        """
        text = self.query.get(name)
        if text is None:
            if default is None:
                raise StorageError("MissingRequiredQueryParameter", detail={"QueryParameterName": name})
            return default
        if not re.fullmatch(r"-?[0-9]{1,18}", text):
            raise StorageError("InvalidQueryParameterValue", detail={"QueryParameterName": name, "QueryParameterValue": text})
        if not low <= int(text) <= high:
            raise StorageError("OutOfRangeQueryParameterValue", detail={"QueryParameterName": name, "QueryParameterValue": text})
        return int(text)


def parse(head: Head, body: Body, client: str, accounts: Holder[str], within: str = "") -> Request:
    """Split the target into account, container and path.

    The account is the host's first label (NAME.dfs.…, NAME.blob.…) or else the first part of the path; the parts of a batch
    may leave it out, being `within` one.

    Raises:
        StorageError: InvalidUri, InvalidResourceName.
    """
    target = re.sub(r"^https?://[^/]*", "", head.target, flags=re.IGNORECASE) or "/"
    raw_path, _, raw_query = target.partition("?")
    values: dict[str, list[str]] = {}
    try:
        decoded = unquote(raw_path, errors="strict")
        for pair in filter(None, raw_query.split("&")):
            name, _, value = pair.partition("=")
            values.setdefault(unquote_plus(name, errors="strict").lower(), []).append(unquote_plus(value, errors="strict"))
    except UnicodeDecodeError as error:
        raise StorageError("InvalidUri") from error
    query = {name: found[-1] for name, found in values.items()}
    host = _HOST.match(head.headers.get("host", "").lower())
    if host and host[1] in accounts:
        account, rest = host[1], decoded[1:]
    else:
        account, _, rest = decoded[1:].partition("/")
        if within and account != within:
            account, rest = within, decoded[1:]
    container, _, path = rest.partition("/")
    endpoint = host[2] if host else _endpoint(head, query)
    return Request(head, body, client, account, container, normal_path(path), raw_path, query, values, endpoint)


def _endpoint(head: Head, query: dict[str, str]) -> str:
    """Which service a request to a host that serves both is meant for."""
    if head.method == "PATCH" or _DFS_QUERY & query.keys() or "x-ms-rename-source" in head.headers:
        return "dfs"
    if head.method == "POST" and "x-ms-lease-action" in head.headers:
        return "dfs"
    if head.method in ("DELETE", "POST") and not {"restype", "comp"} & query.keys() and _DFS_AGENT.search(head.headers.get("user-agent", "")):
        return "dfs"
    return "blob"


def normal_path(path: str) -> str:
    """As the hierarchical namespace stores it: empty segments and dots at the end of a segment are dropped.

    Raises:
        StorageError: InvalidResourceName for a segment of dots alone, which clients resolve before they send.
    """
    parts = [part for part in path.split("/") if part]
    if any(not part.strip(".") for part in parts):
        raise StorageError("InvalidResourceName")
    return "/".join(part.rstrip(".") for part in parts)


def check_names(container: str, path: str) -> None:
    """Raises StorageError InvalidResourceName for what the hierarchical namespace cannot hold. Length counts in UTF-16 units."""
    if container and not _CONTAINER.fullmatch(container):
        raise StorageError("InvalidResourceName")
    if len(path.encode("utf-16-le")) // 2 > MAX_PATH_UNITS or path.count("/") >= MAX_DEPTH:
        raise StorageError("InvalidResourceName", f"The path is longer than {MAX_PATH_UNITS} characters or deeper than {MAX_DEPTH} folders.")
    if re.search(r"[\x00-\x1f\x7f\\]", path):
        raise StorageError("InvalidResourceName")


def checked_metadata(metadata: dict[str, str]) -> dict[str, str]:
    """Raises StorageError InvalidMetadata (names are C# identifiers, values fit a header) or MetadataTooLarge (8 KiB in all)."""
    for name, value in metadata.items():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value):
            raise StorageError("InvalidMetadata")
    if sum(len(name) + len(value) for name, value in metadata.items()) > 8192:
        raise StorageError("MetadataTooLarge")
    return metadata
