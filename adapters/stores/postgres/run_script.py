"""Run scripts on a PostgreSQL connection."""

from __future__ import annotations

from typing import TypeVar, cast

from remembrancer.adapters.damage import DAMAGE, damaged
from remembrancer.adapters.stores.postgres.sessions import Connection, Reader
from remembrancer.adapters.stores.shared.scripts import (
    Batch,
    Result,
    Script,
    Statement,
    tables_of,
)
from remembrancer.domain.errors import RemembrancerError

T = TypeVar("T")


async def run_script(connection: Reader, script: Script[T]) -> T:
    """Run a script to its end and return its result.

    An error of a statement is raised inside the script, where it may be handled.

    Args:
        connection: a ``Connection`` if the script yields a ``Batch``.
        script: the script.
    """
    step: Statement | Batch | None = None
    try:
        step = next(script)
        while True:
            try:
                result = await _result(connection, step)
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


async def _result(connection: Reader, step: Statement | Batch) -> Result:
    if isinstance(step, Batch):
        await cast(Connection, connection).executemany(step.sql, step.rows)
        return Result((), 0)
    cursor = await connection.execute(step.sql, step.parameters)
    return Result(await cursor.fetchall(), cursor.rowcount)
