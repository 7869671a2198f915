"""English stop words: they carry grammar, not content. Negations are not among them.

Small on purpose: a rare word that is kept costs little, a content word that is dropped is lost.
Other languages have no list; there the rarity of a word (IDF) alone decides its weight.
"""

from __future__ import annotations

_WORDS = """
a an the and or but if then than so as
of in on at to for from with by about into onto over after before during between through
am is are was were be been being do does did doing done have has had having
will would shall should can could may might must
i me my mine myself we us our ours you your yours he him his she her hers it its
they them their theirs this that these those
who whom whose which what when where why how there here
"""
FUNCTION_WORDS = frozenset(_WORDS.split())
"""In lower case and unstemmed."""
