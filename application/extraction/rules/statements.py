"""Parse a sentence into subject and predicate, by rules.

"Hey Mel, last year I've moved to Oslo" has the speaker as subject and the predicate "have moved to
Oslo"; "Caroline's dog is called Rex" is about a belonging of Caroline: "dog is called Rex". The
predicate is normalised (contractions expanded, first person, no "just" or "now"), so that one
pattern per phrase is enough. Quotations, hypotheses and questions have no statement. English only.
"""

from __future__ import annotations

import re
import unicodedata

from attrs import frozen

from remembrancer.application.extraction.rules.contractions import written_out
from remembrancer.application.extraction.rules.cues import correction
from remembrancer.application.extraction.rules.passages import is_own
from remembrancer.application.extraction.rules.readings import remembered
from remembrancer.domain.text import normalised

LONGEST = 300
"""Characters; a longer sentence is not parsed."""


@frozen(kw_only=True)
class Statement:
    """``subject`` is ``normalised``. ``possessed``: it is about a belonging of the subject;
    ``new``: about a new one ("my new boss is Tom").
    """

    subject: str
    possessed: bool
    predicate: str
    new: bool = False


JOINT = re.compile(
    r"(?:\s*[,;]\s*(?:and|but|so|plus)?|\s+(?:and|but|so))\s+"
    r"(?=(?:I|we|my|our|I['’](?:m|ve)|we['’](?:re|ve))\s)",
    re.IGNORECASE,
)
"""Where a new statement of the speaker begins within a sentence."""

_OWN = r"(?=(?:i|we|my|our)\b)"
_NOT_OWN = r"(?!(?:i|we|my|our)\b)"
_LEAD = re.compile(
    rf"""(?:
      # An address: "Hey Mel,", "Mel,".
      (?:(?:hi|hey|hello|hiya|yo|thanks|thank\ you|wow|yeah|yes|no)\ )?
        (?:{_NOT_OWN}[\w'-]+\ ?){{1,2}}[,!-]\ ?{_OWN}
    | (?:and|but|so|well|oh|ah|ok|okay|yes|yeah|yep|yup|no|nope|hi|hey|hello|actually|anyway|btw
        |by\ the\ way|also|plus|fyi|honestly|fun\ fact|guess\ what|good\ news|bad\ news|update
        |great|wow|thanks|thank\ you|sure|for\ the\ record|as\ you\ know|just\ so\ you\ know)
        \b[\s,:;!.-]+(?=\w)
    # A time: "Last year I moved".
    | (?:now|currently|recently|lately|finally|today|yesterday|tonight|nowadays|right\ now
        |these\ days|at\ the\ moment|(?:earlier\ )?(?:last|this)\ \w+
        |(?:in|since|on)\ (?:\w+\ ){{0,3}}\w+|(?:[\w']+\ ){{1,3}}ago),?\ {_OWN}
    # An announcement: "Please remember that my name is".
    | (?:(?:(?:can|could|would|will)\ (?:you|u)|do\ you\ mind|would\ you\ mind)\ )?
        (?:please\ |kindly\ )?
        (?:remember(?:ing)?|not(?:e|ing)(?:\ down)?|(?:keep|bear)(?:ing)?\ in\ mind|know
        |mak(?:e|ing)\ a\ note(?:\ of)?|writ(?:e|ing)\ down|sav(?:e|ing)|stor(?:e|ing)
        |be\ aware|do\ not\ forget)(?:\ that)?:?,?\ {_OWN}
    | (?:i\ (?:just\ )?)?(?:want|wanted|would\ like)\ (?:you\ )?
        to\ (?:let\ you\ know|know|tell\ you|mention)(?:\ that)?\ {_OWN}
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_MOST_LEADS = 5
_TOGETHER = re.compile(
    r"^(?:(?-i:[A-Z])[\w'-]*|my [\w-]+) and (?:i|me) (?=\w)|^(?:me|i) and (?:my )?[\w'-]+ (?=\w)",
    re.IGNORECASE,
)
_NUMBERED = re.compile(r"(?:\d{1,3}[.)]|[^\w\"'>(\[*_`~]+|[*_~]+)\s*")
_END = re.compile(r"[^\w+#)]+$")
_QUOTED = re.compile(r"[\"'>(\[`“「『]")

_ADVERBS = frozenset(
    "now currently just recently finally also still actually officially really already presently "
    "lately permanently proudly happily always usually often basically definitely mostly "
    "mainly".split()
)
_WEIGHED = 5
"""Words at the start of a predicate that are normalised."""

_FIRST_PERSON = {
    "is": "am", "are": "am", "has": "have", "does": "do", "lives": "live", "works": "work",
    "resides": "reside", "goes": "go", "isn't": "am not",
}  # fmt: skip
_NOT_A_NAME = frozenset(
    "he she it they this that these those there here the a an my our your his her their its who "
    "what which where when why how if as since because while although though everyone everybody "
    "someone somebody anyone nobody no some many most all both each every one another mom mum "
    "mother dad father and or but so yes not in on at for from with to life work time home people "
    "love today tomorrow yesterday".split()
)
_NAME = re.compile(r"(?=[^\W\d_a-z])\w[\w.'-]*$")
_MOST_NAME_WORDS = 3
_HEADED = re.compile(r"^new ((?:[\w-]+ ){0,2}[\w-]+): ", re.IGNORECASE)
"""A heading: "New address: 4 Elm Row"."""


@remembered
def plain(sentence: str) -> str | None:
    """``sentence`` in NFC, without contractions, line breaks, opening phrases and closing marks.

    ``None`` for a question, words that are not the speaker's own, or a sentence that is too long.
    """
    if len(sentence) > LONGEST or _is_asked(sentence) or not is_own(sentence):
        return None
    text = " ".join(written_out(unicodedata.normalize("NFC", sentence)).split())
    text = text[correction(text) :].lstrip(" ,.:;!-")
    for _ in range(_MOST_LEADS):
        lead = _NUMBERED.match(text) or _LEAD.match(text)
        if lead is None or lead.end() == 0:
            break
        text = text[lead.end() :]
    if not text or _QUOTED.match(text):
        return None
    return _END.sub("", text)


def _is_asked(sentence: str) -> bool:
    # "Can you remember that I live in Oslo?" is a statement.
    return "?" in sentence[-12:] and not sentence.lower().startswith(
        ("can you", "can u", "could you", "would you", "will you", "do you mind")
    )


def statements_in(sentence: str, speaker: str) -> list[Statement]:
    """The possible statements of a sentence: none, one, or two.

    Args:
        sentence: as it was said.
        speaker: the person that "I" means.
    """
    text = plain(sentence)
    if text is None:
        return []
    text = _HEADED.sub(r"my new \1 is ", _TOGETHER.sub("I ", text))
    words = text.split(" ")
    first = words[0].lower()
    if first in ("i", "we") and len(words) > 1:
        return [_statement(speaker, words[1:])]
    named = first == "the" and words[1:2] != [] and words[1].endswith("'s")
    if (first in ("my", "our") or (named and words[2:3] == ["name"])) and len(words) > 2:
        return [_statement(speaker, words[1:], possessed=True)]
    return _about_another(words)


def _about_another(words: list[str]) -> list[Statement]:
    if words[0].lower() == "the" and len(words) > 2 and words[1].lower().startswith("user"):
        words = ["User" + words[1][len("user") :], *words[2:]]
    if words[0].casefold().removesuffix("'s") in _NOT_A_NAME or not _NAME.match(words[0]):
        return []
    for count in range(1, min(_MOST_NAME_WORDS, len(words) - 1) + 1):
        owner = words[count - 1].removesuffix("'s")
        if owner != words[count - 1]:
            name = " ".join([*words[: count - 1], owner])
            rest = words[count:]
            return [
                _statement(name, rest, possessed=True),
                _statement(name, ["is", *rest]),
            ]
        if not _NAME.match(words[count]):
            return [_statement(" ".join(words[:count]), words[count:])]
    return []


def _statement(subject: str, words: list[str], *, possessed: bool = False) -> Statement:
    weighed = [word for word in words[:_WEIGHED] if word not in _ADVERBS]
    if possessed:
        weighed = [word for word in weighed if word not in ("new", "current")]
    else:
        weighed = [_FIRST_PERSON.get(word, word) for word in weighed]
    return Statement(
        subject=normalised(subject),
        possessed=possessed,
        predicate=" ".join([*weighed, *words[_WEIGHED:]]),
        new=possessed and words[:1] == ["new"],
    )
