"""Local accounts on the command line: `python -m portal.ui.users add NAME --role operator`."""

from __future__ import annotations

import argparse
import getpass
import sys
import warnings
from collections.abc import Sequence

from portal import settings
from portal.errors import PortalError, SettingError, explain
from portal.settings import Settings
from portal.ui import accounts
from portal.ui.accounts import Account, Role


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, or 2 with the reason on standard error."""
    given = _parser().parse_args(arguments)
    try:
        given.run(settings.load(), given)
    except PortalError as error:
        print(explain(error), file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m portal.ui.users", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add = commands.add_parser("add", help="add an account, or give one a new role and password")
    add.add_argument("name", help="the name to sign in with; with OpenID Connect the e-mail address")
    add.add_argument("--role", choices=list(Role), default=Role.VIEWER, type=Role, help="default: viewer")
    add.add_argument("--password-stdin", action="store_true", help="read the password from standard input instead of asking")
    add.add_argument("--no-password", action="store_true", help="role only: the person signs in with OpenID Connect")
    add.set_defaults(run=_add)
    remove = commands.add_parser("remove", help="remove an account")
    remove.add_argument("name")
    remove.set_defaults(run=_remove)
    shown = commands.add_parser("list", help="list the accounts")
    shown.set_defaults(run=_list)
    return parser


def _add(config: Settings, given: argparse.Namespace) -> None:
    secret = "" if given.no_password else accounts.hashed(_password(given.password_stdin))
    known = {**accounts.read(config), given.name: Account(given.name, given.role, secret)}
    accounts.write(config, known.values())
    print(f"{given.name} is {given.role} in {accounts.users_file(config)}.")


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\n")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)  # else it would read a password that everybody can see
            first = getpass.getpass("Password: ")
            if first != getpass.getpass("Again: "):
                raise SettingError("The two passwords differ.", hint="Try again.")
    except (getpass.GetPassWarning, EOFError):
        hint = "Give it on standard input with --password-stdin; with OpenID Connect none is needed: --no-password."
        raise SettingError("There is no terminal to ask for the password at, or nobody answered.", hint=hint) from None
    return first


def _remove(config: Settings, given: argparse.Namespace) -> None:
    known = accounts.read(config)
    if known.pop(given.name, None) is None:
        raise SettingError(f"There is no account {given.name!r}.", hint="`python -m portal.ui.users list` shows them.")
    accounts.write(config, known.values())
    print(f"{given.name} is removed.")


def _list(config: Settings, given: argparse.Namespace) -> None:
    for item in accounts.read(config).values():
        print(f"{item.name}\t{item.role}\t{'password' if item.hash else 'OpenID Connect'}")


if __name__ == "__main__":
    sys.exit(main())
