"""Slots are filled only by sentences that state the value plainly."""

from __future__ import annotations

import pytest

from remembrancer.application.extraction.rules.clauses import clauses_of
from remembrancer.application.extraction.rules.reading import Stance
from remembrancer.application.extraction.rules.slots import read


@pytest.mark.parametrize(
    ("sentence", "slot", "value"),
    [
        ("I live in Paris.", "caroline/residence", "paris"),
        ("i live in new york", "caroline/residence", "new york"),
        ("I’m based in São Paulo!", "caroline/residence", "são paulo"),
        ("I've lived in Berlin since 2019.", "caroline/residence", "berlin"),
        ("I've been living in Berlin for a month.", "caroline/residence", "berlin"),
        ("Well, I actually live in the Netherlands now.", "caroline/residence", "netherlands"),
        ("Hey Mel, I live in Paris, France!", "caroline/residence", "paris"),
        ("Please remember that I live in Lima.", "caroline/residence", "lima"),
        ("Can you remember that I live in Lima?", "caroline/residence", "lima"),
        ("Melanie lives in New York City.", "melanie/residence", "new york city"),
        ("Melanie's based in Rome.", "melanie/residence", "rome"),
        ("The user lives in Rome.", "user/residence", "rome"),
        ("I work at Google.", "caroline/employer", "google"),
        ("I work at A.", "caroline/employer", "a"),
        ("I now work for the New York Times.", "caroline/employer", "new york times"),
        ("I'm working at Acme as a designer.", "caroline/employer", "acme"),
        ("Alice works at Acme.", "alice/employer", "acme"),
        ("I work as a nurse.", "caroline/occupation", "nurse"),
        ("My job title is Data Scientist.", "caroline/occupation", "data scientist"),
        ("My name is Anna.", "caroline/name", "anna"),
        ("my name's José Álvarez", "caroline/name", "josé álvarez"),
        ("Call me Al.", "caroline/form of address", "al"),
        ("You can call me Betty!", "caroline/form of address", "betty"),
        ("I go by Sam.", "caroline/form of address", "sam"),
        ("I'm 32.", "caroline/age", "32"),
        ("I am 32 years old.", "caroline/age", "32"),
        ("My birthday is May 7.", "caroline/birthday", "may 7"),
        ("My birthday is on the 7th of May, 1990.", "caroline/birthday", "may 7 1990"),
        ("I was born on 7 May 1990.", "caroline/birthday", "may 7 1990"),
        ("I'm single.", "caroline/relationship status", "single"),
        ("I'm married to Bob.", "caroline/relationship status", "married"),
        ("My phone number is +49 171 1234567.", "caroline/phone", "491711234567"),
        ("My email address is a.b@example.org.", "caroline/email", "a.b@example.org"),
        ("My address is 12 Main Street.", "caroline/address", "12 main street"),
        ("My favourite colour is blue.", "caroline/favourite colour", "blue"),
        ("My favorite color is now green", "caroline/favourite colour", "green"),
        ("Blue is my favourite colour.", "caroline/favourite colour", "blue"),
        ("Melanie's favorite color is red.", "melanie/favourite colour", "red"),
        ("My dog's name is Rex.", "caroline/dog name", "rex"),
        ("My dog is called Rex.", "caroline/dog name", "rex"),
        ("Melanie's dog is named Max.", "melanie/dog name", "max"),
    ],
)
def test_statement_fills_the_slot_of_its_subject(sentence: str, slot: str, value: str) -> None:
    reading = read(sentence, "Caroline")

    assert reading is not None
    assert (reading.slot, reading.value, reading.stance) == (slot, value, Stance.HOLDS)


@pytest.mark.parametrize(
    ("sentence", "slot", "value"),
    [
        ("I moved to Berlin last month.", "user/residence", "berlin"),
        ("Last year I moved from Berlin back to Rome.", "user/residence", "rome"),
        ("We've relocated to San Francisco.", "user/residence", "san francisco"),
        ("I just got a new job at Siemens!", "user/employer", "siemens"),
        ("I started working for SpaceX yesterday.", "user/employer", "spacex"),
        ("I joined Netflix as a designer.", "user/employer", "netflix"),
        ("I just turned 33!", "user/age", "33"),
        ("I got engaged!", "user/relationship status", "engaged"),
    ],
)
def test_sentence_about_a_change_has_stance_began(sentence: str, slot: str, value: str) -> None:
    reading = read(sentence, "user")

    assert reading is not None
    assert (reading.slot, reading.value, reading.stance) == (slot, value, Stance.BEGAN)


@pytest.mark.parametrize(
    ("sentence", "slot", "value"),
    [
        ("I no longer live in Oslo.", "user/residence", "oslo"),
        ("I don’t live in Oslo anymore", "user/residence", "oslo"),
        ("I used to live in Oslo.", "user/residence", "oslo"),
        ("I moved out of Oslo.", "user/residence", "oslo"),
        ("I no longer work at Google.", "user/employer", "google"),
        ("Alice doesn't work at Acme anymore.", "alice/employer", "acme"),
        ("I quit Google.", "user/employer", "google"),
        ("I quit my job at Google.", "user/employer", "google"),
        ("I quit my job.", "user/employer", None),
        ("I was laid off last week.", "user/employer", None),
        ("I'm no longer married.", "user/relationship status", "married"),
        ("My favourite colour is no longer blue.", "user/favourite colour", "blue"),
    ],
)
def test_sentence_about_an_end_has_stance_ended(
    sentence: str, slot: str, value: str | None
) -> None:
    reading = read(sentence, "user")

    assert reading is not None
    assert (reading.slot, reading.value, reading.stance) == (slot, value, Stance.ENDED)


@pytest.mark.parametrize(
    "sentence",
    [
        "I lived in Berlin for two years.",
        "I'm moving to Berlin next June.",
        "I might move to Berlin.",
        "I'd live in Paris if I could.",
        "If I live in Paris, I will be happy.",
        "I think I live in Paris.",
        "I live in Paris for the summer.",
        "I moved to Canada when I was 5.",
        "I live in fear.",
        "I live in a small house.",
        "I live in the countryside.",
        "I was moved to tears.",
        "I moved to a new apartment.",
        '"I live in Paris," she said.',
        "> I live in Paris.",
        "She lives in Rome.",
        "My sister lives in Rome.",
        "Everyone lives in Rome.",
        "Do I live in Paris?",
        "I work at home.",
        "I work at a bank.",
        "I work in finance.",
        "I work as a team.",
        "I joined a gym.",
        "I lost my job at the bakery.",
        "I quit smoking.",
        "My name is on the list.",
        "Call me later.",
        "I am 5 minutes late.",
        "I'm 300.",
        "My birthday is tomorrow.",
        "I'm engaged in politics.",
        "That is my favourite book.",
        "One of my favourite books is Dune.",
        "My favourite books are Dune and Emma.",
        "My favourite part is the end.",
        "My friend's name is Bob.",
        "My job is boring.",
        "Abito a Roma.",
        "I live in Oslo. " * 40,
        "",
    ],
)
def test_sentence_without_a_plain_value_fills_no_slot(sentence: str) -> None:
    assert read(sentence, "user") is None


@pytest.mark.parametrize(
    ("sentence", "slot", "value"),
    [
        ("I'm not married.", "user/relationship status", "married"),
        ("I don't live in Oslo.", "user/residence", "oslo"),
        ("My favourite colour is not blue.", "user/favourite colour", "blue"),
    ],
)
def test_flat_denial_has_stance_denied_and_changes_nothing(
    sentence: str, slot: str, value: str
) -> None:
    reading = read(sentence, "user")

    assert reading is not None
    assert (reading.slot, reading.value, reading.stance) == (slot, value, Stance.DENIED)
    assert not reading.changes


@pytest.mark.parametrize(
    "sentence",
    [
        "I live in Oslo now.",
        "I moved to Oslo.",
        "My new boss is Tom.",
        "My favourite colour is now red.",
        "Sorry, I meant my birthday is May 7.",
        "Correction: my name is Anna.",
        "I got a job at Acme.",
        "I no longer live in Oslo.",
    ],
)
def test_word_of_change_with_a_fitting_value_changes(sentence: str) -> None:
    reading = read(sentence, "user")

    assert reading is not None
    assert reading.changes


@pytest.mark.parametrize(
    "sentence",
    ["I live in Oslo.", "I live in Excel now.", "My boss is Tom.", "My dog is called Rex."],
)
def test_without_word_of_change_or_fitting_value_nothing_changes(sentence: str) -> None:
    reading = read(sentence, "user")

    assert reading is not None
    assert not reading.changes


@pytest.mark.parametrize(
    "sentence",
    [
        "I moved to Rust.",
        "I moved to the data group.",
        "I also live in Oslo.",
        "I live in Oslo on weekends.",
        "I work at Acme until June.",
        "I'm working at Acme this week.",
        "In Rome, my favourite restaurant is Da Enzo.",
        "My new dog is called Rex.",
        "We are 6.",
        "I'm married to my job.",
        "I retired the old server.",
        "I joined Toastmasters as a mentor.",
    ],
)
def test_limited_or_unfitting_sentence_fills_no_slot(sentence: str) -> None:
    assert read(sentence, "user") is None


@pytest.mark.parametrize(
    ("sentence", "more"),
    [
        ("I live in Paris now!", False),
        ("I live in Paris with my dog.", True),
        ("I work at Acme as a designer.", True),
    ],
)
def test_reading_flags_content_besides_the_value(sentence: str, more: bool) -> None:
    reading = read(sentence, "user")

    assert reading is not None
    assert reading.more is more


@pytest.mark.parametrize(
    ("sentence", "clauses"),
    [
        (
            "My name is Anna and I work at Acme.",
            ["My name is Anna", "I work at Acme."],
        ),
        (
            "Hey Mel, I live in Paris, I have two dogs, and my name is Bo",
            ["Hey Mel, I live in Paris", "I have two dogs", "my name is Bo"],
        ),
        ("I live in Paris and work at Acme.", ["I live in Paris and work at Acme."]),
        ("I like tea and I like milk.", ["I like tea and I like milk."]),
    ],
)
def test_compound_sentence_is_split_only_if_a_part_fills_a_slot(
    sentence: str, clauses: list[str]
) -> None:
    assert clauses_of(sentence, "user") == clauses
