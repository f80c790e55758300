"""Notifications in the launcher: chosen in the form of a job, told before it is submitted, kept when it is run again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from portal import submission
from portal.jobs import Job, When
from portal.notifying import wish
from portal.settings import Settings
from portal.spool import Spool
from portal.ui import review
from tests.test_ui_pages import opened, words

CHANNELS = '[ops-slack]\nkind = "webhook"\nformat = "slack"\nurl = "https://hooks.example.com/services/a-part-nobody-sees"\n' \
    '[team]\nkind = "smtp"\nhost = "mail.example.com"\nfrom = "p@example.com"\nto = "a@example.com"\n'  # fmt: skip


@pytest.fixture
def channels(home: Path) -> Path:
    (home / "connections.toml").write_text(CHANNELS)
    return home


def with_wishes(config: Settings) -> Job:
    then = [*wish.followups(["ops-slack:failed,slower"]), {"engine": "audit_export"}]
    return submission.new_job(config, "list", {"source": "s3://sales/"}, by="ann", then=then, name="nightly")


def pills(app: AppTest, name: str) -> list[str]:
    return list(next(group for group in app.button_group if group.label.replace("\\", "").startswith(name)).value)


def test_the_form_says_what_it_takes_to_tell_anybody(home: Path) -> None:
    assert "connection of kind `webhook` or `smtp`" in words(opened("new"))


def test_who_is_chosen_is_told_of_failures_unless_somebody_says_otherwise(channels: Path) -> None:
    app = opened("new")
    [tell] = [box for box in app.multiselect if box.label == "Tell"]
    assert tell.options == ["ops-slack", "team"] and tell.value == []
    app = tell.select("team").run()
    assert not app.exception and pills(app, "team") == ["failed", "partial"]


def test_a_job_that_is_run_again_begins_with_the_same_wishes(channels: Path, config: Settings) -> None:
    job = Spool(config).submit(with_wishes(config))
    app = opened("new", **{"from": job.id})
    assert [box.value for box in app.multiselect if box.label == "Tell"] == [["ops-slack"]]
    assert pills(app, "ops-slack") == ["failed", "slower"]
    assert "Then, as before: audit\\_export" in [box.label for box in app.checkbox]


def test_the_review_tells_people_from_jobs(channels: Path, config: Settings) -> None:
    job = with_wishes(config)
    lines = "\n".join(review.summary(job, {})).replace("\\", "")
    assert "Tells **ops-slack** when it failed or was rejected, or it still runs though it usually would have ended" in lines
    assert "When it has succeeded: **audit_export**" in lines and "**notify**" not in lines
    assert review.command(job).endswith("--notify ops-slack:failed,slower")
    order = json.loads(review.as_json(job))
    assert (order["notify"], order["then"]) == (["ops-slack:failed,slower"], [{"engine": "audit_export", "params": {}}])


def test_the_connections_page_shows_channels_without_their_address(channels: Path) -> None:
    text = words(opened("connections"))
    assert "https://hooks.example.com (slack)" in text and "a@example.com by mail.example.com:587" in text and "nobody-sees" not in text


def test_every_way_to_start_a_follow_up_has_words() -> None:
    assert set(review._WHEN) == set(When)
