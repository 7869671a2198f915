"""Prompts as files: loaded from ``prompts/``, filled in, and known by their digest.

A prompt file is Markdown with ``$placeholders``. Above its line ``---`` stands what the model is
told once (system), below it what each call says. A paragraph all of whose placeholders are empty
is left out. A changed prompt gets a new file with the next number, so that recorded inferences
keep naming the words that they were made with.
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
    """A prompt file with the settings filled in, the values of a single call still open.

    ``digest`` is the SHA-256 (hex) of both parts as they stand here, so it changes with the file
    and with the settings, and with nothing else.
    """

    name: str
    system: str
    digest: str
    open_turn: str

    def turn(self, values: Mapping[str, str]) -> str:
        """The message of one call."""
        return _filled(self.open_turn, values)


def prepare(name: str, settings: Mapping[str, str]) -> PromptTemplate:
    """Load a prompt file and fill in what holds for all calls.

    Args:
        name: of the file, without its ending: ``extraction-1``.
        settings: a value for every placeholder of the upper part.
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
