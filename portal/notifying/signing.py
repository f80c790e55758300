"""Signing a webhook, so that its receiver knows who sent it and that it is fresh. Source: Standard Webhooks 1.0.0, "Signature scheme"."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable

from portal.connections_channels import signing_key


def headers(message_id: str, moment_s: int, body: bytes, secrets: Iterable[str]) -> dict[str, str]:
    """Return the headers of a message.

    Args:
        message_id: the same whenever the message is sent again; without a dot, which parts what is signed.
        moment_s: when it is sent this time, in seconds since 1970.
        secrets: signing secrets, each of which signs; none: the message has an id and a moment only.
    """
    made = {"webhook-id": message_id, "webhook-timestamp": str(moment_s)}
    signed = b".".join((message_id.encode(), str(moment_s).encode(), body))
    signatures = [base64.b64encode(hmac.digest(signing_key(secret), signed, hashlib.sha256)).decode() for secret in secrets]
    return made | ({"webhook-signature": " ".join(f"v1,{value}" for value in signatures)} if signatures else {})
