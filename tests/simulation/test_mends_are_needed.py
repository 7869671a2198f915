"""The simulation finds the faults that it is made for: with a mend taken out, a seed fails."""

from __future__ import annotations

import pytest

from tests.simulation.mutants import MUTANTS
from tests.simulation.world import simulate


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTANTS)
def test_without_the_mend_a_seed_fails(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant = MUTANTS[name]
    mutant.take_out(monkeypatch)
    found = next(filter(None, (simulate(seed).foul for seed in mutant.seeds)), None)
    assert found is not None, f"{len(mutant.seeds)} seeds found nothing without the {name}"
    assert found.kind == mutant.kind, str(found)
