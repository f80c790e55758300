"""The seal: whatever somebody does to a sealed archive shows, and names the record."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from nacl.signing import SigningKey
from pyarrow import parquet

from portal import audit_days, keypair, seal
from portal.errors import explain
from portal.seal import ChainBroken, Finding, Head, links
from portal.seal_keys import SEALING
from portal.settings import Settings
from tests.archives import finished_job, put

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
DAYS = (18, 19, 20)


@pytest.fixture
def sealed(config: Settings) -> Settings:
    """Two records on each of three days, sealed, and one of today."""
    for day in (*DAYS, *DAYS, 21):
        put(config.archive_dir, finished_job(f"2026-11-{day}T10:00:09.000Z"))
    seal.seal_closed_days(config, NOW)
    return config


def records(config: Settings, day: int) -> list[Path]:
    return sorted((config.archive_dir / f"2026/11/{day}").glob("*.json"))


def seal_file(config: Settings, day: int) -> Path:
    return config.archive_dir / f"2026/11/{day}.seal.json"


def found(config: Settings, exported: Head | None = None) -> list[tuple[str, str]]:
    return [(item.kind, item.day) for item in seal.verify(config, exported)]


def test_an_untouched_archive_has_no_findings(sealed: Settings) -> None:
    assert seal.verify(sealed) == []
    assert [item.sequence for item in seal.chain(sealed)] == [1, 2, 3]
    assert seal.head(sealed) == Head(3, "2026-11-20", seal.chain(sealed)[2].digest, seal.chain(sealed)[2].key)


def test_an_archive_without_a_seal_has_no_head_and_no_findings(config: Settings) -> None:
    put(config.archive_dir, finished_job())
    assert seal.head(config) is None and seal.verify(config) == []


def test_sealing_again_changes_nothing(sealed: Settings) -> None:
    before = {path: path.read_bytes() for path in sealed.archive_dir.rglob("*.seal.json")}
    assert seal.seal_closed_days(sealed, NOW) == []
    assert {path: path.read_bytes() for path in sealed.archive_dir.rglob("*.seal.json")} == before


def test_the_next_day_goes_on_with_the_chain(sealed: Settings) -> None:
    made = seal.seal_closed_days(sealed, datetime(2026, 11, 22, 12, tzinfo=UTC))
    assert [(item.sequence, item.day, item.previous) for item in made] == [(4, "2026-11-21", seal.chain(sealed)[2].digest)]
    assert seal.verify(sealed) == []


def test_a_forged_compaction_is_named_by_its_record(sealed: Settings) -> None:
    """Reports read it in the place of the records."""
    day = date(2026, 11, 19)
    audit_days.table(sealed.archive_dir, day)
    assert seal.verify(sealed) == []
    file = sealed.archive_dir / "2026/11/19.audit.parquet"
    forged = parquet.read_table(file)
    place = forged.schema.get_field_index("submitted_by")
    parquet.write_table(forged.set_column(place, forged.schema.field(place), [["eve", "ana"]]), file)
    assert "eve" in audit_days.table(sealed.archive_dir, day).column("submitted_by").to_pylist()
    assert [(item.kind, item.job_id) for item in seal.verify(sealed)] == [("changed", records(sealed, 19)[0].stem)]


def test_what_no_archive_holds_does_not_stop_the_verification(sealed: Settings) -> None:
    (sealed.archive_dir / "2026/13").mkdir()
    (sealed.archive_dir / "2026/13/01.seal.json").write_text("{}")
    path = records(sealed, 19)[0]
    path.unlink()
    path.mkdir()
    assert found(sealed) == [("removed", "2026-11-19")]


def test_a_changed_record_is_named(sealed: Settings) -> None:
    path = records(sealed, 19)[0]
    path.write_text(path.read_text().replace('"ana"', '"eve"'))
    text = f"The record of job {path.stem} was changed after 2026-11-19 was sealed."
    assert seal.verify(sealed) == [Finding("changed", "2026-11-19", text, path.stem)]


def test_a_removed_record_is_named(sealed: Settings) -> None:
    path = records(sealed, 18)[1]
    path.unlink()
    assert [(item.kind, item.job_id) for item in seal.verify(sealed)] == [("removed", path.stem)]


def test_a_record_slipped_in_is_named(sealed: Settings) -> None:
    path = put(sealed.archive_dir, finished_job("2026-11-19T11:00:00.000Z"))
    assert [(item.kind, item.job_id) for item in seal.verify(sealed)] == [("added", path.stem)]


def test_a_record_slipped_into_a_day_that_had_none_is_named(sealed: Settings) -> None:
    path = put(sealed.archive_dir, finished_job("2026-11-02T11:00:00.000Z"))
    assert [(item.kind, item.job_id) for item in seal.verify(sealed)] == [("added", path.stem)]


@hypothesis_settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_changed_byte_of_a_record_or_a_seal_shows(sealed: Settings, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted([*records(sealed, 18), *records(sealed, 20), *(seal_file(sealed, day) for day in DAYS)])))
    content = path.read_bytes()
    place, value = data.draw(st.integers(0, len(content) - 1)), data.draw(st.integers(33, 126))
    changed = content[:place] + bytes([value]) + content[place + 1 :]
    same = changed == content or (path.name.endswith("seal.json") and _parsed(changed) == _parsed(content))
    path.write_bytes(changed)
    try:
        assert (seal.verify(sealed) == []) == same
    finally:
        path.write_bytes(content)


def _parsed(content: bytes) -> object:
    try:
        return json.loads(content)
    except ValueError:
        return None


@pytest.mark.parametrize(("day", "kinds"), [(18, {"added", "chain"}), (19, {"added", "chain"}), (20, {"head"})])
def test_a_removed_seal_shows(sealed: Settings, day: int, kinds: set[str]) -> None:
    seal_file(sealed, day).unlink()
    assert {kind for kind, _ in found(sealed)} == kinds


def test_a_removed_day_shows(sealed: Settings) -> None:
    shutil.rmtree(sealed.archive_dir / "2026/11/19")
    assert {item.kind for item in seal.verify(sealed)} == {"removed"}
    seal_file(sealed, 19).unlink()
    assert "chain" in {item.kind for item in seal.verify(sealed)}


def test_a_seal_made_to_fit_the_change_is_not_signed(sealed: Settings) -> None:
    """Somebody changes the last day's record and its seal too, with a key of his own."""
    path, last = records(sealed, 20)[0], seal.chain(sealed)[2]
    path.write_text(path.read_text().replace('"ana"', '"eve"'))
    digests = seal.digests(sealed.archive_dir, datetime(2026, 11, 20).date())
    forged = replace(last, records=digests)
    forged = replace(forged, digest=forged.computed())
    key = SigningKey.generate()
    forged = replace(forged, signature=key.sign(links.CONTEXT + forged.digest.encode()).signature.hex())
    seal_file(sealed, 20).write_text(json.dumps(asdict(forged)))
    assert ("signature", "2026-11-20") in found(sealed)


def test_who_has_the_key_is_still_caught_by_an_exported_head(sealed: Settings) -> None:
    """The whole chain is made again with the real key over a changed record: only what left the machine tells."""
    exported = seal.head(sealed)
    path = records(sealed, 19)[0]
    path.write_text(path.read_text().replace('"ana"', '"eve"'))
    for day in DAYS:
        seal_file(sealed, day).unlink()
    links.head_file(sealed).unlink()
    seal.seal_closed_days(sealed, NOW)
    assert seal.verify(sealed) == []
    assert [kind for kind, _ in found(sealed, exported)] == ["head"]


def test_an_exported_head_of_long_ago_still_fits(sealed: Settings) -> None:
    exported = seal.head(sealed)
    seal.seal_closed_days(sealed, datetime(2026, 11, 22, 12, tzinfo=UTC))
    assert found(sealed, exported) == []


def test_nothing_is_sealed_over_a_chain_that_was_cut(sealed: Settings) -> None:
    """Else a removed seal and a changed record would be sealed afresh the next night."""
    seal_file(sealed, 20).unlink()
    with pytest.raises(ChainBroken) as caught:
        seal.seal_closed_days(sealed, NOW)
    assert "2026-11-20" in explain(caught.value) and "audit verify" in explain(caught.value)


def test_nothing_is_sealed_behind_a_forged_seal(sealed: Settings) -> None:
    forged = replace(seal.chain(sealed)[2], sequence=9)
    seal_file(sealed, 20).write_text(json.dumps(asdict(replace(forged, digest=forged.computed()))))
    with pytest.raises(ChainBroken, match="not signed"):
        seal.seal_closed_days(sealed, datetime(2026, 11, 22, 12, tzinfo=UTC))


def test_a_day_is_left_open_until_its_grace_is_over(config: Settings) -> None:
    put(config.archive_dir, finished_job("2026-11-20T23:59:59.999Z"))
    assert seal.seal_closed_days(config, datetime(2026, 11, 21, 0, 5, tzinfo=UTC)) == []
    assert len(seal.seal_closed_days(config, datetime(2026, 11, 21, 0, 11, tzinfo=UTC))) == 1


def test_a_day_waits_for_the_job_that_is_still_being_finished(config: Settings) -> None:
    put(config.archive_dir, finished_job("2026-11-19T10:00:00.000Z"))
    put(config.archive_dir, finished_job("2026-11-20T10:00:00.000Z"))
    late = finished_job("2026-11-20T23:59:59.000Z")
    (config.queue_dir / "running").mkdir()
    running = config.queue_dir / "running" / f"{late.id}.json"
    running.write_text(late.to_json())
    assert [item.day for item in seal.seal_closed_days(config, NOW)] == ["2026-11-19"]
    put(config.archive_dir, late)
    running.unlink()
    assert [(item.day, len(item.records)) for item in seal.seal_closed_days(config, NOW)] == [("2026-11-20", 2)]
    assert seal.verify(config) == []


def test_verifying_needs_no_private_key(sealed: Settings) -> None:
    for path in sealed.key_pair_dir.glob("*.key"):
        path.unlink()
    assert seal.verify(sealed) == []


def test_the_chain_goes_on_after_a_change_of_the_key(sealed: Settings) -> None:
    keypair.rotate(sealed.key_pair_dir, SEALING)
    seal.seal_closed_days(sealed, datetime(2026, 11, 22, 12, tzinfo=UTC))
    assert len({item.key for item in seal.chain(sealed)}) == 2 and seal.verify(sealed) == []


def test_a_lost_signing_key_says_what_to_do(sealed: Settings) -> None:
    for path in sealed.key_pair_dir.glob("seal-*.key"):
        path.unlink()
    with pytest.raises(keypair.SettingError) as caught:
        seal.seal_closed_days(sealed, datetime(2026, 11, 22, 12, tzinfo=UTC))
    assert "backup" in explain(caught.value)
