"""Short answers, kept together with their question: "Are you vegetarian? – Yes."

An answer alone ("Yes.", "Oslo.") has no content. It is kept if it opens a message directly after a
question of another speaker about the one who answers. Offers ("Can I help?"), requests and
courtesies ("How are you?") are no such questions.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from remembrancer.application.extraction.rules.contractions import straight, written_out
from remembrancer.application.extraction.rules.questions import only_asks
from remembrancer.application.extraction.rules.sentences import split
from remembrancer.application.extraction.rules.small_talk import is_small_talk
from remembrancer.domain.conversation import Message, Role

LONGEST_QUESTION = 160
"""Characters."""

MOST_WORDS = 6
"""Words of an answer that names a value."""

_JOINED = " – "
_OTHER_PERSON = re.compile(
    r"\b(?:you|your|yours|du|dein\w*|sie|ihr\w*|tú|tu|tus|te|usted|su|vous|votre|vos|ton|ta|tes)\b"
    r"|[あ-ん]ますか|[あ-ん]ですか|あなた|你|您",
    re.IGNORECASE,
)
_NO_QUESTION = re.compile(
    r"\W*(?:(?:and|so|but|well|ok|okay|oh|hi|hey|hello|great|sorry|thanks)\b[\s,!.]*)*(?:"
    r"(?:can|could|may|shall|should|would|will)\b|"
    r"do you (?:want|need|mind|mean|think|see|agree|know)\b|did you (?:mean|know|see|hear)\b|"
    r"(?:are|were) you (?:sure|ready|there|ok|okay|serious|kidding|joking|all right|alright)\b|"
    r"how(?:'s| (?:are|is|has|was|were|do you do|did|about|can|may|could|have you been))\b|"
    r"what(?:'s| is| has) (?:up|new|been|going|happening)\b|"
    r"what do you (?:think|say|mean|want|need)\b|what about\b|what can\b|anything else\b|"
    r"is (?:that|this|it|there)\b|was (?:that|this|it)\b|does (?:that|this|it)\b|"
    r"have you (?:tried|considered|seen|heard)\b|"
    r"kann ich|soll ich|möchten sie|puedo|quieres|puis-je|voulez-vous|wie geht|cómo estás|"
    r"comment (?:ça va|allez))",
    re.IGNORECASE,
)
_YES_OR_NO = re.compile(
    r"(?:(?:yes|yeah|yep|yup|yea|sure|indeed|correct|right|true|of course|absolutely|definitely|"
    r"certainly|exactly|no|nope|nah|never|not (?:really|anymore|any more|yet|at all)|"
    r"i (?:am|do|have|did|was|can|will)(?: not)?|always|sometimes|rarely|often|"
    r"unfortunately|sadly|a (?:little|bit)|"
    r"ja|nein|doch|sí|si|no|oui|non|はい|いいえ|ええ|是的?|对|不是?|没有)"
    r"(?:[\s,!.。、，]+|$))+$",
    re.IGNORECASE,
)
_ASKS_FOR_VALUE = re.compile(
    r"\W*(?:(?:and|so|but|well|ok|okay|by the way)\b[\s,]*)*(?:what|where|when|which|who|whom|how|"
    r"was|wo|wohin|wann|welche[rsn]?|wer|wie|qué|dónde|cuándo|cuál|quién|cómo|cuánt[oa]s?|"
    r"quel(?:le)?s?|où|quand|qui|comment|combien)\b|.*(?:何|どこ|いつ|誰|どの|什么|哪|谁|几|多少)",
    re.IGNORECASE,
)
_CLAUSE = re.compile(
    r"\b(?:i|we|he|she|it|they|you|my|that|this|is|are|was|were|thanks?|please|not sure|no idea|"
    r"nothing|don't|never mind)\b",
    re.IGNORECASE,
)


def question_in(message: Message) -> str | None:
    """The question that ends a message, if it asks another person about themselves."""
    if message.role in (Role.SYSTEM, Role.TOOL):
        return None
    sentences = split(message.text)
    if not sentences or len(sentences[-1]) > LONGEST_QUESTION or not only_asks(sentences[-1]):
        return None
    question = straight(sentences[-1])
    if _NO_QUESTION.match(question) or not _OTHER_PERSON.search(question):
        return None
    return sentences[-1]


def answers(question: str, sentence: str, names: Collection[str] = ()) -> bool:
    """Whether a sentence is a short answer to a question, and nothing else.

    Args:
        question: of another speaker.
        sentence: that follows it.
        names: of the people in the conversation.
    """
    if sentence.rstrip().endswith(("?", "？")):
        return False
    said = written_out(sentence).strip(" .!。！")
    if _ASKS_FOR_VALUE.match(straight(question)):
        return 0 < len(said.split()) <= MOST_WORDS and not (
            _CLAUSE.search(said) or _YES_OR_NO.match(said) or is_small_talk(sentence, names)
        )
    return _YES_OR_NO.match(said) is not None


def joined(question: str, answer: str) -> str:
    """One text of both."""
    return f"{question}{_JOINED}{answer}"


_ASKED = tuple(
    (re.compile(rf"{asked}\??$", re.IGNORECASE), yes, no)
    for asked, yes, no in (
        (r"are you (?P<rest>.+)", "I am {rest}", "I am not {rest}"),
        (r"do you (?:still |currently )?(?P<rest>.+)", "I {rest}", "I do not {rest}"),
        (r"have you (?P<rest>.+)", "I have {rest}", "I have not {rest}"),
        (r"can you (?P<rest>.+)", "I can {rest}", "I can not {rest}"),
    )
)
_ASKED_FOR = tuple(
    (re.compile(rf"{asked}\??$", re.IGNORECASE), told)
    for asked, told in (
        (r"where do you live(?: now| these days)?", "I live in {value}"),
        (r"where are you (?:based|living)(?: now)?", "I live in {value}"),
        (r"where do you work(?: now)?|who do you work for(?: now)?", "I work at {value}"),
        (r"how old are you", "I am {value}"),
        (r"what is your (?P<rest>.+)", "My {rest} is {value}"),
        (r"what are you called|what should i call you", "My name is {value}"),
    )
)
_NEGATIVE = re.compile(r"(?:no|nope|nah|never|not|i (?:am|do|have) not)\b", re.IGNORECASE)


def in_one_sentence(text: str) -> str | None:
    """A question and its answer as a statement of the one who answers: "I am vegetarian"; ``None``
    if the text is no such pair, or has a form that is not known.
    """
    question, dash, answer = text.rpartition(_JOINED)
    if not dash or not question.endswith("?"):
        return None
    asked = written_out(question).strip(" ?")
    answer = written_out(answer).strip(" .!")
    if _YES_OR_NO.match(answer):
        for pattern, yes, no in _ASKED:
            match = pattern.match(asked)
            if match is not None:
                return (no if _NEGATIVE.match(answer) else yes).format(rest=match["rest"])
        return None
    for pattern, told in _ASKED_FOR:
        match = pattern.match(asked)
        if match is not None:
            return told.format(value=answer, **match.groupdict())
    return None
