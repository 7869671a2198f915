"""The torture suite of both clocks on every store, and through a served engine."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from remembrancer import Memory, load_settings
from remembrancer.adapters.stores.postgres.settings import PostgresSettings
from remembrancer.testing.bitemporal import BitemporalContract, Clock
from remembrancer.testing.weaviate import WeaviateServer


class TestInMemory(BitemporalContract):
    examples = 15

    def make_memory(self, path: Path, clock: Clock) -> Any:
        settings = load_settings({"audit_log": {"provider": "memory"}})
        return Memory(settings=settings, overrides={"clock": clock})


class TestSqlite(BitemporalContract):
    examples = 6

    def make_memory(self, path: Path, clock: Clock) -> Any:
        return Memory(path / "memory.db", overrides={"clock": clock})


class TestPostgres(BitemporalContract):
    examples = 2

    @pytest.fixture(autouse=True)
    def _server(self, postgres: PostgresSettings) -> None:
        self.server = postgres

    def make_memory(self, path: Path, clock: Clock) -> Any:
        log = {"provider": "postgres", "dsn": self.server.dsn, "schema": self.server.schema}
        return Memory(settings=load_settings({"audit_log": log}), overrides={"clock": clock})


class TestWeaviate(BitemporalContract):
    examples = 2

    @pytest.fixture(autouse=True)
    def _served(self) -> Iterator[None]:
        with WeaviateServer() as self.server:
            yield

    def make_memory(self, path: Path, clock: Clock) -> Any:
        settings = {
            "audit_log": {"provider": "memory"},
            "vector_index": {
                "provider": "weaviate",
                "port": self.server.port,
                "grpc_port": self.server.grpc_port,
                "collection": f"Bitemporal{uuid.uuid4().hex}",
            },
            "projections": {"wait": 60.0},
        }
        return Memory(settings=load_settings(settings), overrides={"clock": clock})
