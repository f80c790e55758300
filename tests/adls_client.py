"""A raw HTTP client for the ADLS server: signs by itself, sends exactly what it is told to, gives back status, headers and body."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
from collections.abc import Iterable
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any
from urllib.parse import quote, unquote, urlencode
from xml.etree import ElementTree

from tests.servers import ADLS_ACCOUNT, ADLS_KEY, Server


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The service's error code; its header and its body must agree."""
        code = self.headers.get("x-ms-error-code", "")
        if self.body and self.status >= 400:
            if self.headers["content-type"].startswith("application/json"):
                assert json.loads(self.body)["error"]["code"] == code
            else:
                assert ElementTree.fromstring(self.body).findtext("Code") == code
        return code

    def json(self) -> Any:
        return json.loads(self.body)

    def xml(self) -> ElementTree.Element:
        return ElementTree.fromstring(self.body)


class RawClient:
    """One kept-alive connection to `/ACCOUNT` of a server. Without `key` nothing is signed."""

    def __init__(self, server: Server, key: str | None = ADLS_KEY, account: str = ADLS_ACCOUNT) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        self.key, self.account = key, account

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def send(self, method: str, path: str, query: dict[str, Any] | str = "", body: bytes | Iterable[bytes] = b"", **headers: str) -> Answer:
        """`path` is /container/path, unencoded; header names are written with underscores for hyphens."""
        raw = f"/{self.account}{quote(path)}"
        text = query if isinstance(query, str) else urlencode(query, quote_via=quote)
        fields = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2026-10-06"}
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(body, bytes):
            fields["Content-Length"] = str(len(body))
        else:
            fields["Transfer-Encoding"] = "chunked"
        if self.key and "Authorization" not in fields:
            fields["Authorization"] = f"SharedKey {self.account}:{self.sign(method, raw, text, fields)}"
        self.connection.request(method, raw + (f"?{text}" if text else ""), body, fields, encode_chunked=not isinstance(body, bytes))
        response = self.connection.getresponse()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())

    def sign(self, method: str, raw: str, query: str, fields: dict[str, str]) -> str:
        lower = {name.lower(): value for name, value in fields.items()}
        names = ["content-encoding", "content-language", "content-length", "content-md5", "content-type", "date"]
        names += ["if-modified-since", "if-match", "if-none-match", "if-unmodified-since", "range"]
        plain = [lower.get(name, "") for name in names]
        plain[2] = "" if plain[2] == "0" else plain[2]
        own = [f"{name}:{lower[name]}" for name in sorted(lower) if name.startswith("x-ms-")]
        pairs = sorted(tuple(unquote(part) for part in pair.partition("=")[::2]) for pair in query.split("&") if pair)
        resource = f"/{self.account}{raw}" + "".join(f"\n{name.lower()}:{value}" for name, value in pairs)
        text = "\n".join([method, *plain, *own, resource])
        return base64.b64encode(hmac.digest(base64.b64decode(self.key or ""), text.encode(), hashlib.sha256)).decode()

    def container(self, name: str) -> str:
        assert self.send("PUT", f"/{name}", {"restype": "container"}).status == 201
        return name

    def write(self, path: str, data: bytes) -> Answer:
        """A file over the dfs endpoint."""
        assert self.send("PUT", path, {"resource": "file"}).status == 201
        if data:
            assert self.send("PATCH", path, {"action": "append", "position": 0}, data).status == 202
        return self.send("PATCH", path, {"action": "flush", "position": len(data)})

    def paths(self, container: str, **query: Any) -> list[str]:
        """Every name that List Paths gives, page after page."""
        names: list[str] = []
        continuation = ""
        while True:
            asked = {"resource": "filesystem", "recursive": "true", **query, **({"continuation": continuation} if continuation else {})}
            answer = self.send("GET", f"/{container}", asked)
            assert answer.status == 200, answer
            names += [item["name"] for item in answer.json()["paths"]]
            continuation = answer.headers.get("x-ms-continuation", "")
            if not continuation:
                return names
