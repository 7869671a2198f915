"""Sentence segmentation in many scripts; every sentence is a substring of the text."""

from __future__ import annotations

import pytest

from remembrancer.application.extraction.rules.sentences import LONGEST, split


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("I live in Oslo. I like tea!", ["I live in Oslo.", "I like tea!"]),
        ("i live in oslo. i like tea", ["i live in oslo.", "i like tea"]),
        ("It costs $3.50. I paid.", ["It costs $3.50.", "I paid."]),
        ("Dr. Lee met J. Smith. He left.", ["Dr. Lee met J. Smith.", "He left."]),
        ("I work at A. Now I work at B.", ["I work at A.", "Now I work at B."]),
        ("Tea, e.g. green. And so on.", ["Tea, e.g. green.", "And so on."]),
        ("At 6 p.m. they came.", ["At 6 p.m. they came."]),
        ("We left at 6 p.m. They stayed.", ["We left at 6 p.m.", "They stayed."]),
        ("See https://a.b/c.d?e=f!g. OK", ["See https://a.b/c.d?e=f!g.", "OK"]),
        ("Wow... that was close. Then…", ["Wow... that was close.", "Then…"]),
        ('He said "Really?" and left. Bye.', ['He said "Really?" and left.', "Bye."]),
        ("(I know.) [Yes!] Fine.", ["(I know.)", "[Yes!]", "Fine."]),
        ("Great!😊 Me too :) Done", ["Great!😊", "Me too :) Done"]),
        ("What?! No...", ["What?!", "No..."]),
        ("Am 3. Mai war ich da. Gut.", ["Am 3. Mai war ich da.", "Gut."]),
        ("我住在北京。你呢？我喜欢茶！", ["我住在北京。", "你呢？", "我喜欢茶！"]),
        ("東京に住んでいます。猫が好きです。", ["東京に住んでいます。", "猫が好きです。"]),
        ("أنا بخير. كيف حالك؟ شكرا", ["أنا بخير.", "كيف حالك؟", "شكرا"]),
        ("मैं ठीक हूँ। आप कैसे हैं?", ["मैं ठीक हूँ।", "आप कैसे हैं?"]),
        ("one\r\ntwo\n\n three ", ["one", "two", "three"]),
        ("- milk\n* eggs\n3. bread\n# Title", ["milk", "eggs", "bread", "Title"]),
        (
            "Look:\n```py\nx = 1. \ny = 2\n```\nDone",
            ["Look:", "```py\nx = 1. \ny = 2\n```", "Done"],
        ),
        ("```\nnever closed. So", ["```", "never closed.", "So"]),
        ("```x = 1``` is code\nSo what", ["```x = 1``` is code", "So what"]),
        ("> I live in Oslo. I do.\nAh.", ["> I live in Oslo. I do.", "Ah."]),
        ("", []),
        (" \n\t ", []),
    ],
)
def test_text_is_split_into_sentences(text: str, sentences: list[str]) -> None:
    assert split(text) == sentences


def test_long_text_without_punctuation_is_split_at_white_space() -> None:
    text = "word " * LONGEST

    pieces = split(text)

    assert all(len(piece) <= LONGEST and piece.startswith("word") for piece in pieces)
    assert " ".join(pieces) == text.strip()


def test_long_text_without_white_space_is_split_without_loss() -> None:
    text = "x" * (3 * LONGEST + 1)

    assert "".join(split(text)) == text
