"""Settings of the PostgreSQL store: connection, schema, pool and timeouts."""

from __future__ import annotations

import math

from attrs import field, frozen

from remembrancer.domain.errors import InvalidRequest

MOST_PARTITIONS = 1024
"""Each partition is a table that every query over all ledgers has to scan."""

LONGEST_NAME = 63
"""Bytes; PostgreSQL truncates longer names silently."""


@frozen(kw_only=True)
class PostgresSettings:
    """Settings of the PostgreSQL store.

    Args:
        dsn: libpq connection string or URI, with TLS parameters (``sslmode``, ``sslrootcert``,
            ``sslcert``, …); missing parts come from ``PG*`` environment variables.
        schema: holds all tables; created if missing.
        partitions: number of tables over which events are spread by a hash of their ledger; fixed
            when the schema is created.
        min_connections: connections that the pool keeps open.
        max_connections: maximum size of the pool, at least 2.
        connect_timeout: seconds to wait for a connection, 0 for no limit.
        statement_timeout: seconds for one statement, waits for locks included, 0 for no limit.
    """

    dsn: str = field(default="", repr=False)
    schema: str = "remembrancer"
    partitions: int = 8
    min_connections: int = 1
    max_connections: int = 10
    connect_timeout: float = 10.0
    statement_timeout: float = 30.0

    def check(self) -> None:
        """Validate the settings.

        Raises:
            InvalidRequest: names the setting and the allowed values.
        """
        name = self.schema.encode(errors="replace")
        if not name or b"\0" in name or len(name) > LONGEST_NAME:
            raise InvalidRequest(
                "audit_log.schema", f"expected a name of 1 to {LONGEST_NAME} bytes without NUL"
            )
        # The name is part of quoted function bodies and of connection options. A % is safe: no
        # statement with parameters contains the name.
        if unfit := set(self.schema) & set("$\\"):
            raise InvalidRequest(
                "audit_log.schema", f"a name must not contain {' or '.join(sorted(unfit))}"
            )
        if self.schema.startswith("pg_"):
            raise InvalidRequest(
                "audit_log.schema", "names that begin with pg_ are reserved by PostgreSQL"
            )
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
