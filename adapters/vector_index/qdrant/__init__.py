"""Vector index on Qdrant: a server, or the client's local mode."""

from remembrancer.adapters.vector_index.qdrant.connection import QdrantSettings
from remembrancer.adapters.vector_index.qdrant.index import QdrantVectorIndex

__all__ = ["QdrantSettings", "QdrantVectorIndex"]
