"""Settings: where they come from, which wins, and errors that name the variable and what to put there."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from portal import settings
from portal.connections import DEFAULT_VARIABLES, Connections
from portal.errors import SettingError, explain
from portal.lake.spark import cluster
from portal.settings import Settings

ROOT = Path(__file__).resolve().parent.parent


def write(home: Path, text: str) -> None:
    (home / ".env").write_text(text)


def refused(home: Path) -> str:
    with pytest.raises(SettingError) as caught:
        settings.load(home)
    return explain(caught.value)


def test_the_environment_wins_over_env_file_over_default(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home, "PORTAL_SLOTS=3\nPORTAL_POLL_S=5\n")
    monkeypatch.setenv("PORTAL_SLOTS", "7")
    config = settings.load(home)
    assert (config.slots, config.poll_s, config.max_attempts) == (7, 5.0, 3)


def test_env_file_is_read_and_not_loaded(home: Path) -> None:
    write(home, "AZURE_STORAGE_KEY=from-file\n")
    assert settings.load(home).variables["AZURE_STORAGE_KEY"] == "from-file"
    assert "AZURE_STORAGE_KEY" not in os.environ


def test_an_empty_variable_is_not_set(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTAL_SLOTS", "")
    write(home, "AWS_REGION=\n")
    config = settings.load(home)
    assert config.slots == 2 and "AWS_REGION" not in config.variables


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("PORTAL_SLOTS=many", ["PORTAL_SLOTS='many'", "Jobs that one worker runs", ".env"]),
        ("PORTAL_SLOTS=0", ["PORTAL_SLOTS='0'", "greater than or equal to 1"]),
        ("PORTAL_LIMITS={broken", ["JSON", ".env"]),
        ("PORTAL_SLOT=3", ["Line 1", "PORTAL_SLOT is no setting", "Did you mean PORTAL_SLOTS?"]),
        ("PORTAL_KEYS_DIR=queue/keys", ["PORTAL_KEYS_DIR", "must not lie in the queue's folder"]),
        ("A=1\nthis is no setting", ["Line 2", "NAME=value"]),
        ("A=1\nSECRET='never closed", ["Line 2"]),
    ],
)
def test_a_wrong_line_is_named_with_what_to_put_there(home: Path, line: str, words: list[str]) -> None:
    write(home, line + "\n")
    said = refused(home)
    assert not [word for word in words if word not in said], said


def test_a_line_that_cannot_be_read_is_not_shown(home: Path) -> None:
    write(home, "AZURE_STORAGE_KEY='s3cr3t-and-unclosed\n")
    assert "s3cr3t" not in refused(home)


def test_a_file_in_another_encoding_is_told(home: Path) -> None:
    (home / ".env").write_bytes("NAME=Köln\n".encode("utf-16"))
    assert "UTF-8" in refused(home)


def test_relative_folders_are_below_the_home(home: Path) -> None:
    write(home, "PORTAL_KEYS_DIR=private/keys\n")
    assert settings.load(home).key_pair_dir == home / "private" / "keys"


def test_local_roots_are_several_folders(home: Path) -> None:
    write(home, f"PORTAL_LOCAL_ROOTS=/srv/in{os.pathsep}/srv/out\n")
    assert settings.load(home).allowed_roots == (Path("/srv/in"), Path("/srv/out"))


def explained() -> dict[str, str]:
    """The variables of .env.example, with the comment lines right above each."""
    found: dict[str, str] = {}
    comment: list[str] = []
    for line in (ROOT / ".env.example").read_text("utf-8").splitlines():
        if variable := re.fullmatch(r"#?([A-Z][A-Z0-9_]+)=(.*)", line):
            found[variable[1]] = " ".join(comment)
            comment = []
        elif line.startswith("# "):
            comment.append(line[2:])
        else:
            comment = []
    return found


def test_env_example_explains_every_setting_and_nothing_else() -> None:
    wanted = {f"PORTAL_{name.upper()}" for name in Settings.model_fields}
    wanted |= {name for variables in DEFAULT_VARIABLES.values() for name in variables.values()} | set(cluster.VARIABLES)
    assert set(explained()) == wanted
    assert not [name for name, comment in explained().items() if len(comment) < 15]


def test_env_example_as_it_stands_is_the_defaults(home: Path) -> None:
    (home / ".env").write_text((ROOT / ".env.example").read_text("utf-8"))
    shown = settings.load(home)
    write(home, "")
    assert shown == settings.load(home)


def test_env_example_shows_the_defaults_that_hold(home: Path) -> None:
    """Every commented-out line, taken in, is the default, or at least can be used."""
    text = re.sub(r"(?m)^#(?=PORTAL_)", "", (ROOT / ".env.example").read_text("utf-8"))
    write(home, text)
    shown, default = settings.load(home), Settings(home=home)
    free = {"home", "keys_dir", "local_roots", "limits", "warm"}
    assert {name: getattr(shown, name) for name in Settings.model_fields if name not in free} == {
        name: Settings.model_fields[name].default for name in Settings.model_fields if name not in free
    }, default


def test_the_example_connections_can_be_used(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "connections.example.toml").read_text("utf-8")
    (home / "connections.toml").write_text(text)
    fitting = {"OPS_SLACK_URL": "https://hooks.example.com/x", "PIPELINE_SECRET": "whsec_" + "A" * 32}
    for variable in re.findall(r'"env:(\w+)"', text):
        monkeypatch.setenv(variable, fitting.get(variable, "value-of-" + variable))
    loaded = Connections.load(settings.load(home))
    assert all(loaded.names(kind) for kind in ("s3", "adls", "snowflake"))
