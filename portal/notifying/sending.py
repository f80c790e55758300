"""Sending facts through a connection that leads to people, whatever its kind."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass

from portal.connections import SmtpConnection, WebhookConnection
from portal.notifying import mailing, posting
from portal.notifying.bodies import as_json, as_slack
from portal.notifying.facts import Facts
from portal.notifying.mail import mail

Channel = WebhookConnection | SmtpConnection


@dataclass(frozen=True)
class Sent:
    """What came of one try. Nothing in it is a secret."""

    text: str
    """For people."""
    taken: tuple[str, ...] = ()
    """Recipients of the mail, of this try."""
    later: tuple[str, ...] = ()
    """Why some recipients have to be tried again."""
    refused: tuple[str, ...] = ()
    """Why some never get it."""


def send(channel: Channel, facts: Facts, link: str, without: Collection[str] = ()) -> Sent:
    """Send a message once.

    Args:
        link: address of the job's page, or ''.
        without: recipients of a mail who have it already.

    Raises:
        Unreachable, Throttled: it may go through later.
        NotTold: refused for good; SettingError: a file that the connection names cannot be used.
    """
    if isinstance(channel, WebhookConnection):
        return Sent(posting.post(channel, facts, link))
    wanted = [item for item in dict.fromkeys(channel.to) if item not in without]
    if not wanted:
        return Sent("All recipients have the mail.")
    handed = mailing.send(channel, mail(channel, facts, link), wanted)
    text = f"{channel.host} took the mail for {len(handed.taken)} of {len(wanted)} {'recipient' if len(wanted) == 1 else 'recipients'}."
    told = ([f"{name}: {why}" for name, why in kept.items()] for kept in (handed.later, handed.refused))
    return Sent(text, tuple(handed.taken), *map(tuple, told))


def shown(channel: Channel, facts: Facts, link: str) -> str:
    """Return what would be sent, letter by letter."""
    if isinstance(channel, SmtpConnection):
        return mail(channel, facts, link).as_string()
    return (as_slack if channel.format == "slack" else as_json)(facts, link).decode()


def readable(channel: Channel, facts: Facts, link: str) -> str:
    """Return the same for people: of a mail its text below its main headers, of JSON one value a line."""
    if isinstance(channel, WebhookConnection):
        return json.dumps(json.loads(shown(channel, facts, link)), indent=2, ensure_ascii=False)
    made = mail(channel, facts, link)
    body = made.get_body(("plain",))
    headers = "\n".join(f"{name}: {made[name]}" for name in ("Subject", "From", "To"))
    return f"{headers}\n\n{body.get_content() if body else ''}"
