"""Continuation tokens and markers: the last name of a page, opaque to the client and fit for URLs and headers."""

from __future__ import annotations

import base64
import binascii

from embedded.adls.errors import StorageError


def encode_token(name: str) -> str:
    return base64.urlsafe_b64encode(b"1!" + name.encode()).decode().rstrip("=")


def decode_token(token: str, parameter: str) -> str:
    """The name, "" for no token.

    Raises:
        StorageError: InvalidQueryParameterValue.
    """
    if not token:
        return ""
    try:
        data = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        if data.startswith(b"1!"):
            return data[2:].decode()
    except (binascii.Error, ValueError):
        pass
    raise StorageError("InvalidQueryParameterValue", detail={"QueryParameterName": parameter, "QueryParameterValue": token})
