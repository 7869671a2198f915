"""Database code that blocking and awaiting drivers both run.

A script is a generator: it yields statements and is sent their results. An error of a statement is
raised where the script yielded it. A script neither blocks nor awaits, so the same logic serves
SQLite's plain connections and both kinds of PostgreSQL sessions. Each driver
(``sqlite.run_script``, ``postgres.run_script``) is a loop of a few lines.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Sequence
from typing import Any, TypeAlias, TypeVar

from attrs import frozen

T = TypeVar("T")

Row: TypeAlias = Sequence[Any]


# A dict instead of slots halves the time to make one.
@frozen(slots=False)
class Statement:
    """One statement. ``%s`` marks a parameter."""

    sql: str
    parameters: Sequence[object] = ()


@frozen
class Batch:
    """One statement that runs once for each row of parameters; its result is empty."""

    sql: str
    rows: Iterable[Sequence[object]]


@frozen(slots=False)
class Result:
    """The rows that a statement returned, and the number of rows that it returned or changed."""

    rows: Sequence[Row]
    count: int


Script: TypeAlias = Generator[Statement | Batch, Result, T]

_TABLE = re.compile(r"\b(?:FROM|JOIN|INTO|UPDATE)\s+([a-z_]+)\b(?!\()")


def tables_of(step: Statement | Batch) -> str:
    """The tables of a statement, for an error about their rows."""
    return f"table {', '.join(dict.fromkeys(_TABLE.findall(step.sql)))}"
