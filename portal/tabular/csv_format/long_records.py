"""Counts within a record that is longer than what is looked at at once: what was read of it is put as two bytes that end as it does."""

from __future__ import annotations

from dataclasses import replace

from portal.native.csv_kernel import CsvForm
from portal.tabular.csv_format.line_ends import Ends, record_ends

_PLAIN = b"xyzuvw"


def shortened(data: bytes, form: CsvForm) -> bytes:
    """Return what can stand for data, which begins where a record begins that does not end in it, when records are counted: an open quote or none,
    and what the next byte stands beside. Data itself where that cannot be told.

    The bytes at the end whose meaning the next ones decide stay as they are."""
    if form.comment and data.startswith(form.comment):
        return data
    settled = len(data.rstrip(form.quote + form.escape + b"\r" + (b" \t" if form.trim else b"")))
    if not settled or (form.escape and data[settled - 2 : settled - 1] == form.escape):
        return data
    ends = record_ends(data[:settled], replace(form, comment=b""))
    if ends is None or not ends.sound or ends.mask.any():
        return data
    return _beginning(data[settled - 1 : settled], form, ends) + data[settled:]


def _beginning(last: bytes, form: CsvForm, ends: Ends) -> bytes:
    special = form.delimiter + form.quote + form.escape + form.comment
    plain = next(bytes([letter]) for letter in _PLAIN if letter not in special)
    return plain + last if ends.closed else form.quote + plain
