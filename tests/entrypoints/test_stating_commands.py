"""The commands ``state``, ``end`` and ``correct``, and ``--status``."""

from __future__ import annotations

from tests.helpers.command_line import CommandLine

ANA = ("--user", "ana", "--json")


def fact_of(remembrancer: CommandLine, *options: str) -> str:
    outcome = remembrancer("state", "user", "lives in", *options, *ANA)
    fact_id: str = outcome.document["receipt"]["verdicts"][0]["fact_id"]
    return fact_id


def texts(remembrancer: CommandLine, *options: str) -> set[str]:
    document = remembrancer("list", *options, *ANA).document
    return {fact["text"] for fact in document["facts"]}


def test_a_stay_interrupts_what_was_stated(remembrancer: CommandLine) -> None:
    fact_of(remembrancer, "Paris", "--from", "2024-01-10")
    fact_of(remembrancer, "Nice", "--from", "2024-03-01", "--to", "2024-04-01")
    found = {
        day: texts(remembrancer, "--valid-at", day)
        for day in ("2024-02-01", "2024-03-15", "2024-04-01")
    }
    assert found == {
        "2024-02-01": {"User lives in Paris"},
        "2024-03-15": {"User lives in Nice"},
        "2024-04-01": {"User lives in Paris"},
    }


def test_an_ended_fact_is_corrected_and_opened_again(remembrancer: CommandLine) -> None:
    fact_id = fact_of(remembrancer, "Rome", "--from", "2024-01-10")
    ended = remembrancer("end", fact_id, "--at", "2024-03-15", "--reason", "moved out", *ANA)
    assert ended.document["receipt"]["verdicts"][0]["target"] == fact_id
    assert texts(remembrancer) == set()
    assert texts(remembrancer, "--status", "superseded") == {"User lives in Rome"}
    assert remembrancer("correct", fact_id, "--value", "Milan", "--to", "-", *ANA).code == 0
    assert texts(remembrancer) == {"User lives in Milan"}
    again = remembrancer("correct", fact_id, "--value", "Milan", *ANA)
    assert again.document == {"receipt": None}


def test_a_blocked_fact_is_listed_among_the_retracted(remembrancer: CommandLine) -> None:
    fact_id = fact_of(remembrancer, "Rome", "--several", "--metadata", "source=form")
    assert remembrancer("delete", fact_id, "--block", *ANA).code == 0
    assert texts(remembrancer) == set()
    assert texts(remembrancer, "--status", "retracted") == {"User lives in Rome"}
    found = remembrancer("search", "Rome", "--status", "retracted", *ANA).document
    assert [hit["fact"]["blocked"] for hit in found["results"]] == [True]


def test_wrong_times_are_refused(remembrancer: CommandLine) -> None:
    fact_id = fact_of(remembrancer, "Rome", "--from", "2024-01-10")
    early = remembrancer("end", fact_id, "--at", "2023-01-01", *ANA)
    assert (early.code, early.error["path"]) == (1, "at")
    unreadable = remembrancer("correct", fact_id, "--from", "soon", *ANA)
    assert unreadable.code == 2
    assert remembrancer("delete", "--all", "--block", *ANA).code == 2
