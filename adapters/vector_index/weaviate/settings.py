"""Where the Weaviate server is, and how the index is laid out on it."""

from __future__ import annotations

from enum import StrEnum

from attrs import field, frozen
from attrs.validators import ge, gt, in_, matches_re


class Tenancy(StrEnum):
    """How ledgers are spread over the tenants of the collection."""

    BUCKET = "bucket"
    LEDGER = "ledger"
    NONE = "none"


class IndexKind(StrEnum):
    """What vectors are searched with."""

    HNSW = "hnsw"
    FLAT = "flat"


class Consistency(StrEnum):
    """How many replicas have to answer."""

    ONE = "ONE"
    QUORUM = "QUORUM"
    ALL = "ALL"


def _check_headers(_: object, __: object, headers: tuple[str, ...]) -> None:
    for header in headers:
        name, colon, value = header.partition(":")
        if not (name.strip() and colon and value.strip()):
            # The value may be a secret.
            raise ValueError("headers: expected each as 'Name: value'")


@frozen(kw_only=True)
class WeaviateSettings:
    """A server and a collection on it.

    Args:
        host: of the REST interface.
        port: of the REST interface.
        tls: whether REST is encrypted.
        grpc_host: empty for ``host``.
        grpc_port: of the gRPC interface.
        grpc_tls: whether gRPC is encrypted.
        api_key: empty for anonymous access.
        headers: sent with every call, each as ``Name: value``.
        timeout: seconds that a search or a check may take, retries included.
        write_timeout: seconds that a batch may take, retries included.
        startup_wait: seconds that the first call waits for a server that is not ready; after
            that a call fails at once.
        collection: the name of the collection; a second one, ``<collection>Directory``, goes
            with it.
        tenancy: ``bucket`` spreads ledgers over ``buckets`` tenants by a hash, ``ledger`` gives
            each a tenant of its own, ``none`` keeps all in one.
        buckets: tenants for ``bucket``.
        replication: copies of every shard.
        consistency: of reads and writes, where there is more than one copy.
        index: ``hnsw`` keeps a graph in memory, ``flat`` compares with every vector, from disk.
        exact_up_to: documents after filtering up to which ``hnsw`` compares with each of them.
        batch: documents per request.

    Raises:
        ValueError: a number out of range, or a name or header that is none.
    """

    host: str = "127.0.0.1"
    port: int = field(default=8080, validator=in_(range(1, 65536)))
    tls: bool = False
    grpc_host: str = ""
    grpc_port: int = field(default=50051, validator=in_(range(1, 65536)))
    grpc_tls: bool = False
    api_key: str = field(default="", repr=False)
    headers: tuple[str, ...] = field(default=(), repr=False, validator=_check_headers)
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

    def named_headers(self) -> dict[str, str]:
        """The headers by name."""
        pairs = (header.partition(":") for header in self.headers)
        return {name.strip(): value.strip() for name, _, value in pairs}
