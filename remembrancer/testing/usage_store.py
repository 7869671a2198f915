"""The contract of ``UsageStore``: totals are the sums of the inferences in the log."""

from __future__ import annotations

from functools import reduce
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from remembrancer.domain.events import Event, InferenceRecorded
from remembrancer.domain.scope import LedgerId
from remembrancer.domain.usage import Usage
from remembrancer.testing.audit_log import ALICE, append_of, fact_added
from remembrancer.testing.driving import Driven

BOB = LedgerId("user:bob")
CALL = InferenceRecorded(
    purpose="extraction",
    model="chat-1",
    prompt_digest="d" * 64,
    output="{}",
    input_tokens=100,
    output_tokens=20,
    latency=0.5,
    cost=0.25,
)


class UsageStoreContract:
    """Inherit and implement ``make_stores``."""

    def make_stores(self, tmp_path: Path) -> tuple[Any, Any]:
        """A fresh log, and the usage store that applies its appends."""
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def _stores(self, tmp_path: Path) -> None:
        log, usage = self.make_stores(tmp_path)
        self.log, self.usage = Driven(log), Driven(usage)

    def given(self, *events: Event, ledger: LedgerId = ALICE) -> None:
        """Append events in one append."""
        self.log.append(append_of(events, ledger=ledger))

    def totals(self, ledger: LedgerId | None = ALICE) -> dict[tuple[str, str], Usage]:
        """The totals by purpose and model, in the order of the store."""
        return {(item.purpose, item.model): item.usage for item in self.usage.totals(ledger)}

    def test_new_store_has_no_totals(self) -> None:
        assert self.totals() == {}
        assert self.totals(None) == {}

    def test_calls_are_summed_by_purpose_and_model(self) -> None:
        judged = evolve(CALL, purpose="reconciliation", input_tokens=7)
        other = evolve(CALL, model="chat-2", output_tokens=1)
        self.given(CALL, judged, fact_added())
        self.given(CALL, other)
        assert list(self.totals().items()) == [
            (("extraction", "chat-1"), reduce(Usage.plus, [CALL, CALL], Usage())),
            (("extraction", "chat-2"), Usage().plus(other)),
            (("reconciliation", "chat-1"), Usage().plus(judged)),
        ]

    def test_inference_without_a_prompt_is_not_counted(self) -> None:
        self.given(evolve(CALL, model="rules-1", prompt_digest=""))
        assert self.totals() == {}

    def test_call_without_tokens_is_counted(self) -> None:
        self.given(evolve(CALL, input_tokens=0, output_tokens=0, latency=0.0))
        assert [usage.calls for usage in self.totals().values()] == [1]

    def test_totals_are_per_ledger_or_over_all_ledgers(self) -> None:
        self.given(CALL)
        self.given(CALL, CALL, ledger=BOB)
        assert [self.totals(who)["extraction", "chat-1"].calls for who in (ALICE, BOB, None)] == [
            1,
            2,
            3,
        ]
        assert self.totals(LedgerId("user:nobody")) == {}

    @pytest.mark.parametrize(
        ("costs", "cost", "unpriced"),
        [
            ([0.25, 0.5], 0.75, 0),
            ([None, None], None, 2),
            ([None, 0.5], 0.5, 1),
            ([0.5, None], 0.5, 1),
            ([0.0, None], 0.0, 1),
        ],
    )
    @pytest.mark.parametrize("ledgers", [(ALICE, ALICE), (ALICE, BOB)])
    def test_unknown_price_is_counted_and_not_summed_as_zero(
        self,
        costs: list[float | None],
        cost: float | None,
        unpriced: int,
        ledgers: tuple[LedgerId, LedgerId],
    ) -> None:
        for ledger, each in zip(ledgers, costs, strict=True):
            self.given(evolve(CALL, cost=each), ledger=ledger)
        usage = self.totals(None)["extraction", "chat-1"]
        assert (usage.cost, usage.unpriced, usage.calls) == (cost, unpriced, 2)
