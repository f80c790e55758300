"""Forms made from field specifications alone: every kind of field, what is left empty, what begins filled in."""

from __future__ import annotations

import shlex
from datetime import date
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from portal import catalog
from portal.catalog import EngineSpec
from portal.errors import BadParameters
from portal.jobs import Followup, Job
from portal.params import EngineParams, param
from portal.stores.url import StoreURL
from portal.ui import forms, review
from portal.ui.wording import APART


class Params(EngineParams):
    """One field of every kind."""

    source: StoreURL = param(help="Where from", group="Source")
    source_connection: str = param("", help="Through what", group="Source")
    keys: tuple[str, ...] = param((), help="Which", group="Source")
    formats: tuple[Literal["csv", "json"], ...] = param(("csv",), help="Which formats", group="Source")
    note: str = param("", help="Words", multiline=True)
    count: int = param(3, help="How many", ge=1, le=9, unit="objects")
    share: float | None = param(None, help="How much")
    mode: Literal["fast", "safe"] = param("safe", help="How")
    day: date | None = param(None, help="When")
    extra: dict[str, int] = param({}, help="More", advanced=True)
    dry: bool = param(False, help="Only look", advanced=True)


SPEC: EngineSpec = catalog.describe("toy", Params.__doc__ or "", Params)
GIVEN = {
    "source": "s3://b/in/", "source_connection": "lake", "keys": ["a", "b c"], "formats": ["json"], "note": "one\ntwo", "count": 5, "share": 0.5,
    "mode": "fast", "day": "2026-11-21", "extra": {"x": 1}, "dry": True,
}  # fmt: skip


def page(values):
    """What the test app shows; it runs as a script of its own."""
    import streamlit as st

    from portal.ui import forms
    from tests.test_ui_forms import SPEC

    def connect(item, label, value, key):
        return str(st.selectbox(label, ["", "lake"], index=1 if value else 0, key=key))

    given = forms.Form(values, "toy", connect).show(SPEC.fields)
    st.session_state["params"] = forms.parameters(SPEC.fields, given)


def shown(values: dict[str, Any]) -> AppTest:
    app = AppTest.from_function(page, kwargs={"values": values}, default_timeout=30).run()
    assert not app.exception
    return app


def test_an_untouched_form_gives_nothing_so_that_defaults_stay_defaults() -> None:
    assert shown({}).session_state["params"] == {}


def test_a_form_gives_back_what_it_was_filled_in_with() -> None:
    params = shown(GIVEN).session_state["params"]
    assert params == GIVEN
    assert catalog.read_params(Params, params) == Params.model_validate(GIVEN)


def test_every_field_has_its_label_and_its_help() -> None:
    app = shown({})
    widgets = [*app.text_input, *app.text_area, *app.number_input, *app.selectbox, *app.multiselect, *app.toggle, *app.date_input]
    labels = {widget.label.partition(" [")[0].removesuffix(" *") for widget in widgets}
    assert labels == {item.title for item in SPEC.fields}
    assert any(widget.label == "Count [objects]" for widget in app.number_input) and any(widget.label == "Source *" for widget in app.text_input)


def test_what_is_typed_becomes_parameters() -> None:
    app = shown({})
    app.text_input(key="toy.source").set_value("s3://b/x/")
    app.number_input(key="toy.count").set_value(7)
    app.selectbox(key="toy.mode").set_value("fast")
    app.toggle(key="toy.dry").set_value(True)
    app.run()
    assert app.session_state["params"] == {"source": "s3://b/x/", "count": 7, "mode": "fast", "dry": True}


def test_numbers_stay_within_the_limits_of_the_engine() -> None:
    count = shown({}).number_input(key="toy.count")
    assert (count.min, count.max, count.value) == (1, 9, 3)


def test_json_that_is_none_is_named() -> None:
    with pytest.raises(BadParameters, match="Extra is not JSON"):
        forms.parameters(SPEC.fields, {"extra": "{x"})


@hypothesis_settings(max_examples=60, deadline=None)
@given(st.fixed_dictionaries({}, optional={
    "keys": st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=4),
    "note": st.text(min_size=1, max_size=20).filter(str.strip),
    "count": st.integers(1, 9), "share": st.floats(-1e9, 1e9), "dry": st.booleans(),
    "formats": st.lists(st.sampled_from(["csv", "json"]), unique=True),
}))  # fmt: skip
def test_parameters_mean_the_same_with_and_without_their_defaults(given_values: dict[str, Any]) -> None:
    values = {"source": "s3://b/", **given_values}
    assert catalog.read_params(Params, forms.parameters(SPEC.fields, values)) == Params.model_validate(values)


@pytest.mark.parametrize("name", catalog.names())
def test_every_engine_there_is_has_a_form(name: str) -> None:
    spec = catalog.engine(name)
    assert forms.parameters(spec.fields, {item.name: item.default for item in spec.fields}) == {}


JOB = Job(
    "01M7YZ6HXDWKZ0NY9XTY10402E", "migrate", {"source": "s3://b/in/", "keys": ["in/a.csv", "in/it's.csv"],
    "target": "abfss://c@a/x/", "overwrite": "skip"},
    "2026-11-21T10:00:00Z", labels={"name": "two files"}, then=(Followup("audit_export"),),
)  # fmt: skip


def test_the_summary_names_what_from_where_to_and_what_follows() -> None:
    text = "\n".join(review.summary(JOB, {})).replace("\\", "").replace(APART, "")
    for part in ("2 chosen objects", "s3://b/in/", "abfss://c@a/x/", "Overwrite: **skip**", "audit_export"):
        assert part in text


def test_the_command_is_safe_to_paste_and_says_the_same() -> None:
    words = shlex.split(review.command(JOB))
    assert words[:5] == ["python", "-m", "portal", "submit", "migrate"]
    place = words.index("--keys")
    assert words[place + 1 : place + 3] == ["in/a.csv", "in/it's.csv"]
    assert words[words.index("--name") + 1] == "two files" and '"engine": "audit_export"' in words[words.index("--then") + 1]


def test_a_long_basket_goes_into_a_file() -> None:
    many = JOB.evolve(params={**JOB.params, "keys": [f"k{number}" for number in range(2000)]})
    assert "--file job.json" in review.command(many) and len(review.command(many)) < 200
    assert '"k1999"' in review.as_json(many)
