"""Fixtures: the command line in this process, and PostgreSQL behind an unreliable wire."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve
from command_line import CommandLine, Outcome
from psycopg import conninfo

from remembrancer.adapters.stores.postgres.settings import PostgresSettings
from remembrancer.entrypoints.cli.main import run
from remembrancer.testing.unreliable_wire import UnreliableWire


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "test.db"
    monkeypatch.setenv("REMEMBRANCER_DB", str(path))
    return path


@pytest.fixture
def remembrancer(
    database: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> CommandLine:
    def command(*arguments: str, stdin: bytes = b"") -> Outcome:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        code = run(arguments)
        captured = capsys.readouterr()
        return Outcome(code=code, out=captured.out, err=captured.err)

    return command


@pytest.fixture
def wire(postgres: PostgresSettings) -> Iterator[UnreliableWire]:
    where = conninfo.conninfo_to_dict(postgres.dsn)
    with UnreliableWire(str(where["host"]), int(where.get("port") or 5432)) as made:
        yield made


@pytest.fixture
def over_wire(postgres: PostgresSettings, wire: UnreliableWire) -> PostgresSettings:
    dsn = conninfo.make_conninfo(postgres.dsn, host="127.0.0.1", port=wire.port)
    return evolve(postgres, dsn=dsn, connect_timeout=2.0)


@pytest.fixture
def impatient(over_wire: PostgresSettings) -> PostgresSettings:
    """Settings with timeouts of half a second."""
    return evolve(over_wire, statement_timeout=0.5, connect_timeout=0.5)
