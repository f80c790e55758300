"""Choosing where in a store: which store, through which connection, which container, below which prefix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from portal.catalog import FieldSpec
from portal.connections import KIND_OF_SCHEME
from portal.errors import PortalError
from portal.stores.url import StoreURL
from portal.ui import boxes, credentials, listing
from portal.ui.drafts import Draft

KIND_WORDS = {"s3": "S3", "adls": "ADLS", "local": "Files"}
_TAKEN: Mapping[tuple[str, str], tuple[str, ...]] = {("upload", "source"): ("local",), ("upload", "target"): ("s3", "adls")}
"""By engine and parameter: the kinds of store it takes, where that is not every kind."""
_CONTAINER_WORDS = {"s3": "Bucket", "adls": "Container", "local": "Folder"}
_OTHER = "\0other"
"""A bucket of somebody else's account is in no listing, and can still be read."""
_SCHEMES = {kind: scheme for scheme, kind in KIND_OF_SCHEME.items()}


@dataclass(frozen=True)
class Place:
    """A chosen place. `base` is its container as a URL ('' key, or the allowed folder of local files); None: none chosen yet."""

    kind: str
    connection_name: str
    connection: Any
    base: StoreURL | None

    @property
    def mark(self) -> str:
        """Names the connection in the session's cache of listings."""
        return f"{self.kind}:{self.connection_name}"

    def below(self, prefix: str) -> StoreURL | None:
        return self.base.at(self.base.key + prefix.lstrip("/")) if self.base else None


def kinds(engine: str, field: str) -> tuple[str, ...]:
    """Return the kinds of store that a URL parameter of an engine takes."""
    return _TAKEN.get((engine, field), tuple(KIND_WORDS))


def choose(draft: Draft, item: FieldSpec, connection_field: str, kinds: Sequence[str], *, narrow: bool = False) -> Place | None:
    """Show store, connection and container of a URL parameter, of these kinds of store only; None while something is missing."""
    start = _parsed(draft.values.get(item.name, item.default))
    key = f"{draft.id}.{item.name}"
    wide = [1.15, 1.3, 1.6]
    columns = [st.container(), *st.columns([1, 1.2], vertical_alignment="bottom")] if narrow else st.columns(wide, vertical_alignment="bottom")
    with columns[0]:
        kind = _kind(item, start, key, kinds)
    if kind is None:
        return None
    at = f"{key}.connection"
    with columns[1]:
        name = credentials.choose(draft, kind, "Connection", draft.values.get(connection_field), at, help_text="Named in connections.toml or .env")
    if credentials.ask(draft, kind, at):
        return None
    try:
        connection = credentials.known(draft).get(kind, name)
    except PortalError as problem:
        boxes.error(problem)
        return None
    place = Place(kind, name, connection, None)
    options, refusal = _containers(place)
    with columns[2]:
        container = _container(place, options, start, key)
    if refusal and not container:
        boxes.error(refusal)  # below the row: inside the column it is narrow and pushes the fields beside it out of sight
    return Place(kind, name, connection, _base(kind, connection, container)) if container else place


def _parsed(value: Any) -> StoreURL | None:
    try:
        return StoreURL.parse(str(value)) if value else None
    except ValueError:
        return None


def _kind(item: FieldSpec, start: StoreURL | None, key: str, kinds: Sequence[str]) -> str | None:
    hinted = next((kind for scheme, kind in KIND_OF_SCHEME.items() if item.placeholder.startswith(scheme)), "adls" if item.name == "target" else "s3")
    first = KIND_OF_SCHEME[start.scheme] if start else hinted if item.required else None
    first = first if first in kinds or first is None else kinds[0]
    return st.segmented_control(
        item.title + (" *" if item.required else ""), list(kinds), default=first, required=item.required, format_func=KIND_WORDS.__getitem__,
        key=f"{key}.kind.{'-'.join(kinds)}", help=item.help, persist_state="session",
    )  # fmt: skip


def _container(place: Place, options: list[str], start: StoreURL | None, key: str) -> str:
    word = _CONTAINER_WORDS[place.kind]
    wanted = _started_in(start, options) if start and KIND_OF_SCHEME[start.scheme] == place.kind else None
    options = list(dict.fromkeys([*([wanted] if wanted else []), *options, *([_OTHER] if place.kind != "local" else [])]))
    index = options.index(wanted) if wanted else 0 if len(options) <= 2 or options == [_OTHER] else None
    chosen = st.selectbox(
        word, options, index=index, key=f"{key}.container.{place.mark}", placeholder=f"Choose a {word.lower()}", persist_state="session",
        format_func=lambda name: f"Another {word.lower()}…" if name == _OTHER else name,
        help="Folders that PORTAL_LOCAL_ROOTS allows." if place.kind == "local" else None,
    )  # fmt: skip
    if chosen == _OTHER:
        chosen = st.text_input(f"Name of the {word.lower()}", key=f"{key}.other.{place.mark}", persist_state="session")
    return str(chosen or "").strip()


def _containers(place: Place) -> tuple[list[str], PortalError | None]:
    if place.kind == "local":
        return list(place.connection.roots), None
    try:
        return listing.containers(place.connection, place.mark), None
    except PortalError as problem:
        return [], problem


def _started_in(start: StoreURL, options: list[str]) -> str:
    if start.scheme != "file":
        return start.container
    return next((root for root in options if f"/{start.key}/".startswith(f"{root.rstrip('/')}/")), "")


def _base(kind: str, connection: Any, container: str) -> StoreURL:
    if kind == "local":
        return StoreURL("file", "", "", container.strip("/") + "/")
    return StoreURL(_SCHEMES[kind], container, connection.account if kind == "adls" else "")


def prefix_of(base: StoreURL, start: Any) -> str:
    """The prefix that a URL has inside a place; '' when it is another place."""
    url = _parsed(start)
    return url.key.removeprefix(base.key) if url and url.root == base.root and url.key.startswith(base.key) else ""
