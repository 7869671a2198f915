"""Scripts on every kind of connection: statements, batches, results and errors."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from attrs import frozen

from remembrancer.adapters.stores.postgres.audit_log import create_log
from remembrancer.adapters.stores.postgres.database import Database
from remembrancer.adapters.stores.postgres.run_script import run_script as run_on_postgres
from remembrancer.adapters.stores.postgres.sessions import Sessions
from remembrancer.adapters.stores.postgres.settings import PostgresSettings
from remembrancer.adapters.stores.shared.scripts import Batch, Result, Script, Statement
from remembrancer.adapters.stores.sqlite.run_script import run_script as run_on_sqlite
from remembrancer.domain.errors import IntegrityError
from remembrancer.testing.driving import Driven

CREATE = Statement("CREATE TABLE fruit (name text PRIMARY KEY, kilos integer)")
INSERT = "INSERT INTO fruit VALUES (%s, %s)"
NAMES = Statement("SELECT name FROM fruit ORDER BY name")
MISTAKE = Statement("SELECT colour FROM fruit")

FAILURES = (sqlite3.Error, psycopg.Error)

Run = Callable[[Script[Any]], Any]


@pytest.fixture(params=["sqlite", "postgres", "postgres-async"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Runs a script in a transaction of its own on a store."""
    if request.param == "sqlite":
        connection = sqlite3.connect(":memory:", isolation_level=None)
        connection.execute("BEGIN")
        yield lambda script: run_on_sqlite(connection, script)
        connection.close()
        return
    settings: PostgresSettings = request.getfixturevalue("postgres")
    database = Database(settings, [create_log], blocking=request.param == "postgres")
    yield Driven(Transactions(database.sessions)).run
    database.close()


@frozen
class Transactions:
    sessions: Sessions

    @property
    def never_suspends(self) -> bool:
        return self.sessions.never_suspends

    async def run(self, script: Script[Any]) -> Any:
        async with self.sessions.transaction() as connection:
            return await run_on_postgres(connection, script)


def test_script_is_sent_the_rows_of_each_statement_and_its_return_value_is_returned(
    run: Run,
) -> None:
    def script() -> Script[list[str]]:
        yield CREATE
        yield Batch(INSERT, iter([("pear", 3), ("apple", 5)]))
        found = yield NAMES
        return [name for (name,) in found.rows]

    assert run(script()) == ["apple", "pear"]


def test_damage_before_the_first_statement_is_an_integrity_error(run: Run) -> None:
    def script() -> Script[None]:
        b"\xff".decode()
        yield CREATE

    with pytest.raises(IntegrityError, match="row"):
        run(script())


def test_count_is_the_number_of_rows_returned_or_changed(run: Run) -> None:
    def script() -> Script[list[Result]]:
        yield CREATE
        yield Batch(INSERT, [("apple", 5), ("pear", 3), ("plum", 1)])
        return [
            (yield Statement("SELECT name FROM fruit WHERE kilos > %s", (2,))),
            (yield Statement("SELECT name FROM fruit WHERE kilos > %s", (9,))),
            (yield Statement("UPDATE fruit SET kilos = 0 WHERE kilos < %s", (4,))),
            (yield Statement("UPDATE fruit SET kilos = 7 RETURNING kilos")),
            (yield Statement("DELETE FROM fruit WHERE name = %s", ("fig",))),
        ]

    results = run(script())

    assert [result.count for result in results] == [2, 0, 2, 3, 0]
    assert [len(result.rows) for result in results] == [2, 0, 0, 3, 0]


def test_a_batch_has_an_empty_result(run: Run) -> None:
    def script() -> Script[list[Result]]:
        yield CREATE
        return [(yield Batch(INSERT, [("apple", 5)])), (yield Batch(INSERT, []))]

    assert run(script()) == [Result((), 0), Result((), 0)]


def test_error_of_a_statement_can_be_handled_by_the_script(run: Run) -> None:
    def script() -> Script[str]:
        yield CREATE
        yield Statement("SAVEPOINT before")
        try:
            yield MISTAKE
        except FAILURES:
            yield Statement("ROLLBACK TO SAVEPOINT before")
        yield Statement(INSERT, ("apple", 5))
        found = yield NAMES
        return str(found.rows[0][0])

    assert run(script()) == "apple"


@pytest.mark.parametrize("step", [MISTAKE, Batch("INSERT INTO nowhere VALUES (%s)", [(1,)])])
def test_unhandled_error_leaves_the_script_through_its_finally(
    run: Run, step: Statement | Batch
) -> None:
    ended = []

    def script() -> Script[None]:
        yield CREATE
        try:
            yield step
        finally:
            ended.append(True)

    with pytest.raises(Exception, match=r"colour|nowhere"):
        run(script())
    assert ended == [True]


def test_script_without_statements_returns_at_once(run: Run) -> None:
    def script() -> Script[int]:
        yield from ()
        return 42

    assert run(script()) == 42
