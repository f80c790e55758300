"""Counts the records of a CSV text apart from the reader: whole blocks at once by the parity of quotes, never by the kernel."""

from __future__ import annotations

import numpy as np

from portal.tabular.csv_format.line_ends import last_end, record_ends
from portal.tabular.csv_format.long_records import shortened
from portal.tabular.csv_format.records import Grammar, Walk

_LF, _CR = 10, 13
_WINDOW = 1 << 18
_MOST_MASKED = 1 << 20
"""Masks take several times the memory of what they are of: a record that is longer is shortened, or walked over."""


class CsvCounter:
    """Counts the records behind the first `skip` bytes of a text. Blank lines and comments are counted apart."""

    def __init__(self, grammar: Grammar, skip: int) -> None:
        self._grammar, self._skip = grammar, skip
        self._rest = b""
        self.records = self.blank_lines = self.comments = 0
        self.bare_returns = 0
        """Line ends outside of values that are a carriage return alone."""

    def update(self, block: bytes) -> None:
        if self._skip:
            self._skip, block = max(0, self._skip - len(block)), block[self._skip :]
        if not block:
            return
        rest = self._rest
        end = self._piece(rest + block[:_WINDOW], final=False) if 0 < len(rest) < _WINDOW else 0
        self._rest = self._counted(block, end - len(rest)) if end >= len(rest) else self._counted((rest + block)[end:], 0)

    def finish(self) -> int:
        """Return the number of records, those that do not fit included."""
        if self._rest:
            self._piece(self._rest, final=True)
            self._rest = b""
        return self.records

    def _counted(self, data: bytes, at: int) -> bytes:
        """Count the whole records of data from `at` on, a window at a time, which the processor's caches hold; returns what follows them."""
        window, begun = _WINDOW, b""
        while at < len(data):
            piece = begun + data[at : at + window]
            if end := self._piece(piece, final=False):
                at, window, begun = at + end - len(begun), _WINDOW, b""
            elif at + window >= len(data):
                break
            elif window < _MOST_MASKED:
                window *= 4
            elif len(shorter := shortened(piece, self._grammar.form)) < len(piece):
                at, begun = at + window, shorter
            else:
                window *= 4
        return begun + data[at:]

    def _piece(self, data: bytes, *, final: bool) -> int:
        """Count the whole records of data that begins with one; returns where they end."""
        ends = record_ends(data, self._grammar.form) if len(data) <= 2 * _MOST_MASKED else None
        if ends is None:
            return self._walked(data, final)
        end = last_end(ends.mask, data, final=final)
        self._count(np.frombuffer(data, np.uint8, end), ends.mask[:end], final)
        return end

    def _count(self, letters: np.ndarray, ends: np.ndarray, final: bool) -> None:
        if not len(letters):
            return
        lines = int(np.count_nonzero(ends[1:] > ends[:-1])) + (final and not ends[-1])
        returns = ends & (letters == _CR)
        pairs = bare = 0
        if returns.any():
            pairs = int(np.count_nonzero(returns[:-1] & (letters[1:] == _LF)))
            bare = int(np.count_nonzero(returns)) - pairs
        comments = self._comments(letters, ends)
        self.bare_returns += bare
        self.comments += comments
        self.records += lines - comments
        self.blank_lines += int(np.count_nonzero(ends)) - pairs - lines + (final and not ends[-1])

    def _comments(self, letters: np.ndarray, ends: np.ndarray) -> int:
        mark = self._grammar.form.comment
        if not mark:
            return 0
        found = letters == mark[0]
        return int(found[0]) + int(np.count_nonzero(found[1:] & ends[:-1]))

    def _walked(self, data: bytes, final: bool) -> int:
        walk = Walk(self._grammar, data, final=final)
        at = 0
        for span in walk:
            self._pass_over(data[at : span.start])
            self.records += 1
            self.bare_returns += data[span.end : span.next] == b"\r"
            at = span.next
        self._pass_over(data[at : walk.end])
        return walk.end

    def _pass_over(self, gap: bytes) -> None:
        """Count blank lines and comments."""
        mark = self._grammar.form.comment
        for line in gap.splitlines() if gap else ():
            self.comments += line[:1] == mark != b""
            self.blank_lines += not line
