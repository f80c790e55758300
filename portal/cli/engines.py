"""`engines`: what the portal can do, as a list, a help page or the reference."""

from __future__ import annotations

from portal import catalog
from portal.cli.parsing import PROGRAM, add_json, parser
from portal.cli.text import as_json, table
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
