"""Create tables and indexes that are defined with sqlite-utils.

sqlite-utils reads the schema of the database before each statement, which takes longer than the
statement itself. So a definition runs once per process, on an empty database in memory, and every
opened database gets the statements that this led to.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import sqlite_utils

Definition: TypeAlias = Callable[["sqlite_utils.Database"], None]
"""Creates tables and indexes in an empty database, the same ones whenever it is called."""


def create(connection: sqlite3.Connection, define: Definition) -> None:
    """Create the tables and indexes of a definition, inside the open transaction, if any."""
    for statement in statements_of(define):
        connection.execute(statement)


@cache
def statements_of(define: Definition) -> Sequence[str]:
    """The ``CREATE`` statements of a definition, in order."""
    import sqlite_utils

    run: list[str] = []
    # Plugins of sqlite-utils, which any installed package may contain, are not called.
    scratch = sqlite_utils.Database(memory=True, execute_plugins=False)
    try:
        with scratch.tracer(lambda sql, _: run.append(sql)):
            define(scratch)
    finally:
        scratch.close()
    return [sql for sql in run if sql.lstrip().startswith("CREATE ")]
