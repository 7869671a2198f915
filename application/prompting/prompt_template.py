"""Prompt templates: loaded from ``prompts/``, filled in, identified by a digest.

A prompt file is Markdown with ``$placeholders``. The part above the line ``---`` is the system
prompt, the part below is the user message of each call. A paragraph is left out if all of its
placeholders are empty. A changed prompt gets a new file with the next number, so that recorded
inferences refer to the text that they used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from string import Template

from attrs import frozen

_SPLIT = "\n---\n"


@frozen(kw_only=True)
class PromptTemplate:
    """A prompt file with the settings filled in, without the values of a single call.

    ``digest``: SHA-256 (hex) of both parts; it depends on the file and the settings only.
    """

    name: str
    system: str
    digest: str
    open_turn: str

    def turn(self, values: Mapping[str, str]) -> str:
        """The user message of one call."""
        return _filled(self.open_turn, values)


def prepare(name: str, settings: Mapping[str, str]) -> PromptTemplate:
    """Load a prompt file and fill in the values for all calls.

    Args:
        name: of the file, without extension: ``extraction-1``.
        settings: a value for every placeholder of the system prompt.
    """
    system, turn = _parts(name)
    system = _filled(system, settings)
    digest = hashlib.sha256(f"{system}{_SPLIT}{turn}".encode()).hexdigest()
    return PromptTemplate(name=name, system=system, digest=digest, open_turn=turn)


@cache
def _parts(name: str) -> tuple[str, str]:
    file = files("remembrancer.application.prompting") / "prompts" / f"{name}.md"
    system, _, turn = file.read_text(encoding="utf-8").partition(_SPLIT)
    return system.strip(), turn.strip()


def _filled(text: str, values: Mapping[str, str]) -> str:
    kept: list[str] = []
    for paragraph in text.split("\n\n"):
        template = Template(paragraph)
        names = template.get_identifiers()
        if not names or any(values[name] for name in names):
            kept.append(template.substitute(values))
    return "\n\n".join(kept)
