"""Memory for LLM agents that is a ledger.

What is exported here is the public API; everything else may change.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from remembrancer.domain.errors import (
    AdapterUnavailable,
    Conflict,
    Erased,
    IntegrityError,
    InvalidRequest,
    ModelError,
    NotFound,
    RemembrancerError,
    StillPending,
)

if TYPE_CHECKING:
    from remembrancer.application.audit.statistics import Statistics
    from remembrancer.application.audit.verify import Verification
    from remembrancer.application.parsing.conversations import Conversation
    from remembrancer.application.recall.browse import Page
    from remembrancer.application.recall.explore import Exploration
    from remembrancer.application.recall.recall import ScoredFact, SearchResult
    from remembrancer.application.remember.failure import Failure
    from remembrancer.application.remember.receipt import Receipt
    from remembrancer.application.remember.remember_many import Added, Adding
    from remembrancer.domain.facts.fact import Fact
    from remembrancer.domain.graph.graph import Entity, Relation
    from remembrancer.memory import AsyncMemory, Memory
    from remembrancer.runtime.pending import AsyncPendingReceipt, PendingReceipt
    from remembrancer.wiring.settings import Settings, load_settings

__version__ = "0.1.0"

__all__ = [
    "AdapterUnavailable",
    "Added",
    "Adding",
    "AsyncMemory",
    "AsyncPendingReceipt",
    "Conflict",
    "Conversation",
    "Entity",
    "Erased",
    "Exploration",
    "Fact",
    "Failure",
    "IntegrityError",
    "InvalidRequest",
    "Memory",
    "ModelError",
    "NotFound",
    "Page",
    "PendingReceipt",
    "Receipt",
    "Relation",
    "RemembrancerError",
    "ScoredFact",
    "SearchResult",
    "Settings",
    "Statistics",
    "StillPending",
    "Verification",
    "load_settings",
]

_LAZY = {
    "Added": "remembrancer.application.remember.remember_many",
    "Adding": "remembrancer.application.remember.remember_many",
    "AsyncMemory": "remembrancer.memory",
    "Entity": "remembrancer.domain.graph.graph",
    "Exploration": "remembrancer.application.recall.explore",
    "AsyncPendingReceipt": "remembrancer.runtime.pending",
    "Conversation": "remembrancer.application.parsing.conversations",
    "Fact": "remembrancer.domain.facts.fact",
    "Failure": "remembrancer.application.remember.failure",
    "Memory": "remembrancer.memory",
    "Page": "remembrancer.application.recall.browse",
    "PendingReceipt": "remembrancer.runtime.pending",
    "Receipt": "remembrancer.application.remember.receipt",
    "Relation": "remembrancer.domain.graph.graph",
    "ScoredFact": "remembrancer.application.recall.recall",
    "SearchResult": "remembrancer.application.recall.recall",
    "Settings": "remembrancer.wiring.settings",
    "Statistics": "remembrancer.application.audit.statistics",
    "Verification": "remembrancer.application.audit.verify",
    "load_settings": "remembrancer.wiring.settings",
}


def __getattr__(name: str) -> Any:
    # Loaded on first use, so that importing the package costs its host almost nothing.
    if name not in _LAZY:
        raise AttributeError(f"module 'remembrancer' has no attribute {name!r}")
    value = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
