"""The suite itself: it passes as the job of any shell."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

IGNORING = (
    "import runpy, signal; signal.signal(signal.SIGINT, signal.SIG_IGN);"
    "runpy.run_module('pytest', run_name='__main__')"
)
"""Runs pytest in a process that ignores SIGINT, as a shell's background jobs do."""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["test_cli.py", "test_ingest.py"])
def test_interrupt_tests_pass_in_a_background_job(name: str) -> None:
    chosen = ["-n", "0", "-k", "test_interrupt_exits_with_130", f"tests/entrypoints/{name}"]
    done = subprocess.run(
        [sys.executable, "-c", IGNORING, *chosen],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
