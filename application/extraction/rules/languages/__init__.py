"""Languages besides English, each a TOML file with patterns and words; no code is per language.

``docs/how-to/add-a-language.md`` describes the format.
"""

from remembrancer.application.extraction.rules.languages.language import (
    Language,
    ending_in,
    languages,
    load,
    read,
)

__all__ = ["Language", "ending_in", "languages", "load", "read"]
