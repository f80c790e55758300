"""Signatures over the archive (Ed25519, RFC 8032): made with the current key of the folder of the keys, checked with the public halves."""

from __future__ import annotations

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from portal import keypair
from portal.errors import SettingError
from portal.settings import Settings


def _make() -> tuple[bytes, bytes]:
    key = SigningKey.generate()
    return bytes(key), bytes(key.verify_key)


SEALING = keypair.Purpose("seal", _make)


def sign(settings: Settings, key: str, context: bytes, digest: str) -> str:
    """Return the signature of a digest, in hex; `context` says what is signed. Raises SettingError when the private key is not here."""
    secret = keypair.private(settings.key_pair_dir, SEALING, key)
    if secret is None:
        raise SettingError(f"The signing key {key} is not in {settings.key_pair_dir}.", hint="Restore that folder from a backup.")
    return SigningKey(secret).sign(context + digest.encode()).signature.hex()


def is_signed(settings: Settings, key: str, context: bytes, digest: str, signature: str) -> bool:
    """Tell whether a key of this portal made the signature."""
    try:
        public = keypair.public(settings.key_pair_dir, SEALING, key)
        if public is None:
            return False
        VerifyKey(public).verify(context + digest.encode(), bytes.fromhex(signature))
    except (BadSignatureError, ValueError, SettingError):
        return False
    return True
