"""Does a connection lead somewhere? One small question to each kind of service, answered in words for people; to people, a test message."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from portal import clock
from portal.connections import Connections
from portal.errors import AccessDenied, NotTold, PortalError, explain
from portal.lake.catalogs.files import Files
from portal.lake.catalogs.opening import open_catalog
from portal.lake.hive.metastore import Metastore
from portal.lake.table_name import joined
from portal.notifying.facts import test_message
from portal.notifying.sending import send
from portal.redact import Redactor
from portal.settings import Settings
from portal.stores.opening import open_account
from portal.warehouse import Warehouse

_NAMES_SHOWN = 5
_TYPED = "typed"


@dataclass(frozen=True)
class Probe:
    """What came of a test. Nothing in it is a secret."""

    ok: bool
    text: str
    hint: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)
    """`leads_to`, and what was found: `containers`, or who the session is."""
    duration_s: float = 0.0


def probe(settings: Settings, kind: str, name: str = "", typed: Mapping[str, Any] | None = None) -> Probe:
    """Try a connection: list containers and one page of the first, ask Snowflake who it is talking to, or send a test message. Never raises.

    Args:
        name: name of the connection; '' or 'default' for the default of its kind.
        typed: fields of a connection that is not stored anywhere; takes the place of the name.
    """
    started = time.monotonic()
    redact = Redactor(_texts(typed or {}))
    try:
        loaded = Connections.load(settings, {_TYPED: {"kind": kind, **typed}} if typed else None)
        connection = loaded.get(kind, _TYPED if typed else name)
        redact = Redactor([*loaded.secrets(), *connection.secrets(), *_texts(typed or {})])
        text, detail = _ask_catalog(connection, loaded) if kind == "catalog" else _QUESTIONS[kind](connection)
        return Probe(True, redact(text), "", {"leads_to": redact(connection.label), **detail}, _since(started))
    except PortalError as error:
        text = explain(error).partition("\n  what to do: ")[0]
        return Probe(False, redact(text), redact(error.hint), {}, _since(started))
    except Exception as error:  # a test must answer, whatever a library raises
        text = f"The test broke off: {type(error).__name__}: {error}"
        return Probe(False, redact(text), "Check every field of the connection.", {}, _since(started))


def _texts(typed: Mapping[str, Any]) -> list[str]:
    return [value for key, value in typed.items() if isinstance(value, str) and any(word in key for word in ("key", "token", "secret", "pass"))]


def _since(started: float) -> float:
    return round(time.monotonic() - started, 3)


def _ask_store(connection: Any) -> tuple[str, dict[str, Any]]:
    account = open_account(connection)
    names = account.containers()
    noun = {"s3": "bucket", "adls": "container", "local": "folder"}[connection.kind]
    if not names:
        return f"Signed in; there is no {noun} yet.", {"containers": []}
    shown = ", ".join(names[:_NAMES_SHOWN]) + (", …" if len(names) > _NAMES_SHOWN else "")
    count = f"1 {noun}" if len(names) == 1 else f"{len(names)} {noun}s"
    return f"{count}: {shown}. {_read_one(account, names[0])}", {"containers": names}


def _read_one(account: Any, name: str) -> str:
    store = account.store(name)
    try:
        page = store.list_page(name.lstrip("/") + "/" if name.startswith("/") else "", limit=1)
        return f"{name} can be listed." if page.objects else f"{name} can be listed; it is empty."
    except AccessDenied:
        return f"{name} itself may not be listed with these credentials."
    finally:
        store.close()


def _ask_snowflake(connection: Any) -> tuple[str, dict[str, Any]]:
    with Warehouse.connect(connection, query_tag="connection test") as warehouse:
        who = warehouse.identity()
    parts = [f"Signed in as {who['user']}", *(f"{name} {who[name] or 'none'}" for name in ("role", "warehouse", "database", "schema"))]
    return f"{', '.join(parts)}.", dict(who)


def _ask_catalog(connection: Any, connections: Connections) -> tuple[str, dict[str, Any]]:
    return _ask_metastore(connection) if connection.type == "hive" else _ask_tables(connection, connections)


def _ask_tables(connection: Any, connections: Connections) -> tuple[str, dict[str, Any]]:
    """Of catalogs that hold Iceberg tables alone."""
    with closing(Files.of(connection, connections.get)) as files, closing(open_catalog(connection, files)) as catalog:
        found = catalog.namespaces()
        names = [joined(namespace) for namespace in found]
        tables = len(catalog.tables(found[0])) if found else 0
    if not names:
        return "Signed in; there is no namespace yet.", {"namespaces": []}
    shown = ", ".join(names[:_NAMES_SHOWN]) + (", …" if len(names) > _NAMES_SHOWN else "")
    count = "1 namespace" if len(names) == 1 else f"{len(names)} namespaces"
    return f"{count}: {shown}. {names[0]} holds {'1 table' if tables == 1 else f'{tables} tables'}.", {"namespaces": names}


def _ask_metastore(connection: Any) -> tuple[str, dict[str, Any]]:
    with Metastore.of(connection) as metastore:
        names = metastore.databases()
        tables = len(metastore.table_names(names[0])) if names else 0
    shown = ", ".join(names[:_NAMES_SHOWN]) + (", …" if len(names) > _NAMES_SHOWN else "")
    count = "1 database" if len(names) == 1 else f"{len(names)} databases"
    inside = f" {names[0]} holds {'1 table' if tables == 1 else f'{tables} tables'}." if names else ""
    return f"{count}: {shown}.{inside}", {"databases": names}


def _send_test(connection: Any) -> tuple[str, dict[str, Any]]:
    sent = send(connection, test_message(clock.now_ms()), "")
    if left := [*sent.later, *sent.refused]:
        raise NotTold(f"{sent.text} {'; '.join(left)}.", hint="Correct the addresses in `to`, or wait: some servers take the first mail late.")
    return f"A test message was sent: {sent.text}", {}


_QUESTIONS: dict[str, Callable[[Any], tuple[str, dict[str, Any]]]] = {
    "s3": _ask_store, "adls": _ask_store, "local": _ask_store, "snowflake": _ask_snowflake, "webhook": _send_test, "smtp": _send_test,
}  # fmt: skip
