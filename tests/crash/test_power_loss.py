"""Power cuts on the system calls of real writers: acknowledged writes survive with ``full``, and
``normal`` loses the last ones at most. See ``disk`` for what a cut may leave.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from remembrancer.testing.depth import scaled
from tests.crash.power_cuts import DURABILITIES, KINDS, Kind, cut, record

pytestmark = pytest.mark.slow

A_RECORDING = 50
"""Cuts of one recording, at most."""


@pytest.mark.parametrize("durability", DURABILITIES)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_power_cut_at_any_moment_leaves_what_was_promised(
    library: Path, kind: Kind, durability: str
) -> None:
    count = scaled(50 // len(KINDS))
    for seed, done in enumerate(range(0, count, A_RECORDING)):
        recording = record(library, evolve(kind, durability=durability), seed)
        losses = list(cut(recording, min(A_RECORDING, count - done), seed))
        assert any(loss.acknowledged for loss in losses)


def test_cut_notices_acknowledged_writes_that_were_not_synced(library: Path) -> None:
    # Given writers that do not sync each commit
    recording = record(library, Kind(name="careless", durability="normal"), seed=0)
    # When their writes are checked as if they did, then it is noticed
    with pytest.raises(AssertionError, match="acknowledged events are missing"):
        list(cut(evolve(recording, kind=Kind(name="careless")), 40, seed=0))
