"""Texts of any encoding: told by their mark, by clear evidence or as asked for; never guessed where it is not clear."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portal.errors import ConversionFailed
from portal.tabular.text.decoding import cut, is_utf8
from tests.texts import read_all, text_of

TEXT = "name,city\nJosé,Zürich\nAna,Bern\n"
UTF16 = TEXT.encode("utf-16-le")


@pytest.mark.parametrize(
    ("content", "asked", "name", "evidence"),
    [
        (TEXT.encode(), "auto", "utf-8", "all bytes looked at are valid UTF-8"),
        (b"a,b\n1,2\n", "auto", "utf-8", "all bytes looked at are ASCII"),
        (TEXT.encode("utf-8-sig"), "auto", "utf-8", "byte order mark EF BB BF"),
        (TEXT.encode("utf-8-sig"), "utf-8", "utf-8", "byte order mark"),
        (TEXT.encode("utf-8-sig"), "utf-8-sig", "utf-8", "byte order mark"),
        (TEXT.encode("utf-16"), "auto", "utf-16-le", "byte order mark FF FE"),
        (b"\xfe\xff" + TEXT.encode("utf-16-be"), "auto", "utf-16-be", "byte order mark FE FF"),
        (TEXT.encode("utf-16"), "UTF-16", "utf-16-le", "byte order mark"),
        (TEXT.encode("utf-16-be"), "utf-16-be", "utf-16-be", "as asked for"),
        (TEXT.encode("utf-16-be"), "utf-16", "utf-16-be", "as asked for"),
        (UTF16, "utf-16", "utf-16-le", "as asked for"),
        ("漢字,b\n1,2\n".encode("utf-16-be"), "utf-16", "utf-16-be", "its order by what this one gives: 6 line ends"),
        ("漢字,b\n1,2\n".encode("utf-16-le"), "utf_16", "utf-16-le", "the other 0"),
        ("漢字,b\n1,2\n".encode("utf-32-be"), "utf-32", "utf-32-be", "its order by"),
        ("\ud7ff\u00dc\n".encode("utf-16-be"), "utf-16", "utf-16-be", "its order by"),
        (UTF16, "auto", "utf-16-le", "100% of the bytes that are the second of every two are zero"),
        (TEXT.encode("utf-16-be"), "auto", "utf-16-be", "the first of every two"),
        (TEXT.encode("utf-32"), "auto", "utf-32-le", "byte order mark"),
        (TEXT.encode("utf-32-be"), "auto", "utf-32-be", "100% of the bytes that are the first of every four"),
        (TEXT.encode("cp1252"), "cp1252", "cp1252", "as asked for"),
        (TEXT.encode("latin-1"), "latin-1", "latin-1", "as asked for"),
        (TEXT.encode("cp1252"), "auto", "cp1252", "(and in ISO 8859-1): 'José', 'Zürich'"),
        ("a\n“quoted” – 5 €, größer\n".encode("cp1252"), "auto", "cp1252", "in Windows-1252: "),
    ],
)
def test_encoding_and_its_evidence(content: bytes, asked: str, name: str, evidence: str) -> None:
    text = text_of(content, encoding=asked)
    assert text.facts["encoding"] == name
    assert evidence in text.facts["encoding_evidence"]
    assert text.facts["plain"] is (name == "utf-8")
    assert text.facts["bom"] is ("mark" in evidence)
    decoded = read_all(text).decode()
    assert decoded == content.decode("utf-8-sig" if name == "utf-8" else name).removeprefix("\ufeff")
    assert text.samples()[0].data.decode() == decoded


def test_windows_1252_is_told_with_what_a_person_should_check() -> None:
    [warning] = text_of(TEXT.encode("cp1252")).warnings
    assert warning == "The file is not UTF-8 (byte 13 is 0xe9) and was read as Windows-1252: do 'José', 'Zürich' look right?"
    assert text_of(TEXT).warnings == ()


RUSSIAN, POLISH, JAPANESE = "имя,город\nИван,Москва\n", "imię,miasto\nŁukasz,Łódź\nMałgorzata,Gdańsk\n", "名前,都市\n太郎,東京\n"


@pytest.mark.parametrize(
    ("content", "asked", "reason"),
    [
        (b"a,b\n" + b"x,y\n" * 1_000_000 + b"\xff,1\n", "auto", r"not utf-8: byte 4000004 \(0xff\)"),
        (b"a,b\n" + b"x,y\n" * 400_000 + b"\x81,1\n" + b"x,y\n" * 1_000_000, "utf-8", r"not utf-8: byte 1600004 \(0x81\)"),
        (b"\xef\xbb\xbfa\n\xff\n", "auto", r"byte 5 \(0xff\)"),
        (b"a\nx\xc3", "auto", "byte 3"),
        (RUSSIAN.encode("cp1251"), "auto", "not utf-8: byte 0"),
        (RUSSIAN.encode("koi8-r"), "auto", "not utf-8: byte 0"),
        (POLISH.encode("cp1250"), "auto", "not utf-8: byte 3"),
        ("imię\nMałgorzata\n".encode("cp1250"), "auto", "not utf-8: byte 3"),
        ("“q” ".encode() + b"x\xe9\n", "auto", "not utf-8: byte 9"),
        (JAPANESE.encode("shift-jis"), "auto", "not utf-8: byte 0"),
        (JAPANESE.encode("gbk"), "auto", "not utf-8: byte 0"),
        ("Zürich,é".encode() + b"\xe9\n" + "Zürich\n".encode() * 9, "auto", "not utf-8: byte 10"),
        (b"a\n\x81\n", "cp1252", r"not cp1252: byte 2 \(0x81\)"),
        (b"\xff\xfea\0\n\0x", "auto", "not utf-16-le: byte 6"),
        (b"\xff\xfea\0\n\0\0\xdcx\0", "auto", "not utf-16-le: byte 6"),
        ("漢字".encode("utf-16-be"), "utf-16", "do not tell in which order utf-16 has them"),
        ("㈀\n漢ਊ\n ".encode("utf-16-le"), "utf-16", "do not tell in which order"),
        (b"\xd8\x00\x00\xd8", "utf-16", "do not tell in which order"),
        (b"a\n1\n", "ebcdic-x", "Nobody knows the encoding 'ebcdic-x'"),
        (b"a\n1\n", "base64", "Nobody knows the encoding 'base64'"),
        (b"a\n1\n", "undefined", "Nobody knows the encoding 'undefined'"),
    ],
)
def test_bytes_that_are_no_such_text_are_named(content: bytes, asked: str, reason: str) -> None:
    with pytest.raises(ConversionFailed, match=reason) as caught:
        read_all(text_of(content, encoding=asked))
    assert caught.value.hint


def test_a_zero_byte_in_utf8_is_text() -> None:
    assert read_all(text_of(b"a,b\nx\0y,1\n")) == b"a,b\nx\0y,1\n"


ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32", "shift-jis", "gb18030", "utf-7"])


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=60), ENCODINGS, st.integers(4, 23))
def test_any_text_is_decoded_whatever_the_blocks(content: str, encoding: str, size: int) -> None:
    content = "a" + content.encode(encoding, "ignore").decode(encoding, "ignore").removeprefix("\ufeff")
    text = text_of(content.encode(encoding), encoding=encoding)
    blocks: list[bytes] = []
    with text.open() as stream:
        while block := stream.read(size):
            blocks.append(block)
            assert len(block) <= size
            block.decode()  # no character is cut
        assert stream.source_bytes == len(content.encode(encoding))
    assert b"".join(blocks).decode() == content


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=40) | st.text(max_size=20).map(str.encode), st.integers(1, 45))
def test_utf8_is_judged_and_cut_as_python_does(block: bytes, size: int) -> None:
    try:
        text = block.decode()
    except UnicodeDecodeError:
        assert not is_utf8(block)
        return
    assert is_utf8(block)
    start = block[: cut(block, size)].decode()
    assert text.startswith(start)
    assert len(start.encode()) > min(size, len(block)) - 4
