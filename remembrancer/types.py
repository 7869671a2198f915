"""Types of arguments and results of a memory, for annotations and for code that inspects them.

Each is imported on first use. ``normalised`` returns the form in which names are compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from remembrancer.lazy import attribute_of

if TYPE_CHECKING:
    from remembrancer.application.audit.diff import Difference, Moment
    from remembrancer.application.audit.health_report import Finding, HealthReport, Problem
    from remembrancer.application.audit.statistics import Statistics
    from remembrancer.application.audit.timeline import Timeline, TimelineEvent, TimelineFact
    from remembrancer.application.audit.undo import Undone
    from remembrancer.application.context.compose import Context
    from remembrancer.application.parsing.conversations import AddOptions, Conversation
    from remembrancer.application.profile.profile import Attribute, Profile, Theme
    from remembrancer.application.projections.dead_letters import Revived
    from remembrancer.application.projections.lag import Lag
    from remembrancer.application.projections.projector import Counts
    from remembrancer.application.projections.worker import Report
    from remembrancer.application.recall.browse import Page
    from remembrancer.application.recall.explore import Exploration
    from remembrancer.application.recall.recall import ScoredFact, SearchResult
    from remembrancer.application.remember.failure import Failure
    from remembrancer.application.remember.receipt import Receipt
    from remembrancer.application.remember.remember_many import Added, Adding
    from remembrancer.application.remember.retry import Retried
    from remembrancer.audit import AsyncAudit, Audit
    from remembrancer.domain.audit.differences import Cause, ChangeKind, FactDifference
    from remembrancer.domain.audit.dismissal import Dismissal
    from remembrancer.domain.audit.faults import Fault, FaultKind, Unchecked, Verification
    from remembrancer.domain.audit.provenance import Inference, Quote, Why, WhyStep
    from remembrancer.domain.conversation import Message, Role
    from remembrancer.domain.facts.fact import (
        Evidence,
        Fact,
        FactId,
        FactKind,
        FactStatus,
        Interval,
        ListedStatus,
        Statement,
    )
    from remembrancer.domain.facts.verdicts import Decision, Skipped, Verdict
    from remembrancer.domain.graph.graph import Entity, Link, LinkKey, Mention, Relation
    from remembrancer.domain.graph.walk import Path, Reached, Step
    from remembrancer.domain.guidance import Guidance
    from remembrancer.domain.ports.projection_state import DeadLetter
    from remembrancer.domain.ports.store import Store, StoreNeeds, Survey
    from remembrancer.domain.scope import LedgerId, Scope, ScopeIds
    from remembrancer.domain.text import normalised
    from remembrancer.domain.usage import Usage, UsageTotal
    from remembrancer.runtime.pending import AsyncPendingReceipt, PendingReceipt
    from remembrancer.wiring.registry import Adapter
    from remembrancer.wiring.settings import Settings

__all__ = [
    "Adapter",
    "AddOptions",
    "Added",
    "Adding",
    "AsyncAudit",
    "AsyncPendingReceipt",
    "Attribute",
    "Audit",
    "Cause",
    "ChangeKind",
    "Context",
    "Conversation",
    "Counts",
    "DeadLetter",
    "Decision",
    "Difference",
    "Dismissal",
    "Entity",
    "Evidence",
    "Exploration",
    "Fact",
    "FactDifference",
    "FactId",
    "FactKind",
    "FactStatus",
    "Failure",
    "Fault",
    "FaultKind",
    "Finding",
    "Guidance",
    "HealthReport",
    "Inference",
    "Interval",
    "Lag",
    "LedgerId",
    "Link",
    "LinkKey",
    "ListedStatus",
    "Mention",
    "Message",
    "Moment",
    "Page",
    "Path",
    "PendingReceipt",
    "Problem",
    "Profile",
    "Quote",
    "Reached",
    "Receipt",
    "Relation",
    "Report",
    "Retried",
    "Revived",
    "Role",
    "Scope",
    "ScopeIds",
    "ScoredFact",
    "SearchResult",
    "Settings",
    "Skipped",
    "Statement",
    "Statistics",
    "Step",
    "Store",
    "StoreNeeds",
    "Survey",
    "Theme",
    "Timeline",
    "TimelineEvent",
    "TimelineFact",
    "Unchecked",
    "Undone",
    "Usage",
    "UsageTotal",
    "Verdict",
    "Verification",
    "Why",
    "WhyStep",
    "normalised",
]

_MODULES = {
    "application.audit.health_report": (
        "Finding",
        "HealthReport",
        "Problem",
    ),
    "application.audit.statistics": ("Statistics",),
    "application.context.compose": ("Context",),
    "application.audit.undo": ("Undone",),
    "application.parsing.conversations": (
        "AddOptions",
        "Conversation",
    ),
    "application.profile.profile": (
        "Attribute",
        "Profile",
        "Theme",
    ),
    "application.projections.dead_letters": ("Revived",),
    "application.projections.lag": ("Lag",),
    "application.projections.projector": ("Counts",),
    "application.projections.worker": ("Report",),
    "application.recall.browse": ("Page",),
    "application.recall.explore": ("Exploration",),
    "application.recall.recall": (
        "ScoredFact",
        "SearchResult",
    ),
    "application.remember.failure": ("Failure",),
    "application.remember.receipt": ("Receipt",),
    "application.remember.remember_many": (
        "Added",
        "Adding",
    ),
    "application.remember.retry": ("Retried",),
    "audit": (
        "AsyncAudit",
        "Audit",
    ),
    "application.audit.diff": ("Difference", "Moment"),
    "application.audit.timeline": ("Timeline", "TimelineEvent", "TimelineFact"),
    "domain.audit.differences": ("Cause", "ChangeKind", "FactDifference"),
    "domain.audit.dismissal": ("Dismissal",),
    "domain.audit.faults": (
        "Fault",
        "FaultKind",
        "Unchecked",
        "Verification",
    ),
    "domain.audit.provenance": ("Inference", "Quote", "Why", "WhyStep"),
    "domain.conversation": (
        "Message",
        "Role",
    ),
    "domain.facts.fact": (
        "Evidence",
        "Fact",
        "FactId",
        "FactKind",
        "FactStatus",
        "Interval",
        "ListedStatus",
        "Statement",
    ),
    "domain.facts.verdicts": (
        "Decision",
        "Skipped",
        "Verdict",
    ),
    "domain.graph.graph": (
        "Entity",
        "Link",
        "LinkKey",
        "Mention",
        "Relation",
    ),
    "domain.graph.walk": (
        "Path",
        "Reached",
        "Step",
    ),
    "domain.guidance": ("Guidance",),
    "domain.ports.projection_state": ("DeadLetter",),
    "domain.ports.store": (
        "Store",
        "StoreNeeds",
        "Survey",
    ),
    "domain.scope": (
        "LedgerId",
        "Scope",
        "ScopeIds",
    ),
    "domain.text": ("normalised",),
    "domain.usage": (
        "Usage",
        "UsageTotal",
    ),
    "runtime.pending": (
        "AsyncPendingReceipt",
        "PendingReceipt",
    ),
    "wiring.registry": ("Adapter",),
    "wiring.settings": ("Settings",),
}


def __getattr__(name: str) -> Any:
    return attribute_of(__name__, _MODULES, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
