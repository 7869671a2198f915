"""The vector index on Qdrant, a server or the client's own local mode."""

from remembrancer.adapters.vector_index.qdrant.connection import QdrantSettings
from remembrancer.adapters.vector_index.qdrant.index import QdrantVectorIndex

__all__ = ["QdrantSettings", "QdrantVectorIndex"]
