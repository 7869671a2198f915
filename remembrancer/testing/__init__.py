"""Contract suites: pytest classes that test an adapter through its port.

Inherit from a suite and return the adapter under test::

    class TestMyAuditLog(AuditLogContract):
        def make_log(self, tmp_path):
            return MyAuditLog(...)

Adapter methods may be plain or ``async def``. ``pytest`` and ``hypothesis`` must be installed.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from remembrancer.testing.audit_log import AuditLogContract
    from remembrancer.testing.bitemporal import BitemporalContract
    from remembrancer.testing.embedder import EmbedderContract
    from remembrancer.testing.engine import EngineContract
    from remembrancer.testing.external_graph import ExternalGraphContract
    from remembrancer.testing.external_index import ExternalIndexContract
    from remembrancer.testing.fact_store import FactStoreContract
    from remembrancer.testing.key_vault import KeyVaultContract
    from remembrancer.testing.knowledge_graph import KnowledgeGraphContract
    from remembrancer.testing.language_model import LanguageModelContract
    from remembrancer.testing.projection_state import ProjectionStateContract
    from remembrancer.testing.reranker import RerankerContract
    from remembrancer.testing.usage_store import UsageStoreContract
    from remembrancer.testing.vector_index import VectorIndexContract

__all__ = [
    "AuditLogContract",
    "BitemporalContract",
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
    "AuditLogContract": "remembrancer.testing.audit_log",
    "BitemporalContract": "remembrancer.testing.bitemporal",
    "EmbedderContract": "remembrancer.testing.embedder",
    "EngineContract": "remembrancer.testing.engine",
    "ExternalGraphContract": "remembrancer.testing.external_graph",
    "ExternalIndexContract": "remembrancer.testing.external_index",
    "FactStoreContract": "remembrancer.testing.fact_store",
    "KeyVaultContract": "remembrancer.testing.key_vault",
    "KnowledgeGraphContract": "remembrancer.testing.knowledge_graph",
    "LanguageModelContract": "remembrancer.testing.language_model",
    "ProjectionStateContract": "remembrancer.testing.projection_state",
    "RerankerContract": "remembrancer.testing.reranker",
    "UsageStoreContract": "remembrancer.testing.usage_store",
    "VectorIndexContract": "remembrancer.testing.vector_index",
}
"""The module of each suite, by class name."""


def __getattr__(name: str) -> Any:
    if name not in MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Register before the first import, or a failing assert shows no values. Register all modules,
    # because suites inherit from each other.
    pytest.register_assert_rewrite(*(each for each in MODULES.values() if each not in sys.modules))
    return getattr(import_module(MODULES[name]), name)
