"""A user is one subject with and without a name, however many facts there are."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from remembrancer import Memory

OTHERS = [f"I like song number {number}." for number in range(20)]


@pytest.fixture
def memory() -> Iterator[Memory]:
    with Memory() as opened:
        yield opened


def say(memory: Memory, text: str, *, name: str | None = None, role: str = "user") -> None:
    message = {"role": role, "content": text, **({"name": name} if name else {})}
    memory.add([message], user_id="u1")


def believed(memory: Memory) -> set[str]:
    return {fact.text for fact in memory.get_all(user_id="u1", limit=100)} - set(OTHERS)


@pytest.mark.parametrize(("first", "then"), [(None, "Ann"), ("Ann", None)])
def test_change_is_found_under_the_other_name(
    memory: Memory, first: str | None, then: str | None
) -> None:
    say(memory, "I live in Oslo.", name=first)
    for other in OTHERS:
        say(memory, other, name=first)
    say(memory, "I moved to Turin.", name=then)

    assert believed(memory) == {"I moved to Turin."}


def test_several_users_stay_apart(memory: Memory) -> None:
    say(memory, "I live in Oslo.", name="Ann")
    say(memory, "I live in Lima.", name="Bob")
    say(memory, "I moved to Turin.")

    assert believed(memory) == {"I live in Oslo.", "I live in Lima.", "I moved to Turin."}


def test_assistant_ends_no_word_of_the_user(memory: Memory) -> None:
    say(memory, "I live in Oslo.", name="Ann")
    say(memory, "Ann moved to Turin.", role="assistant")
    say(memory, "I moved to Rome.", role="assistant", name="Ann")

    assert "I live in Oslo." in believed(memory)
