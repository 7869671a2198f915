"""The command ``timeline``: its lines, its JSON, its picture and its page, also in a browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remembrancer import Memory
from remembrancer.entrypoints.cli.timeline_page import draw_timeline_page
from remembrancer.entrypoints.cli.timeline_picture import LEFT, WIDTH, Scale, draw_timeline
from remembrancer.types import Fact, FactId, Interval, Moment, Scope, Timeline, TimelineFact
from tests.helpers.clock import NOON, VirtualClock
from tests.helpers.command_line import CommandLine

ANA = ("--user", "ana")
HOSTILE = "I said </script><img src=x onerror=\"document.title='pwned'\"> \x1b[31m\u202e now"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def told() -> Iterator[tuple[Memory, str]]:
    """Berlin, then Rome; jazz, which was withdrawn; and a hostile text. With the version before
    the last three.
    """
    clock = VirtualClock()
    ids: Any = {"user_id": "ana"}
    with Memory(overrides={"clock": clock}) as memory:
        memory.add("I live in Berlin.", occurred_at="2020-01-01T00:00Z", **ids)
        clock.move(hours=1)
        jazz = memory.add("I like jazz.", occurred_at="2021-01-01T00:00Z", **ids)
        then = f"@{memory.stats(**ids).events}"
        clock.move(hours=1)
        memory.add("I moved to Rome.", occurred_at="2022-01-01T00:00Z", **ids)
        clock.move(hours=1)
        memory.delete(str(jazz.verdicts[0].fact_id), actor="support")
        clock.move(hours=1)
        memory.add(HOSTILE, infer=False, **ids)
        yield memory, then


@pytest.fixture
def timeline(told: tuple[Memory, str]) -> Timeline:
    return told[0].audit.timeline(user_id="ana")


def test_lines_are_in_the_order_of_recording(remembrancer: CommandLine) -> None:
    for text in ("I live in Berlin.", "I moved to Rome."):
        remembrancer("add", text, *ANA)
    outcome = remembrancer("timeline", *ANA)
    assert outcome.code == 0
    added, rome, berlin, last = outcome.out.splitlines()
    assert "fact.added  by cli  I live in Berlin.  holds since 20" in added
    assert "fact.added  by cli  I moved to Rome." in rome
    assert "fact.superseded  by cli  I live in Berlin." in berlin
    assert last.startswith("2 facts, ")
    cut = remembrancer("timeline", *ANA, "--limit", "1")
    assert cut.out.endswith("earlier events are left out (--limit)\n")


def test_json_has_facts_events_and_whether_a_picture_groups_them(
    remembrancer: CommandLine,
) -> None:
    remembrancer("add", "I live in Berlin.", *ANA)
    document = remembrancer("timeline", *ANA, "--json").document
    assert list(document) == ["from", "to", "facts", "events", "grouped", "complete"]
    assert document["facts"][0]["text"] == "I live in Berlin."
    assert remembrancer("timeline", *ANA, "--from", "@99").code == 1
    assert remembrancer("timeline", *ANA, "--to", "soon").code == 2
    assert remembrancer("timeline").code == 2


def test_files_are_written_and_contain_no_control_characters(
    remembrancer: CommandLine, tmp_path: Path
) -> None:
    remembrancer("add", HOSTILE, *ANA, "--no-infer")
    svg, html = tmp_path / "t.svg", tmp_path / "t.html"
    outcome = remembrancer("timeline", *ANA, "--svg", str(svg), "--html", str(html))
    assert outcome.code == 0
    for text in (outcome.out, svg.read_text("utf-8"), html.read_text("utf-8")):
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "\\u001b[31m" in text
    refused = remembrancer("timeline", *ANA, "--svg", "/no/such/folder/t.svg", "--json")
    assert (refused.code, refused.error["path"]) == (1, "--svg")


def test_picture_has_a_bar_for_each_fact_and_a_tick_for_each_append(timeline: Timeline) -> None:
    picture = draw_timeline(timeline)
    assert picture == draw_timeline(timeline)
    root = ElementTree.fromstring(picture)
    marked = [each.get("class", "").split() for each in root.iter()]
    assert sum("bar" in classes for classes in marked) == len(timeline.facts) == 4
    assert not any("past" in classes for classes in marked)
    appends = {event.recorded_at for event in timeline.events}
    assert sum("tick" in classes for classes in marked) == len(appends)
    names = [each.text for each in root.iter(f"{SVG}text") if each.get("class") == "name"]
    assert names[:2] == ["I live in Berlin.", "I like jazz."]


def test_an_empty_timeline_can_be_drawn(told: tuple[Memory, str]) -> None:
    nothing = told[0].audit.timeline(user_id="nobody")
    ElementTree.fromstring(draw_timeline(nothing))
    assert "0 facts, 0 events" in draw_timeline_page(nothing, "user nobody")


@given(st.text(), st.text(max_size=9), st.sampled_from([None, NOON.replace(year=1), NOON]))
def test_any_text_is_drawn_in_well_formed_files(
    written: str, reason: str, start: datetime | None
) -> None:
    fact = Fact(
        fact_id=FactId("f" * 32),
        version=1,
        scope=Scope(user_id="ana"),
        text=written,
        reason=reason,
        slot=reason,
        occurred_at=NOON,
        created_at=NOON,
        valid=Interval(start=start),
        recorded=Interval(start=NOON),
    )
    drawn = Timeline(
        start=Moment(version=0, at=NOON),
        end=Moment(version=1, at=NOON),
        facts=(TimelineFact(versions=(fact,), events=(None,)),),
        events=(),
    )
    ElementTree.fromstring(draw_timeline(drawn))
    page = draw_timeline_page(drawn, written)
    ElementTree.fromstring(page[page.index("<main") : page.index("</main>") + len("</main>")])
    assert page.count("<script") == 2


@pytest.mark.parametrize(
    "length",
    [
        timedelta(),
        timedelta(milliseconds=300),
        timedelta(seconds=9),
        timedelta(hours=5),
        timedelta(days=40),
        timedelta(9000),
    ],
    ids=str,
)
def test_axis_of_any_length_has_a_few_labels_in_order(length: timedelta) -> None:
    labels = Scale.around([NOON, NOON + length]).labels()
    assert 1 <= len(labels) <= 9
    assert all(LEFT <= x <= WIDTH for x, _ in labels)
    assert all(one < other for (one, _), (other, _) in pairwise(labels))


def test_axis_reaches_from_the_first_year_to_the_last() -> None:
    ends = [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)]
    scale = Scale.around(ends)
    assert (scale.x(ends[0]), scale.x(ends[1])) == (LEFT, WIDTH)
    assert len(scale.labels()) > 1


# In a browser


def chromium() -> str:
    """A Chromium of this machine."""
    names = (os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if name and (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium: install the package chromium, or name one in CHROMIUM")
    return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    path = chromium()
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(params=["light", "dark"])
def page(
    request: pytest.FixtureRequest, browser: Any, timeline: Timeline, tmp_path: Path
) -> Iterator[Any]:
    """The page, opened offline from a file. No test may leave a message in its console."""
    file = tmp_path / "timeline.html"
    file.write_text(draw_timeline_page(timeline, "user ana"), encoding="utf-8")
    context = browser.new_context(offline=True, color_scheme=request.param)
    opened = context.new_page()
    messages: list[str] = []
    requests: list[str] = []
    opened.on("console", lambda message: messages.append(message.text))
    opened.on("pageerror", lambda error: messages.append(str(error)))
    opened.on("request", lambda sent: requests.append(sent.url))
    opened.goto(file.as_uri())
    yield opened
    assert messages == []
    assert requests == [file.as_uri()]
    context.close()


def believed(page: Any) -> dict[str, str]:
    """The names of the rows that are believed at the chosen moment, with the state of their bar."""
    found = {}
    for row in page.locator(".row:not(.unknown)").all():
        bar = row.locator(".bar:not(.past)").first
        found[row.locator(".name").text_content()] = bar.get_attribute("class").split()[1]
    return found


def test_page_opens_offline_and_shows_hostile_text_as_text(page: Any) -> None:
    """Acceptance test 10 of the audit."""
    assert page.title() == "Timeline of user ana"
    assert page.locator("img").count() == 0
    name = page.locator(".row .name").nth(3).text_content()
    assert name.startswith("I said </script><img src=x onerror=")
    page.locator(".row .bar").last.hover()
    assert HOSTILE.split(" \x1b")[0] in page.locator("#tip").text_content()


def test_line_is_dragged_and_stepped_through_what_was_believed(
    page: Any, told: tuple[Memory, str]
) -> None:
    latest = believed(page)
    assert [latest[name] for name in ("I live in Berlin.", "I like jazz.", "I moved to Rome.")] == [
        "superseded",
        "retracted",
        "active",
    ]
    # When the line is put on the second append, by keys
    page.locator("#strip").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert page.locator("#as-of").text_content().startswith(f"{told[1]}, 2024-05-03 13:00:00")
    assert believed(page) == {"I live in Berlin.": "active", "I like jazz.": "active"}
    # When it is dragged to the right end
    box = page.locator("#strip").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 2, box["y"] + 40, steps=4)
    page.mouse.up()
    assert believed(page) == latest


def test_rows_are_filtered_by_words(page: Any) -> None:
    page.fill("#filter", "rome")
    shown = page.locator(".row:visible .name").all_text_contents()
    assert shown == ["I moved to Rome."]
    assert page.locator("#shown").text_content() == "1 of 4 rows"
    page.fill("#filter", "")
    assert page.locator(".row:visible").count() == 4


def test_zoom_widens_bars_and_can_be_taken_back(page: Any) -> None:
    def width() -> float:
        return float(page.locator(".bar.superseded").first.get_attribute("width"))

    whole = width()
    page.click("button[data-axis=valid][data-zoom='0.5']")
    assert width() > whole
    page.click("#whole")
    assert width() == pytest.approx(whole)


def test_events_are_zoomed_around_the_line_and_follow_it(page: Any) -> None:
    def line() -> float:
        box = page.locator("#line").bounding_box()
        strip = page.locator("#strip").bounding_box()
        return float((box["x"] + box["width"] / 2 - strip["x"]) / strip["width"])

    there = line()
    for _ in range(3):
        page.click("button[data-axis=recorded][data-zoom='0.5']")
    assert line() == pytest.approx(there, abs=0.01)
    # When the line is put on an event out of sight, Then the axis follows
    page.locator("#strip").focus()
    page.keyboard.press("Home")
    assert (LEFT / WIDTH) < line() < 1
    assert page.locator(".tick:not([style*=none])").count() >= 1
