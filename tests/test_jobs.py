"""The job as a value: both ways through JSON, the quotes of follow-ups, and the ids derived for them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as modest
from hypothesis import strategies as st
from ulid import ULID

from portal import clock, jobs, jobs_fields
from portal.errors import BadJobFile
from portal.jobs import Attempt, Followup, Job, Status, When, derived_id, id_ms, resolve_quotes
from tests.queues import a_job

scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=8)
moments = st.integers(0, 4_000_000_000_000).map(clock.iso)
names = st.text(max_size=6)
followups = st.recursive(
    st.builds(Followup, engine=names, params=st.dictionaries(names, values, max_size=2), when=st.sampled_from(When)),
    lambda inner: st.builds(Followup, engine=names, then=st.lists(inner, max_size=2).map(tuple), sealed=st.none() | names), max_leaves=3,
)  # fmt: skip
attempts = st.builds(
    Attempt, number=st.integers(1, 9), worker=names, host=names, started_at=moments, exit_code=st.none() | st.integers(-64, 255),
    outcome=st.none() | names, cpu_s=st.none() | st.floats(0, 1e6),
)  # fmt: skip
any_job = st.builds(
    Job, id=st.integers(0, 2**127 + 2**126 - 1).map(lambda number: str(ULID.from_int(number))), engine=names, submitted_at=moments,
    params=st.dictionaries(names, values, max_size=3), priority=st.integers(0, 9), not_before=st.none() | moments,
    timeout_s=st.none() | st.floats(0.001, 1e6), max_attempts=st.integers(1, 99), key=st.none() | names,
    then=st.lists(followups, max_size=2).map(tuple),
    labels=st.dictionaries(names, names, max_size=2), limits=st.lists(names, max_size=2).map(tuple), status=st.sampled_from(Status),
    attempts=st.lists(attempts, max_size=2).map(tuple), result=st.none() | st.dictionaries(names, values, max_size=2), error=st.none() | names,
)  # fmt: skip


@modest(max_examples=50, deadline=None)
@given(any_job)
def test_a_job_comes_back_from_its_file_as_it_was(job: Job) -> None:
    assert Job.from_json(job.to_json().encode()) == job


odd_values = st.sampled_from([
    None, True, 0, -1, 12, 1.5, float("nan"), "", "x", "nowhere", (), ("a", 1), ["a"], {}, {"a": 1}, {1: 2}, object(), "2026-11-21", "failed",
    (Followup("x", priority=99),), (Attempt(0, "w", "h", "never"),), {"deep": json.loads("[" * 70 + "]" * 70)}, 10**12,
])  # fmt: skip


@modest(max_examples=150, deadline=None)
@given(any_job, st.sampled_from(sorted(Job.__slots__)), odd_values)
def test_what_is_refused_before_it_is_written_is_what_could_not_be_read(job: Job, name: str, value: Any) -> None:
    odd = job.evolve(**{name: value})
    try:
        Job.from_json(odd.to_json())
        readable = True
    except (BadJobFile, ValueError, TypeError):
        readable = False
    try:
        text = odd.to_checked_json()
    except BadJobFile:
        assert not readable
    else:
        assert readable and text == odd.to_json()


@modest(max_examples=80, deadline=None)
@given(any_job, st.data())
def test_a_job_file_cut_or_changed_anywhere_is_read_or_refused_never_a_crash(job: Job, data: st.DataObject) -> None:
    text = job.to_json().encode()
    at = data.draw(st.integers(0, len(text) - 1))
    broken = data.draw(st.sampled_from([text[:at], text[:at] + data.draw(st.binary(max_size=3)) + text[at + 1 :]]))
    try:
        assert Job.from_json(broken).to_json()
    except BadJobFile as error:
        assert error.message


@modest(max_examples=80, deadline=None)
@given(st.dictionaries(st.sampled_from([*jobs_fields.TYPES]), values))
def test_fields_of_any_type_are_read_or_refused_with_a_reason(wrong: dict[str, Any]) -> None:
    try:
        job = Job.from_dict({**json.loads(a_job().to_json()), **wrong})
    except BadJobFile as error:
        assert error.message
    else:
        assert Job.from_json(job.to_json()) == job


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not JSON"), ("{", "not JSON"), ("[" * 100_000, "not JSON"), ('{"id": NaN}', "not JSON"), ("7", "a JSON object"), ("{}", "no 'id'"),
        ('{"params": ' + "[" * 70 + "]" * 70 + "}", "60 levels"), ('{"schema": 99}', "schema 99"), ('{"color": "red"}', "'color'"),
        ('{"priority": 12}', "0 (most urgent) to 9"), ('{"priority": true}', "must be int"), ('{"timeout_s": -1}', "above 0"),
        ('{"not_before": "tomorrow"}', "a moment like"), ('{"not_before": "9999-12-31T23:59:59-23:00"}', "a moment like"),
        ('{"limits": [1]}', "list of names"), ('{"then": [{}]}', "at least an 'engine'"), ('{"attempts": [{}]}', "not whole"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_job_file_is_said(text: str, said: str) -> None:
    with pytest.raises(BadJobFile, match=re.escape(said)):
        Job.from_json(text)


def test_secrets_are_taken_out_of_follow_ups_too() -> None:
    job = a_job(sealed="sealed-1", then=(Followup("act", sealed="sealed-2", then=(Followup("act", sealed="sealed-3"),)),))
    assert not [secret for secret in ("sealed-1", "sealed-2", "sealed-3") if secret in job.without_sealed().to_json()]


@modest(max_examples=100, deadline=None)
@given(st.integers(0, jobs.LATEST_MS * 95 // 100), st.integers(0, 2**80 - 1), st.integers(0, 50))
def test_a_derived_id_is_a_ulid_of_its_moment_and_always_the_same(moment: int, chance: int, index: int) -> None:
    parent = str(ULID.from_int(moment << 80 | chance))
    child = derived_id(parent, index, moment)
    assert jobs.ID_PATTERN.fullmatch(child)
    assert ULID.from_str(child).milliseconds == moment == id_ms(child) == id_ms(parent)
    assert child == derived_id(parent, index, moment)
    assert child < derived_id(parent, index + 1, moment), "claimed in the order of `then`"
    assert child != derived_id(str(ULID.from_int(moment << 80 | chance ^ 1)), index, moment)


def _pointers(value: Any, at: str = "") -> list[tuple[str, Any]]:
    """Every RFC 6901 pointer into a document, with what it names."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [(at, value)]
    for name, item in inside:
        found += _pointers(item, f"{at}/{str(name).replace('~', '~0').replace('/', '~1')}")
    return found


@modest(max_examples=100, deadline=None)
@given(values, st.data())
def test_a_quote_is_replaced_by_what_it_names_type_and_all(result: Any, data: st.DataObject) -> None:
    pointer, named = data.draw(st.sampled_from(_pointers(result)))
    assert resolve_quotes({"a": [{"$result": pointer}, "$result"], "b": 1}, result) == {"a": [named, "$result"], "b": 1}


@pytest.mark.parametrize("pointer", ["/nope", "/outputs/7", "/outputs/x", "outputs", 3, None, "/outputs/0/url/deeper"])
def test_a_quote_that_leads_nowhere_is_refused(pointer: Any) -> None:
    with pytest.raises(BadJobFile):
        resolve_quotes({"source": {"$result": pointer}}, {"outputs": [{"url": "s3://b/k"}]})


@pytest.mark.parametrize(("when", "fires"), [("succeeded", "s"), ("partial", "p"), ("failed", "f"), ("always", "spfcr")])
def test_follow_ups_start_after_the_end_they_name(when: str, fires: str) -> None:
    ends = {"s": Status.SUCCEEDED, "p": Status.PARTIAL, "f": Status.FAILED, "c": Status.CANCELLED, "r": Status.REJECTED}
    assert [letter for letter, status in ends.items() if When(when).fires(status)] == list(fires)
