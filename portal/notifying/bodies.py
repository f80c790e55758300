"""What is posted to a webhook: JSON for programs, or what Slack and those like it show. The same facts always make the same bytes."""

from __future__ import annotations

import json
from typing import Any

from portal.notifying import wording
from portal.notifying.facts import Facts

_HEADER, _FIELD, _SECTION, _TEXT, _LINE = 150, 2000, 2900, 3000, 500
_MOST_FIELDS = 10
_NO_WIDTH = "\u200b"
_SIGNS = {
    "succeeded": ":white_check_mark:", "partial": ":warning:", "failed": ":x:", "rejected": ":x:", "cancelled": ":no_entry_sign:",
    "slower": ":hourglass_flowing_sand:", "test": ":wave:",
}  # fmt: skip


def as_json(facts: Facts, link: str) -> bytes:
    """Return a message as Standard Webhooks shapes it: type, timestamp and data. docs/notifications.md lists the fields."""
    type_ = "test" if facts.event == "test" else f"job.{facts.event}"
    status = "running" if facts.event == "slower" else facts.event
    rest = {name: value for name, value in facts.asdict().items() if name not in ("event", "at", "usual", "job_id", "name")}
    data: dict[str, Any] = {"summary": facts.title, "url": link or None}
    data |= {"job": {"id": facts.job_id, "name": facts.name, "status": status, **rest}} if facts.job_id else {}
    data |= {"usual": dict(facts.usual)} if facts.usual else {}
    return json.dumps({"type": type_, "timestamp": facts.at, "data": data}, ensure_ascii=False).encode()


def as_slack(facts: Facts, link: str) -> bytes:
    """Return a message for an incoming webhook of Slack, within its limits (docs.slack.dev, "Blocks"); `text` is for those who show no blocks."""
    blocks: list[dict[str, Any]] = [{"type": "header", "text": {"type": "plain_text", "text": _cut(facts.title, _HEADER)}}]
    rows = wording.rows(facts)
    for start in range(0, len(rows), _MOST_FIELDS):
        shown = [_mrkdwn(f"*{title}*\n{_escaped(value, _FIELD - 100)}") for title, value in rows[start : start + _MOST_FIELDS]]
        blocks.append({"type": "section", "fields": shown})
    blocks += [{"type": "section", "text": _mrkdwn(text)} for text in _paragraphs(facts)]
    if link:
        button = {"type": "button", "text": {"type": "plain_text", "text": "Open the job"}, "url": link}
        blocks.append({"type": "actions", "elements": [button]})
    return json.dumps({"text": _without_blocks(facts, link), "blocks": blocks}, ensure_ascii=False).encode()


def _without_blocks(facts: Facts, link: str) -> str:
    """What happened, and the error's first line. Mattermost and Rocket.Chat read it as Markdown, so it has neither mentions nor links of others."""
    said = " ".join([_SIGNS[facts.event], f"*{_escaped(_broken(facts.title), _TEXT)}*", *([f"<{link}|{facts.job_id}>"] if link else [])])
    error = facts.error.strip().partition("\n")[0]
    return said + (f"\n`{_escaped(_broken(error), _LINE)}`" if error else "")


def _broken(text: str) -> str:
    """A space of no width parts what would be a mention, or one of Markdown's links: `[…](…)`, `[…][…]`, `[…]: …`; no code begins or ends."""
    return text.replace("@", f"@{_NO_WIDTH}").replace("]", f"]{_NO_WIDTH}").replace("`", "'")


def _paragraphs(facts: Facts) -> list[str]:
    error = _escaped(facts.error.replace("```", "'''"), _SECTION)
    found = [f"```{error}```"] if error else []
    found += [_escaped(wording.usual(facts), _SECTION)] if facts.usual else []
    return found + ([_escaped("\n".join(f"• {text}" for text in facts.warnings), _SECTION)] if facts.warnings else [])


def _mrkdwn(text: str) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def _escaped(text: str, limit: int) -> str:
    """Text in which nothing is a mention, a link or a character code. The limit is of what is sent, and no escape is cut in two."""
    escapes = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
    left = limit - 1
    parts: list[str] = []
    for character in text:
        part = escapes.get(character, character)
        left -= len(part)
        if left < 0:
            return "".join(parts) + "…"
        parts.append(part)
    return "".join(parts)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
