"""The command ``graph``, and the graph methods of ``Memory``."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from remembrancer import Exploration, InvalidRequest, Memory, NotFound
from tests.helpers.command_line import CommandLine, on_terminal
from tests.helpers.telling import extractor, fact

TOLD = (
    fact("Eve is Ann's sister.", ("Eve", "is sister of", "Ann")),
    fact("Eve works at Acme.", ("Eve", "works at", "Acme")),
    fact("Acme is based in Oslo.", ("Acme", "is based in", "Oslo")),
)


@pytest.fixture
def family(database: Path) -> Path:
    with Memory(database, overrides={"extractor": extractor(*TOLD)}) as memory:
        for told in TOLD:
            memory.add(told["text"], user_id="ann", occurred_at="2024-05-03T12:00:00Z")
    return database


def test_neighbourhood_is_printed_with_its_paths(remembrancer: CommandLine, family: Path) -> None:
    outcome = remembrancer("graph", "ann", "--user", "ann", "--depth", "3")

    assert outcome.code == 0
    assert outcome.out.startswith("Ann\n")
    assert "Ann <-[is sister of]- Eve -[works at]-> Acme -[is based in]-> Oslo" in outcome.out


def test_depth_and_limit_bound_the_neighbourhood(remembrancer: CommandLine, family: Path) -> None:
    near = remembrancer("graph", "Ann", "--user", "ann", "--depth", "1", "--json").document
    few = remembrancer("graph", "Ann", "--user", "ann", "--limit", "1", "--json").document

    assert {link["distance"] for link in near["graph"]["links"]} == {1}
    assert [link["path"] for link in few["graph"]["links"]] == ["Ann <-[is sister of]- Eve"]


def test_graph_without_a_name_starts_at_the_entity_with_most_links(
    remembrancer: CommandLine, family: Path
) -> None:
    outcome = remembrancer("graph", "--user", "ann", "--json")

    assert outcome.document["graph"]["entity"]["name"] == "Acme"


def test_empty_graph_is_reported(remembrancer: CommandLine, family: Path) -> None:
    outcome = remembrancer("graph", "--user", "bob")

    assert (outcome.code, outcome.out) == (0, "No entity is known yet.\n")


def test_svg_picture_is_written(remembrancer: CommandLine, family: Path, tmp_path: Path) -> None:
    picture = tmp_path / "ann.svg"

    outcome = remembrancer("graph", "Ann", "--user", "ann", "--depth", "3", "--svg", str(picture))

    assert outcome.code == 0
    shown = [
        text.text for text in ElementTree.parse(picture).iter("{http://www.w3.org/2000/svg}text")
    ]
    assert {"Ann", "Eve", "Acme", "Oslo", "is sister of"} <= set(shown)


@pytest.mark.parametrize(
    ("options", "kind", "path"),
    [
        (("--depth", "6"), "InvalidRequest", "depth"),
        (("--depth", "0"), "InvalidRequest", "depth"),
        (("--limit", "0"), "InvalidRequest", "limit"),
        (("--as-of", "soon"), "UsageError", "as_of"),
        (("--as-of", "2999-01-01"), "InvalidRequest", "as_of"),
        (("--svg", "no/such/folder/a.svg"), "InvalidRequest", "--svg"),
    ],
)
def test_wrong_option_is_refused_with_its_name(
    remembrancer: CommandLine, family: Path, options: tuple[str, ...], kind: str, path: str
) -> None:
    outcome = remembrancer("graph", "Ann", "--user", "ann", "--json", *options)

    assert outcome.code != 0
    assert (outcome.error["type"], outcome.error["path"]) == (kind, path)


def test_unknown_entity_is_not_found_and_others_are_suggested(
    remembrancer: CommandLine, family: Path
) -> None:
    outcome = remembrancer("graph", "Zoe", "--user", "ann")

    assert outcome.code == 1
    assert "no entity 'Zoe'" in outcome.err
    assert "known are " in outcome.err


@pytest.mark.slow
def test_graph_is_a_tree_on_a_terminal(family: Path) -> None:
    outcome = on_terminal("graph", "Ann", "--user", "ann")

    assert outcome.code == 0
    assert "<-[is sister of]- Eve" in outcome.out
    assert "└── " in outcome.out


class TestFace:
    def test_entities_and_relations_are_listed(self, family: Path) -> None:
        with Memory(family) as memory:
            assert [entity.name for entity in memory.entities(user_id="ann")] == [
                "Acme",
                "Eve",
                "Ann",
                "Oslo",
            ]
            assert [
                (one.subject, one.predicate, one.object)
                for one in memory.relations("eve", user_id="ann")
            ] == [("Eve", "works at", "Acme"), ("Eve", "is sister of", "Ann")]

    def test_as_of_before_the_first_write_shows_no_graph(self, family: Path) -> None:
        before = datetime(2024, 1, 1, tzinfo=UTC)
        with Memory(family) as memory:
            assert memory.entities(user_id="ann", as_of=before) == []
            assert memory.graph(user_id="ann", as_of=before) is None
            with pytest.raises(NotFound):
                memory.relations("Eve", user_id="ann", as_of=before)

    def test_valid_at_shows_the_graph_of_that_time(self, family: Path) -> None:
        with Memory(family) as memory:
            then: dict[str, Any] = {"user_id": "ann", "valid_at": "2024-05-02T12:00:00Z"}
            assert memory.entities(**then) == []
            assert isinstance(memory.graph("Ann", user_id="ann"), Exploration)

    @pytest.mark.parametrize("name", ["", " ", "x" * 300, 7])
    def test_invalid_entity_name_is_refused(self, family: Path, name: Any) -> None:
        with Memory(family) as memory:
            for read in (memory.graph, memory.relations):
                with pytest.raises(InvalidRequest) as refused:
                    read(name, user_id="ann")
                assert refused.value.path == "entity"

    def test_graph_without_a_scope_is_refused(self, family: Path) -> None:
        with Memory(family) as memory:
            for read in (memory.graph, memory.entities):
                with pytest.raises(InvalidRequest, match="scope"):
                    read()
