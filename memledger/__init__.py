"""Memory for LLM agents that is a ledger.

What is exported here is the public API; everything else may change.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from memledger.domain.errors import (
    AdapterUnavailable,
    Conflict,
    Erased,
    IntegrityError,
    InvalidRequest,
    MemledgerError,
    ModelError,
    NotFound,
    StillPending,
)

if TYPE_CHECKING:
    from memledger.application.additions import Conversation
    from memledger.application.browse import Page
    from memledger.application.explore import Exploration
    from memledger.application.failure import Failure
    from memledger.application.recall import ScoredFact, SearchResult
    from memledger.application.receipt import Receipt
    from memledger.application.remember_many import Added, Adding
    from memledger.application.statistics import Statistics
    from memledger.application.verify import Verification
    from memledger.domain.fact import Fact
    from memledger.domain.graph import Entity, Relation
    from memledger.memory import AsyncMemory, Memory
    from memledger.pending import AsyncPendingReceipt, PendingReceipt
    from memledger.settings import Settings, load_settings

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
    "MemledgerError",
    "Memory",
    "ModelError",
    "NotFound",
    "Page",
    "PendingReceipt",
    "Receipt",
    "Relation",
    "ScoredFact",
    "SearchResult",
    "Settings",
    "Statistics",
    "StillPending",
    "Verification",
    "load_settings",
]

_LAZY = {
    "Added": "memledger.application.remember_many",
    "Adding": "memledger.application.remember_many",
    "AsyncMemory": "memledger.memory",
    "Entity": "memledger.domain.graph",
    "Exploration": "memledger.application.explore",
    "AsyncPendingReceipt": "memledger.pending",
    "Conversation": "memledger.application.additions",
    "Fact": "memledger.domain.fact",
    "Failure": "memledger.application.failure",
    "Memory": "memledger.memory",
    "Page": "memledger.application.browse",
    "PendingReceipt": "memledger.pending",
    "Receipt": "memledger.application.receipt",
    "Relation": "memledger.domain.graph",
    "ScoredFact": "memledger.application.recall",
    "SearchResult": "memledger.application.recall",
    "Settings": "memledger.settings",
    "Statistics": "memledger.application.statistics",
    "Verification": "memledger.application.verify",
    "load_settings": "memledger.settings",
}


def __getattr__(name: str) -> Any:
    # Loaded on first use, so that importing the package costs its host almost nothing.
    if name not in _LAZY:
        raise AttributeError(f"module 'memledger' has no attribute {name!r}")
    value = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
