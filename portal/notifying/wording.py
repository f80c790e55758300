"""Facts in words: what every form of a message shows, in the same order and the same words."""

from __future__ import annotations

from portal.notifying.facts import Facts

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def rows(facts: Facts) -> list[tuple[str, str]]:
    """Return what there is to say of a job, as titles and values."""
    if facts.event == "test":
        return []
    when = ("Started", facts.started_at) if facts.event == "slower" else ("Ended", facts.finished_at)
    found = [
        ("Job", facts.job_id), ("Engine", facts.engine), ("Submitted by", facts.submitted_by), ("Trigger", facts.trigger),
        ("Event", facts.trigger_event), ("From", facts.source), ("To", facts.target), (when[0], moment(when[1])), ("Duration", lasting(facts)),
        ("Attempts", str(facts.attempts) if facts.attempts > 1 else ""), ("Counts", counts(facts)),
        ("Moved", size(facts.bytes) if facts.bytes else ""),
    ]  # fmt: skip
    return [(title, value) for title, value in found if value]


def moment(text: str) -> str:
    """2026-11-21T06:30:02.120Z as 2026-11-21 06:30:02 UTC."""
    return f"{text[:10]} {text[11:19]} UTC" if len(text) >= 19 else text


def lasting(facts: Facts) -> str:
    if facts.duration_s is None:
        return ""
    return f"{duration(facts.duration_s)} so far" if facts.event == "slower" else duration(facts.duration_s)


def duration(seconds: float) -> str:
    """Like 0.4 s, 12 s, 3 min 20 s, 2 h 5 min, 1 d 4 h."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for above, unit, below, lesser in ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= above:
            rest = whole % above // below
            return f"{whole // above} {unit}" + (f" {rest} {lesser}" if rest else "")
    return f"{whole} s"


def size(count: int) -> str:
    value, unit = float(count), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.1f} {_UNITS[unit]}" if unit else f"{count} B"


def counts(facts: Facts) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:,}" for name, value in facts.counts.items())


def usual(facts: Facts) -> str:
    """Say how long such jobs usually take, '' of one that has ended."""
    if not facts.usual:
        return ""
    told = {name: duration(facts.usual.get(name, 0.0)) for name in ("median_s", "p95_s")}
    return f"The last {facts.usual.get('runs', 0):.0f} that succeeded took {told['median_s']} (median), and 95 of 100 at most {told['p95_s']}."
