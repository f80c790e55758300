"""Redaction: a secret never survives in any form it is printed in, and ordinary text is left as it is."""

from __future__ import annotations

import base64
import html
import json
import re
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from portal.redact import MASK, Redactor, harmless

SECRET = st.text(st.characters(exclude_characters="•", exclude_categories=("Cc", "Zs", "Zl", "Zp", "Cs")), min_size=8, max_size=40)
AROUND = st.text(st.characters(exclude_characters="•"), max_size=20)
PRINTED = {
    "plain": str, "url": lambda text: quote(text, safe=""), "path": quote, "form": quote_plus, "query": lambda text: urlencode({"x": text})[2:],
    "lower": lambda text: re.sub("%..", lambda found: found[0].lower(), quote(text, safe="")), "json": lambda text: json.dumps(text)[1:-1],
    "unicode json": lambda text: json.dumps(text, ensure_ascii=False)[1:-1], "python": lambda text: repr(text)[1:-1],
    "bytes": lambda text: repr(text.encode())[2:-1], "xml": html.escape, "base64": lambda text: base64.b64encode(text.encode()).decode(),
}  # fmt: skip


@pytest.mark.parametrize("form", PRINTED)
@hypothesis_settings(max_examples=60, deadline=None)
@given(secret=SECRET, before=AROUND, after=AROUND)
@example(secret="Eby8vdM02xNOcqFlqUwJPLl/+tq/K1SZFPT==", before="key=", after="&x=1")
def test_a_secret_does_not_survive(form: str, secret: str, before: str, after: str) -> None:
    printed = PRINTED[form](secret)
    shown = Redactor([secret])(before + printed + after)
    assert printed not in shown and MASK in shown


@hypothesis_settings(max_examples=100, deadline=None)
@given(secrets=st.lists(SECRET, min_size=1, max_size=4), around=AROUND)
def test_of_secrets_inside_secrets_none_survives(secrets: list[str], around: str) -> None:
    nested = [*secrets, secrets[0] + secrets[-1]]
    shown = Redactor(nested)(around.join(nested))
    assert not [secret for secret in nested if secret in shown]


WORDS = st.lists(st.sampled_from([
    "copied", "3", "objects", "from", "s3://bucket/key=1/x.csv", "the",
    "token", "was", "wrong.", "https://h:80/a@b", "abfss://c@a/k:1", "key", "sig", "eyJ",
]))  # fmt: skip


@given(words=WORDS, secret=st.text("XYZ", min_size=8))
def test_ordinary_text_is_left_as_it_is(words: list[str], secret: str) -> None:
    text = " ".join(words)
    assert Redactor([secret])(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "GET https://a.blob.core.windows.net/c/b?sv=2026&sig=AbC%2FdEf%3D&se=2026", "AccountName=a;AccountKey=AbC/dEf=;EndpointSuffix=core",
        '{"password": "AbC/dEf="}', "{'client_secret': 'AbC/dEf='}",
        "Authorization: Bearer AbC/dEf=", "'Authorization': 'Snowflake Token=\"AbC/dEf=\"'",
        "x-amz-security-token: AbC/dEf=", "https://b.s3.amazonaws.com/k?X-Amz-Signature=AbC/dEf=", "SNOWFLAKE_PASSWORD=AbC/dEf=",
        "proxy http://user:AbC%2FdEf@proxy:3128/ failed", "https://:AbC_dEf@host",
        "AWS4-HMAC-SHA256 Credential=AK/2026, SignedHeaders=host, Signature=AbC/dEf=",
        "X-Amz-Signature%3DAbC/dEf%3D", "https%253A%252F%252Fb%252Fk%253Fa%253D1%2526sig%253DAbC_dEf", "sv%3D1%26sig%3DAbC_dEf", "&amp;sig=AbC_dEf",
        "{'X-Amz-Security-Token': ['AbC/dEf=']}", "sig=AbC_dEf", "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJBQkMifQ.AbC_dEf-",
    ],
)
def test_what_looks_like_a_secret_is_masked_even_when_nobody_knows_it(text: str) -> None:
    shown = Redactor()(text)
    assert not [form for form in ("AbC/dEf", "AbC%2FdEf", "AbC_dEf") if form in shown] and MASK in shown


def test_a_sas_is_masked_with_and_without_its_question_mark() -> None:
    token = "?sv=2026-01-01&sp=rl&sig=Zm9vYmFy%3D"
    for shown in (token, token[1:], f"https://a.blob/c{token}"):
        assert "Zm9vYmFy" not in Redactor([token])(shown)


def test_a_secret_of_several_lines_is_masked_line_by_line() -> None:
    """A log is written line by line."""
    assert Redactor(["first line of it\nsecond line of it\n"])("  second line of it") == f"  {MASK}"


def test_what_is_too_short_to_protect_anything_does_not_blank_words() -> None:
    assert Redactor(["a", "key", ""])("a key to a door") == "a key to a door"


@given(
    st.sampled_from([
        "?sig", "&sig", "x-amz-signature", "x-amz-security-token", "x-amz-credential", "accountkey", "sharedaccesssignature", "password", "passwd",
        "secretaccesskey", "secret_access_key", "secret_accesskey", "sessiontoken", "session_token", "client_secret", "account_key", "sas_token",
        "passphrase", "signature", "authorization",
    ]),
    st.sampled_from(["=", ":", " = ", '": "', "':'"]), st.booleans(), st.from_regex(r"[A-Za-z0-9+/]{8,30}", fullmatch=True),
)  # fmt: skip
def test_every_name_of_a_secret_is_found_in_the_midst_of_plain_lines(name: str, sign: str, upper: bool, value: str) -> None:
    """The quick look for plain words before the patterns must not pass over one of them."""
    said = Redactor()(f"copied 5 objects\nwith {name.upper() if upper else name}{sign}{value}\nand went on\n")
    assert value not in said.splitlines()[1] and said.startswith("copied 5 objects\n") and said.endswith("\nand went on\n")


@pytest.mark.parametrize(
    "words",
    [
        "See https://h/k?sig=x", "See https%3A%2F%2Fh%2Fk", "See https%253A%252F%252Fh", r"See https:\/\/h/k", r"See https:\u002f\u002fh",
        "See https&#58;//h", "0123456789abcdef" * 4,
        "The string was sv=1&sig=abc", "sv%3D1%26sig%3Dabc", "Signature=abc", "x-amz-security-token:abc", '"Authorization": "Bearer abc"',
    ],
)
def test_words_that_quote_a_request_are_left_out(words: str) -> None:
    assert harmless(words) == ""


@pytest.mark.parametrize("words", ["The request signature we calculated does not match the signature you provided.", "50% of 2 sig. digits: a&b"])
def test_other_words_stay_up_to_the_end_of_their_line(words: str) -> None:
    assert harmless(f" {words}\nRequestId: 1 sig=abc") == words
