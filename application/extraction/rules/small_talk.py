"""Detect small talk: greetings, thanks, praise and the like.

The *whole* sentence must consist of the phrases listed here, besides names: "Thanks, I moved to
Oslo" is not small talk. English, with the commonest greetings and thanks of some other languages.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from functools import cache

from remembrancer.application.extraction.rules.contractions import straight, written_out
from remembrancer.domain.text import normalised

_VERY = r"(?:(?:so|really|such|very|pretty|just|absolutely|quite|truly|super|all|pure|too) )*"
_GOOD = (
    r"(?:great|good|cool|nice|awesome|amazing|wonderful|fantastic|lovely|beautiful|brilliant|"
    r"excellent|perfect|incredible|impressive|inspiring|exciting|interesting|fun|funny|sweet|cute|"
    r"adorable|gorgeous|stunning|delicious|yummy|neat|lit|rad|dope|epic|fab|fabulous|super|"
    r"terrific|tough|sad|terrible|awful|horrible|rough|hard|crazy|wild|insane|true|right|fair|"
    r"understandable|unbelievable|unreal|special|magical|thoughtful|kind|helpful|sorry|proud|happy|"
    r"glad|excited|thrilled|stoked|jealous|relaxing|peaceful|refreshing|cozy|fine|ok|okay|"
    r"well|best|better|big|touching|heartwarming|motivating|encouraging)"
)
_THING = (
    r"(?:to (?:hear|see|know)|like (?:fun|a plan|a blast)|a blast|news|job|ideas?|plan|pics?|"
    r"pictures?|photos?|shots?|view|work|day|time|ones?|stuff|things?|deal|point|question|story|"
    r"choice|attitude|spirit|feeling|moment|memories|memory|experience|support|friends?)"
)
_IT = (
    r"(?:that|this|it|those|these|things|everything|all) "
    r"(?:is|are|was|were|looks?|sounds?|seems?|must be|must have been|has been|feels?)"
)
_YOUR = r"(?:(?:all )?(?:your|the|these|those) (?:kind |sweet |encouraging |lovely )?)"
_HELP = (
    r"(?:words?|support|help|encouragement|offer|advice|tips?|ideas?|suggestions?|pics?|photos?|"
    r"recommendations?|info|information|reminder|update|compliments?|invite|invitation|kindness|"
    r"effort|feedback|inspiration|motivation|pep talk|love|thoughts?|sharing|asking|everything|"
    r"that|it|this|listening|checking in|understanding|reaching out|"
    r"(?:always )?being (?:there|here)(?: for me)?)"
)
_MEETING = (
    r"(?:to (?:see|hear from|meet|talk to|chat with|hear|talk|chat|know)"
    r"(?: (?:you|that|it|this|again))*"
    r"|(?:seeing|hearing from|meeting|talking to|chatting with|chatting|talking)(?: you)?)"
)

# Alternatives of one position; a longer match comes before a shorter one.
_PIECES = (
    # Greetings and farewells.
    r"(?:hi|hello|hey|heya|hiya|howdy|yo|greetings)(?: there| again| everyone| all)?",
    r"good (?:morning|afternoon|evening|night|day)|welcome(?: back)?|long time no (?:see|talk)",
    rf"(?:it (?:is|was) |i am )?{_VERY}"
    rf"(?:good|great|nice|lovely|glad|happy|awesome|wonderful|cool) {_MEETING}",
    r"goodbye|bye(?: bye)?|cheers|farewell|see (?:you|ya)(?: (?:later|soon|then|around|tomorrow))?|"
    r"take care|peace|later",
    r"(?:talk|speak|catch|chat)(?: to| with| up)*(?: you| ya)? (?:later|soon|then|around|tomorrow)",
    rf"have (?:a |an )?"
    rf"(?:fun|blast|{_VERY}{_GOOD}(?: (?:one|day|night|evening|weekend|time|trip))?)",
    r"enjoy(?: yourself| it| your (?:day|evening|weekend|time|trip))?|safe travels|sleep well|"
    r"stay (?:safe|strong|tuned|positive)|fingers crossed",
    r"good luck(?: with (?:that|it|everything))?|best of luck|all the best",
    # Thanks and answers to them.
    rf"(?:many |oh )?(?:thanks|thank you|thx|ty|thank u)(?: so much| a lot| a ton| a bunch| again|"
    rf" very much| once more| guys)*(?: for (?:{_YOUR})?{_HELP}(?: and (?:{_YOUR})?{_HELP})?)?",
    rf"(?:i )?{_VERY}appreciate (?:{_YOUR})?(?:{_HELP}|you)|much appreciated|appreciated|"
    r"i owe you one",
    rf"(?:(?:{_YOUR})?{_HELP} )?{_VERY}means? (?:a lot|so much|the world|everything)(?: to me)?",
    r"you are (?:very |most |so )?(?:welcome|the best|amazing|awesome|right|too kind)|you bet|"
    r"you rock",
    r"no (?:problem|worries|prob|need|biggie|rush)|not at all|any ?time|my pleasure|pleasure|"
    r"do not (?:worry about it|worry|mention it)",
    # Yes, no, and the like.
    r"ok(?:ay)?|k|kk|sure(?: thing)?|yes|yeah|yea|yep|yup|yah|no|nope|nah|right|exactly|"
    r"absolutely|definitely|totally|of course|certainly|indeed|agreed|totally agree|got it|"
    r"will do|alright|"
    r"all right|for sure|same(?: here)?|me (?:too|neither)|you too|fair enough|"
    r"(?:that )?makes sense|never ?mind|not (?:really|yet|sure)|maybe|perhaps|probably|"
    r"understood|noted|done|go ahead|"
    r"let us do (?:it|this)|count me in|you know|well|actually|so|and|but|anyway|then|too|again|"
    r"please|can not wait",
    r"i (?:agree|see|know right|know|hear you|understand|get it|think so|guess so|guess|hope so|"
    r"do not know)",
    # Exclamations and praise.
    r"wow+|whoa+|woah+|oh+|ah+|aw+|ha(?:ha)+|ha|lol|lmao|rofl|hehe|h?mm+|mhm|uh|um|yay+|"
    r"woo+(?:hoo+)?|ooh+|ugh|oops|omg|yum+y?|hooray|phew|gosh|geez|damn|man|dude|bro|buddy|"
    r"congrat(?:s|z|ulations)|bravo|(?:oh )?my (?:god|gosh|goodness)|no way",
    rf"(?:{_IT} )?{_VERY}(?:a |an |the )?{_VERY}{_GOOD}(?: {_GOOD})?(?: {_THING})?",
    rf"(?:{_IT} )?like (?:{_VERY}(?:a |an )?(?:{_GOOD} )?(?:fun|blast|plan|dream|time|idea|day))",
    rf"(?:sounds?|looks?|seems?) {_VERY}(?:like )?(?:a |an )?"
    rf"(?:{_GOOD}|fun|plan|blast)(?: {_THING})?",
    rf"(?:what|such|how) (?:a |an )?{_VERY}{_GOOD}(?: {_THING})?|"
    r"what a (?:day|view|night|shot|trip)",
    r"keep (?:it up|going|at it|up the (?:\w+ )?work|me posted|pushing)|(?:you|we) got this|"
    r"you (?:have got this|can do (?:it|this))|go for it|way to go|well done|hang in there|"
    r"i believe in you|i am here for you|i have got your back|rooting for you|proud of you",
    rf"(?:i am )?{_VERY}(?:happy|proud|glad|excited|thrilled|stoked|sorry) (?:for|of) you|"
    r"(?:i am )?(?:so )?sorry (?:to hear (?:that|about that)|about that)|missed you|my condolences",
    r"(?:i |i am )?(?:hope|glad|hoping) (?:you (?:like|liked|enjoy|enjoyed) (?:it|them|that)|"
    r"you are (?:well|ok|okay|doing well)|all is (?:well|good))",
    # The commonest of other languages.
    r"hola|(?:muchas )?gracias|buenos d[ií]as|de nada|adi[oó]s|vale|s[ií]|merci(?: beaucoup)?|"
    r"bonjour|bonsoir|salut|oui|non|au revoir|d'accord|hallo|danke(?: sch[oö]n)?|vielen dank|bitte|"
    r"guten (?:morgen|tag|abend)|tsch[uü]ss|ja|nein|genau|obrigad[oa]|ol[aá]|bom dia|ciao|"
    r"grazie(?: mille)?|buongiorno|prego|привет|спасибо|да|нет|здравствуйте|пока",
    r"你好|您好|谢谢(?:你|您)?|多谢|好的|好吧|嗯+|哈+|早上好|晚安|再见|不客气|是的|对|"
    r"こんにちは|こんばんは|おはよう(?:ございます)?|ありがとう(?:ございます)?|はい|いいえ|うん|"
    r"さようなら|안녕(?:하세요)?|감사합니다|고마워(?:요)?|네|아니요",
)

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_ADDRESSED = re.compile(
    r"\b((?i:hi|hey|hello|thanks|thank you|bye|congrats|wow|welcome(?: back)?)(?i: so much)?),?\s+"
    r"(?!I\b)[^\W\d_a-z][\w'-]*(?=\s*(?:[,.!…]|$))"
)


def is_small_talk(sentence: str, names: Collection[str]) -> bool:
    """Whether a sentence is only small talk.

    Args:
        sentence: as it was said; a short one.
        names: of the people in the conversation.
    """
    unaddressed = _ADDRESSED.sub(r"\1", straight(unicodedata.normalize("NFC", sentence)))
    spelled = written_out(" ".join(_WORD.findall(unaddressed))).split()
    parts = {part for name in names for part in normalised(name).split()}
    said = [
        word.casefold() for word in spelled if not (word[0].isupper() and _is_name(word, parts))
    ]
    return not said or _consists_of_pieces(" ".join(said) + " ")


def _consists_of_pieces(text: str) -> bool:
    """Whether ``text`` (ending in a space) is a sequence of pieces.

    Every reachable position is tried once, so no text can cause exponential backtracking.
    """
    reached = {0}
    pieces = _pieces()
    while reached:
        tried = min(reached)
        if tried == len(text):
            return True
        reached.discard(tried)
        reached.update(
            match.end() for piece in pieces if (match := piece.match(text, tried)) is not None
        )
    return False


@cache
def _pieces() -> tuple[re.Pattern[str], ...]:
    # Compiled on first use: it takes a tenth of the time allowed for the import.
    return tuple(re.compile(f"(?:{piece}) ") for piece in _PIECES)


def _is_name(word: str, parts: Collection[str]) -> bool:
    """Whether a word is one of the names, or a prefix of one with at least three letters."""
    folded = normalised(word).removesuffix("'s")
    return folded in parts or (len(folded) >= 3 and any(part.startswith(folded) for part in parts))
