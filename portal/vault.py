"""Credentials that travel with a job, sealed so that only the queue's worker can open them.

A sealed text is `v1.KEYID.BASE64`: the JSON payload in a libsodium sealed box (X25519, XSalsa20-Poly1305;
https://doc.libsodium.org/public-key_cryptography/sealed_boxes) to the queue's public key. Who seals needs the public half only.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox

from portal import keypair
from portal.errors import BadJobFile, SettingError
from portal.settings import Settings

_VERSION = "v1"


def _make() -> tuple[bytes, bytes]:
    key = PrivateKey.generate()
    return bytes(key), bytes(key.public_key)


QUEUE = keypair.Purpose("queue", _make)


def ensure_keys(settings: Settings) -> None:
    """Make the queue's key pair unless there is one. Raises SettingError."""
    keypair.ensure(settings.key_pair_dir, QUEUE)


def rotate_keys(settings: Settings) -> None:
    """Seal to a new key from now on; jobs sealed before can still be opened. Raises SettingError."""
    keypair.rotate(settings.key_pair_dir, QUEUE)


def seal(settings: Settings, payload: Mapping[str, Any]) -> str:
    """Return a JSON payload sealed to the queue's current key, made if there is none. Raises SettingError."""
    key = keypair.ensure(settings.key_pair_dir, QUEUE)
    box = SealedBox(PublicKey(key.raw)).encrypt(json.dumps(payload).encode())
    return f"{_VERSION}.{key.id}.{base64.urlsafe_b64encode(box).decode()}"


def unseal(settings: Settings, text: str) -> dict[str, Any]:
    """Return the payload of a sealed text.

    Raises:
        SettingError: the private key it was sealed to is not here.
        BadJobFile: the text was changed or never was a sealed one.
    """
    wanted, box = _split(text)
    secret = keypair.private(settings.key_pair_dir, QUEUE, wanted)
    if secret is None:
        raise SettingError(
            f"The credentials of this job are sealed to the key {wanted}, which is not in {settings.key_pair_dir}.",
            hint="Restore that folder from a backup, or submit the job again with its credentials. "
            "Launcher and worker must use the same PORTAL_HOME and PORTAL_KEYS_DIR.",
        )
    try:
        payload = json.loads(SealedBox(PrivateKey(secret)).decrypt(box))
    except (CryptoError, ValueError):
        raise _damaged() from None
    if not isinstance(payload, dict):
        raise _damaged()
    return payload


def _split(text: str) -> tuple[str, bytes]:
    version, _, rest = text.partition(".")
    wanted, _, box = rest.partition(".")
    if version != _VERSION or not wanted or not box:
        raise _damaged()
    try:
        raw = base64.b64decode(box, altchars=b"-_", validate=True)
    except ValueError:
        raise _damaged() from None
    if base64.urlsafe_b64encode(raw).decode() != box:
        raise _damaged()
    return wanted, raw


def _damaged() -> BadJobFile:
    return BadJobFile("The sealed credentials of this job cannot be opened: they were changed or cut off.", hint="Submit the job again.")
