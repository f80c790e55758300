"""CSV: surprises far behind where readers stop to look."""

from __future__ import annotations

from tests.corpus.case import EXACT, Case, case

_ROWS = 120_000
_AT = 90_000
"""Behind a megabyte and behind more rows than readers look at before they decide."""
_SAMPLES = {"sample_bytes": 1024}
_WIDEN = {**_SAMPLES, "on_reject": "widen"}
_FULL = {**_SAMPLES, "full_scan": True}
_NUMBERS = [str(number) for number in range(_ROWS)]


def _late(
    name: str, usual: str, surprise: str, kind: str = "string", *, at: int = _AT, options: dict[str, object] | None = None, error: str = ""
) -> Case:  # fmt: skip
    """Records `n,usual` with one surprise among them; texts are what the file says."""
    cells = [usual] * _ROWS
    cells[at] = surprise
    quoted = [f'"{cell}"' if "\n" in cell else cell for cell in cells]
    content = "n,a\n" + "".join(f"{n},{cell}\n" for n, cell in enumerate(quoted))
    columns = {} if error else {"n": _NUMBERS, "a": cells}
    types = {"n": "int64", "a": kind} if kind != "string" else {"n": "int64"}
    return case(name, content, columns, types=types, options=options or _SAMPLES, error=error)


def _longer() -> Case:
    lines = [f"{n},x\n" for n in range(_ROWS)]
    lines[_AT] = f"{_AT},x,y\n"
    return case("a late record that is too long", "n,a\n" + "".join(lines), {}, options=_SAMPLES, error=f"Line {_AT + 2}")


def _late_newlines() -> Case:
    texts = [f"t{n}" if n < _AT else f"l1\nl{n}" for n in range(_ROWS)]
    content = "n,a\n" + "".join(f"{n},{text}\n" if n < _AT else f'{n},"{text}"\n' for n, text in enumerate(texts))
    return case("late line breaks in quotes", content, {"n": _NUMBERS, "a": texts}, types={"n": "int64"}, options=_SAMPLES)


CASES: list[Case] = [
    _late("late leading zeros, at the end", "10001", "00501", at=_ROWS - 1),
    _late("late leading zeros", "10001", "00501", error=f"Line {_AT + 2}, column 'a'"),
    _late("late leading zeros, widened", "10001", "00501", options=_WIDEN),
    _late("late leading zeros, looked for", "10001", "00501", options=_FULL),
    _late("a late fraction, widened", "10001", "0.25", "double", options=_WIDEN),
    _late("a late long fraction, looked for", "1.25", "0.1234567890123456789", EXACT, options=_FULL),
    _late("a late long integer, widened", "10001", "9223372036854775808", EXACT, options=_WIDEN),
    _late("a late text, widened", "10001", "n/a yet", options=_WIDEN),
    _late("a late date that is none, widened", "2024-01-31", "2024-02-30", options=_WIDEN),
    _late("a late finer moment, widened", "2024-01-31T05:00:00", "2024-01-31T05:00:00.123456789", "timestamp[ns]", options=_WIDEN),
    _late("a late date among years, widened", "2024", "2024-01-31", options=_WIDEN),
    _late_newlines(),
    _longer(),
]  # fmt: skip
