"""Pages of List Blobs and List Paths: what is found by its tags is what a parser finds, whatever names and metadata hold."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from portal.errors import Unreachable
from portal.wire import azure_listing
from portal.wire.azure_listing import blobs_listed, paths_listed
from portal.wire.ends import Listed

DATE = "Sat, 21 Nov 2026 11:26:00 GMT"
XML_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=20)
NASTY = st.sampled_from(
    ["</Name>", "<Blob>", "</Properties>", "a&b", "&amp;", "&#10;", "]]>", "<Etag>", "<source_etag>x<", '"q"', "\ufeff", "<!-- -->"],
)  # fmt: skip
TAGS = ["Name", "Blob", "Blobs", "Etag", "Properties", "AccessTier", "ResourceType", "hdi_isfolder", "source_etag", "NextMarker", "x"]
BLOBS = st.lists(
    st.fixed_dictionaries({
        "name": st.one_of(XML_TEXT.filter(bool), NASTY),
        "encoded": st.just(False),
        "size": st.integers(0, 1 << 45),
        "tier": st.sampled_from(["", "Hot", "Archive"]),
        "directory": st.booleans(),
        "md5": st.one_of(st.just(b""), st.binary(min_size=16, max_size=16)),
        "metadata": st.dictionaries(st.sampled_from(TAGS), st.one_of(XML_TEXT, NASTY, st.just("true")), max_size=4),
    }),
    max_size=5,
)  # fmt: skip


def element(tag: str, value: str, attributes: str = "") -> str:
    return f"<{tag}{attributes}>{escape(value)}</{tag}>" if value else f"<{tag} />"


def blob_xml(blob: dict[str, Any]) -> str:
    named = element("Name", quote(blob["name"], safe=""), ' Encoded="true"') if blob["encoded"] else element("Name", blob["name"])
    metadata = "".join(element(tag, value) for tag, value in blob["metadata"].items())
    tier, md5 = blob["tier"], b64encode(blob["md5"]).decode()
    return (
        f"<Blob>{named}<Properties><Last-Modified>{DATE}</Last-Modified><Etag>0x1D</Etag>"
        f"{element('ResourceType', 'directory' if blob['directory'] else 'file')}<Content-Length>{blob['size']}</Content-Length>"
        f"{element('Content-MD5', md5)}{element('AccessTier', tier) if tier else ''}</Properties>"
        f"{f'<Metadata>{metadata}</Metadata>' if metadata else '<Metadata />'}<OrMetadata /></Blob>"
    )


def document(blobs: list[dict[str, Any]], marker: str = "") -> bytes:
    inner = "".join(blob_xml(blob) for blob in blobs)
    start = '\ufeff<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint="https://a/" ContainerName="c"><Prefix>p</Prefix>'
    return f"{start}<Blobs>{inner}</Blobs>{element('NextMarker', marker)}</EnumerationResults>".encode()


def expected(blobs: list[dict[str, Any]], marker: str) -> Listed:
    metadata = [blob["metadata"] for blob in blobs]
    return Listed(
        [blob["name"] for blob in blobs], [blob["size"] for blob in blobs], ["0x1D"] * len(blobs), ["2026-11-21T11:26:00Z"] * len(blobs),
        [blob["tier"] for blob in blobs],
        [blob["directory"] or held.get("hdi_isfolder") == "true" for blob, held in zip(blobs, metadata, strict=True)],
        [held.get("source_etag", "").strip('"') for held in metadata],
        [blob["md5"].hex() for blob in blobs],
        marker or None,
    )  # fmt: skip


ODD: dict[str, Any] = {"name": "n", "encoded": False, "size": 1, "tier": "", "directory": False, "md5": b"", "metadata": {"AccessTier": "Cool"}}


@given(blobs=BLOBS, marker=XML_TEXT, encoded=st.sets(st.integers(0, 4), max_size=2))
@example(blobs=[ODD], marker="", encoded=set())
def test_a_page_of_blobs_is_read_right(blobs: list[dict[str, Any]], marker: str, encoded: set[int]) -> None:
    page = document([{**blob, "encoded": n in encoded} for n, blob in enumerate(blobs)], marker)
    assert blobs_listed(page) == azure_listing._parsed(page) == expected(blobs, marker)


def test_a_usual_page_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(azure_listing, "_parsed", lambda _: pytest.fail("parsed"))
    blobs: list[dict[str, Any]] = [
        {"name": f"a & b/{n}", "encoded": False, "size": n, "tier": "Hot", "directory": False, "md5": b"1" * 16, "metadata": {"source_etag": "e"}}
        for n in range(3)
    ]
    assert blobs_listed(document(blobs, "m<1>")) == expected(blobs, "m<1>")
    assert blobs_listed(document([])) == expected([], "")


@pytest.mark.parametrize(
    "page",
    [
        b'<EnumerationResults><Blobs /><NextMarker /></EnumerationResults>',
        b'<EnumerationResults>\r\n  <Blobs>\r\n  </Blobs>\r\n  <NextMarker></NextMarker>\r\n</EnumerationResults>\r\n',
    ],
)  # fmt: skip
def test_an_empty_page_has_nothing(page: bytes) -> None:
    assert blobs_listed(page) == expected([], "")


def test_line_breaks_comments_and_cdata_are_understood() -> None:
    blob = document([{"name": "n", "encoded": False, "size": 1, "tier": "", "directory": False, "md5": b"", "metadata": {}}]).decode()
    for odd, name in (("<Name><![CDATA[a<b]]></Name>", "a<b"), ("<!-- <Blob> --><Name>x</Name>", "x"), ("\r\n<Name>&#13;&#10;</Name>", "\r\n")):
        assert blobs_listed(blob.replace("<Name>n</Name>", odd).encode()).keys == [name]


@given(blobs=BLOBS, marker=XML_TEXT, share=st.floats(0, 0.999))
def test_a_page_that_was_cut_off_is_no_page(blobs: list[dict[str, Any]], marker: str, share: float) -> None:
    page = document(blobs, marker)
    with pytest.raises(Unreachable):
        blobs_listed(page[: int(len(page) * share)])


@pytest.mark.parametrize(
    "page",
    [
        b"", b"<html><body>Sign in</body></html>", b"<Error/>", b"\xff\xfe", b"{}", document([]).replace(b"<Blobs>", b"<Blobs><Blob></Blob>"),
        b"<EnumerationResults><Blobs><Blob><Name>x</Name><Properties><Content-Length>?</Content-Length></Properties></Blob></Blobs></EnumerationResults>",
        b"<?xml version='1.0' encoding='foo'?><EnumerationResults/>", b"<?xml version='1.0' encoding='shift_jis'?><EnumerationResults/>",
        b"<EnumerationResults><a/><NextMarker/></EnumerationResults>", b"<EnumerationResults><Blobs/></EnumerationResults>",
        *(document([{"name": "n", "encoded": False, "size": size, "tier": "", "directory": False, "md5": b"", "metadata": {}}])
          for size in ("9" * 5000, 2**63, -1, "1_0", "\u00b2")),
    ],
)  # fmt: skip
def test_what_is_no_page_of_blobs_is_told(page: bytes) -> None:
    with pytest.raises(Unreachable, match="answered with"):
        blobs_listed(page)


NAME = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=10)


@given(names=st.lists(NAME, unique=True, max_size=6), prefix=st.text(max_size=2), folders=st.integers(0, 63))
def test_a_page_of_paths_is_read_right(names: list[str], prefix: str, folders: int) -> None:
    is_folder = [bool(folders >> n & 1) for n in range(len(names))]
    items = [
        {"name": name, "contentLength": str(n), "etag": "0x1", "lastModified": DATE, **({"isDirectory": "true"} if is_folder[n] else {})}
        for n, name in enumerate(names)
    ]
    page = paths_listed(json.dumps({"paths": items}).encode(), prefix, "next")
    kept = [n for n, name in enumerate(names) if name.startswith(prefix)]
    assert page.keys == [names[n] for n in kept]
    assert page.sizes == [0 if is_folder[n] else n for n in kept] and page.folders == [is_folder[n] for n in kept]
    assert page.etags == ["0x1"] * len(kept) and page.modified == ["2026-11-21T11:26:00Z"] * len(kept)
    assert page.continuation == "next" and page.classes == page.sources == page.md5s == [""] * len(kept)


@pytest.mark.parametrize(
    "page", [b"", b"[]", b"{}", b'{"paths": [{}]}', b'{"paths": [{"name": 1}]}', b'{"paths": [{"name": "x", "contentLength": "?"}]}',
             b"[" * 200_000, b'{"paths": [{"name": "x", "contentLength": 1e400}]}', b'{"paths": [{"name": "x", "contentLength": %d}]}' % 2**63,
             b'{"paths": [{"name": "x", "contentLength": "%b"}]}' % (b"9" * 5000), b'{"paths": [{"name": "\\ud800", "contentLength": 1}]}']
)
def test_what_is_no_page_of_paths_is_told(page: bytes) -> None:
    with pytest.raises(Unreachable, match="cannot be read"):
        paths_listed(page, "", "")
