"""Names in several spellings, for the suites that compare names."""

from __future__ import annotations

import unicodedata

from hypothesis import strategies as st

EQUAL = (
    ("Zoë", "Zoe\u0308", "ZOË", " zoë ", "zoë."),
    ("Acme", "ＡＣＭＥ", "Acme.", "Acme!", "\u201cAcme\u201d", "Ac\u00adme", "\u2068Acme\u2069"),
    ("O'Brien", "O\u2019Brien", "o\u02bcbrien"),
    ("Jean-Luc", "Jean\u2011Luc", "Jean\u2013Luc"),
    ("U.S.", "U.S"),
    ("A.", "a"),
    ("Strauß", "STRAUSS"),
    ("東京", "東京。", "「東京」"),
)
"""Groups of spellings of one name."""

DIFFERENT = (
    "A", "B", "A.B.", "C", "C+", "C++", "C#", "NET", ".NET", "Acme", "Acme (UK)", "Zoe", "Zoë",
    "R&D", "RD", "Anna", "Ann", "東京", "東京都", "!!!", "?",
)  # fmt: skip
"""Names no two of which are equal."""


def respelled(name: str) -> st.SearchStrategy[str]:
    """Other spellings of a name: Unicode form, case, white space and marks around it."""
    return st.builds(
        lambda form, case, before, after: before + case(unicodedata.normalize(form, name)) + after,
        st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]),
        st.sampled_from([str, str.upper, str.lower, str.title]),
        st.sampled_from(["", " ", '"', "\u201c", "¿", "\u200e"]),
        st.sampled_from(["", " ", ".", "!", '"', "\u201d?", "\u200e"]),
    )
