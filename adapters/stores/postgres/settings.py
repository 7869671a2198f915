"""Where the PostgreSQL database is, and how it is talked to."""

from __future__ import annotations

import math

from attrs import field, frozen

from remembrancer.domain.errors import InvalidRequest

MOST_PARTITIONS = 1024
"""Each is a table that every statement without a ledger has to look at."""

LONGEST_NAME = 63
"""Bytes that PostgreSQL keeps of a name; it would cut a longer one without a word."""


@frozen(kw_only=True)
class PostgresSettings:
    """How to reach the database.

    ``dsn`` is a libpq connection string or URI, TLS parameters (``sslmode``, ``sslrootcert``,
    ``sslcert``, …) included; what it leaves out comes from ``PG*`` variables. ``schema`` holds all
    tables and is made if it is missing. ``partitions`` is the number of tables that events are
    spread over, by a hash of their ledger; it is decided when the schema is made. The pool keeps
    between ``min_connections`` and ``max_connections`` open. ``connect_timeout`` bounds, in
    seconds, the wait for a connection, ``statement_timeout`` that for one statement, locks
    included; 0 is no bound.
    """

    dsn: str = field(default="", repr=False)
    schema: str = "remembrancer"
    partitions: int = 8
    min_connections: int = 1
    max_connections: int = 10
    connect_timeout: float = 10.0
    statement_timeout: float = 30.0

    def check(self) -> None:
        """Refuse what can't work.

        Raises:
            InvalidRequest: the setting, and what is allowed.
        """
        name = self.schema.encode(errors="replace")
        if not name or b"\0" in name or len(name) > LONGEST_NAME:
            raise InvalidRequest(
                "audit_log.schema", f"expected a name of 1 to {LONGEST_NAME} bytes without NUL"
            )
        if self.schema.startswith("pg_"):
            raise InvalidRequest("audit_log.schema", "names in pg_ belong to PostgreSQL")
        if not 1 <= self.partitions <= MOST_PARTITIONS:
            raise InvalidRequest(
                "audit_log.partitions", f"expected 1 to {MOST_PARTITIONS}, got {self.partitions}"
            )
        if not 0 <= self.min_connections <= self.max_connections or self.max_connections < 2:
            raise InvalidRequest(
                "audit_log.max_connections",
                "expected at least 2, and at least as many as min_connections",
            )
        for setting in ("connect_timeout", "statement_timeout"):
            value = getattr(self, setting)
            if not 0 <= value <= 86400 or not math.isfinite(value):
                raise InvalidRequest(f"audit_log.{setting}", "expected 0 to 86400 seconds")
