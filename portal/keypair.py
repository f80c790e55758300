"""Key pairs on disk: one current pair per purpose, made by whoever comes first; earlier private halves stay readable.

Files of a purpose, all in one folder (0700): `PURPOSE-ID.key` (0600) and `PURPOSE-ID.pub` (0644), base64, and `PURPOSE.current`, a copy
of the current public half. ID is the beginning of the SHA-256 of the public half.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from portal.durable import make_folder, sync_folder, write_durably, write_synced
from portal.errors import SettingError

KEY_BYTES = 32

_WHERE = "PORTAL_KEYS_DIR names the folder of the keys (default <home>/.keys)."


@dataclass(frozen=True)
class PublicKey:
    """The public half of a pair."""

    id: str
    raw: bytes


@dataclass(frozen=True)
class Purpose:
    """What a pair is for, and how one is made: `make` returns (private, public), 32 bytes each."""

    name: str
    make: Callable[[], tuple[bytes, bytes]]


def key_id(public: bytes) -> str:
    return hashlib.sha256(public).hexdigest()[:16]


def ensure(folder: Path, purpose: Purpose) -> PublicKey:
    """Return the current public key, making the pair if there is none. Safe against any number of processes doing the same at once.

    Raises:
        SettingError: the folder or a key in it cannot be read or written.
    """
    found = current(folder, purpose)
    return found or _add(folder, purpose, replacing=False)


def rotate(folder: Path, purpose: Purpose) -> PublicKey:
    """Make a new pair the current one; the earlier private keys stay."""
    return _add(folder, purpose, replacing=True)


def current(folder: Path, purpose: Purpose) -> PublicKey | None:
    """Return the current public key, or None while there is none. Raises SettingError."""
    raw = _read(folder / f"{purpose.name}.current")
    return None if raw is None else PublicKey(key_id(raw), raw)


def public(folder: Path, purpose: Purpose, wanted: str) -> bytes | None:
    """Return a public key by id, or None when it is not here. Raises SettingError."""
    return _read(folder / f"{purpose.name}-{_checked(wanted)}.pub")


def private(folder: Path, purpose: Purpose, wanted: str) -> bytes | None:
    """Return a private key by id, or None when it is not here. Raises SettingError."""
    return _read(folder / f"{purpose.name}-{_checked(wanted)}.key")


def known(folder: Path, purpose: Purpose) -> list[PublicKey]:
    """Return every public key of a purpose."""
    raws = [_read(path) for path in sorted(folder.glob(f"{purpose.name}-*.pub"))]
    return [PublicKey(key_id(raw), raw) for raw in raws if raw is not None]


def _checked(wanted: str) -> str:
    if len(wanted) != 16 or not set(wanted) <= set("0123456789abcdef"):
        raise SettingError(f"{wanted!r} is not the id of a key.")
    return wanted


def _read(path: Path) -> bytes | None:
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SettingError(f"The key {path} cannot be read.", hint=f"Give it to the user that runs the portal. {_WHERE}") from error
    try:
        raw = base64.b64decode(text.strip(), validate=True)
    except ValueError:
        raw = b""
    if len(raw) != KEY_BYTES:
        raise SettingError(f"{path} holds no key.", hint="It was changed or cut off; restore the folder of the keys from a backup.")
    return raw


def _add(folder: Path, purpose: Purpose, *, replacing: bool) -> PublicKey:
    try:
        make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        sync_folder(folder.parent)  # what is sealed to a key that a power cut took can never be opened again
        return _install(folder, purpose, replacing=replacing)
    except OSError as error:
        raise SettingError(f"No key can be made in {folder}.", hint=f"It must be a folder that the portal may write. {_WHERE}") from error


def _install(folder: Path, purpose: Purpose, *, replacing: bool) -> PublicKey:
    secret, raw = purpose.make()
    made = PublicKey(key_id(raw), raw)
    pair = [folder / f"{purpose.name}-{made.id}.key", folder / f"{purpose.name}-{made.id}.pub"]
    write_synced(pair[0], base64.b64encode(secret) + b"\n", 0o600)
    write_synced(pair[1], base64.b64encode(raw) + b"\n", 0o644)
    sync_folder(folder)
    pointer = folder / f"{purpose.name}.current"
    if replacing:
        write_durably(pointer, pair[1].read_bytes(), 0o644)
        return made
    # Linking decides the race: one wins, and a pair becomes current only after both its halves are on the disk.
    fresh = folder / f".{purpose.name}.{secrets.token_hex(6)}"
    write_synced(fresh, pair[1].read_bytes(), 0o644)
    try:
        os.link(fresh, pointer)
        sync_folder(folder)
    except FileExistsError:
        for path in pair:
            path.unlink()
    finally:
        fresh.unlink()
    return current(folder, purpose) or made
