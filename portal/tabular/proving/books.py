"""Rows in = rows out + rejected + filtered, the records counted apart from the reader that feeds the writer."""

from __future__ import annotations

from portal.errors import BooksDoNotBalance


def balance(counted: int, written: int, rejected: int, filtered: int = 0) -> None:
    """Compare the records counted in a source with what became of them. Raises BooksDoNotBalance."""
    if counted != written + rejected + filtered:
        left_out = f" and {filtered} left out by the filter" if filtered else ""
        message = f"The file has {counted} rows, but {written} were read, {rejected} rejected{left_out}."
        raise BooksDoNotBalance(message, hint="Please report it, with the file.")
