"""The command line, run in this process, with a database of the test's own."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from command_line import CommandLine, Outcome

from memledger.__main__ import CommandLineFace
from memledger.adapters.cli.main import run


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "test.db"
    monkeypatch.setenv("MEMLEDGER_DB", str(path))
    return path


@pytest.fixture
def memledger(
    database: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> CommandLine:
    def command(*arguments: str, stdin: bytes = b"") -> Outcome:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        code = run(CommandLineFace(), arguments)
        captured = capsys.readouterr()
        return Outcome(code=code, out=captured.out, err=captured.err)

    return command
