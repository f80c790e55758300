"""`connections`: where the portal leads, and whether it gets there."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from portal.cli.parsing import add_json, parser
from portal.cli.text import as_json, table
from portal.connections import CHANNELS, DEFAULT, DEFAULT_VARIABLES, KINDS, Connections
from portal.errors import SettingError
from portal.probe import Probe, probe
from portal.settings import Settings


def connections(arguments: list[str], settings: Settings) -> int:
    """List the connections, or test them."""
    made = parser("connections", "List the connections that jobs can name, or test that they lead somewhere.", "[list | test [NAME…]] [--json]")
    made.add_argument("action", nargs="?", choices=["list", "test"], default="list", metavar="ACTION", help="list (default) or test")
    made.add_argument("names", nargs="*", metavar="NAME", help="test only these: names, or kinds (s3, adls, local, snowflake) for "
        "their defaults; one of kind webhook or smtp is tested only when it is named, by a message that it sends")  # fmt: skip
    add_json(made)
    given = made.parse_args(arguments)
    known = list(_known(Connections.load(settings), settings))
    return _list(known, given) if given.action == "list" else _test(settings, _chosen(known, given.names), given)


Row = tuple[str, str, str, bool]
"""Name, kind, where it leads, and whether anything is configured for it."""


def _known(loaded: Connections, settings: Settings) -> Iterator[Row]:
    for kind in KINDS:
        if kind in loaded.defaults:
            configured = kind == "local" or any(settings.variables.get(name) for name in DEFAULT_VARIABLES[kind].values())
            yield DEFAULT, kind, loaded.get(kind).label, configured
        for name in loaded.names(kind):
            yield name, kind, loaded.get(kind, name).label, True


def _list(known: list[Row], given: argparse.Namespace) -> int:
    if given.json:
        print(as_json([{"name": name, "kind": kind, "leads_to": label, "configured": configured} for name, kind, label, configured in known]))
    else:
        rows = [[name, kind, label if configured else "not configured: the provider's own default chain"] for name, kind, label, configured in known]
        print(table(["name", "kind", "leads to"], rows))
    return 0


def _chosen(known: list[Row], names: list[str]) -> list[Row]:
    if not names:
        return [row for row in known if row[3] and row[1] not in CHANNELS]
    chosen = []
    for wanted in names:
        fitting = [row for row in known if row[0] == wanted or (row[0] == DEFAULT and row[1] == wanted)]
        if not fitting:
            there = ", ".join(dict.fromkeys([row[1] if row[0] == DEFAULT else row[0] for row in known]))
            raise SettingError(f"There is no connection {wanted!r}.", hint=f"There are {there}. Add it to connections.toml.")
        chosen += fitting
    return chosen


def _told(result: Probe) -> dict[str, Any]:
    return {"ok": result.ok, "text": result.text, "hint": result.hint, "detail": result.detail}


def _found(result: Probe) -> str:
    return f"{result.text} What to do: {result.hint}" if result.hint else result.text


def _test(settings: Settings, chosen: list[Row], given: argparse.Namespace) -> int:
    found = [(name, kind, probe(settings, kind, name)) for name, kind, _, _ in chosen]
    if given.json:
        print(as_json([{"name": name, "kind": kind, **_told(result)} for name, kind, result in found]))
    else:
        rows = [[name, kind, "ok" if result.ok else "FAILED", _found(result)] for name, kind, result in found]
        print(table(["name", "kind", "result", "what was found"], rows))
    return 0 if all(result.ok for _, _, result in found) else 1
