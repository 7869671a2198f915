"""Random histories of all kinds of writes: each can be undone, its undo as well, and all rows of
the store equal the fold of the log.
"""

from __future__ import annotations

import re
import uuid
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from attrs import define, field, frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from remembrancer import Memory, Receipt, RemembrancerError, load_settings
from remembrancer.adapters.stores.postgres.settings import PostgresSettings
from remembrancer.application.extraction.model.extractor import ModelExtractor
from remembrancer.application.reconciliation.model import ModelReconciler
from remembrancer.domain.ports.language_model import Completion, Prompt
from remembrancer.testing.depth import scaled
from tests.helpers.beliefs import STATUSES, state
from tests.helpers.clock import VirtualClock

SAID = {
    "Ann works at Acme.": ("Ann", "works at", "Acme"),
    "Ann works at Bolt.": ("Ann", "works at", "Bolt"),
    "Ann likes tea.": ("Ann", "likes", "tea"),
    "Ann likes tea and jazz.": ("Ann", "likes", "jazz"),
    "Rex is a dog.": ("Rex", "is a", "dog"),
}
_SHOWN = re.compile(r'<message-\w+ n="(\d+)"[^>]*>\n(.*?)\n</message', re.DOTALL)
_KNOWN = re.compile(r'<fact-\w+ n="(\d+)"[^>]*>\n(.*?)\n</fact', re.DOTALL)


@define
class Moody:
    """A model that finds a relation in every message, and decides as the example says."""

    moods: deque[str] = field(factory=deque)
    model: str = "moody"

    async def complete(self, prompt: Prompt) -> Completion:
        content = prompt.messages[0].content
        shown = _SHOWN.findall(content)
        if shown:
            answer: dict[str, Any] = {"facts": [_drafted(int(n), text) for n, text in shown]}
        else:
            known = dict(_KNOWN.findall(content))
            news = [number for number in known if int(number) > 1]
            answer = {"decisions": [self._decided(number, known) for number in news]}
        return Completion(
            text=msgspec.json.encode(answer).decode(),
            parsed=answer,
            model="moody",
            input_tokens=1,
            output_tokens=1,
            latency=0.0,
        )

    def _decided(self, number: str, known: Mapping[str, str]) -> dict[str, Any]:
        mood = self.moods.popleft() if self.moods else "add"
        text = f"{known['1'].rstrip('.')} and {known[number]}" if mood == "revise" else None
        return {"new": int(number), "decision": mood, "known": [1], "text": text, "reason": mood}


def _drafted(number: int, text: str) -> dict[str, Any]:
    subject, predicate, thing = SAID[text]
    return {
        "text": text,
        "kind": "semantic",
        "about": subject,
        "attribute": "employer" if predicate == "works at" else None,
        "evidence": [{"message": number, "quote": text}],
        "valid_from": None,
        "valid_to": None,
        "entities": [subject, thing],
        "relations": [{"subject": subject, "predicate": predicate, "object": thing}],
    }


@frozen(kw_only=True)
class Write:
    """A write: ``nth`` chooses a fact or a request among those there are."""

    kind: str
    text: str
    nth: int
    moods: tuple[str, ...]
    hours: float
    expires: bool


writes = st.builds(
    Write,
    kind=st.sampled_from(
        [
            *("say", "say", "say", "repeat", "state", "end", "correct", "update", "delete"),
            *("block", "undo", "undo"),
        ]
    ),
    text=st.sampled_from(list(SAID)),
    nth=st.integers(0, 9),
    moods=st.lists(
        st.sampled_from(["add", "revise", "supersede", "reaffirm", "retract", "ignore"]),
        max_size=3,
    ).map(tuple),
    hours=st.sampled_from([0.0, 0.5, 3.0]),
    expires=st.integers(0, 3).map(lambda number: number == 0),
)


def done(memory: Memory, write: Write, receipts: Sequence[Receipt], ids: Any) -> Receipt | None:
    """Carry a write out; ``None`` if it is refused, or does nothing."""
    facts = [fact.fact_id for kind in STATUSES for fact in memory.get_all(status=kind, **ids)]
    fact = facts[write.nth % len(facts)] if facts else ""
    now = memory._inner._container.clock().time
    try:
        match write.kind:
            case "say":
                expires_at = now + timedelta(hours=2) if write.expires else None
                name = "Ann" if "Ann" in write.text else None
                said = {"content": write.text, "name": name}
                return memory.add(said, expires_at=expires_at, **ids)
            case "repeat":
                return memory.add(write.text, infer=False, **ids)
            case "state":
                value, single = write.text.split()[-1], write.nth % 2 == 0
                return memory.state("Ann", "works at", value, single=single, **ids)
            case "end":
                return memory.end(fact, at=now)
            case "correct":
                kept = memory.get(fact)
                if kept.statement is not None:
                    return memory.correct(fact, value="Cork")
                return memory.correct(fact, valid_from="2020-01-01T00:00Z")
            case "update":
                return memory.update(fact, f"{write.text} Really.", metadata={"n": write.nth})
            case "delete" | "block":
                return memory.delete(fact, block=write.kind == "block")
            case _:
                if not receipts:
                    return None
                request = receipts[write.nth % len(receipts)]
                return memory.audit.undo(request, cascade=write.expires).receipt
    except RemembrancerError:
        return None


class UndoProperties:
    """Inherit and implement ``opened``."""

    examples = 30

    @contextmanager
    def opened(self, clock: VirtualClock, model: Moody | None) -> Iterator[Memory]:
        raise NotImplementedError
        yield

    def test_undo_restores_what_was_and_undo_of_undo_is_identity(self) -> None:
        @settings(max_examples=scaled(self.examples))
        @given(history=st.lists(writes, min_size=1, max_size=6), asking=st.booleans())
        def holds(history: list[Write], *, asking: bool) -> None:
            clock, model = VirtualClock(step=0.000_1), Moody() if asking else None
            with self.opened(clock, model) as memory:
                ids: Any = {"user_id": uuid.uuid4().hex}
                receipts: list[Receipt] = []
                for write in history:
                    clock.move(hours=write.hours)
                    if model is not None:
                        model.moods = deque(write.moods)
                    before = state(memory, clock.time, ids)
                    receipt = done(memory, write, receipts, ids)
                    if receipt is None or receipt.replayed:
                        continue
                    receipts.append(receipt)
                    after = state(memory, clock.time, ids)
                    undone = memory.audit.undo(receipt)
                    assert state(memory, clock.time, ids) == before
                    if undone.receipt is not None:
                        redone = memory.audit.undo(undone.receipt)
                        assert redone.receipt is not None
                        assert state(memory, clock.time, ids) == after
                assert memory.verify().ok

        holds()


class TestInMemory(UndoProperties):
    @contextmanager
    def opened(self, clock: VirtualClock, model: Moody | None) -> Iterator[Memory]:
        with _memory({"provider": "memory"}, clock, model) as memory:
            yield memory


class TestSqlite(UndoProperties):
    examples = 12

    @contextmanager
    def opened(self, clock: VirtualClock, model: Moody | None) -> Iterator[Memory]:
        with TemporaryDirectory() as folder:
            log = {"provider": "sqlite", "path": str(Path(folder) / "memory.db")}
            with _memory(log, clock, model) as memory:
                yield memory


class TestPostgres(UndoProperties):
    examples = 4

    @pytest.fixture(autouse=True)
    def _server(self, postgres: PostgresSettings) -> None:
        self.server = postgres

    @contextmanager
    def opened(self, clock: VirtualClock, model: Moody | None) -> Iterator[Memory]:
        log = {"provider": "postgres", "dsn": self.server.dsn, "schema": self.server.schema}
        with _memory(log, clock, model) as memory:
            yield memory


@contextmanager
def _memory(log: Mapping[str, Any], clock: VirtualClock, model: Moody | None) -> Iterator[Memory]:
    parts: dict[str, Any] = {"clock": clock}
    if model is not None:
        parts |= {"extractor": ModelExtractor(model), "reconciler": ModelReconciler(model)}
    with Memory(
        settings=load_settings({"audit_log": log}, environment={}), overrides=parts
    ) as memory:
        yield memory
