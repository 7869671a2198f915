"""``remembrancer doctor`` on PostgreSQL: its report, and that it changes nothing."""

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


def test_healthy_log_is_reported_with_its_server(postgres: PostgresSettings) -> None:
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
        ("UPDATE projection SET fingerprint = 'another' WHERE name = 'facts'", "different"),
        ("DROP TABLE index_document", "damaged"),
    ],
)
def test_bad_read_models_are_reported_and_not_repaired(
    postgres: PostgresSettings, harm: str, state: str
) -> None:
    with Memory(settings=load_settings(config(postgres), environment={})) as memory:
        memory.add("I like tea", user_id="ann")
    with psycopg.connect(postgres.dsn) as connection:
        connection.execute(f'SET search_path = "{postgres.schema}"'.encode())
        connection.execute(harm.encode())

    for _ in range(2):
        (problem,) = examined(config(postgres)).problems
        assert problem.what.startswith(f"the read models are {state}")

    with Memory(settings=load_settings(config(postgres), environment={})) as memory:
        memory.rebuild("read_models")
        assert len(memory.search("tea?", user_id="ann")) == 1
    assert examined(config(postgres)).problems == ()


def test_index_of_another_embedder_is_reported(postgres: PostgresSettings) -> None:
    with Memory(settings=load_settings(config(postgres), environment={})) as memory:
        memory.add("I like tea", user_id="ann")

    (problem,) = examined({**config(postgres), "embedder": {"dimension": 64}}).problems

    assert problem.what.startswith("the read models are different: embedder: index was made with")


def test_missing_schema_is_not_created(postgres: PostgresSettings) -> None:
    before = schemas(postgres)

    found = examined(config(postgres, schema="nobody_made_me"))

    assert found.problems == ()
    assert found.details["schema"].endswith("the next opening makes it")
    assert schemas(postgres) == before


def test_newer_schema_version_is_reported(postgres: PostgresSettings) -> None:
    with Memory(settings=load_settings(config(postgres), environment={})):
        pass
    with psycopg.connect(postgres.dsn) as connection:
        connection.execute(
            f'INSERT INTO "{postgres.schema}".migration (version) VALUES (99)'.encode()
        )

    (problem,) = examined(config(postgres)).problems

    assert "schema version 99" in problem.what
    assert "upgrade remembrancer" in problem.what


def test_server_that_is_down_is_reported_without_its_password(
    postgres: PostgresSettings,
) -> None:
    dsn = conninfo.make_conninfo(host="127.0.0.1", port=1, user="ann", password="s3cret-enough")

    examination = examine(config(postgres, dsn=dsn), environment={})

    (problem,) = log_of(examination).problems
    assert problem.what.startswith("postgres: ")
    assert "start it" in problem.advice
    assert "s3cret-enough" not in str(examination.to_dict())


@pytest.mark.parametrize("dsn", ["this is = no dsn =", "postgresql://[broken"])
def test_malformed_dsn_is_reported_as_a_wrong_setting(postgres: PostgresSettings, dsn: str) -> None:
    (problem,) = examined(config(postgres, dsn=dsn)).problems
    assert problem.what.startswith("audit_log.dsn: ")
