"""Whether two sides of a transfer hold the same names: copies would then be copied again, and a mirror would take its own source for extra."""

from __future__ import annotations

import os
import re
from typing import Literal, NamedTuple

from portal.errors import BadParameters
from portal.planning import names
from portal.stores.url import StoreURL
from portal.transfer.side import Side
from portal.wire.ends import Access

Overlap = Literal["", "same", "inside", "around"]

_AWS = re.compile(r"(?:^|\.)amazonaws\.com(\.cn)?$")
_LOOPBACK = re.compile(r"localhost|127(?:\.\d+){3}|::1")
_TOLD = {"same": "they are the same place", "inside": "the target lies inside the source", "around": "the source lies inside the target"}


class Place(NamedTuple):
    """A folder of a store, so that two ways to write the same one are equal."""

    store: str
    """Which container of which service, or '' for the files of this machine."""
    folder: str
    """'' or ending in '/'."""


def place(access: Access, key: str) -> Place:
    """Return what a key or prefix stands for, by whichever endpoint, region or link it is reached."""
    if access.kind == "file":
        return Place("", names.as_folder(os.path.realpath(f"/{key}")))
    if access.kind == "s3":
        return Place(f"s3 {_s3_service(access)} {access.container}", names.as_folder(key))
    # An account with a hierarchical namespace takes 'a//b' for 'a/b': nobody can tell here whether this is one.
    folder = names.as_folder(re.sub("/+", "/", key).removeprefix("/"))
    return Place(f"azure {_azure_service(access)} {access.container}", folder)


def _s3_service(access: Access) -> str:
    """Of AWS a bucket's name is enough: it is given once, whatever the region or the endpoint."""
    host = access.host if access.path_style else access.host.removeprefix(f"{access.container}.")
    found = _AWS.search(_plain(host))
    return f"amazonaws{found[1] or ''}" if found else f"{_plain(host)}:{access.port}{access.base_path}"


def _azure_service(access: Access) -> str:
    """blob and dfs are two services over the same objects."""
    account = access.account.partition(".")[0].lower()
    host = re.sub(r"\.(?:blob|dfs)\.", ".", _plain(access.host))
    return f"{account} {host}:{access.port}{access.base_path}"


def _plain(host: str) -> str:
    name = host.lower().rstrip(".")
    return "loopback" if _LOOPBACK.fullmatch(name) else name


def overlap(source: Place, target: Place) -> Overlap:
    """Return how the target lies to the source: '' apart, the same place, inside it, or around it."""
    if source.store != target.store:
        return ""
    if source.folder == target.folder:
        return "same"
    if target.folder.startswith(source.folder):
        return "inside"
    return "around" if source.folder.startswith(target.folder) else ""


def refuse(source: Side, target: Side, folder: str) -> None:
    """Raises BadParameters when the source and the folder at the target that is written to overlap."""
    if (source.url.scheme, source.url.container) != (target.url.scheme, target.url.container):
        return
    found = overlap(place(source.access(), source.url.key), place(target.access(), folder))
    if found:
        hint = "Choose a target beside the source: what is copied would be copied again, and a mirror would delete its own source."
        raise BadParameters(_text(source.url, target.url.at(folder), found), hint=hint)


def _text(source: StoreURL, target: StoreURL, found: Overlap) -> str:
    return f"The source {source} and the target {target} overlap: {_TOLD[found]}."
