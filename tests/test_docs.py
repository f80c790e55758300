"""The documentation is true: references are fresh, folders and commands exist, every setting is explained."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from portal import catalog, settings
from portal.cli import COMMANDS, main
from portal.cli.engines import reference
from portal.cli.submit import _submit_parser
from portal.connections import DEFAULT_VARIABLES
from portal.ledger.remedies import REMEDIES
from portal.settings import Settings
from portal.spool import Spool
from portal.triggers import book

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_reference_of_the_engines_is_fresh() -> None:
    found = (ROOT / "docs" / "engines.md").read_text("utf-8")
    assert found == reference([catalog.engine(name) for name in catalog.names()]), "run: python -m portal engines --markdown > docs/engines.md"


def folder_map() -> list[str]:
    """The paths that the folder map of the README names."""
    block = (ROOT / "README.md").read_text("utf-8").split("```\napp.py")[1].split("```")[0]
    names, parent = [], ""
    for line in f"app.py{block}".splitlines():
        name = line.split()[0]
        parent = parent if line.startswith(" ") else name
        names.append(f"{parent}{name}" if line.startswith(" ") else name)
    return names


def test_the_folder_map_of_the_readme_is_true() -> None:
    named = folder_map()
    assert [name for name in named if not (ROOT / name).exists()] == []
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    folders = {f"{path.partition('/')[0]}/" for path in tracked if "/" in path and not path.startswith(".")}
    packages = {f"{path.rpartition('/')[0]}/" for path in tracked if re.fullmatch(r"(portal|embedded)/\w+/__init__\.py", path)}
    assert sorted((folders | packages) - set(named)) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere_and_commands_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    links = re.findall(r"\]\(([^)#:]+)\)", text)
    assert [link for link in links if not (page.parent / link).exists()] == []
    commands = set(re.findall(r"(?:python -m )?\bportal ([a-z]+)\b(?=[ `])", "\n".join(re.findall(r"`[^`\n]+`|^python .*$", text, re.MULTILINE))))
    assert commands - set(COMMANDS) == set()


@pytest.mark.parametrize("page", ["README.md", ".env.example"])
def test_every_setting_is_explained(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    assert [name for name in Settings.model_fields if f"PORTAL_{name.upper()}" not in text] == []


def test_every_variable_of_a_default_connection_is_explained() -> None:
    text = (ROOT / ".env.example").read_text("utf-8")
    assert [name for variables in DEFAULT_VARIABLES.values() for name in variables.values() if name not in text] == []


def test_the_defaults_in_the_readme_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| (`PORTAL_.*?) \| .*? \| (.*?) \|$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    told = {name: value for names, values in rows for name, value in zip(re.findall(r"PORTAL_(\w+)", names), values.split(", "), strict=False)}
    for name, field in Settings.model_fields.items():
        if isinstance(field.default, int | float | str):
            default = f"{field.default:g}" if isinstance(field.default, float) else str(field.default)
            assert (name, told[name.upper()]) == (name, default)


def commands_of(page: Path) -> list[list[str]]:
    """The submits, one a line, that a page shows."""
    lines = re.findall(r"^python -m portal (submit .*)$", page.read_text("utf-8"), re.MULTILINE)
    return [shlex.split(line, comments=True)[1:] for line in lines if "--file" not in line]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_jobs_in_the_documentation_can_be_submitted(page: Path) -> None:
    for engine, *flags in commands_of(page):
        catalog.validate(engine, catalog.from_flags(_submit_parser(engine).parse_args(flags), catalog.engine(engine)))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_triggers_in_the_documentation_can_be_made_by_who_does_as_it_says(page: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    shown = page.read_text("utf-8").replace("$PWD", str(home))
    for folder in re.findall(r"^mkdir -p (.*)$", shown, re.MULTILINE):
        Path(folder).mkdir(parents=True)
    for line in re.findall(r"^python -m portal triggers add (.*)$", shown, re.MULTILINE):
        words = shlex.split(line, comments=True)
        assert main(["triggers", "add", *words]) == 0
        assert book.load(Spool(settings.load(home)).layout, words[1])


def test_the_causes_are_told_as_the_command_line_tells_them() -> None:
    table = (ROOT / "docs" / "transfer.md").read_text("utf-8").split("| cause |")[1].split("\n\n")[0]
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| (.*) \|$", table, re.MULTILINE))
    assert {cause: f"{remedy.title}. {remedy.what_to_do}" for cause, remedy in REMEDIES.items()} == rows
