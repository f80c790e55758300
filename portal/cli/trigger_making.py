"""`triggers add` and `triggers edit`: a trigger out of flags, or out of a file."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Literal, get_args

from portal import catalog
from portal.cli.parsing import PROGRAM, add_json, add_notify, add_user, parser, read_followups, read_object
from portal.cli.text import seconds
from portal.errors import BadParameters
from portal.notifying import wish
from portal.triggers import events, telling
from portal.triggers.trigger import ON, USUAL_ENGINE, Overlap, Trigger

KINDS = {"cron": "a schedule", "folder": "a watched folder", "sqs": "messages in an SQS queue"}
_BY_THE_BOOK = ("uid", "by", "at", "since", "schema", "paused")
"""What a definition tells and nobody gives."""

_KINDS = "\n".join(
    f"  {kind:<8}{words}{f'; its usual engine is {USUAL_ENGINE[kind]}' if kind in USUAL_ENGINE else ''}" for kind, words in KINDS.items()
)

_ADD = f"""Make a trigger: from then on it makes jobs by itself, one for each event.

kinds:
{_KINDS}

  {PROGRAM} triggers add cron nightly --schedule "30 6 * * mon-fri" --time-zone Europe/Berlin --run list --source s3://sales/
  {PROGRAM} triggers add folder shop --folder file:///srv/box/Watch/ --run upload --target s3://sales/
  {PROGRAM} triggers add sqs fetch --queue sales-notices --run download --target file:///srv/box/DownloadedFromS3/

A watched folder must be there, and every folder must lie in one that PORTAL_LOCAL_ROOTS names (data/ in the portal's home, unless it is set).
`{PROGRAM} triggers add KIND --help` shows the flags of a kind, `{PROGRAM} submit ENGINE --help` those of an engine."""

_FILE = "JSON file with the whole definition, as `show --definition` prints it ('-': standard input)"

_RUN = """Behind --run stand an engine and its flags. A parameter may quote the event, as JSON:
  --source '{"$event": "/due_at", "format": "s3://sales/%Y/%m/%d/", "days": -1}'"""


def new(arguments: list[str]) -> tuple[Trigger, argparse.Namespace]:
    """Read `triggers add …`. Raises BadParameters."""
    kind = arguments[0] if arguments and not arguments[0].startswith("-") else None
    if kind is None:
        reading = _file_parser()
        given = reading.parse_args(arguments)
        if not given.file:
            reading.error(f"KIND ({', '.join(KINDS)}) and NAME are required, or --file FILE")
        return _from_file(given.file), given
    if kind not in ON:
        near = get_close_matches(kind, KINDS, 1)
        hint = f"{f'Did you mean {near[0]}? ' if near else ''}Kinds: {', '.join(KINDS)}."
        raise BadParameters(f"There are no triggers of kind {kind!r}.", hint=hint)
    own, engine, behind = _split(arguments[1:])
    made = _kind_parser("add", kind, "NAME [flags] --run ENGINE [flags of the engine]")
    _refuse_misplaced(own, made, engine or USUAL_ENGINE.get(kind))
    engine = engine or USUAL_ENGINE.get(kind)
    params, left = _engine_params(engine, behind, made) if engine else ({}, [])
    given = made.parse_args([*own, *left])
    if engine is None:
        raise BadParameters("The engine is missing: what this trigger is to run.", hint=f"Write `--run ENGINE` and its flags behind the others; "
                            f"engines: {', '.join(catalog.names())}.")  # fmt: skip
    order = {"name": given.name, "kind": kind, "on": _on(kind, catalog.from_flags(given, telling.spec(kind))), "engine": engine, "params": params}
    return _checked(order | _job_fields(given, {})), given


def changed(old: Trigger, arguments: list[str]) -> tuple[Trigger, argparse.Namespace]:
    """Read `triggers edit NAME …` for the trigger of that name. Raises BadParameters."""
    own, engine, behind = _split(arguments)
    made = _kind_parser("edit", old.kind, "[flags] [--run ENGINE [flags of the engine]] | --file FILE")
    made.add_argument("--file", metavar="FILE", help=_FILE)
    made.add_argument("--reset", nargs="+", metavar="NAME", default=[],
                      help="parameters of the kind that get their defaults back; run.NAME: one of the engine")  # fmt: skip
    _refuse_misplaced(own, made, engine or old.engine)
    params, left = _engine_params(engine or old.engine, behind, made)
    given = made.parse_args([*own, *left])
    if given.file:
        return _replaced(old, given.file), given
    on = {**old.on, **catalog.from_flags(given, telling.spec(old.kind))}
    kept = {} if engine not in (None, old.engine) else dict(old.params)
    _reset(given.reset, on, kept := {**kept, **params})
    order = json.loads(old.to_json()) | {"on": _on(old.kind, on), "engine": engine or old.engine, "params": kept}
    return _checked(order | _job_fields(given, order)), given


def definition(trigger: Trigger) -> dict[str, Any]:
    """Return what `--file` takes to make the same trigger."""
    given = json.loads(trigger.to_json())
    return {name: value for name, value in given.items() if name not in _BY_THE_BOOK and value not in (None, "", [], {})}


def _reset(names: Sequence[str], on: dict[str, Any], params: dict[str, Any]) -> None:
    for name in names:
        of, key = (params, name.removeprefix("run.")) if name.startswith("run.") else (on, name)
        if key.replace("-", "_") not in of:
            there = ", ".join([*on, *(f"run.{item}" for item in params)])
            raise BadParameters(f"{name} has its default already, or is no parameter.", hint=f"Set are {there}.")
        del of[key.replace("-", "_")]


def _file_parser() -> argparse.ArgumentParser:
    made = parser("triggers add", _ADD, "KIND NAME [flags] --run ENGINE [flags of the engine] | --file FILE")
    made.add_argument("--file", metavar="FILE", help=_FILE)
    _add_output(made)
    return made


def _kind_parser(verb: Literal["add", "edit"], kind: str, usage: str) -> argparse.ArgumentParser:
    spec = telling.spec(kind)
    facts = "\n".join(f"  /{name:<17}{words}" for name, words in events.FACTS[kind].items())
    about = f"{spec.summary} {spec.description}".strip()
    what = f"{verb.capitalize()} a trigger of kind {kind}: {about[:1].lower()}{about[1:]}\n\n{_RUN}\n\nfacts of an event:\n{facts}"
    made = parser(f"triggers {verb}{f' {kind}' if verb == 'add' else ''}", what, usage if verb == "add" else f"NAME {usage}")
    made.add_argument("name", metavar="NAME", help="small letters, digits and '-'")
    catalog.add_flags(made, spec)
    job = made.add_argument_group("The job of each event")
    job.add_argument("--run", metavar="ENGINE …", help="the engine and its flags; they stand behind all others")
    job.add_argument("--overlap", choices=get_args(Overlap), help="while the job before has not ended: leave the event out and say so, "
                     "let its job wait, or run beside it (default: skip; files of a folder wait where they are)")  # fmt: skip
    job.add_argument("--job-name", metavar="TEXT", help="name of the jobs, for people (default: the trigger's)")
    job.add_argument("--priority", type=int, metavar="0-9", help="0 is most urgent (default: 5)")
    job.add_argument("--timeout", metavar="TIME", help="end the engine after this long: 90s, 15m, 2h (default: never)")
    job.add_argument("--max-attempts", type=int, metavar="N", help="attempts if it fails in a way that may pass (default: PORTAL_MAX_ATTEMPTS)")
    job.add_argument("--then", action="append", metavar="JSON", help="follow-up job, as of `submit`; may be repeated")
    add_notify(job)
    job.add_argument("--label", action="append", metavar="NAME=TEXT", help="a label of the jobs; may be repeated")
    job.add_argument("--limit", action="append", metavar="NAME", help="a limit that the jobs hold; may be repeated")
    _add_output(made)
    return made


def _add_output(made: argparse.ArgumentParser) -> None:
    output = made.add_argument_group("Output")
    add_user(output)
    add_json(output)


def _split(arguments: Sequence[str]) -> tuple[list[str], str | None, list[str]]:
    """The flags of the trigger, the engine behind --run, and the flags behind that."""
    places = [number for number, word in enumerate(arguments) if word == "--run" or word.startswith("--run=")]
    if not places:
        return list(arguments), None, []
    if len(places) > 1:
        raise BadParameters("--run stands there twice: a trigger runs one engine.", hint="What is to run after it is a follow-up: --then.")
    place = places[0]
    joined = arguments[place].partition("=")[2]
    engine = [joined] if joined else list(arguments[place + 1 : place + 2])
    if not engine or engine[0].startswith("-"):
        raise BadParameters("--run has no engine.", hint=f"Engines: {', '.join(catalog.names())}.")
    return list(arguments[:place]), engine[0], list(arguments[place + (1 if joined else 2) :])


def _refuse_misplaced(words: Sequence[str], own: argparse.ArgumentParser, engine: str | None) -> None:
    """Say where flags of an engine belong that stand before --run, or without it."""
    known = {flag for action in own._actions for flag in action.option_strings}
    strange = [flag for word in words if word.startswith("--") and (flag := word.partition("=")[0]) not in known]
    engines = [engine] if engine else catalog.names()
    flags = {item.flag for name in engines for item in catalog.engine(name).fields} if strange else set()
    if found := [flag for flag in strange if flag.replace("--no-", "--", 1) in flags]:
        own.error(f"{found[0]} is a flag of {f'the engine {engine}' if engine else 'an engine'}: put `--run {engine or 'ENGINE'}` before it")


def _engine_params(engine: str, behind: Sequence[str], own: argparse.ArgumentParser) -> tuple[dict[str, Any], list[str]]:
    """The parameters that flags of an engine give, and the words that are the trigger's own, wherever they stand."""
    spec = catalog.engine(engine)
    made = parser(f"triggers … --run {engine}", f"{spec.summary}\n\n{spec.description}", "[flags]")
    catalog.add_flags(made, spec)
    given, left = made.parse_known_args(list(behind))
    known = {flag for action in own._actions for flag in action.option_strings}
    if strange := [word for word in left if word.startswith("-") and word.partition("=")[0] not in known]:
        made.error(f"unrecognized arguments: {' '.join(strange)}")
    return {name: _quoted(value) for name, value in catalog.from_flags(given, spec).items()}, left


def _quoted(value: Any) -> Any:
    """What stands for a quote of the event is JSON, whatever the parameter takes."""
    if isinstance(value, list):
        return [_quoted(item) for item in value]
    if not (isinstance(value, str) and value.lstrip().startswith("{") and events.QUOTE in value):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        hint = 'Write {"$event": "/due_at", "format": "%Y-%m-%d"}.'
        raise BadParameters(f"{value} quotes the event and is not JSON: {error}.", hint=hint) from None


def _on(kind: str, given: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = catalog.read_params(ON[kind], given).model_dump(mode="json", exclude_defaults=True)
    return values


def _job_fields(given: argparse.Namespace, old: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the job that flags give."""
    fields = {
        "overlap": given.overlap, "job_name": given.job_name, "priority": given.priority, "max_attempts": given.max_attempts,
        "timeout_s": seconds(given.timeout) if given.timeout else None, "limits": given.limit,
        "then": _then(given, old),
        "labels": {**old.get("labels", {}), **dict(map(_label, given.label))} if given.label else None,
    }  # fmt: skip
    return {name: value for name, value in fields.items() if value is not None}


def _then(given: argparse.Namespace, old: Mapping[str, Any]) -> list[Any] | None:
    """The follow-ups, those that tell people among them; a connection that is named again is told of what is named now."""
    given_then = [item for text in given.then for item in read_followups(text)] if given.then else None
    if not given.notify:
        return given_then
    return wish.renewed(given_then if given_then is not None else old.get("then", []), given.notify)


def _label(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise BadParameters(f"{text!r} is no label.", hint="Write --label NAME=TEXT.")
    return name, value


def _from_file(path: str) -> Trigger:
    order = {name: value for name, value in read_object(path).items() if name not in _BY_THE_BOOK}
    if isinstance(order.get("kind"), str) and order["kind"] in USUAL_ENGINE:
        order.setdefault("engine", USUAL_ENGINE[order["kind"]])
    if order.get("kind") in ON and isinstance(order.setdefault("on", {}), dict):
        order["on"] = _on(order["kind"], order["on"])
    return _checked(order)


def _replaced(old: Trigger, path: str) -> Trigger:
    found = _from_file(path)
    if (found.name, found.kind) != (old.name, old.kind):
        raise BadParameters(f"{path} describes {found.name}, of kind {found.kind}; this is {old.name}, of kind {old.kind}.",
                            hint="What it is called and waits for does not change: make another one, and remove this.")  # fmt: skip
    return found.model_copy(update={"uid": old.uid, "paused": old.paused, "since": old.since})


def _checked(order: Mapping[str, Any]) -> Trigger:
    return Trigger.of(order)
