"""Connecting: names, proxies, TLS. Each step has its own clear error, for a service that cannot be reached is nearly always one of them."""

from __future__ import annotations

import base64
import os
import socket
import struct
from time import monotonic
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from portal.errors import AccessDenied, SettingError, Unreachable
from portal.wire.ends import Access
from portal.wire.tls import NotTrusted, wrapped

_MAX_PROXY_HEAD = 64 << 10


class _Proxy(NamedTuple):
    host: str
    port: int
    secret: str
    """user:password, or ''."""


def authority(host: str, port: int) -> str:
    """Return `host:port`, IPv6 addresses in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def dial(access: Access, *, timeout_s: float, connect_timeout_s: float) -> socket.socket:
    """Connect to where an Access leads, through the proxy that the environment names for https (HTTPS_PROXY, NO_PROXY).

    Plain http leads to this machine only and takes no proxy. On a plain socket the timeout is the kernel's: a blocked call fails with
    EAGAIN (BlockingIOError), which saves a poll() before every call; on TLS it is Python's (TimeoutError).

    Raises:
        Unreachable: no such name, no answer, no TLS; AccessDenied: the proxy wants a password; SettingError: the proxy cannot be used.
    """
    secure = access.scheme == "https"
    proxy = _proxy(access) if secure else None
    sock = _connected(proxy.host if proxy else access.host, proxy.port if proxy else access.port, connect_timeout_s)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if proxy:
            _tunnel(sock, proxy, access)
        if secure:
            sock = _secured(sock, access)
            sock.settimeout(timeout_s)
        else:
            _limit(sock, timeout_s)
    except BaseException:
        sock.close()
        raise
    return sock


def _connected(host: str, port: int, timeout_s: float) -> socket.socket:
    place = authority(host, port)
    try:
        return socket.create_connection((host, port), timeout_s)
    except socket.gaierror as error:
        raise Unreachable(f"There is no host {host!r}: its name leads to no address.", hint="Check the endpoint's name, and DNS.") from error
    except TimeoutError:
        raise Unreachable(f"{place} did not accept a connection within {timeout_s:g} seconds.", hint="Check endpoint, network and proxy.") from None
    except (OSError, UnicodeError) as error:
        raise Unreachable(f"{place} cannot be reached.", hint="Check endpoint, network and proxy.") from error


def _limit(sock: socket.socket, timeout_s: float) -> None:
    sock.settimeout(None)
    seconds = int(timeout_s)
    limit = struct.pack("ll", seconds, int((timeout_s - seconds) * 1e6))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)


def _secured(sock: socket.socket, access: Access) -> socket.socket:
    place = authority(access.host, access.port)
    try:
        return wrapped(sock, access.host, access.ca_file)
    except NotTrusted:
        raise
    except TimeoutError:
        raise Unreachable(f"{place} did not finish the TLS handshake in time.", hint="Check endpoint, network and proxy.") from None
    except OSError as error:
        raise Unreachable(f"{place} does not speak TLS as it should.", hint="Check that the endpoint is one for https.") from error


def _proxy(access: Access) -> _Proxy | None:
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return None
    from urllib import request  # 30 ms that only machines behind a proxy pay

    url = request.getproxies().get("https", "")
    if not url or request.proxy_bypass(authority(access.host, access.port)):
        return None
    parts = urlsplit(url if "://" in url else f"http://{url}")
    try:
        host, port = parts.hostname or "", parts.port or 80
    except ValueError:
        host, port = "", 0
    if parts.scheme != "http" or not host:
        raise SettingError("The proxy that HTTPS_PROXY names cannot be used.", hint="Write it as http://host:port.")
    secret = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}" if parts.username else ""
    return _Proxy(host, port, secret)


def _tunnel(sock: socket.socket, proxy: _Proxy, access: Access) -> None:
    """Ask the proxy for a tunnel (RFC 9110 section 9.3.6)."""
    target, place = authority(access.host, access.port), f"The proxy {authority(proxy.host, proxy.port)}"
    secret = f"Proxy-Authorization: Basic {base64.b64encode(proxy.secret.encode()).decode()}\r\n" if proxy.secret else ""
    try:
        sock.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{secret}\r\n".encode())
        head = _proxy_head(sock)
    except TimeoutError:
        raise Unreachable(f"{place} did not answer in time.", hint="Check HTTPS_PROXY and NO_PROXY.") from None
    except OSError as error:
        raise Unreachable(f"{place} closed the connection.", hint="Check HTTPS_PROXY and NO_PROXY.") from error
    status = head[9:12].decode("latin-1") if head.startswith(b"HTTP/1.") else ""
    if status == "407":
        raise AccessDenied(f"{place} wants a user name and a password.", hint="Put them into HTTPS_PROXY: http://user:password@host:port.")
    if not (status.startswith("2") and head.endswith(b"\r\n\r\n")):
        raise Unreachable(f"{place} gives no way to {target} (it answered {status or 'no HTTP'}).", hint="Check HTTPS_PROXY and NO_PROXY.")


def _proxy_head(sock: socket.socket) -> bytes:
    head, until = b"", monotonic() + (sock.gettimeout() or 0)
    while b"\r\n\r\n" not in head and len(head) < _MAX_PROXY_HEAD:
        more = sock.recv(4096)  # nothing follows the head: the far end speaks only after our greeting
        if not more:
            break
        head += more
        if monotonic() > until:
            raise TimeoutError
    return head
