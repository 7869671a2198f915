"""Vector index on a Weaviate server, and its settings."""

from remembrancer.adapters.vector_index.weaviate.index import WeaviateVectorIndex
from remembrancer.adapters.vector_index.weaviate.settings import (
    Consistency,
    IndexKind,
    Tenancy,
    WeaviateSettings,
)

__all__ = ["Consistency", "IndexKind", "Tenancy", "WeaviateSettings", "WeaviateVectorIndex"]
