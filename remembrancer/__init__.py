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
    from remembrancer.application.additions import Conversation
    from remembrancer.application.browse import Page
    from remembrancer.application.explore import Exploration
    from remembrancer.application.failure import Failure
    from remembrancer.application.recall import ScoredFact, SearchResult
    from remembrancer.application.receipt import Receipt
    from remembrancer.application.remember_many import Added, Adding
    from remembrancer.application.statistics import Statistics
    from remembrancer.application.verify import Verification
    from remembrancer.domain.fact import Fact
    from remembrancer.domain.graph import Entity, Relation
    from remembrancer.memory import AsyncMemory, Memory
    from remembrancer.pending import AsyncPendingReceipt, PendingReceipt
    from remembrancer.settings import Settings, load_settings

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
    "Added": "remembrancer.application.remember_many",
    "Adding": "remembrancer.application.remember_many",
    "AsyncMemory": "remembrancer.memory",
    "Entity": "remembrancer.domain.graph",
    "Exploration": "remembrancer.application.explore",
    "AsyncPendingReceipt": "remembrancer.pending",
    "Conversation": "remembrancer.application.additions",
    "Fact": "remembrancer.domain.fact",
    "Failure": "remembrancer.application.failure",
    "Memory": "remembrancer.memory",
    "Page": "remembrancer.application.browse",
    "PendingReceipt": "remembrancer.pending",
    "Receipt": "remembrancer.application.receipt",
    "Relation": "remembrancer.domain.graph",
    "ScoredFact": "remembrancer.application.recall",
    "SearchResult": "remembrancer.application.recall",
    "Settings": "remembrancer.settings",
    "Statistics": "remembrancer.application.statistics",
    "Verification": "remembrancer.application.verify",
    "load_settings": "remembrancer.settings",
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
