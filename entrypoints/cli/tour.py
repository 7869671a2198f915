"""The steps of the demo: ingest, search, read the past, undo a mistake, verify.

``tour_pages`` draws them.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from importlib.resources import files
from io import BytesIO
from typing import Any

from attrs import frozen

from remembrancer import Memory, NotFound
from remembrancer.entrypoints.cli.conversation_files import open_conversation
from remembrancer.entrypoints.cli.ingestion import Ingested, ingested
from remembrancer.entrypoints.cli.rendering import Advance
from remembrancer.types import Fact, ScopeIds, SearchResult, Undone, Verification, Why

CONVERSATION = "demo.jsonl"
OWNER: ScopeIds = {"user_id": "demo"}
WEDDING = "When is the wedding?"
QUESTIONS = (
    "What is Maya's cat called?",
    "What is Maya allergic to?",
    "When did Jonas run the marathon?",
    "Where does Maya work?",
    WEDDING,
)
HOME = "Where does Maya live?"
THEN = datetime(2024, 3, 1, tzinfo=UTC)
"""A day between the two moves of the conversation."""

MISTAKE = {
    "name": "Jonas",
    "content": "The wedding was cancelled.",
    "timestamp": "2024-09-20T08:15:00+00:00",
}
"""A message of another chat, where another Jonas speaks of another wedding."""

BY_RULES = "run the demo with the rules extractor: REMEMBRANCER_EXTRACTOR=rules"


@frozen(kw_only=True)
class Answer:
    """A question and its search result."""

    query: str
    result: SearchResult

    @property
    def best(self) -> Fact | None:
        """The best fact, if any was found."""
        return self.result[0].fact if len(self.result) else None

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON values."""
        return {"query": self.query, **self.result.to_dict()}


@frozen(kw_only=True)
class Correction:
    """A wrong belief, why it was held, and what became of it.

    ``why`` explains it as of ``held``, the last moment before ``undone`` took it back. ``then`` is
    the answer of that moment, ``now`` the present one.
    """

    why: Why
    undone: Undone
    held: datetime
    now: Answer
    then: Answer

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON values."""
        return {
            "why": self.why.to_dict(),
            "undone": self.undone.to_dict(),
            "now": self.now.to_dict(),
            "as_of": {"time": self.held.isoformat(), **self.then.to_dict()},
        }


@frozen(kw_only=True)
class Tour:
    """All results of the demo.

    ``versions`` are those of the superseded fact about Maya's home and of its successor, in the
    order of the ledger. ``as_of`` is the last moment before the ledger recorded the move.
    """

    read: Ingested
    answers: tuple[Answer, ...]
    versions: tuple[Fact, ...]
    as_of: datetime
    home_now: Answer
    home_valid_at: Answer
    home_as_of: Answer
    correction: Correction
    verification: Verification

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON values."""
        return {
            "ingested": self.read.to_dict(),
            "answers": [answer.to_dict() for answer in self.answers],
            "history": [version.to_dict() for version in self.versions],
            "now": self.home_now.to_dict(),
            "valid_at": {"time": THEN.isoformat(), **self.home_valid_at.to_dict()},
            "as_of": {"time": self.as_of.isoformat(), **self.home_as_of.to_dict()},
            "correction": self.correction.to_dict(),
            "verification": self.verification.to_dict(),
        }


def take_tour(memory: Memory, advance: Advance) -> Tour:
    """Remember the conversation and ask about it. Repeating it on the same database adds nothing.

    Args:
        memory: the memory to add to.
        advance: called with the progress of ingestion.
    """
    shipped = files("remembrancer.entrypoints.cli").joinpath(CONVERSATION).read_bytes()
    conversation = open_conversation(BytesIO(shipped), len(shipped))
    read = ingested(memory, conversation, scope=OWNER, infer=True, advance=advance)
    home_valid_at = Answer(query=HOME, result=memory.search(HOME, **OWNER, valid_at=THEN, limit=1))
    versions = _with_successor(memory, home_valid_at.best)
    # The ledger recorded the conversation just now, whatever its dates are: as_of is taken from
    # the transaction time of the move.
    as_of = versions[-1].updated_at - timedelta(milliseconds=1)
    return Tour(
        read=read,
        answers=tuple(
            Answer(query=query, result=memory.search(query, **OWNER, limit=3))
            for query in QUESTIONS
        ),
        versions=versions,
        as_of=as_of,
        home_now=Answer(query=HOME, result=memory.search(HOME, **OWNER, limit=1)),
        home_valid_at=home_valid_at,
        home_as_of=Answer(query=HOME, result=memory.search(HOME, **OWNER, as_of=as_of, limit=1)),
        correction=_correct_a_mistake(memory),
        verification=memory.verify(),
    )


def _correct_a_mistake(memory: Memory) -> Correction:
    receipt = memory.add([MISTAKE], **OWNER, actor="import", idempotency_key="demo-mistake")
    added = [verdict.fact_id for verdict in receipt.verdicts if verdict.fact_id is not None]
    if not added:
        raise NotFound(f"no fact about a wedding was extracted; {BY_RULES}")
    fact_id = added[0]
    undone = memory.audit.undo(receipt, reason="a message of another chat", actor="support")
    withdrawn = memory.history(fact_id)[1]
    held = withdrawn.updated_at - timedelta(microseconds=1)
    return Correction(
        why=memory.audit.why(fact_id, as_of=held),
        undone=undone,
        held=held,
        now=Answer(query=WEDDING, result=memory.search(WEDDING, **OWNER, limit=1)),
        then=Answer(query=WEDDING, result=memory.search(WEDDING, **OWNER, as_of=held, limit=1)),
    )


def _with_successor(memory: Memory, fact: Fact | None) -> tuple[Fact, ...]:
    if fact is None:
        raise NotFound(f"no fact about a home was extracted; {BY_RULES}")
    versions = memory.history(fact.fact_id)
    successor = versions[-1].superseded_by
    return (*versions, *(memory.history(successor) if successor is not None else ()))
