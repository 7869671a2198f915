"""The one equality of names and texts, and the search for a name in a text.

Names are equal if ``normalised`` returns the same for both, in the graph, in every index and in the
rules; so are texts that say the same to the letter. Similar names ("Zoe", "Zoë") are not equal.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

EQUALITY_VERSION = 1
"""Increment with every change of ``normalised``: rows hold its results, and must be rebuilt."""

FIRST_UNSPACED_SCRIPT = "\u0e00"
"""Thai. From here upwards most scripts put no spaces between words: a name is a substring."""

COMBINING_MARKS = "".join(
    character
    for character in map(chr, range(0x0300, ord(FIRST_UNSPACED_SCRIPT)))
    if unicodedata.category(character)[0] == "M"
)
"""Accents and vowel signs of the scripts with spaces, as the inside of a character class. A regular
expression's ``\\w`` does not match them.
"""

# Soft hyphen, joiners, directions, fillers, variation selectors: not to be seen. Chat programs wrap
# pasted names in them.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u2064\u2066-\u2069\ufe00-\ufe0f\ufeff\U000e0100-\U000e01ef]"
)
# Phones type other apostrophes, quotes and hyphens than keyboards.
_SPELLINGS = str.maketrans(
    dict.fromkeys("\u2018\u2019\u201a\u201b\u02bb\u02bc", "'")
    | dict.fromkeys("\u201c\u201d\u201e\u201f", '"')
    | dict.fromkeys("\u2010\u2011\u2012\u2013", "-")
)
_OPENING = re.compile(r"""(?:[ "'«‹「『¿¡]|\.{2,})+""")
_CLOSING_MARKS = " .,;:!?\"'»›」』。、।॥،؛؟։"

# A single dot after a space begins a name (".NET"), several are an ellipsis.
_JOINED_BEFORE = re.compile(rf"(?:[\w{COMBINING_MARKS}]|(?:^|\s)\.)\Z")
_JOINED_AFTER = re.compile(rf"[\w{COMBINING_MARKS}]|[+#]{{1,2}}(?:\W|\Z)")


def normalised(text: str) -> str:
    """Return the form of a name, or of a text, in which it is compared with others.

    Equal are spellings that differ in Unicode form (NFC, NFD, full width, ligatures), case, white
    space, invisible characters, kind of apostrophe, quote or hyphen, and in marks around the text:
    quotes on both sides, an ellipsis before it, the marks that end a sentence after it. All other
    characters count: "C", "C++" and "C#" differ, "NET" and ".NET", "Acme" and "Acme (UK)", "Zoe"
    and "Zoë".

    Returns:
        The empty string for white space and invisible characters alone: such a name names nothing.
        A text of marks alone ("!!!") is kept.
    """
    plain = _folded(text)
    opening = _OPENING.match(plain)
    bare = plain[opening.end() if opening else 0 :].rstrip(_CLOSING_MARKS)
    return bare or plain


def name_keys(names: Iterable[str]) -> frozenset[str]:
    """Return the ``normalised`` forms of names, without the empty one."""
    return frozenset(filter(None, map(normalised, names)))


def names(text: str, name: str) -> bool:
    """Whether ``text`` contains ``name``: as whole words, or anywhere in scripts without spaces.

    "C" is not in "C++", nor "NET" in ".NET". A name without visible characters is in no text.
    """
    wanted, plain = normalised(name), _folded(text)
    spaced_before = wanted[:1] < FIRST_UNSPACED_SCRIPT
    spaced_after = wanted[-1:] < FIRST_UNSPACED_SCRIPT
    place = plain.find(wanted) if wanted else -1
    while place >= 0:
        end = place + len(wanted)
        inside = spaced_before and _JOINED_BEFORE.search(plain[max(0, place - 2) : place])
        if not inside and not (spaced_after and _JOINED_AFTER.match(plain, end)):
            return True
        place = plain.find(wanted, place + 1)
    return False


def _folded(text: str) -> str:
    """``text`` in one Unicode form, case and spelling of marks, with single spaces."""
    if text.isascii():
        return " ".join(text.lower().split())
    plain = _INVISIBLE.sub("", unicodedata.normalize("NFKD", text)).casefold()
    # Case folding undoes the normal form, and the normal form the folding, for a few characters.
    plain = unicodedata.normalize("NFKC", plain).casefold()
    return " ".join(unicodedata.normalize("NFKC", plain).translate(_SPELLINGS).split())
