"""A small ASGI client with cookies: enough to knock at the gate without a server."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlencode


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    text: str


@dataclass
class Client:
    """Sends requests to an ASGI app as a browser at `host` would."""

    app: Any
    host: str
    cookies: dict[str, str] = field(default_factory=dict)

    def get(self, path: str, **headers: str) -> Answer:
        return self._request("GET", path, b"", headers)

    def post(self, path: str, data: dict[str, str], **headers: str) -> Answer:
        return self._request("POST", path, urlencode(data).encode(), {"origin": f"http://{self.host}", **headers})

    def connects(self, path: str, **headers: str) -> bool:
        """True when a WebSocket is accepted."""
        sent = self._run(self._scope("websocket", path, headers), [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000}])
        return bool(sent) and sent[0]["type"] == "websocket.accept"

    def _request(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        scope = {**self._scope("http", path, headers), "method": method}
        start, *rest = self._run(scope, [{"type": "http.request", "body": body, "more_body": False}])
        pairs = [(name.decode().lower(), value.decode()) for name, value in start["headers"]]
        for name, value in pairs:
            if name == "set-cookie":
                self.cookies.update({key: morsel.value for key, morsel in SimpleCookie(value).items()})
        return Answer(start["status"], dict(pairs), b"".join(message.get("body", b"") for message in rest).decode("utf-8", "replace"))

    def _scope(self, kind: str, path: str, headers: dict[str, str]) -> dict[str, Any]:
        plain, _, query = path.partition("?")
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        named = {"host": self.host, "cookie": cookie, **headers}
        return {
            "type": kind, "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http" if kind == "http" else "ws", "path": plain,
            "raw_path": plain.encode(),
            "query_string": query.encode(), "root_path": "", "headers": [(name.encode(), value.encode()) for name, value in named.items()],
            "client": ("127.0.0.1", 50_000), "server": ("127.0.0.1", 8501), "subprotocols": [],
        }  # fmt: skip

    def _run(self, scope: dict[str, Any], messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        waiting, sent = iter(messages), []

        async def receive() -> dict[str, Any]:
            return next(waiting, {"type": "http.disconnect"})

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        asyncio.run(self.app(scope, receive, send))
        return sent
