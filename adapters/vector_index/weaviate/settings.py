"""Settings of the Weaviate index."""

from __future__ import annotations

from enum import StrEnum

from attrs import field, frozen
from attrs.validators import ge, gt, in_, matches_re

from remembrancer.adapters.server_address import host_name, is_loopback


class Tenancy(StrEnum):
    """How ledgers are distributed over the tenants of the collection."""

    BUCKET = "bucket"
    LEDGER = "ledger"
    NONE = "none"


class IndexKind(StrEnum):
    """The vector index type of the server."""

    HNSW = "hnsw"
    FLAT = "flat"


class Consistency(StrEnum):
    """Consistency level: how many replicas must answer."""

    ONE = "ONE"
    QUORUM = "QUORUM"
    ALL = "ALL"


def _check_headers(_: object, __: object, headers: tuple[str, ...]) -> None:
    for header in headers:
        name, colon, value = header.partition(":")
        if not (name.strip() and colon and value.strip()):
            # Do not show the value: it may be a secret.
            raise ValueError("headers: expected each as 'Name: value'")


@frozen(kw_only=True)
class WeaviateSettings:
    """Server, collection and timeouts.

    Args:
        host: host of the REST interface.
        port: port of the REST interface.
        tls: whether REST uses TLS.
        grpc_host: host of the gRPC interface; empty for ``host``.
        grpc_port: port of the gRPC interface.
        grpc_tls: whether gRPC uses TLS.
        api_key: empty for anonymous access.
        headers: sent with every call, each as ``Name: value``.
        plain_secrets: allow ``api_key`` and ``headers`` without TLS to other machines.
        timeout: timeout of a search or a check in seconds, retries included.
        write_timeout: timeout of a batch in seconds, retries included.
        startup_wait: seconds that the first call waits for a server that is not ready; later calls
            do not wait.
        collection: name of the collection; a second one is named ``<collection>Directory``.
        tenancy: ``bucket`` distributes ledgers over ``buckets`` tenants by hash, ``ledger`` creates
            one tenant per ledger, ``none`` uses no tenants.
        buckets: number of tenants for ``bucket``.
        replication: replication factor.
        consistency: consistency level of reads and writes.
        index: ``hnsw`` searches a graph in memory, ``flat`` compares with every vector on disk.
        exact_up_to: with ``hnsw``, searches with up to this many documents after filtering are
            exact.
        batch: documents per request.

    Raises:
        ValueError: a number out of range, an invalid host, name or header, or secrets without TLS.
    """

    host: str = field(default="127.0.0.1", validator=host_name)
    port: int = field(default=8080, validator=in_(range(1, 65536)))
    tls: bool = False
    grpc_host: str = field(default="", validator=host_name)
    grpc_port: int = field(default=50051, validator=in_(range(1, 65536)))
    grpc_tls: bool = False
    api_key: str = field(default="", repr=False)
    headers: tuple[str, ...] = field(default=(), repr=False, validator=_check_headers)
    plain_secrets: bool = False
    timeout: float = field(default=10.0, validator=gt(0))
    write_timeout: float = field(default=60.0, validator=gt(0))
    startup_wait: float = field(default=30.0, validator=ge(0))
    collection: str = field(default="Remembrancer", validator=matches_re("[A-Z][A-Za-z0-9]{0,199}"))
    tenancy: Tenancy = Tenancy.BUCKET
    buckets: int = field(default=16, validator=in_(range(1, 10_001)))
    replication: int = field(default=1, validator=ge(1))
    consistency: Consistency = Consistency.QUORUM
    index: IndexKind = IndexKind.HNSW
    exact_up_to: int = field(default=40_000, validator=ge(0))
    batch: int = field(default=200, validator=in_(range(1, 10_001)))

    def __attrs_post_init__(self) -> None:
        if self.plain_secrets or not (self.api_key or self.headers):
            return
        grpc_host = self.grpc_host or self.host
        ways = (("tls", self.tls, self.host), ("grpc_tls", self.grpc_tls, grpc_host))
        for name, encrypted, host in ways:
            if not encrypted and not is_loopback(host):
                raise ValueError(
                    f"{name}: api_key and headers would be sent to {host} unencrypted; set {name} "
                    "to true, or plain_secrets to true if the network is trusted"
                )

    def named_headers(self) -> dict[str, str]:
        """Return the headers by name."""
        pairs = (header.partition(":") for header in self.headers)
        return {name.strip(): value.strip() for name, _, value in pairs}
