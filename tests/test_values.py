"""The small values everything else is made of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal import catalog, clock
from portal.errors import AccessDenied, BadParameters, PortalError, Unreachable, explain, visible
from portal.progress import Progress
from portal.stores.url import StoreURL

_PLACE = st.from_regex(r"[a-z0-9][a-z0-9.-]{1,20}", fullmatch=True)


@given(st.integers(0, 4102444800000))
def test_a_moment_survives_being_written(moment: int) -> None:
    assert clock.parse_ms(clock.iso(moment)) == moment


@given(st.lists(st.integers(0, 4102444800000), min_size=2))
def test_moments_sort_as_text(moments: list[int]) -> None:
    assert sorted(map(clock.iso, moments)) == [clock.iso(moment) for moment in sorted(moments)]


def test_a_moment_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        clock.parse_ms("2026-01-01T00:00:00")


@given(_PLACE, st.text())
def test_an_s3_url_survives_being_written(bucket: str, key: str) -> None:
    """Keys are literal: percent signs, spaces, '?' and '#' are part of them."""
    assert StoreURL.parse(f"s3://{bucket}/{key}") == StoreURL("s3", bucket, "", key)
    assert StoreURL.parse(str(StoreURL("s3", bucket, "", key))).key == key


@given(_PLACE, _PLACE, st.text())
def test_an_adls_url_survives_being_written(container: str, account: str, key: str) -> None:
    url = StoreURL("abfss", container, account, key)
    assert StoreURL.parse(str(url)) == url


@given(st.text(min_size=1))
def test_a_file_url_survives_being_written(path: str) -> None:
    url = StoreURL("file", "", "", path)
    assert StoreURL.parse(str(url)) == url


@pytest.mark.parametrize(
    "text", ["", "bucket/key", "http://x/y", "s3://", "s3:///key", "abfss://container/key", "abfss://@account/", "file://host/x", "s3://a@b/c"]
)
def test_a_wrong_url_says_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match=r"://|three slashes"):
        StoreURL.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "abfss://lake@account/z/?sv=2024-11-04&sig=AbC%2F", "https://account.blob.core.windows.net/lake/z?sp=r&SIG=AbC%2F", "s3://b/k?X-Amz-Signature=AbC",
        "https%3A%2F%2Fb%2Fk%3FX-Amz-Security-Token%3DAbC", "file:///f?sig=AbC", "http://a:AbC_dEf@host/",
    ],
)
def test_a_url_with_a_secret_in_it_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ValueError, match=r"AZURE_STORAGE_SAS_TOKEN|://") as caught:
        StoreURL.parse(text)
    assert "AbC" not in str(caught.value)
    with pytest.raises(BadParameters) as refused:
        catalog.validate("list", {"source": text})
    assert "AbC" not in explain(refused.value)


def test_progress_tells_fraction_and_time_to_go() -> None:
    seen = Progress(done=25, total=100, rate=5)
    assert (seen.fraction, seen.eta_s) == (0.25, 15)
    assert (Progress(done=1).fraction, Progress(done=1, total=2).eta_s) == (None, None)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"done": 1, "new": 2}', "null"])
def test_a_torn_progress_file_is_no_error(text: str) -> None:
    Progress.from_json(text)


def test_an_error_tells_what_why_and_what_to_do() -> None:
    try:
        try:
            raise ConnectionResetError("reset by peer")
        except ConnectionResetError as error:
            raise Unreachable("S3 at http://x did not answer.") from error
    except Unreachable as error:
        outer = AccessDenied("The list failed.", hint="Try again.")
        outer.__cause__ = error
    assert explain(outer).splitlines() == [
        "The list failed.", "  because: S3 at http://x did not answer.", "  because: ConnectionResetError: reset by peer", "  what to do: Try again.",
    ]  # fmt: skip


def test_an_error_without_words_uses_its_docstring() -> None:
    assert str(PortalError()) == "The portal could not do what it was asked."


@given(st.text())
def test_what_is_shown_of_an_error_drives_no_terminal(name: str) -> None:
    shown = explain(PortalError(f"It is {name}.", hint=name))
    assert all(c in "\n\t" or not ("\x00" <= c < " " or "\x7f" <= c < "\xa0") for c in shown)
    assert visible(name).isprintable() and (visible(name) == name) is name.isprintable()
