"""Analysis of texts line by line, each line once: for the documents of one append.

The facts of a message share most of their context, so that without it the cost of a long message
grows with the square of its length. An index fills it before it takes a lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

L = TypeVar("L")
T = TypeVar("T")


class LineAnalysis(Generic[L, T]):
    """A function of texts that is computed from their lines.

    Args:
        of_line: the result for one line.
        joined: the result for a text, from those of its lines in order.
    """

    def __init__(self, of_line: Callable[[str], L], joined: Callable[[Sequence[L]], T]) -> None:
        self._of_line = of_line
        self._joined = joined
        self._lines: dict[str, L] = {}
        self._texts: dict[str, T] = {}

    def __call__(self, text: str) -> T:
        """The result for a text."""
        if text not in self._texts:
            self._texts[text] = self._joined([self._line(line) for line in text.split("\n")])
        return self._texts[text]

    def prepare(self, texts: Iterable[str]) -> None:
        """Analyse texts now, so that they and texts of the same lines take little time later."""
        for text in texts:
            self(text)

    def _line(self, line: str) -> L:
        if line not in self._lines:
            self._lines[line] = self._of_line(line)
        return self._lines[line]
