"""Calls on the files of a memory fail, one after another: errors are typed, and nothing that was
acknowledged is lost.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from remembrancer.testing.depth import scaled
from tests.crash.failing_disk import FAULTS
from tests.crash.power_cuts import folder
from tests.crash.syscalls import environment

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("fault", FAULTS)
def test_failed_call_raises_a_typed_error_and_loses_nothing(library: Path, fault: str) -> None:
    command = [sys.executable, "-m", "tests.crash.failing_disk"]
    with folder() as made:
        done = subprocess.run(
            [*command, str(made), fault, str(scaled(6, least=2)), "0"],
            env=environment(library, made),
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["runs"] > 0
    # SQLite copes with the one truncation that it makes.
    assert report["errors"] or fault == "a truncation"
