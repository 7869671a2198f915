"""A memory whose language model draws the facts and relations that a test says."""

from __future__ import annotations

from typing import Any

from remembrancer.application.extraction.model.extractor import ExtractionSettings, ModelExtractor
from remembrancer.testing.scripted_model import ScriptedModel

Triple = tuple[str, str, str]


def fact(text: str, *triples: Triple, **fields: Any) -> dict[str, Any]:
    """A fact as a model answers it, quoting a message of the very same text.

    Args:
        text: what it says, and what was said.
        triples: its relations: subject, predicate, object.
        fields: further fields of the answer.
    """
    ends = [end for subject, _, thing in triples for end in (subject, thing)]
    return {
        "text": text,
        "kind": "semantic",
        "about": triples[0][0] if triples else None,
        "attribute": None,
        "evidence": [{"message": 1, "quote": text}],
        "valid_from": None,
        "valid_to": None,
        "entities": list(dict.fromkeys(ends)),
        "relations": [
            {"subject": subject, "predicate": predicate, "object": thing}
            for subject, predicate, thing in triples
        ],
        **fields,
    }


def extractor(*facts: dict[str, Any]) -> ModelExtractor:
    """The extractor over a model that answers each message with one of ``facts``, in order."""
    return ModelExtractor(ScriptedModel(*({"facts": [one]} for one in facts)), ExtractionSettings())
