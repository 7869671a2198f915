"""Validation of arguments: an error names the argument, the problem and a remedy."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from enum import Enum, IntEnum
from hashlib import sha256
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from remembrancer.application.parsing.arguments import (
    MAX_METADATA_DEPTH,
    MAX_METADATA_VALUES,
    parse_guidance,
    parse_id,
    parse_kind,
    parse_limit,
    parse_metadata,
    parse_moment,
    parse_name,
    parse_text,
    parse_threshold,
)
from remembrancer.application.parsing.messages import MAX_MESSAGES, parse_messages
from remembrancer.application.parsing.request import RememberRequest, Turn
from remembrancer.domain.conversation import Role
from remembrancer.domain.errors import InvalidRequest
from remembrancer.domain.guidance import Guidance
from remembrancer.domain.image import Image
from remembrancer.domain.scope import Scope

NOON = datetime(2024, 5, 3, 12, 0, tzinfo=UTC)
HUGE = 10**5000
"""More digits than Python converts to a string."""

DATA_URL = "data:image/png;base64,iVBORw=="
PNG = {"type": "base64", "media_type": "image/png", "data": "iVBORw=="}


def refusal(parse: Callable[..., object], *arguments: object) -> str:
    """The error message, which must be one line."""
    with pytest.raises(InvalidRequest) as refused:
        parse(*arguments)
    message = str(refused.value)
    assert "\n" not in message
    assert len(message) < 400
    return message


def turns_of(value: object) -> list[Turn]:
    """The turns of messages of which nothing is skipped."""
    parsed = parse_messages(value)
    assert parsed.skipped == ()
    return list(parsed.turns)


# Text


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("", "is empty; pass some text"),
        (" \t\n\u3000", "is empty; pass some text"),
        ("a\0b", "NUL byte at index 1; remove it"),
        ("\ud83d", "lone surrogate at index 0; remove it"),
        ("ok \udc80", "lone surrogate at index 3; remove it"),
        ("x" * 10_000_000, "has 10,000,000 characters; split it, at most 1,000,000 are allowed"),
        (None, "expected a string, got NoneType"),
        (b"bytes", "expected a string, got bytes"),
        (7, "expected a string, got int"),
        (["text"], "expected a string, got list"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_invalid_text_is_refused(value: object, problem: str) -> None:
    assert refusal(parse_text, value, "messages[3].content") == f"messages[3].content: {problem}"


@pytest.mark.parametrize(
    "text", ["x", "x" * 1_000_000, "日本語", "😀", "a\tb\nc\r\n", "\x01\x7f", "\u200b", " x "]
)
def test_any_other_text_is_kept_unchanged(text: str) -> None:
    assert parse_text(text, "text") == text


def test_text_of_a_str_subclass_becomes_plain_str() -> None:
    class Color(str, Enum):  # noqa: UP042 - a StrEnum shows its value by itself
        RED = "red"

    for text in (np.str_("red"), Color.RED):
        parsed = parse_text(text, "text")
        assert (parsed, type(parsed)) == ("red", str)


# Names


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("", "is empty; pass some text"),
        ("  ", "is empty; pass some text"),
        ("a\nb", "has a control character; remove it"),
        ("a\x85b", "has a control character; remove it"),
        ("a\0b", "NUL byte at index 1; remove it"),
        ("k" * 257, "has 257 characters; split it, at most 256 are allowed"),
        (5, "expected a string, got int"),
    ],
)
def test_name_is_one_short_printable_line(value: object, problem: str) -> None:
    assert refusal(parse_name, value, "idempotency_key") == f"idempotency_key: {problem}"
    assert parse_name(None, "name") is None
    assert parse_name("Zoë O'Brien", "name") == "Zoë O'Brien"


# Times


class Undecided(tzinfo):
    """A time zone without an offset, which makes a time naive."""

    def utcoffset(self, dt: datetime | None) -> timedelta | None:
        return None

    def dst(self, dt: datetime | None) -> timedelta | None:
        return None

    def tzname(self, dt: datetime | None) -> str | None:
        return None


NAIVE = "is naive; give it a timezone, such as datetime.UTC"


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (datetime(2024, 5, 3), NAIVE),  # noqa: DTZ001
        (datetime(2024, 5, 3, tzinfo=Undecided()), NAIVE),
        ("2024-05-03", NAIVE),
        ("2024-05-03T10:00:00", NAIVE),
        ("yesterday", "'yesterday' is not an ISO 8601 date and time"),
        ("", "'' is not an ISO 8601 date and time"),
        ("2024-13-01T00:00:00Z", "'2024-13-01T00:00:00Z' is not an ISO 8601 date and time"),
        ("x" * 1_000_000, f"'{'x' * 80}' is not an ISO 8601 date and time"),
        (float("nan"), "nan is not a time in seconds"),
        (float("inf"), "inf is not a time in seconds"),
        (-1e20, "-1e+20 is not a time in seconds"),
        (2**63, "9223372036854775808 is not a time in seconds"),
        (HUGE, "int is not a time in seconds"),
        (
            datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5))),
            "0001-01-01T00:00:00+05:00 is out of range in UTC",
        ),
        ("9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59-14:00 is out of range in UTC"),
        (True, "expected a datetime, got bool"),
        (b"2024", "expected a datetime, got bytes"),
        ([], "expected a datetime, got list"),
    ],
    ids=lambda value: repr(value)[:30] if value is not HUGE else "huge",
)
def test_invalid_time_is_refused(value: object, problem: str) -> None:
    assert refusal(parse_moment, value, "occurred_at") == f"occurred_at: {problem}"


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        (NOON, NOON),
        (datetime(2024, 5, 3, 14, tzinfo=timezone(timedelta(hours=2))), NOON),
        ("2024-05-03T12:00:00Z", NOON),
        ("2024-05-03T14:00:00+02:00", NOON),
        (1714737600, NOON),
        (1714737600.5, NOON + timedelta(milliseconds=500)),
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        (None, None),
    ],
)
def test_times_can_be_datetimes_strings_or_numbers(value: object, moment: datetime | None) -> None:
    assert parse_moment(value, "timestamp") == moment


@given(st.datetimes(timezones=st.timezones()))
def test_time_is_stored_without_loss_to_the_microsecond(
    moment: datetime,
) -> None:
    try:
        expected = moment.astimezone(UTC)
    except OverflowError:
        refusal(parse_moment, moment, "timestamp")
        return
    parsed = parse_moment(moment, "timestamp")
    assert parsed is not None
    stored: datetime = msgspec.json.decode(msgspec.json.encode(parsed), type=datetime)
    assert parsed == stored == expected
    assert parsed.utcoffset() == stored.utcoffset()


@pytest.mark.parametrize("hours", [-11.5, -1, 0, 2, 5.75, 14])
def test_time_keeps_its_utc_offset(hours: float) -> None:
    # In another offset, "yesterday" could be another day
    said = datetime(2024, 5, 3, 0, 30, tzinfo=timezone(timedelta(hours=hours)))
    for form in (said, said.isoformat()):
        parsed = parse_moment(form, "timestamp")
        assert parsed is not None
        assert parsed.isoformat() == said.isoformat()


def test_offset_with_odd_seconds_becomes_utc() -> None:
    amsterdam_in_1930 = timezone(timedelta(minutes=19, seconds=32))
    parsed = parse_moment(datetime(1930, 1, 1, tzinfo=amsterdam_in_1930), "timestamp")
    assert parsed is not None
    assert parsed.isoformat() == "1929-12-31T23:40:28+00:00"


def test_time_of_a_datetime_subclass_becomes_a_plain_datetime() -> None:
    # Given a datetime subclass, as from data frames and frozen clocks, which the encoder refuses
    class Stamp(datetime):
        pass

    # When it is parsed
    moment = parse_moment(Stamp(2024, 5, 3, 12, tzinfo=UTC), "timestamp")
    # Then it can be stored
    assert type(moment) is datetime
    assert msgspec.json.decode(msgspec.json.encode(moment), type=datetime) == NOON


# Metadata


def nested(levels: int) -> dict[str, Any]:
    inner: dict[str, Any] = {}
    for _ in range(levels):
        inner = {"a": inner}
    return inner


def cycle_of_mappings() -> dict[str, Any]:
    cycle: dict[str, Any] = {}
    cycle["self"] = cycle
    return cycle


def cycle_of_lists() -> dict[str, Any]:
    cycle: list[Any] = []
    cycle.extend([cycle] * 8)
    return {"self": cycle}


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ([], "metadata: expected a mapping, got list"),
        ("a", "metadata: expected a mapping, got str"),
        ({"a": float("nan")}, "metadata.a: nan is not a JSON number"),
        ({"a": [0, float("-inf")]}, "metadata.a[1]: -inf is not a JSON number"),
        ({"a": 2**63}, "metadata.a: is beyond 64 bits; store it as a string"),
        ({"a": -(2**63) - 1}, "metadata.a: is beyond 64 bits; store it as a string"),
        ({"a": HUGE}, "metadata.a: is beyond 64 bits; store it as a string"),
        (
            {"a": {"b": {1}}},
            "metadata.a.b: set is not a JSON value; convert it to a string or number",
        ),
        ({"a": b"x"}, "metadata.a: bytes is not a JSON value; convert it to a string or number"),
        ({"a": NOON}, "metadata.a: datetime is not a JSON value; convert it to a string or number"),
        ({"a": 1j}, "metadata.a: complex is not a JSON value; convert it to a string or number"),
        ({1: "a"}, "metadata: keys are strings, got int"),
        ({"a": {None: 1}}, "metadata.a: keys are strings, got NoneType"),
        ({"": 1}, "metadata: the key '' is empty, too long or not printable"),
        ({"a\nb": 1}, "metadata: the key 'a\\nb' is empty, too long or not printable"),
        ({"\ud800": 1}, "metadata: the key '\\ud800' is empty, too long or not printable"),
        ({"k" * 300: 1}, f"metadata: the key '{'k' * 40}' is empty, too long or not printable"),
        ({"a": "\0"}, "metadata.a: has a NUL byte or a lone surrogate, or is too long"),
        ({"a": ["\ud800"]}, "metadata.a[0]: has a NUL byte or a lone surrogate, or is too long"),
        ({"a": "x" * 1_000_001}, "metadata.a: has a NUL byte or a lone surrogate, or is too long"),
        (nested(17), f"metadata{'.a' * 17}: is nested deeper than 16 levels"),
        (nested(5000), f"metadata{'.a' * 17}: is nested deeper than 16 levels"),
        (cycle_of_mappings(), f"metadata{'.self' * 17}: is nested deeper than 16 levels"),
        (cycle_of_lists(), f"metadata.self{'[0]' * 16}: is nested deeper than 16 levels"),
        ({"a": [0] * 1000}, "metadata: holds more than 1000 values"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_metadata_must_be_a_json_object_of_bounded_size(value: object, problem: str) -> None:
    assert refusal(parse_metadata, value) == problem


def test_metadata_at_the_limits_is_accepted() -> None:
    assert parse_metadata(nested(MAX_METADATA_DEPTH)) == nested(MAX_METADATA_DEPTH)
    wide = {"a": [0] * (MAX_METADATA_VALUES - 2)}
    assert parse_metadata(wide) == wide
    assert parse_metadata({"a": [2**63 - 1, -(2**63)]}) == {"a": [2**63 - 1, -(2**63)]}
    assert parse_metadata(None) == {}
    assert parse_metadata({"a": (1, 2)}) == {"a": [1, 2]}


keys = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=4)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(keys, json_values, max_size=4))
def test_accepted_metadata_is_read_back_unchanged(metadata: dict[str, Any]) -> None:
    parsed = parse_metadata(metadata)
    assert parsed == metadata
    assert msgspec.json.decode(msgspec.json.encode(parsed)) == metadata


@pytest.mark.parametrize(
    "value",
    [np.float64(1.5), np.str_("x"), IntEnum("Level", ["LOW"]).LOW],  # type: ignore[attr-defined]
)
def test_values_of_numeric_libraries_become_plain_values(value: object) -> None:
    # Given a subclass of float, str or int, which the encoder refuses
    parsed = parse_metadata({"a": value})
    # Then it is a plain value
    assert parsed["a"] == value
    assert type(parsed["a"]) in (float, str, int)
    assert msgspec.json.decode(msgspec.json.encode(parsed)) == {"a": value}


def test_parsed_metadata_is_a_copy() -> None:
    given_by_the_caller: dict[str, Any] = {"a": {"b": [1]}}
    parsed = parse_metadata(given_by_the_caller)
    given_by_the_caller["a"]["b"].append(2)
    assert parsed == {"a": {"b": [1]}}


# Messages


ROLES = "user, assistant, system, tool"


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("", "messages: is empty; pass some text"),
        ([], "messages: is empty; pass at least one message"),
        ((), "messages: is empty; pass at least one message"),
        (None, "messages: expected a string or a list of messages, got NoneType"),
        (b"hello", "messages: expected a string or a list of messages, got bytes"),
        (bytearray(b"hello"), "messages: expected a string or a list of messages, got bytearray"),
        ({"hello"}, "messages: expected a string or a list of messages, got set"),
        ((x for x in "ab"), "messages: expected a string or a list of messages, got generator"),
        (7, "messages: expected a string or a list of messages, got int"),
        ([b"hello"], "messages[0]: expected a message, got bytes"),
        ([7, None], "messages[0]: expected a message, got int"),
        ([["nested"]], "messages[0]: expected a message, got list"),
        ([" "], "messages[0].content: is empty; pass some text"),
        ({}, "messages.content: expected a string, got NoneType"),
        ([{"role": "user"}], "messages[0].content: expected a string, got NoneType"),
        (
            [{"content": "x", "role": "admin"}],
            f"messages[0].role: 'admin' is not a role; use one of {ROLES}",
        ),
        (
            {"content": "x", "role": ["user"]},
            f"messages.role: list is not a role; use one of {ROLES}",
        ),
        ({"content": "x", "role": HUGE}, f"messages.role: int is not a role; use one of {ROLES}"),
        (
            {"content": "x", "user_id": "bob"},
            "messages.user_id: is an argument of the call, for all of its messages; add this one "
            "in a call of its own",
        ),
        ({"content": "x", "name": ""}, "messages.name: is empty; pass some text"),
        ({"content": "x", "name": "a\tb"}, "messages.name: has a control character; remove it"),
        ({"content": "x", "timestamp": "2024-05-03T10:00:00"}, f"messages.timestamp: {NAIVE}"),
        ({"content": "x", "metadata": [1]}, "messages.metadata: expected a mapping, got list"),
        (
            {"content": "x", "metadata": {"a": HUGE}},
            "messages.metadata.a: is beyond 64 bits; store it as a string",
        ),
        ({"content": []}, "messages.content: is empty; pass some text"),
        (
            {"content": [{"type": "input_audio", "input_audio": {}}]},
            "messages.content[0]: is sound; pass its transcript as text",
        ),
        (
            {"content": [7, {"type": "text", "text": " "}]},
            "messages.content[0]: expected a part, got int",
        ),
        (
            {"content": [{"type": "image_url", "image_url": {}}]},
            "messages.content[0].image_url.url: expected a string, got NoneType",
        ),
        (
            {"content": [{"type": "image_url"}]},
            "messages.content[0].image_url: expected a string, got NoneType",
        ),
        (
            {"content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]},
            "messages.content[0].image_url.url: expected an address with http: or https:, "
            "or a data URL",
        ),
        (
            {"content": [{"type": "image_url", "image_url": "https://a.example/a b"}]},
            "messages.content[0].image_url: expected an address with http: or https:, "
            "or a data URL",
        ),
        (
            {"content": [{"type": "image_url", "image_url": "https://" + "a" * 9000}]},
            "messages.content[0].image_url: has 9,008 characters; at most 8,192 are allowed",
        ),
        (
            {"content": [{"type": "image_url", "image_url": "data:image/png,abc"}]},
            "messages.content[0].image_url: a data URL has to be data:image/…;base64,…",
        ),
        (
            {"content": [{"type": "image_url", "image_url": "data:text/html;base64,PGI+"}]},
            "messages.content[0].image_url: the media type is not that of an image, "
            "such as image/png",
        ),
        (
            {"content": [{"type": "image_url", "image_url": "data:image/png;base64,"}]},
            "messages.content[0].image_url: the image is empty",
        ),
        (
            {"content": [{"type": "image"}]},
            "messages.content[0].source: expected a source, got NoneType",
        ),
        (
            {"content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}]},
            "messages.content[0].source.type: expected base64 or url; other sources are not "
            "supported",
        ),
        (
            {"content": [{"type": "image", "source": {"type": "base64", "data": "AAAA"}}]},
            "messages.content[0].source: the media type is not that of an image, such as image/png",
        ),
        (
            {"content": [{"type": "image", "source": PNG | {"data": 7}}]},
            "messages.content[0].source: expected base64 in a string, got int",
        ),
        (
            {"content": [{"type": "image", "source": PNG | {"data": "A" * 27_000_000}}]},
            "messages.content[0].source: the image has more than 20,000,000 bytes; make it smaller",
        ),
        (
            {"content": [{"type": "image_url", "image_url": "https://a.example/i"}] * 101},
            "messages.content: has 101 images; at most 100 are allowed in a message",
        ),
        (
            {"content": [{"type": "text"}]},
            "messages.content[0].text: expected a string, got NoneType",
        ),
        (
            {"content": [{"type": "text", "text": "x" * 600_000}] * 2},
            "messages.content: has 1,200,001 characters; split it, at most 1,000,000 are allowed",
        ),
        (
            ["x"] * (MAX_MESSAGES + 1),
            "messages: has 10,001 messages; pass at most 10,000 at a time",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_invalid_message_is_refused_with_its_path(value: object, problem: str) -> None:
    assert refusal(parse_messages, value) == problem


def test_invalid_base64_is_refused_with_its_path() -> None:
    bad = {"content": [{"type": "image", "source": PNG | {"data": "no base64!"}}]}
    assert refusal(parse_messages, bad).startswith("messages.content[0].source: is not base64: ")


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": DATA_URL, "detail": "low"}},
        {"type": "image_url", "image_url": DATA_URL},
        {"type": "image_url", "image_url": DATA_URL.replace("data:image/png", "DATA:Image/PNG")},
        {"type": "image", "source": PNG},
    ],
    ids=["openai", "bare", "shouted", "anthropic"],
)
def test_reference_of_inline_image_is_its_digest(part: dict[str, Any]) -> None:
    (turn,) = turns_of({"content": [{"type": "text", "text": "look"}, part]})
    assert (turn.text, len(turn.images)) == ("look", 1)
    (image,) = turn.images
    assert (image.media_type, image.size, image.data) == ("image/png", 4, "iVBORw==")
    assert image.reference == "sha256:" + sha256(b"\x89PNG").hexdigest()
    assert image.url == DATA_URL


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "https://a.example/b.png?c=d"}},
        {"type": "image", "source": {"type": "url", "url": "https://a.example/b.png?c=d"}},
    ],
    ids=["openai", "anthropic"],
)
def test_message_can_be_a_single_image_url(
    part: dict[str, Any],
) -> None:
    (turn,) = turns_of({"content": [part]})
    assert turn.text == ""
    assert turn.images == (Image(reference="https://a.example/b.png?c=d"),)


# Guidance


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((7, None, None, None), "instructions: expected a string, got int"),
        (("", None, None, None), "instructions: is empty; pass some text"),
        (
            ("x" * 10_001, None, None, None),
            "instructions: has 10,001 characters; split it, at most 10,000 are allowed",
        ),
        ((None, "health", None, None), "include: expected a list of strings, got str"),
        ((None, None, ["a", None], None), "exclude[1]: expected a string, got NoneType"),
        ((None, None, None, [""]), "categories[0]: is empty; pass some text"),
        ((None, None, None, ["a\nb"]), "categories[0]: has a control character; remove it"),
        (
            (None, None, None, ["x"] * 101),
            "categories: has 101 entries; at most 100 are allowed",
        ),
    ],
)
def test_invalid_guidance_is_refused_with_its_name(
    arguments: tuple[object, ...], problem: str
) -> None:
    assert refusal(parse_guidance, *arguments) == problem


def test_empty_guidance_is_none_and_duplicate_topics_are_removed() -> None:
    assert parse_guidance(None, None, [], ()) is None
    assert parse_guidance(None, None, None, ["a", "b", "a"]) == Guidance(categories=("a", "b"))


@pytest.mark.parametrize("value", ["semantic", "Procedural", 7, True, ""])
def test_unsupported_kind_is_refused(value: object) -> None:
    assert refusal(parse_kind, value).startswith("kind: ")
    assert refusal(parse_kind, value).endswith("use procedural or leave it out")


def test_string_is_one_user_message() -> None:
    (turn,) = turns_of("I like tea")
    assert (turn.role, turn.text, turn.name, turn.occurred_at) == (
        Role.USER,
        "I like tea",
        None,
        None,
    )
    assert turns_of({"content": "I like tea"}) == [turn]
    assert turns_of(["I like tea"]) == [turn]
    assert turns_of(({"content": "I like tea", "role": Role.USER},)) == [turn]


def test_message_can_have_role_name_timestamp_and_metadata() -> None:
    (turn,) = turns_of(
        [
            {
                "role": "assistant",
                "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}],
                "name": "Coach",
                "timestamp": "2024-05-03T12:00:00Z",
                "metadata": {"a": 1},
            }
        ]
    )
    assert (turn.role, turn.text, turn.name) == (Role.ASSISTANT, "one\ntwo", "Coach")
    assert (turn.occurred_at, turn.metadata) == (NOON, {"a": 1})


# Numbers, ids and switches


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (-1, "-1"),
        (1001, "1001"),
        (2**70, "int"),
        (HUGE, "int"),
        (True, "True"),
        (1.0, "1.0"),
        (float("nan"), "nan"),
        ("10", "'10'"),
        ("x" * 10_000, f"'{'x' * 80}'"),
        (None, "NoneType"),
        ([HUGE], "list"),
    ],
    ids=lambda value: "" if isinstance(value, int | list) else repr(value)[:20],
)
def test_limit_is_a_whole_number_from_1_to_1000(value: object, shown: str) -> None:
    assert refusal(parse_limit, value) == (
        f"limit: expected a whole number from 1 to 1000, got {shown}"
    )
    assert [parse_limit(1), parse_limit(1000)] == [1, 1000]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (-0.1, "-0.1"),
        (1.1, "1.1"),
        (float("nan"), "nan"),
        (True, "True"),
        (HUGE, "int"),
        ("0.5", "'0.5'"),
    ],
    ids=lambda value: "" if value is HUGE else repr(value),
)
def test_threshold_is_a_number_from_0_to_1(value: object, shown: str) -> None:
    assert refusal(parse_threshold, value) == (
        f"threshold: expected a number from 0 to 1, got {shown}"
    )
    assert [parse_threshold(0), parse_threshold(0.5), parse_threshold(None)] == [0.0, 0.5, None]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("", "''"),
        ("0" * 31, f"'{'0' * 31}'"),
        ("A" * 32, f"'{'A' * 32}'"),
        ("0" * 31 + "\n", f"'{'0' * 31}\\n'"),
        ("0" * 32 + "\n", f"'{'0' * 32}\\n'"),
        ("' OR '1'='1", '''"' OR '1'='1"'''),
        ("٣" * 32, f"'{'٣' * 32}'"),
        ("x" * 1000, f"'{'x' * 80}'"),
        (5, "5"),
        (HUGE, "int"),
        (None, "NoneType"),
    ],
    ids=lambda value: "" if value is HUGE else repr(value)[:20],
)
def test_id_must_be_32_hex_digits(value: object, shown: str) -> None:
    assert refusal(parse_id, value, "fact_id") == f"fact_id: expected 32 hex digits, got {shown}"
    assert parse_id("0" * 32, "fact_id") == "0" * 32


@pytest.mark.parametrize("infer", [1, 0, "yes", None, np.True_])
def test_infer_must_be_a_bool(infer: Any) -> None:
    # A value that is only truthy would be stored unchanged and could not be read again
    with pytest.raises(InvalidRequest, match="infer: expected true or false, got "):
        RememberRequest(scope=Scope(user_id="a"), turns=[], metadata={}, infer=infer)
