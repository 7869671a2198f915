"""The version: all reports and the build give the one of ``remembrancer.__version__``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from remembrancer import __version__
from remembrancer.doctor import examine
from tests.helpers.command_line import CommandLine

ROOT = Path(__file__).parents[2]


def output(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_build_takes_the_version_from_the_package() -> None:
    assert output("-m", "hatchling", "version") == __version__


def test_command_line_prints_the_version_of_the_package(remembrancer: CommandLine) -> None:
    assert remembrancer("--version").out == f"remembrancer {__version__}\n"


def test_doctor_and_the_stores_in_memory_report_the_version_of_the_package() -> None:
    report = examine({"audit_log": "memory"})
    assert report.remembrancer == __version__
    assert {part.engine for part in report.findings} >= {f"memory {__version__}"}


def test_importing_the_package_reads_no_metadata() -> None:
    program = "import sys, remembrancer; print('importlib.metadata' in sys.modules)"
    assert output("-c", program) == "False"
