"""Contract tests of the hashing embedder."""

from __future__ import annotations

from remembrancer.adapters.models.hashing import HashingEmbedder
from remembrancer.testing.embedder import EmbedderContract


class TestHashingEmbedder(EmbedderContract):
    def make_embedder(self) -> HashingEmbedder:
        return HashingEmbedder()
