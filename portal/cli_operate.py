"""`engines`, `connections` and `check`: what the portal can do, where it leads, and whether it is well."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator

from portal import catalog
from portal import check as checks
from portal.cli_parsing import PROGRAM, add_json, parser
from portal.cli_text import as_json, table
from portal.connections import DEFAULT, DEFAULT_VARIABLES, KINDS, Connections
from portal.errors import SettingError
from portal.probe import probe
from portal.settings import Settings


def engines(arguments: list[str], settings: Settings) -> int:
    """List the engines, or describe one."""
    made = parser("engines", "List the engines, or describe one and its parameters.", "[NAME] [--markdown | --json]")
    made.add_argument("name", nargs="?", metavar="NAME")
    made.add_argument("--markdown", action="store_true", help="the reference as Markdown, of all engines when none is named")
    add_json(made)
    given = made.parse_args(arguments)
    specs = [catalog.engine(name) for name in ([given.name] if given.name else catalog.names())]
    if given.json:
        print(as_json([{"name": spec.name, "summary": spec.summary, "parameters": spec.params.model_json_schema()["properties"]} for spec in specs]))
    elif given.markdown:
        print(reference(specs), end="")
    elif given.name:
        print(_help(specs[0]))
    else:
        print(table(["engine", "what it does"], [[spec.name, spec.summary] for spec in specs]))
    return 0


def reference(specs: list[catalog.EngineSpec]) -> str:
    """Return the reference of engines, as docs/engines.md holds it."""
    title = f"# Engines\n\nMade by `{PROGRAM} engines --markdown`; change the engine, not this page.\n"
    return "\n".join([title, *(catalog.markdown(spec) for spec in specs)])


def _help(spec: catalog.EngineSpec) -> str:
    made = parser(f"submit {spec.name}", f"{spec.summary}\n\n{spec.description}", "[flags]")
    catalog.add_flags(made, spec)
    return made.format_help().rstrip()


def connections(arguments: list[str], settings: Settings) -> int:
    """List the connections, or test them."""
    made = parser("connections", "List the connections that jobs can name, or test that they lead somewhere.", "[list | test [NAME…]] [--json]")
    made.add_argument("action", nargs="?", choices=["list", "test"], default="list", metavar="ACTION", help="list (default) or test")
    made.add_argument("names", nargs="*", metavar="NAME", help="test only these: names, or kinds (s3, adls, local, snowflake) for their defaults")
    add_json(made)
    given = made.parse_args(arguments)
    known = list(_known(Connections.load(settings), settings))
    return _list(known, given) if given.action == "list" else _test(settings, _chosen(known, given.names), given)


Row = tuple[str, str, str, bool]
"""Name, kind, where it leads, and whether anything is configured for it."""


def _known(loaded: Connections, settings: Settings) -> Iterator[Row]:
    for kind in KINDS:
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
        return [row for row in known if row[3]]
    chosen = []
    for wanted in names:
        fitting = [row for row in known if row[0] == wanted or (row[0] == DEFAULT and row[1] == wanted)]
        if not fitting:
            there = ", ".join(dict.fromkeys([*KINDS, *(row[0] for row in known if row[0] != DEFAULT)]))
            raise SettingError(f"There is no connection {wanted!r}.", hint=f"There are {there}. Add it to connections.toml.")
        chosen += fitting
    return chosen


def _test(settings: Settings, chosen: list[Row], given: argparse.Namespace) -> int:
    found = [(name, kind, probe(settings, kind, name)) for name, kind, _, _ in chosen]
    if given.json:
        print(as_json([{"name": name, "kind": kind, "ok": result.ok, "text": result.text, "detail": result.detail} for name, kind, result in found]))
    else:
        rows = [[name, kind, "ok" if result.ok else "FAILED", result.text] for name, kind, result in found]
        print(table(["name", "kind", "result", "what was found"], rows))
    return 0 if all(result.ok for _, _, result in found) else 1


def check(arguments: list[str], settings: Settings) -> int:
    """Inspect all state."""
    made = parser("check", "Inspect queue, logs and archive. Exit status 0 when all is well, 1 when something needs a person: fit for monitoring.")
    made.add_argument("--repair", action="store_true", help="repair what is safe to repair, and say what was done")
    add_json(made)
    given = made.parse_args(arguments)
    raise NotImplementedError(checks, given, os)
