"""CSV: how it is written down: delimiters, quotes, line ends, encodings, headers, records of odd lengths."""

from __future__ import annotations

import gzip

import pyarrow as pa

from tests.corpus.case import Case, case

_AB = {"a": ["1", "2"], "b": ["x", "ü"]}
_INT = {"a": "int64"}
_TEXT = "a,b\n1,x\n2,ü\n"
_KEEP = {"on_reject": "keep"}


def _zstd(data: bytes) -> bytes:
    return bytes(pa.compress(data, "zstd", asbytes=True))


DIALECTS: list[Case] = [
    *(case(f"delimiter {sign!r}", _TEXT.replace(",", sign), _AB, types=_INT, delimiter=sign) for sign in ";\t|,"),
    case("commas in texts between semicolons", "a;b\n1;x, y\n2;z, and, more\n", {"a": ["1", "2"], "b": ["x, y", "z, and, more"]}, types=_INT,
         delimiter=";"),
    case("delimiters and line breaks in quotes", 'a,b\n1,"x,y"\n2,"l1\nl2\r\nl3"\n', {"a": ["1", "2"], "b": ["x,y", "l1\nl2\r\nl3"]}, types=_INT),
    case("doubled quotes", 'a,b\n1,"say ""hi"""\n2,""""\n3,""\n', {"a": ["1", "2", "3"], "b": ['say "hi"', '"', ""]}, types=_INT),
    case("an inch is no quote", 'a,b\n1,5" pipe\n2,6" pipe\n', {"a": ["1", "2"], "b": ['5" pipe', '6" pipe']}, types=_INT),
    case("a quote after a space is none", 'a,b\n1, "x"\n2, "y"\n', {"a": ["1", "2"], "b": [' "x"', ' "y"']}, types=_INT),
    case("single quotes when asked", "a,b\n1,'x,y'\n2,'it''s'\n", {"a": ["1", "2"], "b": ["x,y", "it's"]}, types=_INT, options={"quote": "'"}),
    case("no quotes when asked", 'a;b\n1;"x\n2;y"\n', {"a": ["1", "2"], "b": ['"x', 'y"']}, types=_INT, options={"quote": "", "delimiter": ";"}),
    case(
        "an escape character when asked", 'a,b\n1,"say \\"hi\\""\n2,x\\,y\n', {"a": ["1", "2"], "b": ['say "hi"', "x,y"]}, types=_INT,
        options={"escape": "\\"},
    ),
    case("a backslash is a character", 'a,b\n1,C:\\temp\n2,"D:\\"\n', {"a": ["1", "2"], "b": ["C:\\temp", "D:\\"]}, types=_INT),
    case("comments when asked", "# made today\na,b\n1,x\n#2,y\n3,#z\n", {"a": ["1", "3"], "b": ["x", "#z"]}, types=_INT, options={"comment": "#"}),
    case("a hash is a character", "a,b\n#1,x\n#2,y\n", {"a": ["#1", "#2"], "b": ["x", "y"]}),
    case("text after a closing quote", 'a,b\n1,x\n2,"y"z\n3,w\n', {}, error="ine 3"),
    case("a quote that is never closed", 'a,b\n1,x\n2,"y\n3,z\n', {}, error="ine 3"),
    case("a record too long for the limit", 'a,b\n1,"' + "x\n" * 5_000_000 + '"\n', {}, options={"max_record_bytes": 1024}, error="1,?024"),
    case("a value of a megabyte", 'a,b\n1,"' + "x,\n" * 350_000 + '"\n2,y\n', {"a": ["1", "2"], "b": ["x,\n" * 350_000, "y"]}, types=_INT),
    case("NUL bytes stay", "a,b\n1,x\0y\n2,\0\n", {"a": ["1", "2"], "b": ["x\0y", "\0"]}, types=_INT),
    case("signs like line breaks", "a,b\n1,x\u2028y\n2,x\x0b\x0c\x85y\n", {"a": ["1", "2"], "b": ["x\u2028y", "x\x0b\x0c\x85y"]}, types=_INT),
]  # fmt: skip

LINES: list[Case] = [
    case("CRLF", _TEXT.replace("\n", "\r\n"), _AB, types=_INT),
    case("CR", _TEXT.replace("\n", "\r"), _AB, types=_INT),
    case("mixed line ends", "a,b\r\n1,x\n2,ü\r3,z\r\n", {"a": ["1", "2", "3"], "b": ["x", "ü", "z"]}, types=_INT),
    case("no line end at the end", _TEXT.removesuffix("\n"), _AB, types=_INT),
    case("blank lines", "\na,b\n\n1,x\n\n\n2,ü\n\n", _AB, types=_INT),
    case("blank lines in a file of one column", "a\n1\n\n2\n", {"a": ["1", "2"]}, types=_INT, ours_alone=True),
    case("one column", "name\nx\ny z\n", {"name": ["x", "y z"]}),
    case("an empty text in a file of one column", 'a\nx\n""\n', {"a": ["x", ""]}),
    case("lines to pass over", "Report of today\n,,\na,b\n1,x\n2,ü\n", _AB, types=_INT, options={"skip_lines": 2}),
    case("a header alone", "a,b\n", {"a": [], "b": []}),
    case("no header", "1,x\n2,ü\n", _AB, types={"0": "int64"}, options={"header": "no"}, any_names=True, ours_alone=True),
    case(
        "no header, and it shows", "1,2.5\n2,3.5\n", {"a": ["1", "2"], "b": ["2.5", "3.5"]}, types={"0": "int64", "1": "double"}, any_names=True,
        ours_alone=True,
    ),
    case("two columns of one name", "a,a\n1,x\n2,ü\n", _AB, types={"0": "int64"}, any_names=True),
    case(
        "a name that the numbering would make", "a,a_2,a\n1,2,x\n", {"a": ["1"], "b": ["2"], "c": ["x"]}, types={"0": "int64", "1": "int64"},
        any_names=True,
    ),
    case("a column without a name", "a,\n1,x\n2,ü\n", _AB, types={"0": "int64"}, any_names=True),
    case("names with everything in them", '"a ""b""\nc",ü 😀\n1,x\n', {'a "b"\nc': ["1"], "ü 😀": ["x"]}, types={'a "b"\nc': "int64"}),
    case("an empty file", "", {}, error="empty", ours_alone=True),
    case("nothing but blank lines", "\n\n\n", {}, error=".+", ours_alone=True),
    case("a thousand columns", ",".join(f"c{n}" for n in range(1000)) + "\n" + ",".join(map(str, range(1000))) + "\n",
         {f"c{n}": [str(n)] for n in range(1000)}, types={f"c{n}": "int64" for n in range(1000)}),
]  # fmt: skip

RAGGED: list[Case] = [
    case("a short record", "a,b,c\n1,x,y\n2,x\n3,x,y\n", {}, error="Line 3"),
    case("a long record", "a,b\n1,x\n2,x,y\n", {}, error="Line 3"),
    case(
        "odd records are set apart", 'a,b\n1,"l1\nl2"\n2\n3,x,y\n4,ü\n', {"a": ["1", "4"], "b": ["l1\nl2", "ü"]}, types=_INT, options=_KEEP,
        rejects=[(4, ""), (5, "")],
    ),
    case("short records are padded when asked", "a,b\n1\n2,ü\n", {"a": ["1", "2"], "b": [None, "ü"]}, types=_INT, options={"ragged": "pad"}),
    case("long records never fit", "a,b\n1\n2,ü,y\n", {}, options={"ragged": "pad"}, error="Line 3"),
    case("too many odd records", "a,b\n" + "1\n" * 5, {}, options={**_KEEP, "max_rejects": 3}, error="3"),
    case("nothing but odd records", "a,b\n1\n2\n", {}, options=_KEEP, error="one of"),
    case("text after a closing quote leaves every quote behind it in doubt", 'a,b\n1,x\n2,"y"z\n3,w\n', {}, options=_KEEP, error="Line 3"),
]  # fmt: skip

ENCODINGS: list[Case] = [
    case("a byte order mark", _TEXT.encode("utf-8-sig"), _AB, types=_INT),
    case("a byte order mark and a quoted name", b"\xef\xbb\xbf" + b'"a","b"\n1,x\n', {"a": ["1"], "b": ["x"]}, types=_INT),
    case("UTF-16 with its mark", _TEXT.encode("utf-16"), _AB, types=_INT),
    case("UTF-16, the other way round, with its mark", b"\xfe\xff" + _TEXT.encode("utf-16-be"), _AB, types=_INT),
    case("UTF-16 without its mark", _TEXT.encode("utf-16-le"), _AB, types=_INT, warning="(?i)utf-16"),
    case("UTF-32 with its mark", _TEXT.encode("utf-32"), _AB, types=_INT),
    case(
        "Windows-1252 that shows", ("a,b\n" + "1,Größe\n2,Straße – 5 €\n" * 20).encode("cp1252"),
        {"a": ["1", "2"] * 20, "b": ["Größe", "Straße – 5 €"] * 20}, types=_INT, warning="(?i)1252",
    ),
    case("bytes that may be anything", "a,b\n1,łódź\n2,żółć\n".encode("cp1250"), {}, error="byte 6"),
    case("Latin-1 as asked", "a,b\n1,Größe\n".encode("latin-1"), {"a": ["1"], "b": ["Größe"]}, types=_INT, options={"encoding": "latin-1"}),
    case("Japanese as asked", "a,b\n1,日本\n".encode("shift_jis"), {"a": ["1"], "b": ["日本"]}, types=_INT, options={"encoding": "shift_jis"}),
    case("one broken byte in UTF-8", "a,b\n1,Größe\n2,x".encode() + b"\xff" + b"y\n", {}, error="byte 17"),
    case("a character cut off at the end", "a,b\n1,Größe\n2,xü".encode()[:-1], {}, error="byte"),
    case("a mark in the middle is a character", "a,b\n1,\ufeffx\n", {"a": ["1"], "b": ["\ufeffx"]}, types=_INT),
    case("a Parquet file by another name", b"PAR1" + bytes(100), {}, error="(?i)parquet"),
    case("a zip archive", b"PK\x03\x04" + bytes(100), {}, error="zip"),
]  # fmt: skip

PACKED: list[Case] = [
    case("gzip", gzip.compress(_TEXT.encode()), _AB, types=_INT, file="file.csv.gz"),
    case("gzip by another name", gzip.compress(_TEXT.encode()), _AB, types=_INT),
    case("gzip in two members", gzip.compress(b"a,b\n1,") + gzip.compress("x\n2,ü\n".encode()), _AB, types=_INT, file="file.csv.gz"),
    case("gzip that was cut off", gzip.compress(_TEXT.encode() * 100)[:-20], {}, file="file.csv.gz", error="(?i)gzip"),
    case("gzip with something behind it", gzip.compress(_TEXT.encode()) + b"garbage", {}, file="file.csv.gz", error="(?i)gzip"),
    case("zstd", _zstd(_TEXT.encode()), _AB, types=_INT, file="file.csv.zst"),
    case("zstd in two frames", _zstd(b"a,b\n1,") + _zstd("x\n2,ü\n".encode()), _AB, types=_INT, file="file.csv.zst"),
    case("zstd that was cut off", _zstd(_TEXT.encode() * 100)[:-5], {}, file="file.csv.zst", error="(?i)zstd"),
]  # fmt: skip

CASES = [*DIALECTS, *LINES, *RAGGED, *ENCODINGS, *PACKED]
