"""A model extractor for tests that returns the given facts and relations."""

from __future__ import annotations

from typing import Any

from remembrancer.application.extraction.model.extractor import ExtractionSettings, ModelExtractor
from remembrancer.testing.scripted_model import ScriptedModel

Triple = tuple[str, str, str]


def fact(text: str, *triples: Triple, **fields: Any) -> dict[str, Any]:
    """A fact as in a model's answer, quoting a message of the same text.

    Args:
        text: the text of the fact and of the message.
        triples: the relations of the fact: subject, predicate, object.
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
    """An extractor whose model answers each message with one of ``facts``, in order."""
    return ModelExtractor(ScriptedModel(*({"facts": [one]} for one in facts)), ExtractionSettings())
