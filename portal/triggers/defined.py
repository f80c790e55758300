"""The definitions of triggers as they lie on the disk, for whoever only reads: quick to import."""

from __future__ import annotations

from collections.abc import Iterator

from portal.errors import BadParameters, PortalError, TriggerNotFound, explain
from portal.spool import records
from portal.spool.layout import Layout
from portal.triggers.places import DEFINITION
from portal.triggers.trigger import NAME_PATTERN, Trigger


def names(layout: Layout) -> list[str]:
    """Return the names of the triggers there are, readable or not."""
    return [name for name in records.names(layout.triggers) if NAME_PATTERN.fullmatch(name) and (layout.triggers / name / DEFINITION).exists()]


def triggers(layout: Layout) -> list[Trigger]:
    """Return the triggers by name, without those whose definition cannot be read; `damaged` tells of these."""
    return [item for _, item in each(layout) if isinstance(item, Trigger)]


def damaged(layout: Layout) -> dict[str, str]:
    """Return why the definitions that cannot be read cannot, by name."""
    return {name: item for name, item in each(layout) if isinstance(item, str)}


def each(layout: Layout) -> Iterator[tuple[str, Trigger | str]]:
    """Yield name and trigger, or why there is none to be read, reading one at a time."""
    for name in names(layout):
        try:
            yield name, load(layout, name)
        except TriggerNotFound:
            continue  # removed meanwhile
        except PortalError as error:
            yield name, explain(error)


def load(layout: Layout, name: str) -> Trigger:
    """Return a trigger. Raises TriggerNotFound; BadParameters when its definition cannot be read."""
    if not NAME_PATTERN.fullmatch(name):
        raise missing(name)
    try:
        found = Trigger.from_json((layout.triggers / name / DEFINITION).read_bytes())
    except FileNotFoundError:
        raise missing(name) from None
    except OSError as error:
        raise BadParameters(f"The definition of {name} cannot be read.", hint="Look at the file's owner and permissions.") from error
    if found.name != name:
        raise BadParameters(f"The definition in the folder {name} is of {found.name!r}.", hint="Remove it, and make the trigger anew.")
    if missing_fields := [field for field in ("uid", "at", "since") if not getattr(found, field)]:
        hint = f"Have the portal save it: `python -m portal triggers add --file {layout.triggers / name / DEFINITION}`."
        raise BadParameters(f"The definition of {name} has no {', '.join(missing_fields)}: it was laid there by hand.", hint=hint)
    return found


def missing(name: str) -> TriggerNotFound:
    return TriggerNotFound(f"There is no trigger {name!r}.", hint="`python -m portal triggers` lists them.")
