"""Fixtures of the command line in this process."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from remembrancer.entrypoints.cli.main import run
from tests.helpers.command_line import CommandLine, Outcome


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
