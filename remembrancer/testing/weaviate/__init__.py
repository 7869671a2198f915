"""A stand-in for a Weaviate server, for tests. It needs ``remembrancer[weaviate]``."""

from remembrancer.testing.weaviate.server import WeaviateServer

__all__ = ["WeaviateServer"]
