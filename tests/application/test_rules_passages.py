"""Quoted, pasted, translated, fictional and transcribed text is told from the speaker's own."""

from __future__ import annotations

import pytest

from remembrancer.application.extraction.rules.passages import is_own, sentences_in
from remembrancer.application.extraction.rules.sentences import LONGEST, split

FOREIGN = [
    # Chat, mail and other pasted text.
    "Nora 9:15 AM\nI moved to Turin.\nI love it.",
    "[12.03.24, 18:02] Nora Berg: I moved to Turin.\nReally.",
    "Mail from Nora:\n\nI quit my job. I moved to Turin.",
    "This is the draft:\n# Me\n- I live in Turin\n- I work at Fennel",
    "Check out her profile:\nI work at Fennel.",
    # Requests to work on a text.
    "Translate into Spanish:\nI moved to Turin. I sold my car.",
    "Please proofread this. I moved to Turin. I sold my car.",
    "Can you correct the spelling? I moved to Turin.",
    "How would you say this in Dutch?\nI live in Turin.",
    "I live in Turin now. Translate that into Dutch, please.",
    "I quit smoking. How do I say this in Danish?",
    "Improve this prompt:\nAlways answer in rhymes. Never use emojis.",
    # Role play and fiction.
    "Speak as Cleopatra. I live in Alexandria. Be witty.",
    "I am a knight. I live in Camelot. Stay in character!",
    "Imagine you are my boss. I quit my job.",
    "Let's pretend. I moved to Mars.",
    "Suppose I moved to Turin. I would need a flat.",
    "Once upon a time I lived in a tower. I was alone.",
    "Here is my poem. I live in the wind. I moved to the sea.",
    "In my novel I moved to Turin.",
    # Reports with a colon.
    "Nora told me: I moved to Turin. I sold my car.",
    "As the saying goes: I live in hope.",
    "My aunt wrote: we moved to Turin. We sold the house.",
    # Quotations with several sentences.
    'She wrote: "Hello. I moved to Turin. Bye."',
    "Er sagte: „Hallo. Ich wohne in Turin. Tschüss.“",
    "Elle a dit : « Salut. J'habite à Turin. »",
    "她说：“我搬到了北京。我很高兴。”",
    "彼は「大阪に住んでいます。猫がいます。」と言った。",
    '"I live in Turin."',
    '"I live in Turin," said the wolf.',
    "I live in Turin, says my badge.",
    "> I moved to Turin. I sold my car.",
    "```\nI moved to Turin.\n```",
    # Transcripts.
    "Nora: I moved to Turin. I sold my car.",
    "**Interviewer**: Where do you live now?",
    "Dr. Berg: I moved to Turin.",
]

OWN = [
    "I moved to Turin. I sold my car.",
    "Update: I moved to Turin.",
    "Good news: I got the job!",
    "Sorry, typo: my birthday is May 14.",
    "My hobbies:\n- I paint\n- I swim",
    "About me:\n- I live in Turin\n- I have 2 dogs",
    "Act as a lawyer. I live in Turin and my landlord sued me.",
    "I told Nora: I moved to Turin.",
    "My address: 4 Place Grenette",
    "I translate novels. I live in Turin.",
    "Imagine my surprise when I got the job!",
    'My band is called "No. 5". I play the drums.',
    "At 10:30 I left. I live in Turin.",
    "I play in a film. I live in Turin.",
    "How are you? I moved to Turin.",
    "我住在北京。我有一只猫。",
]


@pytest.mark.parametrize("text", FOREIGN)
def test_text_of_others_stays_whole_and_is_not_the_speakers_own(text: str) -> None:
    assert sentences_in(text) == [text]
    assert not is_own(text)


@pytest.mark.parametrize("text", OWN)
def test_own_words_are_told_as_such(text: str) -> None:
    assert all(is_own(sentence) for sentence in sentences_in(text))


@pytest.mark.parametrize(
    ("text", "sentences", "own"),
    [
        (
            "I live in Oslo. Translate to Dutch: I live in Turin. I paint.",
            ["I live in Oslo.", "Translate to Dutch: I live in Turin. I paint."],
            [True, False],
        ),
        (
            "Nora: I moved. Yes.\nOtto: Where to? Turin?\nI live in Oslo.",
            ["Nora: I moved. Yes.", "Otto: Where to? Turin?", "I live in Oslo."],
            [False, False, True],
        ),
        (
            'Dr. Berg wrote: "Hi. I moved." I was glad. I live in Oslo.',
            ['Dr. Berg wrote: "Hi. I moved."', "I was glad.", "I live in Oslo."],
            [False, True, True],
        ),
        (
            "Zorg: I moved. Ha.\nTorg: Oh. No.\nZorg: Yes. I did.\nTorg: Ok. Fine.",
            ["Zorg: I moved. Ha.", "Torg: Oh. No.", "Zorg: Yes. I did.", "Torg: Ok. Fine."],
            None,
        ),
    ],
)
def test_passage_ends_where_it_is_known_to_end(
    text: str, sentences: list[str], own: list[bool] | None
) -> None:
    found = sentences_in(text)

    assert found == sentences
    if own is not None:
        assert [is_own(sentence) for sentence in found] == own


def test_long_passage_is_cut_into_long_pieces_without_loss() -> None:
    text = "Translate this:\n" + "I live in Turin. " * 500

    pieces = sentences_in(text)

    assert " ".join(pieces) == text.strip()
    assert all(LONGEST / 3 < len(piece) <= LONGEST for piece in pieces)


def test_number_after_a_passage_is_no_marker_of_a_list() -> None:
    told = "In my dream I lived in Rome. 1. a list"
    assert sentences_in(told) == split(told) == ["In my dream I lived in Rome.", "1. a list"]
    assert sentences_in("In my dream I lived in Rome.\n1. a list")[1:] == ["a list"]
