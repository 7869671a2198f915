"""Contract suites: what every adapter of a port must do, as pytest classes to inherit from.

Each suite asks its subclass for an adapter and tests it through the port alone::

    class TestMyAuditLog(AuditLogContract):
        def make_log(self, tmp_path):
            return MyAuditLog(...)

Adapters may be written with plain methods or ``async def``; the suites drive either. ``pytest``
and ``hypothesis`` must be installed.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from memledger.testing.audit_log import AuditLogContract
    from memledger.testing.embedder import EmbedderContract
    from memledger.testing.engine import EngineContract
    from memledger.testing.external_graph import ExternalGraphContract
    from memledger.testing.external_index import ExternalIndexContract
    from memledger.testing.fact_store import FactStoreContract
    from memledger.testing.key_vault import KeyVaultContract
    from memledger.testing.knowledge_graph import KnowledgeGraphContract
    from memledger.testing.language_model import LanguageModelContract
    from memledger.testing.projection_state import ProjectionStateContract
    from memledger.testing.reranker import RerankerContract
    from memledger.testing.usage_store import UsageStoreContract
    from memledger.testing.vector_index import VectorIndexContract

__all__ = [
    "AuditLogContract",
    "EmbedderContract",
    "EngineContract",
    "ExternalGraphContract",
    "ExternalIndexContract",
    "FactStoreContract",
    "KeyVaultContract",
    "KnowledgeGraphContract",
    "LanguageModelContract",
    "ProjectionStateContract",
    "RerankerContract",
    "UsageStoreContract",
    "VectorIndexContract",
]

MODULES = {
    "AuditLogContract": "memledger.testing.audit_log",
    "EmbedderContract": "memledger.testing.embedder",
    "EngineContract": "memledger.testing.engine",
    "ExternalGraphContract": "memledger.testing.external_graph",
    "ExternalIndexContract": "memledger.testing.external_index",
    "FactStoreContract": "memledger.testing.fact_store",
    "KeyVaultContract": "memledger.testing.key_vault",
    "KnowledgeGraphContract": "memledger.testing.knowledge_graph",
    "LanguageModelContract": "memledger.testing.language_model",
    "ProjectionStateContract": "memledger.testing.projection_state",
    "RerankerContract": "memledger.testing.reranker",
    "UsageStoreContract": "memledger.testing.usage_store",
    "VectorIndexContract": "memledger.testing.vector_index",
}
"""Where each suite is, by its name."""


def __getattr__(name: str) -> Any:
    if name not in MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Registered before the first import, or a failing contract would not show its values; all of
    # them, for some inherit from others.
    pytest.register_assert_rewrite(*(each for each in MODULES.values() if each not in sys.modules))
    return getattr(import_module(MODULES[name]), name)
