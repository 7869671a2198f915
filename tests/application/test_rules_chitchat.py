"""Sentences without content are skipped, all others are kept."""

from __future__ import annotations

import pytest

from remembrancer.application.extraction.rules.chitchat import reason_to_skip

PEOPLE = ("Melanie", "Caroline")


@pytest.mark.parametrize(
    "sentence",
    [
        "How are you?",
        "What do you do for a living?",
        "Hey Mel, how's it going?",
        "And you?",
        "By the way, have you been to Oslo?",
        "If you had a dog, what would you call it?",
        "That sounds great, when do you leave?",
        "where do i live",
        "what's my name",
        "do you remember my dog",
        "how old am i",
        "Is it far?",
        "Really?",
        "你住在哪里？",
        "你喜欢茶吗",
        "お元気ですか。",
        "كيف حالك؟",
    ],
)
def test_question_is_skipped(sentence: str) -> None:
    assert reason_to_skip(sentence, PEOPLE) == "question"


@pytest.mark.parametrize(
    "sentence",
    [
        "Hey Mel!",
        "Hi Bob,",
        "Wow, that's so cool!",
        "Thanks!",
        "Thanks so much for the kind words, Caroline!",
        "Thank you, I really appreciate your support.",
        "No worries, Melanie 😊",
        "Good to see you again!",
        "Yes, of course.",
        "Yeah, that sounds like fun!",
        "Oh my gosh, congrats!",
        "Haha, nice one!",
        "Have a great day!",
        "Talk to you later!",
        "That’s awesome.",
        "What a beautiful picture!",
        "Danke schön!",
        "Merci beaucoup.",
        "谢谢你！",
        "ありがとうございます。",
    ],
)
def test_small_talk_is_skipped(sentence: str) -> None:
    assert reason_to_skip(sentence, PEOPLE) == "small talk"


@pytest.mark.parametrize(
    ("sentence", "reason"),
    [
        ("No, I didn't.", "no content words"),
        ("They really do.", "no content words"),
        ("...", "no words"),
        ("😂😂", "no words"),
        ("!" * 5_000, "no words"),
    ],
)
def test_sentence_without_content_words_is_skipped(sentence: str, reason: str) -> None:
    assert reason_to_skip(sentence, PEOPLE) == reason


@pytest.mark.parametrize(
    "sentence",
    [
        "I live in Paris.",
        "Thanks, I moved to Oslo!",
        "Hey Mel, I got a new job.",
        "Yes, in Berlin.",
        "Blue.",
        "42",
        "I'm sick.",
        "She's allergic to nuts!",
        "I love hiking.",
        "No more coffee for me.",
        "Had the best day with my sister",
        "Did the laundry today",
        "May 5 is my birthday.",
        "Will lives in Oslo.",
        "I live in Paris, remember?",
        "I just moved to Oslo, did I tell you?",
        "Can you remember that I'm allergic to nuts?",
        "Caroline works at Acme, right?",
        "My dog is sick, what can I do?",
        "The Hobbit is great, but have you read Dune?",
        "As I am a vegetarian, what should I cook?",
        "That restaurant in Rome closed.",
        "Ich wohne in Berlin.",
        "我住在北京。",
        "Good dogs are Rex and Max.",
        "Great news, we are having a baby!",
    ],
)
def test_sentence_with_content_is_kept(sentence: str) -> None:
    assert reason_to_skip(sentence, PEOPLE) is None
