"""Load the facts of ranked hits, and keep those that the read may return.

An index may be late, shared, damaged or edited. So its hits only say where to look: scope, times,
status and filter are those of the loaded fact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import frozen

from remembrancer.domain.facts.fact import Fact, FactKey
from remembrancer.domain.ports.fact_store import FactStore
from remembrancer.domain.recall.permission import Read, belongs_in_index, permits
from remembrancer.domain.recall.ranking import Ranked


@frozen(kw_only=True)
class CheckedHits:
    """The hits with a fact that the read may return, best first, and their facts.

    ``dropped``: at least one hit was left out. ``wrong``: the index should not have returned one
    of them.
    """

    ranked: tuple[Ranked, ...]
    facts: Mapping[FactKey, Fact]
    dropped: bool
    wrong: bool


async def checked_hits(
    ranked: Sequence[Ranked], read: Read, *, most: int, facts: FactStore
) -> CheckedHits:
    """The best ``most`` of the hits that ``read`` may return.

    Raises:
        AdapterUnavailable: the facts did not answer.
    """
    kept: list[Ranked] = []
    permitted: dict[FactKey, Fact] = {}
    dropped = wrong = False
    for start in range(0, len(ranked), most):
        part = ranked[start : start + most]
        loaded = {fact.key: fact for fact in await facts.load([item.hit.key for item in part])}
        for item in part:
            fact = loaded.get(item.hit.key)
            if fact is not None and fact.key not in permitted and permits(read, fact):
                permitted[fact.key] = fact
                kept.append(item)
            else:
                dropped = True
                wrong = wrong or fact is None or not belongs_in_index(read, fact)
        if len(kept) >= most:
            break
    best = kept[:most]
    return CheckedHits(
        ranked=tuple(best),
        facts={item.hit.key: permitted[item.hit.key] for item in best},
        dropped=dropped,
        wrong=wrong,
    )
