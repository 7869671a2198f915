"""Calls on the files of a memory fail, one after another: errors are typed, and nothing that was
acknowledged is lost.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from remembrancer.testing.depth import scaled
from tests.crash.failing_disk import FAULTS
from tests.crash.power_cuts import folder
from tests.crash.syscalls import environment

pytestmark = pytest.mark.slow


PARTS = 4
"""SQLite copes with some of the failed calls; of so many parts, one must show an error."""


def reported(library: Path, fault: str, part: int) -> dict[str, Any]:
    with folder() as made:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "tests.crash.failing_disk"),
                *(str(made), fault, str(scaled(6, least=2)), str(part)),
            ],
            env=environment(library, made),
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["runs"] > 0
    return report


@pytest.mark.parametrize("fault", FAULTS)
def test_failed_call_raises_a_typed_error_and_loses_nothing(library: Path, fault: str) -> None:
    shown = any(reported(library, fault, part)["errors"] for part in range(PARTS))
    # SQLite copes with the one truncation that it makes.
    assert shown or fault == "a truncation"
