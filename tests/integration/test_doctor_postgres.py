"""``remembrancer doctor`` over PostgreSQL: what it tells, and that it leaves all as it was."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg import conninfo

from remembrancer import Memory, load_settings
from remembrancer.adapters.stores.postgres.settings import PostgresSettings
from remembrancer.application.audit.health_report import Finding, HealthReport
from remembrancer.doctor import examine


def config(postgres: PostgresSettings, **changes: Any) -> dict[str, Any]:
    log = {"dsn": postgres.dsn, "schema": postgres.schema, "partitions": postgres.partitions}
    return {"audit_log": {"provider": "postgres", **log, **changes}}


def log_of(examination: HealthReport) -> Finding:
    (finding,) = (each for each in examination.findings if each.part == "audit_log")
    return finding


def examined(settings: dict[str, Any]) -> Finding:
    return log_of(examine(settings, environment={}))


def schemas(postgres: PostgresSettings) -> list[str]:
    with psycopg.connect(postgres.dsn) as connection:
        rows = connection.execute("SELECT nspname FROM pg_namespace ORDER BY 1").fetchall()
    return [name for (name,) in rows]


def test_a_log_that_is_well_is_told_with_its_server(postgres: PostgresSettings) -> None:
    with Memory(settings=load_settings(config(postgres), environment={})) as memory:
        memory.add("I like tea", user_id="ann")

    found = examined(config(postgres))

    assert found.problems == ()
    assert (found.engine or "").startswith("PostgreSQL ")
    assert found.details["last_position"] > 0
    assert found.details["bytes"] > 0
    assert set(found.details["read_models"].values()) == {found.details["last_position"]}


@pytest.mark.parametrize(
    ("harm", "state"),
    [
        ("INSERT INTO lagging SELECT id, 1 FROM ledger", "behind"),
        ("UPDATE projection SET fingerprint = 'another' WHERE name = 'facts'", "damaged"),
        ("DROP TABLE index_document", "damaged"),
    ],
)
def test_read_models_that_are_not_as_the_log_says_are_told_and_left_alone(
    postgres: PostgresSettings, harm: str, state: str
) -> None:
    with Memory(settings=load_settings(config(postgres), environment={})) as memory:
        memory.add("I like tea", user_id="ann")
    with psycopg.connect(postgres.dsn) as connection:
        connection.execute(f'SET search_path = "{postgres.schema}"'.encode())
        connection.execute(harm.encode())

    for _ in range(2):
        (problem,) = examined(config(postgres)).problems
        assert problem.what == f"the read models are {state}"

    with Memory(settings=load_settings(config(postgres), environment={})) as memory:
        assert len(memory.search("tea?", user_id="ann")) == 1
    assert examined(config(postgres)).problems == ()


def test_an_index_of_another_embedder_is_told(postgres: PostgresSettings) -> None:
    with Memory(settings=load_settings(config(postgres), environment={})) as memory:
        memory.add("I like tea", user_id="ann")

    (problem,) = examined({**config(postgres), "embedder": {"dimension": 64}}).problems

    assert problem.what == "the read models are damaged"


def test_a_schema_that_is_not_there_is_not_made(postgres: PostgresSettings) -> None:
    before = schemas(postgres)

    found = examined(config(postgres, schema="nobody_made_me"))

    assert found.problems == ()
    assert found.details["schema"].endswith("the next opening makes it")
    assert schemas(postgres) == before


def test_a_newer_schema_is_for_a_newer_release(postgres: PostgresSettings) -> None:
    with Memory(settings=load_settings(config(postgres), environment={})):
        pass
    with psycopg.connect(postgres.dsn) as connection:
        connection.execute(
            f'INSERT INTO "{postgres.schema}".migration (version) VALUES (99)'.encode()
        )

    (problem,) = examined(config(postgres)).problems

    assert "schema version 99" in problem.what
    assert "upgrade remembrancer" in problem.what


def test_a_server_that_is_down_is_a_finding_without_its_password(
    postgres: PostgresSettings,
) -> None:
    dsn = conninfo.make_conninfo(host="127.0.0.1", port=1, user="ann", password="s3cret-enough")

    examination = examine(config(postgres, dsn=dsn), environment={})

    (problem,) = log_of(examination).problems
    assert problem.what.startswith("postgres: ")
    assert "start it" in problem.advice
    assert "s3cret-enough" not in str(examination.to_dict())


@pytest.mark.parametrize("dsn", ["this is = no dsn =", "postgresql://[broken"])
def test_a_malformed_dsn_is_a_wrong_setting(postgres: PostgresSettings, dsn: str) -> None:
    (problem,) = examined(config(postgres, dsn=dsn)).problems
    assert problem.what.startswith("audit_log.dsn: ")
