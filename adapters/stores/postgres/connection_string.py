"""Check libpq connection strings. libpq's own errors quote what it can't read, which may be a part
of the password: neither these errors nor the string are shown.
"""

from __future__ import annotations

import psycopg
from psycopg import conninfo

from remembrancer.domain.errors import InvalidRequest


def parsed_dsn(dsn: str, path: str) -> dict[str, str]:
    """The parameters in a connection string, by name.

    Args:
        dsn: a libpq connection string or URI.
        path: the setting, for errors.

    Raises:
        InvalidRequest: it can't be parsed, or a part of a password would be taken for a host, a
            port or a database.
    """
    try:
        parameters = conninfo.conninfo_to_dict(dsn)
    except (psycopg.Error, UnicodeError):
        parameters = None
    if parameters is None:
        raise InvalidRequest(
            path,
            "is not a libpq connection string or URI; quote values with spaces ('…'), and "
            "percent-encode special characters in a URI",
        )
    found = {name: str(value) for name, value in parameters.items()}
    scheme, is_uri, rest = dsn.partition("://")
    place = rest.partition("?")[0] if is_uri and scheme in ("postgresql", "postgres") else ""
    ports = [port for port in found.get("port", "").split(",") if port]
    if "@" in place.partition("@")[2].partition("?")[0] or "@" in place.partition("/")[2]:
        raise InvalidRequest(
            path, "has an @ behind the one before the host; write @ as %40, and / as %2F"
        )
    if not all(port.strip().isascii() and port.strip().isdigit() for port in ports):
        raise InvalidRequest(
            path, "the port is not a number; write postgresql://user:password@host:port/database"
        )
    return found
