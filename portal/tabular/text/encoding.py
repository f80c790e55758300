"""Tells the encoding of a text by its bytes, with the evidence: a byte order mark, valid UTF-8, zero bytes of UTF-16, letters of Windows-1252."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from dataclasses import dataclass

from portal.errors import ConversionFailed

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"),
)  # fmt: skip
_HINT = "Say which encoding it is, e.g. encoding=cp1252 or latin-1 for older Windows files, utf-16 when every other byte is zero."
_WESTERN = "äöüÄÖÜßéèêëÉÈÊàâáåãÀÁÅçÇñÑóòôõøØÓúùûÚíìîïÍæÆœŒ"
_SIGNS = "€£§°²³µ«»–—‘’“”„…•®©™´¡¿ªº½¼¾·×±\xa0"
_COMMON = frozenset((_WESTERN + _SIGNS).encode("cp1252"))
_SIGN_IN_WORD = re.compile(rb"[A-Za-z][" + re.escape("€£§°²³µ«»–—“”„…•®©™¡¿ªº½¼¾×±".encode("cp1252")) + rb"][A-Za-z]")
"""ł, ą, ż and ś of Central European encodings look so in Windows-1252."""
_HIGH = re.compile(rb"[\x80-\xff]+")
_SIGN = re.compile(r"[\r\n\t ,;|:\"0-9]")
_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a text is encoded, and how that is known."""

    name: str
    """As Python calls it."""
    mark_bytes: int
    """Length of the byte order mark."""
    evidence: str
    doubt: str = ""
    """What a person should look at, '' when the bytes speak clearly."""

    @property
    def may_begin_anywhere(self) -> bool:
        """Whether decoding may begin within the text: UTF-8, -16, -32 and encodings of one byte a character."""
        if self.name.startswith(("utf-8", "utf-16-", "utf-32-")):
            return True
        every = bytes(range(256))
        return len(every.decode(self.name, "replace")) == 256 and len(every[128:].decode(self.name, "replace")) == 128


def detect(pieces: Sequence[tuple[int, bytes]], asked: str) -> Encoding:
    """Return the encoding of a text.

    Arguments:
        pieces: (offset, bytes) from the source, the first from its start; offsets and lengths but the last are multiples of 4.
        asked: an encoding that is not second-guessed, or 'auto'.

    Raises ConversionFailed: nobody knows the encoding; the bytes are not UTF-8 and nothing else they clearly are (names the byte).
    """
    head = pieces[0][1]
    for mark, name in _MARKS:
        if head.startswith(mark) and (asked == "auto" or _plain(name).startswith(_plain(asked))):
            return Encoding(name, len(mark), f"byte order mark {mark.hex(' ').upper()}")
    if asked != "auto":
        return _asked(asked, pieces)
    return _wide(pieces) or _utf8(pieces) or _western(pieces)


def _plain(encoding: str) -> str:
    return encoding.lower().replace("-", "").replace("_", "").removesuffix("sig")


def _asked(asked: str, pieces: Sequence[tuple[int, bytes]]) -> Encoding:
    try:
        "".encode(asked)
        name = codecs.lookup(asked).name
    except (LookupError, UnicodeError) as error:
        raise ConversionFailed(f"Nobody knows the encoding {asked!r}.", hint="Try utf-8, utf-16, cp1252 or latin-1.") from error
    if _plain(name) in ("utf16", "utf32"):
        return _ordered(name, pieces)
    return Encoding("utf-8" if _plain(name) == "utf8" else asked, 0, "as asked for")


def _ordered(name: str, pieces: Sequence[tuple[int, bytes]]) -> Encoding:
    """Tell the order of the bytes by the one that gives text, and line ends, delimiters and digits in it."""
    found = {order: _signs(pieces, f"{name}-{order}") for order in ("le", "be")}
    likely, other = sorted(found, key=lambda order: found[order], reverse=True)
    if found[likely] <= 0 or found[other] > 0.1 * found[likely]:
        told = f"The file has no byte order mark, and its bytes do not tell in which order {name} has them."
        raise ConversionFailed(told, hint=f"Set encoding to {name}-le (Windows) or {name}-be.")
    signs = f"{found[likely]} line ends, delimiters and digits, the other {max(0, found[other])}"
    return Encoding(f"{name}-{likely}", 0, f"as asked for; without a byte order mark, its order by what this one gives: {signs}")


def _signs(pieces: Sequence[tuple[int, bytes]], name: str) -> int:
    """Count what nearly every table has; -1: the bytes are no text in the encoding."""
    last = len(pieces) - 1
    if any(problem(offset, piece, name, last=number == last) for number, (offset, piece) in enumerate(pieces)):
        return -1
    return sum(len(_SIGN.findall(piece[begin_of(piece, name) if offset else 0 :].decode(name, "ignore"))) for offset, piece in pieces)


def _wide(pieces: Sequence[tuple[int, bytes]]) -> Encoding | None:
    """UTF-16 or UTF-32 without a mark: zero bytes where ASCII characters have them, and nearly nowhere else."""
    if b"\0" not in pieces[0][1]:
        return None
    for unit, orders in ((4, {"utf-32-le": (3, 0), "utf-32-be": (0, 3)}), (2, {"utf-16-le": (1, 0), "utf-16-be": (0, 1)})):
        for name, (full, rare) in orders.items():
            zeros = _share_of_zeros(pieces, unit, full)
            if zeros >= (0.95 if unit == 4 else 0.2) and _share_of_zeros(pieces, unit, rare) <= 0.02 and _lines_are_wide(pieces, name, zeros):
                place = f"{['first', 'second', 'third', 'fourth'][full]} of every {'four' if unit == 4 else 'two'}"
                return Encoding(name, 0, f"no byte order mark, but {zeros:.0%} of the bytes that are the {place} are zero")
    return None


def _share_of_zeros(pieces: Sequence[tuple[int, bytes]], unit: int, place: int) -> float:
    found = [piece[place::unit] for _, piece in pieces]
    return sum(bytes_.count(0) for bytes_ in found) / max(1, sum(map(len, found)))


def _lines_are_wide(pieces: Sequence[tuple[int, bytes]], name: str, zeros: float) -> bool:
    """Whether the line ends are such in the encoding too: a zero byte here and there in UTF-8 does not make it another one."""
    last = len(pieces) - 1
    if any(problem(offset, piece, name, last=number == last) for number, (offset, piece) in enumerate(pieces)):
        return False
    narrow = sum(piece.count(b"\n") + piece.count(b"\r") for _, piece in pieces)
    texts = [piece[begin_of(piece, name) if offset else 0 :].decode(name, "ignore") for offset, piece in pieces]
    wide = sum(text.count("\n") + text.count("\r") for text in texts)
    return wide >= 0.9 * narrow if narrow else zeros >= 0.4


def _utf8(pieces: Sequence[tuple[int, bytes]]) -> Encoding | None:
    last = len(pieces) - 1
    if any(problem(offset, piece, "utf-8", last=number == last) for number, (offset, piece) in enumerate(pieces)):
        return None
    ascii_only = all(piece.isascii() for _, piece in pieces)
    return Encoding("utf-8", 0, "all bytes looked at are ASCII" if ascii_only else "all bytes looked at are valid UTF-8")


def problem(offset: int, piece: bytes, name: str, *, last: bool) -> UnicodeDecodeError | None:
    """Return why a piece of a text cannot be decoded; a character cut at its start (unless offset is 0) or end (unless it is the last) is none."""
    skipped = begin_of(piece, name) if offset else 0
    try:
        codecs.getincrementaldecoder(name)("strict").decode(piece[skipped:], final=last)
    except UnicodeDecodeError as error:
        return UnicodeDecodeError(name, piece, error.start + skipped, error.end + skipped, error.reason)
    return None


def begin_of(piece: bytes, name: str) -> int:
    """Return where the first whole character of a piece begins."""
    if name == "utf-8":
        return next((n for n in range(min(4, len(piece))) if piece[n] & 0xC0 != 0x80), 0)
    if name.startswith("utf-16"):
        unit = piece[:2] if name.endswith("be") else piece[1::-1]
        return 2 if len(unit) == 2 and 0xDC <= unit[0] <= 0xDF else 0
    return 0


def _western(pieces: Sequence[tuple[int, bytes]]) -> Encoding:
    """Windows-1252, where it is clear: its letters and signs, one at a time, where the text's other letters have them."""
    last = len(pieces) - 1
    found = [(offset, problem(offset, piece, "utf-8", last=number == last)) for number, (offset, piece) in enumerate(pieces)]
    offset, error = next((offset, error) for offset, error in found if error)
    text = b"\n".join(piece for _, piece in pieces)
    runs = _HIGH.findall(text)
    if not _is_western(text, runs):
        raise not_text(error, "utf-8", offset)
    at = offset + error.start
    examples = ", ".join(repr(word) for word in _words(text))
    doubt = f"The file is not UTF-8 (byte {at} is 0x{error.object[error.start]:02x}) and was read as Windows-1252: do {examples} look right?"
    same = "" if any(0x80 <= byte < 0xA0 for run in runs for byte in run) else " (and in ISO 8859-1)"
    return Encoding("cp1252", 0, f"not UTF-8; its bytes above 7F are letters and signs of Western Europe in Windows-1252{same}: {examples}", doubt)


def _is_western(text: bytes, runs: list[bytes]) -> bool:
    high = sum(map(len, runs))
    return (
        all(byte in _COMMON for run in runs for byte in run)
        and b"\0" not in text
        and sum(len(run) for run in runs if len(run) > 2) <= 0.05 * high
        and sum(len(run) for run in runs if len(run) > 1) <= 0.5 * high
        and high <= 0.3 * len(text)
        and not _SIGN_IN_WORD.search(text)
    )


def _words(text: bytes) -> list[str]:
    found = (match[0].decode("cp1252") for match in re.finditer(rb"[A-Za-z]{0,16}[\x80-\xff][A-Za-z\x80-\xff]{0,16}", text))
    return list(dict.fromkeys(word for word, _ in zip(found, range(50), strict=False)))[:_EXAMPLES]


def not_text(error: UnicodeError, encoding: str, before: int) -> ConversionFailed:
    """Return the error of bytes that are no text in an encoding; `before`: where those that were decoded begin in the source."""
    start = before + getattr(error, "start", 0)
    found = getattr(error, "object", b"")[getattr(error, "start", 0) :][:1]
    byte = f" (0x{found.hex()})" if isinstance(found, bytes) and found else ""
    return ConversionFailed(f"The file is not {encoding}: byte {start}{byte} cannot be decoded.", hint=_HINT)
