"""Settings of the Neo4j knowledge graph."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from attrs import field, frozen
from attrs.validators import ge, gt, min_len

from remembrancer.adapters.server_address import server_url

SCHEMES = ("neo4j", "neo4j+s", "neo4j+ssc", "bolt", "bolt+s", "bolt+ssc")

_URI = server_url(
    *SCHEMES, credentials="knowledge_graph.user and knowledge_graph.password", query=True
)


@frozen(kw_only=True)
class Neo4jSettings:
    """Server, credentials, connection pool and timeouts.

    Args:
        uri: ``neo4j://`` routes to the members of a cluster, ``bolt://`` uses this server only.
            ``+s`` encrypts and verifies the server's certificate, ``+ssc`` encrypts and accepts
            any certificate.
        user: user name; empty for a server without authentication.
        password: password of the user.
        database: name of the database; empty for the user's default. One database holds the graph
            of one log: ``clear`` deletes all nodes whose labels begin with ``Remembrancer``.
        certificates: PEM file of the certificate authorities to trust with ``+s``; empty for the
            system's.
        connections: maximum open connections per server.
        connect_timeout: timeout for opening a connection, in seconds.
        retry_for: seconds in which a transaction is retried after a deadlock, a change of leader,
            or a lost connection.
        timeout: timeout of one call in seconds, retries included.

    Raises:
        ValueError: a URI without a host, with an unknown scheme, or with a user name or password;
            certificates that are not a file or that the scheme does not use; a number out of
            range.
    """

    uri: str = field(default="neo4j://localhost:7687", validator=[min_len(1), _URI])
    user: str = "neo4j"
    password: str = field(default="", repr=False)
    database: str = ""
    certificates: str = ""
    connections: int = field(default=50, validator=ge(1))
    connect_timeout: float = field(default=5.0, validator=gt(0))
    retry_for: float = field(default=5.0, validator=ge(0))
    timeout: float = field(default=30.0, validator=gt(0))

    def __attrs_post_init__(self) -> None:
        if not self.certificates:
            return
        if not urlsplit(self.uri).scheme.endswith("+s"):
            raise ValueError(
                f"certificates: only neo4j+s and bolt+s check them, uri is {self.uri!r}"
            )
        if not Path(self.certificates).is_file():
            raise ValueError(f"certificates: {self.certificates!r} is not a file")
