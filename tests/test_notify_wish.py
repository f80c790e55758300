"""Who wants to be told: the short form, the follow-ups it stands for, and the way back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal import submission
from portal.errors import BadParameters
from portal.jobs import Followup, Job, Status, When
from portal.notifying import wish
from portal.notifying.wish import EVENTS, Wish
from portal.settings import Settings

NAMES = st.from_regex(r"[a-z][a-z0-9_.-]{0,20}(:[a-z]{1,3})?", fullmatch=True)
EVENT_SETS = st.sets(st.sampled_from(list(EVENTS)), min_size=1)
OTHERS = st.lists(st.sampled_from([
    Followup("audit_export"), Followup("notify", {"connection": "ops", "job": "x"}), Followup("notify", {"connection": "alone"}, When.FAILED),
]))  # fmt: skip


@given(NAMES, EVENT_SETS)
def test_a_wish_is_read_as_it_is_written(name: str, events: set[str]) -> None:
    made = Wish.of(name, events)
    assert Wish.parse(str(made)) == made
    assert set(made.events) <= events


@given(st.dictionaries(NAMES, EVENT_SETS, max_size=3), OTHERS)
def test_wishes_are_found_again_among_the_follow_ups_of_a_job(wanted: dict[str, set[str]], others: list[Followup]) -> None:
    texts = [str(Wish.of(name, events)) for name, events in wanted.items()]
    found, left = wish.parted([*wish.followups(texts), *others])
    assert [str(item) for item in found] == texts
    assert left == others


@given(EVENT_SETS, st.sampled_from([status for status in Status if status.finished]))
def test_one_end_is_told_once(events: set[str], status: Status) -> None:
    fired = [item for item in Wish.of("ops", events).followups() if item.when.fires(status)]
    named = {When.FAILED: "failed", When.REJECTED: "failed"}.get(When(status.value), status.value)
    assert len(fired) == (1 if {named, "ended"} & events else 0)


@pytest.mark.parametrize(("text", "events"), [
    ("ops", ("failed", "partial")), ("ops:slower", ("slower",)), (" ops : succeeded , failed ", ("failed", "succeeded")),
    ("ops:ended,failed,slower", ("slower", "ended")),
])  # fmt: skip
def test_the_short_form(text: str, events: tuple[str, ...]) -> None:
    assert Wish.parse(text).events == events


@pytest.mark.parametrize("text", ["", ":failed", "ops:", "ops:,", "ops:exploded"])
def test_what_cannot_be_read_is_refused_with_the_events_there_are(text: str) -> None:
    with pytest.raises(BadParameters) as problem:
        Wish.parse(text)
    assert "failed, partial, succeeded, cancelled, slower, ended" in problem.value.hint


def test_wishes_of_one_connection_are_brought_together() -> None:
    assert wish.followups(["ops:failed", "ops:failed,slower"]) == Wish.of("ops", ["failed", "slower"]).followups()


def test_the_entries_of_a_trigger_are_renewed_by_connection() -> None:
    other = {"engine": "audit_export", "params": {}}
    before = [other, *wish.entries(["ops:failed", "boss:succeeded"])]
    assert wish.renewed(before, ["ops:slower"]) == [other, *wish.entries(["boss:succeeded"]), *wish.entries(["ops:slower"])]


CHANNEL = '[ops]\nkind = "webhook"\nurl = "https://example.com/hook"\n[lake]\nkind = "adls"\naccount = "mylake"\n'


def submitted(config: Settings, *texts: str, **more: Any) -> Job:
    config.connections_file.write_text(CHANNEL)
    return submission.new_job(config, "list", {"source": "s3://bucket/"}, by="ann", then=wish.entries(texts), **more)


def test_a_submitted_job_keeps_its_wishes_through_its_file(config: Settings) -> None:
    job = submitted(config, "ops:failed,slower")
    assert [item.when for item in job.then] == [When.FAILED, When.REJECTED, When.SLOWER]
    assert wish.parted(Job.from_json(job.to_json()).then) == ([Wish("ops", ("failed", "slower"))], [])
    assert json.loads(job.to_json())["then"][0]["max_attempts"] == 12


def test_what_starts_before_the_end_cannot_quote_it(config: Settings) -> None:
    quoting = {"engine": "list", "params": {"source": {"$result": "/outputs/0/url"}}, "when": "slower"}
    with pytest.raises(BadParameters, match="quotes a result that is not there yet"):
        submission.new_job(config, "list", {"source": "s3://bucket/"}, by="ann", then=[quoting])


@pytest.mark.parametrize(("text", "said"), [("nowhere", "no connection 'nowhere'"), ("lake", "leads to adls, not to people")])
def test_a_connection_that_leads_to_nobody_is_refused_before_anything_is_queued(config: Settings, text: str, said: str) -> None:
    with pytest.raises(BadParameters, match=said):
        submitted(config, text)


def test_those_who_can_be_told_are_listed(config: Settings) -> None:
    with pytest.raises(BadParameters) as caught:
        submitted(config, "nowhere")
    assert caught.value.hint == "Of kind webhook or smtp there are: ops. Add it to connections.toml."
    config.connections_file.write_text("")
    with pytest.raises(BadParameters) as caught:
        submission.new_job(config, "list", {"source": "s3://bucket/"}, by="ann", then=wish.entries(["nowhere"]))
    assert caught.value.hint == "Of kind webhook or smtp there are: none yet. Add it to connections.toml."
