"""Where the Neo4j server is, and how long one waits for it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from attrs import Attribute, field, frozen
from attrs.validators import ge, gt

SCHEMES = ("neo4j", "neo4j+s", "neo4j+ssc", "bolt", "bolt+s", "bolt+ssc")


def _check_uri(_settings: object, _field: Attribute[str], uri: str) -> None:
    parts = urlsplit(uri)
    if parts.scheme not in SCHEMES or not parts.hostname:
        raise ValueError(
            f"expected {', '.join(SCHEMES[:-1])} or {SCHEMES[-1]}://host:port, got {uri!r}"
        )


@frozen(kw_only=True)
class Neo4jSettings:
    """Which server and database, as whom, and for how long.

    Args:
        uri: ``neo4j://`` lets a cluster say which member to ask, ``bolt://`` asks this server.
            ``+s`` encrypts and checks the server's certificate, ``+ssc`` encrypts and trusts
            whatever certificate it shows.
        user: empty for a server that asks for nobody.
        password: of the user.
        database: empty for the user's own default. It holds the graph of one log: what is there
            under labels that begin with ``Remembrancer`` is dropped by ``clear``.
        certificates: a file of the certificate authorities to trust with ``+s``, in PEM form;
            empty for those that the system trusts.
        connections: at most so many are open at a time, to one member.
        connect_timeout: seconds for a connection to be made.
        retry_for: seconds for which a transaction is tried again that met a deadlock, a change of
            leader, or no server.
        timeout: seconds for a call as a whole, all tries included.

    Raises:
        ValueError: a URI without a host or with another scheme, certificates that are no file or
            have nothing to certify, a number out of range.
    """

    uri: str = field(default="neo4j://localhost:7687", validator=_check_uri)
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
            raise ValueError(f"certificates are checked with neo4j+s or bolt+s, not {self.uri!r}")
        if not Path(self.certificates).is_file():
            raise ValueError(f"certificates: {self.certificates!r} is no file")
