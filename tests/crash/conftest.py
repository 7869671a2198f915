"""The library that sees the system calls of writers; tests that need it are skipped without it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.syscalls import Unavailable, compiled


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        return compiled(tmp_path_factory.mktemp("syscalls"))
    except Unavailable as reason:
        pytest.skip(str(reason))
