"""What a command prints of an estimate: apart from what makes one, which takes long to import."""

from __future__ import annotations

from typing import Any


def text(told: dict[str, Any]) -> list[str]:
    """Return what a command prints of an estimate."""
    lines = [f"{word}: {sums['objects']:,} objects, {sums['bytes']:,} bytes" for word, sums in told["actions"].items()]
    lines += [f"left out: {count:,}, because {reason}" for reason, count in told["excluded_by_reason"].items()]
    lines += [f"{name}: {count:,}" for name, count in told["conflicts_by_class"].items()]
    minutes, seconds = divmod(round(told["time_s"]), 60)
    cost = told["cost"]
    lines.append(f"about {f'{minutes} min ' if minutes else ''}{seconds} s; about {cost['total']:,.2f} {cost['currency']}")
    lines += [f"  {line['what']}: {line['count']:,} → {line['cost']:,.4f} {cost['currency']}" for line in cost["lines"]]
    return [*lines, *told["assumptions"]]
