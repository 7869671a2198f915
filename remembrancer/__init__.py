"""Memory for LLM agents that is a ledger.

What is exported here is the public API, with ``remembrancer.types``, ``remembrancer.doctor`` and
``remembrancer.testing``; everything else may change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from remembrancer.domain.errors import (
    AdapterUnavailable,
    Conflict,
    Erased,
    IntegrityError,
    InvalidRequest,
    ModelError,
    NotFound,
    NothingToRemember,
    RemembrancerError,
    SettingsError,
    StillPending,
    WrongContext,
)
from remembrancer.lazy import attribute_of
from remembrancer.version import __version__

if TYPE_CHECKING:
    from remembrancer.memory import AsyncMemory, Memory
    from remembrancer.types import (
        Adapter,
        Added,
        Adding,
        AsyncPendingReceipt,
        Context,
        Conversation,
        Entity,
        Exploration,
        Fact,
        Failure,
        Page,
        PendingReceipt,
        Profile,
        Receipt,
        Relation,
        Scope,
        ScoredFact,
        SearchResult,
        Settings,
        Statistics,
        Store,
        StoreNeeds,
        Survey,
        Verification,
    )
    from remembrancer.wiring.settings import load_settings

__all__ = [
    "Adapter",
    "AdapterUnavailable",
    "Added",
    "Adding",
    "AsyncMemory",
    "AsyncPendingReceipt",
    "Conflict",
    "Context",
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
    "NothingToRemember",
    "Page",
    "PendingReceipt",
    "Profile",
    "Receipt",
    "Relation",
    "RemembrancerError",
    "Scope",
    "ScoredFact",
    "SearchResult",
    "Settings",
    "SettingsError",
    "Statistics",
    "StillPending",
    "Store",
    "StoreNeeds",
    "Survey",
    "Verification",
    "WrongContext",
    "__version__",
    "load_settings",
]

_MODULES = {
    "memory": ("AsyncMemory", "Memory"),
    "types": (
        "Adapter",
        "Added",
        "Adding",
        "AsyncPendingReceipt",
        "Context",
        "Conversation",
        "Entity",
        "Exploration",
        "Fact",
        "Failure",
        "Page",
        "PendingReceipt",
        "Profile",
        "Receipt",
        "Relation",
        "Scope",
        "ScoredFact",
        "SearchResult",
        "Settings",
        "Statistics",
        "Store",
        "StoreNeeds",
        "Survey",
        "Verification",
    ),
    "wiring.settings": ("load_settings",),
}


def __getattr__(name: str) -> Any:
    return attribute_of(__name__, _MODULES, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
