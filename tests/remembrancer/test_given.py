"""``remembrancer.testing.given``: what its checks accept, and what a failure prints."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta

import pytest

from remembrancer.domain.errors import InvalidRequest, NotFound
from remembrancer.domain.events import FactAdded, FactRetracted, FactRevised
from remembrancer.domain.facts.fact import FactId
from remembrancer.domain.scope import Scope
from remembrancer.testing.given import START, Outcome, given, update, withdraw

TEA = FactId("1" * 32)
ADDED = FactAdded(fact_id=TEA, scope=Scope(user_id="alice"), text="I like tea", occurred_at=START)
RETRACTED = FactRetracted(fact_id=TEA)


def test_import_loads_no_adapter() -> None:
    code = (
        "import sys, remembrancer.testing.given\n"
        "sys.exit(any(name.startswith('remembrancer.adapters') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_events_are_recorded_with_the_same_ids_and_times_in_every_run() -> None:
    history = given(ADDED, RETRACTED).ledger.history
    assert history == given(ADDED, RETRACTED).ledger.history
    assert [(each.version, each.recorded_at) for each in history] == [
        (1, START),
        (2, START + timedelta(hours=1)),
    ]


def test_each_command_sees_the_events_of_those_before_it() -> None:
    given(ADDED).when(update(TEA, text="I like green tea"), withdraw(TEA)).then(
        FactRevised(fact_id=TEA, text="I like green tea"), RETRACTED
    ).then_facts()
    given(ADDED).when(withdraw(TEA), withdraw(TEA)).then_refused(NotFound, "is retracted")


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (
            lambda outcome: outcome.then(FactRevised(fact_id=TEA, text="coffee", reason="typo")),
            "events differ (- expected, + found):\n"
            "  FactRevised\n"
            f"      fact_id = '{TEA}'\n"
            "-     text = 'coffee'\n"
            "+     text = 'green tea'\n"
            "      reason = 'typo'",
        ),
        (
            lambda outcome: outcome.then_nothing(),
            "events differ (- expected, + found):\n"
            "+ FactRevised\n"
            f"+     fact_id = '{TEA}'\n"
            "+     text = 'green tea'\n"
            "+     reason = 'typo'",
        ),
        (
            lambda outcome: outcome.then_facts("tea"),
            "active facts differ (- expected, + found):\n- tea\n+ green tea",
        ),
        (
            lambda outcome: outcome.then_refused(NotFound),
            "expected NotFound, but the command decided:\n"
            "FactRevised\n"
            f"    fact_id = '{TEA}'\n"
            "    text = 'green tea'\n"
            "    reason = 'typo'",
        ),
    ],
)
def test_failed_check_prints_the_difference(
    check: Callable[[Outcome], object], message: str
) -> None:
    outcome = given(ADDED).when(update(TEA, text="green tea", reason="typo"))
    with pytest.raises(AssertionError) as failed:
        check(outcome)
    assert str(failed.value) == message


def test_refused_command_fails_checks_for_events_and_other_errors() -> None:
    refused = given(ADDED, RETRACTED).when(withdraw(TEA))
    for check in (refused.then_nothing, lambda: refused.then_facts()):
        with pytest.raises(AssertionError, match="the command was refused: NotFound: fact 1"):
            check()
    for kind, message in [(InvalidRequest, ""), (NotFound, "is expired")]:
        with pytest.raises(AssertionError, match=r"error differ \(- expected, \+ found\)"):
            refused.then_refused(kind, message)


def test_command_on_a_fact_that_was_not_given_fails() -> None:
    with pytest.raises(AssertionError, match="no given event adds the fact 1"):
        given().when(withdraw(TEA))
