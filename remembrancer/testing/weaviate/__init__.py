"""A Weaviate server for tests, on the loopback interface. It needs ``remembrancer[weaviate]``."""

from remembrancer.testing.weaviate.server import WeaviateServer

__all__ = ["WeaviateServer"]
