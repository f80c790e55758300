"""Sealed credentials: only the queue's key opens them, whoever starts first makes it, and old keys go on working."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from portal import keypair, settings, vault
from portal.errors import BadJobFile, SettingError, explain

PAYLOAD = {"connections": {"typed": {"kind": "s3", "secret_access_key": "wJalrXUtnFEMI/K7MDENG"}}}
LEAVES = st.none() | st.booleans() | st.integers() | st.text()
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)


@pytest.fixture
def other(tmp_path: Path) -> settings.Settings:
    """Another queue's home."""
    (tmp_path / "other").mkdir()
    return settings.load(tmp_path / "other")


@hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(payload=st.dictionaries(st.text(), JSON, max_size=4))
def test_what_was_sealed_comes_out_again(config: settings.Settings, payload: dict[str, object]) -> None:
    assert vault.unseal(config, vault.seal(config, payload)) == payload


def test_a_sealed_text_hides_the_secret_and_differs_each_time(config: settings.Settings) -> None:
    first, second = vault.seal(config, PAYLOAD), vault.seal(config, PAYLOAD)
    assert "wJalrXUtnFEMI" not in first and first != second


@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_changed_text_never_opens(config: settings.Settings, data: st.DataObject) -> None:
    text = vault.seal(config, PAYLOAD)
    place = data.draw(st.integers(0, len(text) - 1))
    cut = data.draw(st.booleans())
    changed = text[:place] if cut else text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :]
    with pytest.raises((BadJobFile, SettingError)):
        vault.unseal(config, changed)


@pytest.mark.parametrize("text", ["", "v1", "v1..", "v1.../../x.AAAA", "v2.0000000000000000.AAAA", "v1.0123456789abcdef.%%%"])
def test_what_never_was_a_sealed_text_is_refused(config: settings.Settings, text: str) -> None:
    with pytest.raises((BadJobFile, SettingError)):
        vault.unseal(config, text)


def test_another_queue_cannot_open_it_and_says_what_to_do(config: settings.Settings, other: settings.Settings) -> None:
    text = vault.seal(config, PAYLOAD)
    vault.ensure_keys(other)
    with pytest.raises(SettingError) as caught:
        vault.unseal(other, text)
    said = explain(caught.value)
    assert str(other.key_pair_dir) in said and "backup" in said and "PORTAL_KEYS_DIR" in said


def test_a_job_sealed_before_a_rotation_still_opens(config: settings.Settings) -> None:
    before = vault.seal(config, PAYLOAD)
    vault.rotate_keys(config)
    after = vault.seal(config, PAYLOAD)
    assert before.split(".")[1] != after.split(".")[1]
    assert vault.unseal(config, before) == vault.unseal(config, after) == PAYLOAD


def test_sealing_needs_no_private_key(config: settings.Settings) -> None:
    vault.ensure_keys(config)
    secrets = list(config.key_pair_dir.glob("*.key"))
    kept = {path: path.read_bytes() for path in secrets}
    for path in secrets:
        path.unlink()
    text = vault.seal(config, PAYLOAD)
    for path, content in kept.items():
        path.write_bytes(content)
    assert vault.unseal(config, text) == PAYLOAD


def test_only_the_owner_reads_the_private_half(config: settings.Settings) -> None:
    vault.ensure_keys(config)
    modes = {path.suffix: stat.S_IMODE(path.stat().st_mode) for path in config.key_pair_dir.iterdir()}
    assert modes[".key"] == 0o600 and modes[".pub"] & 0o044 == modes[".current"] & 0o044 == 0o044
    assert stat.S_IMODE(config.key_pair_dir.stat().st_mode) == 0o700


def test_a_dozen_starters_at_once_agree_on_one_key(config: settings.Settings) -> None:
    with ThreadPoolExecutor(12) as pool:
        found = set(pool.map(lambda _: keypair.ensure(config.key_pair_dir, vault.QUEUE), range(12)))
    assert len(found) == 1
    names = sorted(path.suffix or path.name for path in config.key_pair_dir.iterdir())
    assert names == [".current", ".key", ".pub"], "nothing is left of the losers"


def test_processes_at_once_agree_on_one_key(home: Path) -> None:
    line = "from portal import settings, vault; print(vault.seal(settings.load(), {}).split('.')[1])"
    environment = {**os.environ, "PORTAL_HOME": str(home)}
    started = [subprocess.Popen([sys.executable, "-c", line], stdout=subprocess.PIPE, text=True, env=environment) for _ in range(3)]
    assert len({process.communicate()[0] for process in started}) == 1


def test_a_crash_between_the_halves_is_no_obstacle(config: settings.Settings) -> None:
    vault.ensure_keys(config)
    (config.key_pair_dir / "queue.current").unlink()
    assert vault.unseal(config, vault.seal(config, PAYLOAD)) == PAYLOAD


def test_a_damaged_key_is_named(config: settings.Settings) -> None:
    vault.ensure_keys(config)
    (config.key_pair_dir / "queue.current").write_text("not a key")
    with pytest.raises(SettingError, match=r"queue\.current holds no key"):
        vault.seal(config, PAYLOAD)


def test_a_folder_that_cannot_be_made_is_named(config: settings.Settings) -> None:
    config.key_pair_dir.write_text("a file where the folder should be")
    with pytest.raises(SettingError) as caught:
        vault.ensure_keys(config)
    assert "PORTAL_KEYS_DIR" in explain(caught.value)
