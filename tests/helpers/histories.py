"""Random histories of writers with lost races, outages, unusable answers and retries, in a memory
whose surroundings are in the hands of the test.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import msgspec
from attrs import define, field, frozen
from hypothesis import strategies as st

from remembrancer.adapters.models.hashing import HashingEmbedder
from remembrancer.adapters.stores.memory.store import build
from remembrancer.adapters.stores.shared.codec import EventCodec
from remembrancer.application.audit.port_inspection import PortInspection
from remembrancer.application.audit.verify import Verify
from remembrancer.application.background_loop import BackgroundLoop
from remembrancer.application.embedding import Embedding
from remembrancer.application.extraction.model.extractor import ModelExtractor
from remembrancer.application.inline import run_inline
from remembrancer.application.parsing.request import RememberRequest, Turn
from remembrancer.application.projections.embedding_backfill import EmbeddingBackfill
from remembrancer.application.projections.readiness import Readiness
from remembrancer.application.reconciliation.model import ModelReconciler
from remembrancer.application.remember.neighbours import FindNeighbours
from remembrancer.application.remember.optimistic_append import OptimisticAppender
from remembrancer.application.remember.pipeline import Pipeline
from remembrancer.application.remember.remember import Remember
from remembrancer.application.remember.settle import Settle
from remembrancer.domain.conversation import Role
from remembrancer.domain.errors import AdapterUnavailable, Conflict, ModelError
from remembrancer.domain.ports.language_model import Completion, Prompt
from remembrancer.domain.ports.read_models import catches_up
from remembrancer.domain.ports.store import Store, StoreNeeds
from remembrancer.domain.recorded import Recorded
from remembrancer.domain.scope import Scope
from remembrancer.runtime.sync_bridge import lift_inline
from tests.helpers.clock import VirtualClock
from tests.helpers.counting_ids import CountingIds

SCOPE = Scope(user_id="ann")
LEDGER = SCOPE.ledger
SENTENCES = (
    "I live in Oslo.",
    "I live in Rome now.",
    "I moved to Berlin.",
    "I like jazz.",
    "I like jazz and tea.",
    "My dog is called Rex.",
)
DOWN = AdapterUnavailable("test", "is down")
_SHOWN = re.compile(r'<message-\w+ n="(\d+)"[^>]*>\n(.*?)\n</message', re.DOTALL)
_NUMBERED = re.compile(r'<fact-\w+ n="(\d+)"')


@define
class Embedder:
    """The hashing embedder, with a switch."""

    down: bool = False
    _inner: HashingEmbedder = field(factory=HashingEmbedder)
    model: str = "hashing"
    dimension: int = HashingEmbedder().dimension
    local: bool = False

    async def embed(self, texts: Sequence[str], purpose: Any) -> Any:
        if self.down:
            raise DOWN
        return self._inner.embed(texts, purpose)


@frozen(kw_only=True)
class World:
    """A memory whose surroundings are in the hands of the test."""

    remember: Remember
    verify: Verify
    log: Any
    facts: Any
    clock: VirtualClock
    embedder: Embedder

    def events(self, after: int = 0) -> list[Recorded]:
        """All events after a position."""
        return list(run_inline(self.log.read(after, 100_000)))


def world(
    model: Any,
    first_id: int,
    neighbours: Any = None,
    make_store: Callable[[StoreNeeds], Store] = lambda needs: build(None, needs),
) -> World:
    """A memory.

    Args:
        model: the language model.
        first_id: the first of its ids.
        neighbours: makes what finds the neighbours of candidates from the facts; by default the
            use-case does.
        make_store: makes its store.
    """
    ticking, ids, embedder = VirtualClock(), CountingIds(first_id), Embedder()
    # No adapter of these stores suspends, so the loop is never started.
    lift: Any = lift_inline(BackgroundLoop("histories"))
    clock = lift(ticking)
    cache: list[Embedding] = []
    needs = StoreNeeds(
        codec=EventCodec(),
        model=embedder.model,
        dimension=embedder.dimension,
        embed=lambda texts: cache[0].recent(texts),
        blocking=True,
    )
    store = make_store(needs)
    read_models = lift(store.read_models)
    if catches_up(store.read_models):
        run_inline(read_models.catch_up(store.audit_log))
    log, facts, index = lift(store.audit_log), lift(store.fact_store), lift(store.vector_index)
    embedding = Embedding(embedder, index)
    cache.append(embedding)
    extractor, reconciler = ModelExtractor(model), ModelReconciler(model)
    appender = OptimisticAppender(log=log, clock=clock, ids=ids, patience=10.0)
    settle = Settle(
        log=log,
        appender=appender,
        facts=facts,
        find_neighbours=neighbours(facts)
        if neighbours
        else FindNeighbours(facts=facts, index=index, embedding=embedding),
        links=lift(store.knowledge_graph),
        embedding=embedding,
        embedding_backfill=EmbeddingBackfill(
            read_models=read_models,
            embedding=embedding,
            readiness=Readiness(),
        ),
        pipeline=Pipeline(
            extractor=extractor,
            reconciler=reconciler,
            embedder=embedder,
            facts=facts,
        ),
        clock=clock,
    )
    remember = Remember(
        log=log,
        appender=appender,
        settle=settle,
        extractor=extractor,
        reconciler=reconciler,
        clock=clock,
        ids=ids,
    )
    verify = Verify(
        log=log,
        inspection=lift(store.inspection)
        if store.inspection is not None
        else PortInspection(log=log, facts=facts, links=lift(store.knowledge_graph), index=index),
        clock=clock,
    )
    return World(
        remember=remember,
        verify=verify,
        log=log,
        facts=facts,
        clock=ticking,
        embedder=embedder,
    )


# Recording


@define
class Whim:
    """A model that answers, fails or lets another writer pass, as the example says."""

    moods: deque[str]
    other_writer: Callable[[], None] = lambda: None
    model: str = "whim"

    async def complete(self, prompt: Prompt) -> Completion:
        mood = self.moods.popleft() if self.moods else "answer"
        if mood == "down":
            raise DOWN
        if mood == "refuse":
            raise ModelError("refused")
        if mood == "race":
            self.other_writer()
        return completion("nonsense" if mood == "nonsense" else _answer(prompt, mood))


def _answer(prompt: Prompt, mood: str) -> dict[str, Any]:
    content = prompt.messages[0].content
    shown = _SHOWN.findall(content)
    if shown:
        return {"facts": [_draft(int(number), text) for number, text in shown]}
    numbers = [int(number) for number in _NUMBERED.findall(content)]
    decision = {"supersede": "supersede", "ignore": "ignore", "retract": "retract"}.get(mood, "add")
    return {
        "decisions": [
            {"new": number, "decision": decision, "known": [1], "text": None, "reason": mood}
            for number in numbers
        ]
    }


def _draft(number: int, text: str) -> dict[str, Any]:
    return {
        "text": text,
        "kind": "semantic",
        "about": "user",
        "attribute": "residence" if "live" in text or "moved" in text else None,
        "evidence": [{"message": number, "quote": text if "tea" not in text else "never said"}],
        "valid_from": "some day" if "Rex" in text else None,
        "valid_to": None,
        "entities": [],
        "relations": [],
    }


def completion(answer: dict[str, Any] | str) -> Completion:
    text = answer if isinstance(answer, str) else msgspec.json.encode(answer).decode()
    parsed = None if isinstance(answer, str) else answer
    return Completion(
        text=text, parsed=parsed, model="whim", input_tokens=1, output_tokens=1, latency=0.0
    )


@frozen(kw_only=True)
class Call:
    """One call of a writer."""

    texts: tuple[str, ...]
    infer: bool
    expires: bool
    moods: tuple[str, ...]
    embedder_down: bool
    retried: bool


calls = st.builds(
    Call,
    texts=st.lists(st.sampled_from(SENTENCES), min_size=1, max_size=3).map(tuple),
    infer=st.integers(0, 3).map(bool),
    expires=st.booleans(),
    moods=st.lists(
        st.sampled_from(
            ["answer", "race", "down", "refuse", "nonsense", "supersede", "ignore", "retract"]
        ),
        max_size=4,
    ).map(tuple),
    embedder_down=st.integers(0, 3).map(lambda number: number == 0),
    retried=st.booleans(),
)


histories = st.lists(calls, min_size=1, max_size=6)


def lived(
    history: Sequence[Call],
    make_store: Callable[[StoreNeeds], Store] = lambda needs: build(None, needs),
) -> World:
    """A memory that went through a history."""
    model = Whim(moods=deque())
    here = world(model, first_id=1, make_store=make_store)
    passing = count()

    def other_writer() -> None:
        text = f"I own {next(passing)} guitars."
        run_inline(here.remember(_request((text,), infer=False, writer=1)))

    model.other_writer = other_writer
    for number, call in enumerate(history):
        here.clock.move(minutes=7)
        here.embedder.down = call.embedder_down
        model.moods = deque(call.moods)
        request = _request(
            call.texts,
            infer=call.infer,
            expires_at=here.clock.now() + timedelta(minutes=10) if call.expires else None,
            writer=number % 3,
        )
        begun = run_inline(here.remember.observe(request))
        for _ in range(1 + call.retried):
            try:
                run_inline(here.remember.finish(begun.correlation_id, actor="writer"))
            except (AdapterUnavailable, ModelError, Conflict):
                here.clock.move(minutes=1)
                here.embedder.down = False
    return here


def _request(
    texts: Iterable[str], *, infer: bool, writer: int, expires_at: datetime | None = None
) -> RememberRequest:
    return RememberRequest(
        scope=SCOPE,
        turns=[
            Turn(role=Role.USER, text=text, name=None, occurred_at=None, metadata={})
            for text in texts
        ],
        metadata={},
        expires_at=expires_at,
        infer=infer,
        actor=f"writer{writer}",
    )
