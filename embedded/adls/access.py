"""Owner, group, permissions and access control list: kept and given back, in the forms the service takes them."""

from __future__ import annotations

import re
from dataclasses import replace

from embedded.adls.errors import StorageError
from embedded.adls.request import Request
from embedded.adls.schema import Attributes

_SYMBOLIC = re.compile(r"([r-][w-][xtTs-]){3}\+?")
_OCTAL = re.compile(r"[01]?[0-7]{3}")
_ENTRY = re.compile(r"(default:)?(user|group|mask|other):([^:]*):([r-][w-][x-])")


def access_from_headers(request: Request, held: Attributes, *, directory: bool) -> Attributes:
    """`held` with what x-ms-owner, x-ms-group, x-ms-permissions (with x-ms-umask) and x-ms-acl change.

    Raises:
        StorageError: InvalidHeaderValue.
    """
    permissions, acl = request.header("x-ms-permissions"), request.header("x-ms-acl")
    if permissions and acl:
        raise StorageError("InvalidInput", "The x-ms-permissions and x-ms-acl request headers are mutually exclusive.")
    changed = replace(
        held, owner=request.header("x-ms-owner", held.owner) or held.owner, group=request.header("x-ms-group", held.group) or held.group
    )
    if permissions:
        text = _without(_symbolic(permissions), request.header("x-ms-umask"))
        return replace(changed, permissions=text, acl=_acl_of(text))
    if acl:
        entries = acl.split(",")
        if not all(_ENTRY.fullmatch(entry) for entry in entries):
            raise _bad("x-ms-acl", acl)
        return replace(changed, permissions=_permissions_of(entries, held.permissions), acl=acl)
    return changed


def _symbolic(text: str) -> str:
    if _SYMBOLIC.fullmatch(text):
        return text.rstrip("+")
    if not _OCTAL.fullmatch(text):
        raise _bad("x-ms-permissions", text)
    bits = "".join("".join(letter if int(digit) & mask else "-" for letter, mask in zip("rwx", (4, 2, 1), strict=True)) for digit in text[-3:])
    if len(text) == 4 and text[0] == "1":
        return bits[:-1] + ("t" if bits[-1] == "x" else "T")
    return bits


def _without(permissions: str, umask: str) -> str:
    if not umask:
        return permissions
    if not _OCTAL.fullmatch(umask):
        raise _bad("x-ms-umask", umask)
    hidden = "".join(_symbolic(umask[-3:]))
    return "".join("-" if mask != "-" else letter for letter, mask in zip(permissions, hidden, strict=True))


def _acl_of(permissions: str) -> str:
    plain = permissions.replace("t", "x").replace("T", "-")
    return f"user::{plain[:3]},group::{plain[3:6]},other::{plain[6:9]}"


def _permissions_of(entries: list[str], held: str) -> str:
    found = {match[2]: match[4] for match in map(_ENTRY.fullmatch, entries) if match and not match[1] and not match[3]}
    group = found.get("mask", found.get("group", held[3:6]))
    return found.get("user", held[:3]) + group + found.get("other", held[6:9])


def _bad(name: str, value: str) -> StorageError:
    return StorageError("InvalidHeaderValue", detail={"HeaderName": name, "HeaderValue": value})
