"""``verify`` names every change of a row on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from remembrancer import InvalidRequest, Memory
from remembrancer.adapters.stores.postgres.settings import PostgresSettings
from remembrancer.wiring.settings import load_settings

ANN: dict[str, Any] = {"user_id": "ann"}


@pytest.fixture
def memory(postgres: PostgresSettings) -> Iterator[Memory]:
    log = {name: getattr(postgres, name) for name in ("dsn", "schema", "partitions")}
    settings = load_settings(
        {"audit_log": {"provider": "postgres", **log}, "embedder": {"dimension": 32}},
        environment={},
    )
    with Memory(settings=settings) as opened:
        opened.add(
            {"content": "I live in Paris. My sister is Eve.", "name": "Ann"},
            idempotency_key="k1",
            metadata={"n": 1.50, "deep": {"list": [1, "two"]}},
            **ANN,
        )
        opened.add("I moved to Berlin!", idempotency_key="k2", **ANN)
        opened.add("I like green tea.", user_id="bob")
        yield opened


def test_unchanged_rows_are_right(memory: Memory) -> None:
    verification = memory.verify()
    assert verification.faults == ()
    assert verification.complete
    assert verification.checked["documents"] == verification.checked["vectors"] > 2
    assert memory.verify(chain=True).ok


CHANGES = {
    "UPDATE event SET actor = 'mallory' WHERE version = 2": ("event", "hash"),
    "UPDATE event SET salt = '\\x00' WHERE version = 2": ("event", "payload"),
    "DELETE FROM event WHERE version = 2": ("event", "version"),
    "DELETE FROM event_key WHERE version = 2": ("event_key", None),
    "UPDATE place SET first_position = first_position + 1 WHERE first_version = 1": ("place", None),
    "DELETE FROM request": ("request", "key"),
    "UPDATE request SET key = '\\x00' WHERE first_version = 1": ("request", "key"),
    "UPDATE ledger SET recorded_at = recorded_at + 1": ("ledger", "recorded_at"),
    "UPDATE ledger SET name = 'user:mallory' WHERE name = 'user:ann'": ("event", "payload"),
    "UPDATE fact SET status = 'retracted' WHERE version = 1": ("fact", "status"),
    "UPDATE fact SET metadata = '{}' WHERE metadata <> '{}'": ("fact", "metadata"),
    "UPDATE fact SET body = replace(body::text, 'Paris', 'Perth')::json": ("fact", "body"),
    "DELETE FROM fact WHERE version = 1": ("fact", None),
    "UPDATE message SET pending = true": ("message", "pending"),
    "DELETE FROM evidence": ("evidence", None),
    "DELETE FROM pipeline": ("pipeline", None),
    "INSERT INTO usage VALUES (1, 'x', 'gpt', 5, 0, 1, 1, 9.9, 1)": ("usage", None),
    "UPDATE graph_fact SET expires_at = 1": ("graph_fact", "expires_at"),
    "UPDATE index_document SET visible_to = 1": ("index_document", "visible_to"),
    "UPDATE index_document SET digest = '\\x00'": ("index_document", "digest"),
    "UPDATE index_document SET vector = (SELECT vector FROM index_document ORDER BY id LIMIT 1)": (
        "index_document",
        "vector",
    ),
    "UPDATE index_wording SET text = 'x'": ("index_wording", "text"),
    "UPDATE index_wording SET text_terms = 'x:1'": ("index_wording", "text_terms"),
    "UPDATE index_wording SET attributes = '{}'": ("index_wording", "attributes"),
    "UPDATE index_wording SET metadata = '{\"n\": 2}'": ("index_wording", "metadata"),
    "DELETE FROM index_wording": ("index_wording", "ledger"),
    "DELETE FROM index_document WHERE version = 1": ("index_document", None),
    "UPDATE index_ledger SET documents = documents + 1": ("index_ledger", "documents"),
    "UPDATE projection SET fingerprint = 'x' WHERE name = 'graph'": ("projection", "fingerprint"),
    "INSERT INTO feed VALUES ('qdrant', 0, 'f', 999, 1, NULL, 0, false, NULL)": (
        "feed",
        "position",
    ),
    "INSERT INTO feed VALUES ('qdrant', 1, 'f', 0, 1, NULL, 0, false, NULL)": ("feed", "partition"),
    "INSERT INTO dead_letter SELECT 'qdrant', 1, 0, version, replace(event_id::text, '-', ''), "
    "'user:bob', type, 'down', 1, 0 FROM event WHERE version = 1 LIMIT 1": (
        "dead_letter",
        "ledger",
    ),
    "CREATE OR REPLACE FUNCTION waiting() RETURNS boolean LANGUAGE sql STABLE AS 'SELECT false'": (
        "function waiting",
        None,
    ),
    "CREATE RULE keep AS ON DELETE TO fact DO INSTEAD NOTHING": ("fact", None),
    "ALTER TABLE message ENABLE ROW LEVEL SECURITY": ("message", None),
}


def test_more_than_one_process_is_refused(memory: Memory) -> None:
    with pytest.raises(InvalidRequest, match=r"^jobs: "):
        memory.verify(jobs=2)


def test_dead_letter_that_names_its_event_is_right(
    memory: Memory, postgres: PostgresSettings
) -> None:
    with psycopg.connect(postgres.dsn, options=f"-c search_path={postgres.schema}") as connection:
        connection.execute(
            "INSERT INTO dead_letter SELECT 'qdrant', first_position, 0, event.version, "
            "replace(event_id::text, '-', ''), ledger.name, type, 'down', 1, 0 FROM place "
            "JOIN event ON event.ledger_id = place.ledger_id AND event.version = first_version "
            "JOIN ledger ON ledger.id = event.ledger_id"
        )
    assert memory.verify().ok


@pytest.mark.parametrize("change", CHANGES)
def test_change_is_named(change: str, memory: Memory, postgres: PostgresSettings) -> None:
    with psycopg.connect(postgres.dsn, options=f"-c search_path={postgres.schema}") as connection:
        connection.execute(change.encode())
    first = memory.verify().first
    assert first is not None
    assert (first.table, first.column) == CHANGES[change]
