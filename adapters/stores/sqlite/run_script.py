"""Run scripts on a SQLite connection."""

from __future__ import annotations

import sqlite3
from functools import lru_cache
from typing import TypeVar

from remembrancer.adapters.damage import DAMAGE, damaged
from remembrancer.adapters.stores.shared.scripts import (
    Batch,
    Result,
    Script,
    Statement,
    tables_of,
)
from remembrancer.domain.errors import RemembrancerError

T = TypeVar("T")


def run_script(connection: sqlite3.Connection, script: Script[T]) -> T:
    """Run a script to its end and return its result.

    An error of a statement is raised inside the script, where it may be handled.
    """
    step: Statement | Batch | None = None
    try:
        step = next(script)
        while True:
            try:
                result = _result(connection, step)
            except BaseException as error:  # noqa: BLE001 - the script raises it again
                step = script.throw(error)
            else:
                step = script.send(result)
    except StopIteration as end:
        returned: T = end.value
        return returned
    except RemembrancerError:
        raise
    except DAMAGE as error:
        raise damaged("a row" if step is None else tables_of(step), error) from error


def _result(connection: sqlite3.Connection, step: Statement | Batch) -> Result:
    sql = _marked(step.sql)
    if isinstance(step, Batch):
        connection.executemany(sql, step.rows)
        return Result((), 0)
    cursor = connection.execute(sql, step.parameters)
    if cursor.description is None:
        return Result((), cursor.rowcount)
    rows = cursor.fetchall()
    # SQLite has no row count for a query.
    return Result(rows, len(rows))


@lru_cache(maxsize=1024)
def _marked(sql: str) -> str:
    return sql.replace("%s", "?")
