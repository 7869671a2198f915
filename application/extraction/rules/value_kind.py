"""Whether a value is of the right kind to replace another one.

A change of residence needs a place, a change of employer something that is no person. Names that
``gazetteer`` does not know have no kind, and then a rule stays silent.
"""

from __future__ import annotations

from remembrancer.application.extraction.rules.gazetteer import NameKind, kinds_of


def fits(value: str, kind: NameKind | None) -> bool:
    """Whether a value may replace another one where ``kind`` is wanted: a place must be known as
    one, an organisation must not be known as a person (many have the name of a town).
    """
    if kind is NameKind.PLACE:
        return kind in kinds_of(value)
    return kind is None or NameKind.PERSON not in kinds_of(value)
