"""A Weaviate server for tests, on the loopback interface. It needs ``memledger[weaviate]``."""

from memledger.testing.weaviate.server import WeaviateServer

__all__ = ["WeaviateServer"]
