"""Who vouches for a fact: a user in their own words, or an agent alone.

What an agent says of itself or of the world is kept under its name. What it says of the user is
refused, however a model labels it: the check reads the words and trusts no label. It knows the
names of the users, and words for "user" and "you" in the commonest languages; a claim that speaks
of the user by none of these is still marked as what the agent said.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from attrs import field, frozen

from remembrancer.application.extraction.rules.chitchat import reason_to_skip
from remembrancer.domain.conversation import Message, Role
from remembrancer.domain.recall.function_words import FUNCTION_WORDS

STEM_CHARACTERS = 4
ANSWERED_WITHIN = 2
"""Messages after a question."""

_USER_WORDS = (
    "user users user's "
    "benutzer benutzers benutzerin nutzer nutzers nutzerin usuario usuaria utilisateur "
    "utilisatrice usuário utente gebruiker användaren brukeren brugeren użytkownik użytkownika "
    "uživatel felhasználó käyttäjä kullanıcı пользователь пользователя користувач χρήστης المستخدم "
    "המשתמש उपयोगकर्ता "
    "you your yours yourself yourselves dich dir dein deine tu toi vous votre vos tú usted ustedes "
    "você seu sua jij jou jouw ты тебя тебе твой твоя вы вас вам ваш ваша"
).split()
_USER_SIGNS = "用户 使用者 用戶 你 您 ユーザー あなた 사용자 당신 ผู้ใช้ คุณ".split()
_AGENT_WORDS = ("assistant", "the assistant", "agent", "the agent")
_NAMELESS = re.compile(
    r"(?:(?:i|i'm|my|we|our|he|she|they|him|her|them|his|hers|their|it|its|ich|mein|meine|wir|er|sie|"
    r"je|mon|ma|mes|nous|il|elle|yo|mi|mis|él|ella|su|sus|eu|meu|minha|io|mio|lui|lei|hij|zij|я|мой|"
    r"моя|он|она)(?!\w)|我|私|他|她|저는|나는)"
)
"""What a text begins with when it leaves open whom it is about."""

_UNSPACED = "\u0e00"
_IN_ANOTHERS_NAME = re.compile(
    r"(?:[:;.!?]\s+|(?<!\w)(?:that|dass|que|che|что)\s+)"
    r"(?:i|i'm|my|we|our|ich|mein|meine|wir|je|mon|ma|nous|yo|mi|eu|io|я|мой|моя)(?!\w)"
)
"""A first person inside a text: "User: I live in Oslo" in the mouth of an agent."""

_WORD = re.compile(r"[^\W_]+")
_SCRIPTS = ("LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE")


@frozen(kw_only=True)
class Quoted:
    """A message, the words in it that are given as evidence, and its place among those shown."""

    message: Message
    quote: str
    place: int

    @property
    def by_user(self) -> bool:
        """Whether a user says it."""
        return self.message.role is Role.USER


@frozen(kw_only=True)
class Voices:
    """The people and agents of a conversation."""

    users: frozenset[str]
    agents: frozenset[str]
    mention: re.Pattern[str] = field(repr=False)

    @classmethod
    def of(cls, messages: Sequence[Message]) -> Voices:
        """Those who speak in ``messages``, and the user whose scope it is."""
        users = {item.name for item in messages if item.role is Role.USER and item.name}
        agents = {item.name for item in messages if item.role is Role.ASSISTANT and item.name}
        owner = messages[0].scope.user_id
        # An owner's id may be a number, or a letter that is a word as well.
        known = {*users, owner} if owner and len(owner) > 2 and owner.isalpha() else users
        parts = {part for name in known - agents for part in (name, *name.split()) if len(part) > 1}
        terms = {folded(term) for term in (*parts, *_USER_WORDS, *_USER_SIGNS)}
        return cls(users=frozenset(users), agents=frozenset(agents), mention=_pattern(terms - {""}))

    @property
    def names(self) -> frozenset[str]:
        """All names."""
        return self.users | self.agents

    def mention_user(self, text: str) -> bool:
        """Whether ``text`` speaks of a user, or of somebody without a name."""
        plain = folded(text)
        return (
            self.mention.search(plain) is not None
            or _NAMELESS.match(plain) is not None
            or _IN_ANOTHERS_NAME.search(plain) is not None
        )


def vouched(evidence: Sequence[Quoted], voices: Voices) -> bool:
    """Whether a user's own words are among the evidence.

    "Thanks" vouches for nothing, and "yes" only for what was asked just before.
    """
    return any(
        item.by_user and (not _is_empty(item.quote, voices) or _asked(item, evidence))
        for item in evidence
    )


def supported(text: str, evidence: Sequence[Quoted], voices: Voices, *, users_words: bool) -> bool:
    """Whether a fact shares at least one telling word with what is cited for it.

    Names of the speakers tell nothing.

    Args:
        text: the fact.
        evidence: what is cited.
        voices: who speaks.
        users_words: whether it has to be words of a user, or of the question that one answers.
            Of users all of the message counts, since a quote is often shorter than what it means.
    """
    cited = [item.message.text for item in evidence if item.by_user]
    if users_words:
        answers = [item for item in evidence if item.by_user and _is_empty(item.quote, voices)]
        cited += [question.quote for item in answers for question in _asked(item, evidence)]
    else:
        cited += [item.quote for item in evidence]
    apart = _stems(" ".join(voices.names)) | _stems(" ".join(_USER_WORDS))
    telling = _stems(text) - apart
    return not telling or not telling.isdisjoint(_stems(" ".join(cited)))


def refusal(texts: Iterable[str], voices: Voices) -> str | None:
    """Why an agent alone may not say this, ``None`` if it may.

    Args:
        texts: the fact, and whom it is about.
        voices: who speaks.
    """
    for text in texts:
        if any(_is_disguised(word) for word in text.split()):
            return "mixes scripts inside a word"
        if voices.mention_user(text):
            return "an agent says this of the user, without words of the user"
    return None


def attributed(text: str, speaker: str) -> str:
    """``text`` with who said it, unless it begins so."""
    begun = text.casefold()
    labels = (speaker.casefold(), *_AGENT_WORDS)
    if any(re.match(rf"{re.escape(label)}(?!\w)", begun) for label in labels):
        return text
    return f"{speaker[:1].upper()}{speaker[1:]}: {text}"


def folded(text: str) -> str:
    """The form in which mentions are looked for: without case, accents and hidden characters."""
    apart = unicodedata.normalize("NFKD", text).casefold()
    return "".join(
        character
        for character in unicodedata.normalize("NFKD", apart)
        if unicodedata.category(character) not in ("Mn", "Cf")
    )


def _pattern(terms: Iterable[str]) -> re.Pattern[str]:
    ordered = sorted(terms, key=lambda term: (-len(term), term))
    return re.compile(
        "|".join(
            re.escape(term) if term[0] >= _UNSPACED else rf"(?<!\w){re.escape(term)}(?!\w)"
            for term in ordered
        )
    )


def _stems(text: str) -> set[str]:
    """Words without weightless ones, cut to where most inflection begins; of scripts without
    spaces each pair of signs.
    """
    stems: set[str] = set()
    for word in _WORD.findall(folded(text)):
        if word[0] >= _UNSPACED:
            stems.update(word[place : place + 2] for place in range(max(len(word) - 1, 1)))
        elif word not in FUNCTION_WORDS:
            stems.add(word[:STEM_CHARACTERS])
    return stems


def _asked(answer: Quoted, evidence: Sequence[Quoted]) -> list[Quoted]:
    """The questions of others in the evidence that an answer follows."""
    return [
        item
        for item in evidence
        if not item.by_user
        and 0 < answer.place - item.place <= ANSWERED_WITHIN
        and re.search("[?？؟\u037e]", item.quote) is not None
    ]


def _is_empty(quote: str, voices: Voices) -> bool:
    """Whether a quote says nothing but what an answer may consist of."""
    return reason_to_skip(quote, voices.names) in ("no words", "small talk", "no content words")


def _is_disguised(word: str) -> bool:
    """Whether letters of several alphabets stand in one word, such as a Cyrillic "s" in "user"."""
    scripts = {
        script
        for character in word
        if character.isalpha()
        for script in _SCRIPTS
        if unicodedata.name(character, "").startswith(script)
    }
    return len(scripts) > 1
