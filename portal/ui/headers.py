"""The headers that tell a browser what these pages may do: no script but Streamlit's own, no frame, no foreign address."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

import streamlit


@cache
def security_headers() -> tuple[tuple[bytes, bytes], ...]:
    """Return the headers every response gets."""
    return (
        (b"content-security-policy", _policy().encode()),
        (b"x-frame-options", b"DENY"),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"same-origin"),
        (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
        (b"cross-origin-opener-policy", b"same-origin"),
    )


def _policy() -> str:
    page = (Path(streamlit.__file__).parent / "static" / "index.html").read_text("utf-8")
    inline = re.findall(r"<script>(.*?)</script>", page, re.S)
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in inline)
    return "; ".join(
        (
            "default-src 'self'",
            f"script-src 'self' {hashes} 'wasm-unsafe-eval' blob: data:",  # components are loaded as blobs, charts as WebAssembly
            "style-src 'self' 'unsafe-inline'",  # Streamlit styles by emotion
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            "connect-src 'self' data:",
            "worker-src 'self' blob:",
            "frame-ancestors 'none'",
            "base-uri 'self'",
            "form-action 'self'",
            "object-src 'none'",
        )
    )
