"""A few of the seeds that ``sh dev soak simulation`` runs by the thousand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from remembrancer.testing.depth import scaled
from tests.simulation.chronicle import Chronicle, Foul
from tests.simulation.world import simulate

ROOT = Path(__file__).parents[2]

PRINT_DIGESTS = (
    "from tests.simulation.world import simulate;"
    "print([(o.seed, o.steps, o.digest) for o in map(simulate, range(4))])"
)


@pytest.mark.slow
@pytest.mark.parametrize("tenth", range(10))
def test_invariants_hold_whatever_a_seed_lets_happen(tenth: int) -> None:
    for seed in range(tenth, scaled(40, least=10), 10):
        outcome = simulate(seed)
        assert outcome.foul is None, str(outcome)


@pytest.mark.slow
def test_seed_leads_to_the_same_steps_in_every_process() -> None:
    digests = {
        subprocess.run(
            [sys.executable, "-c", PRINT_DIGESTS],
            cwd=ROOT,
            env={"PYTHONHASHSEED": hash_seed, "PATH": ""},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(digests) == 1


def test_failing_seed_is_printed_with_its_last_steps_and_a_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_chronicle: Chronicle) -> None:
        raise Foul("exactly once", "it was made so")

    monkeypatch.setattr("tests.simulation.invariants.check_requests", refuse)
    said = str(simulate(0))
    assert "seed 0: exactly once: it was made so" in said
    assert said.endswith("replay it with: sh dev soak simulation --replay 0")
    assert len(said.splitlines()) > 50
