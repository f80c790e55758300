"""The tables as they are printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.queue.measuring import Taken

_HEAD = ("figure", "ours", "goal", "ratio", "verdict", "CPU s", "wall s")


@dataclass(frozen=True)
class Figure:
    """One line about our queue. `ratio` is ours against what it is measured by; `reached` is None where there is no goal."""

    what: str
    ours: str
    goal: str = ""
    ratio: float | None = None
    reached: bool | None = None
    taken: Taken | None = None

    @property
    def cells(self) -> tuple[str, ...]:
        verdict = "" if self.reached is None else "reached" if self.reached else "NOT REACHED"
        used = (f"{self.taken.cpu_s:.1f}", f"{self.taken.wall_s:.1f}") if self.taken else ("", "")
        return (self.what, self.ours, self.goal, "" if self.ratio is None else f"{self.ratio:.2f}", verdict, *used)


def figures(items: Sequence[Figure]) -> str:
    return table(_HEAD, [item.cells for item in items], right=(5, 6))


def table(head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Columns as wide as they need to be; those in `right` are set to the right."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]

    def line(row: Sequence[str]) -> str:
        cells = (cell.rjust(width) if at in right else cell.ljust(width) for at, (cell, width) in enumerate(zip(row, widths, strict=True)))
        return "  ".join(cells).rstrip()

    return "\n".join([line(head), line(["─" * width for width in widths]), *(line(row) for row in rows)])


def rate(value: float) -> str:
    """Jobs a second."""
    return f"{value:,.0f}/s" if value >= 100 else f"{value:,.1f}/s"


def ms(seconds: float) -> str:
    value = seconds * 1000
    return f"{value:,.0f} ms" if value >= 100 else f"{value:,.1f} ms" if value >= 1 else f"{value:,.2f} ms"
