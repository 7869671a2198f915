"""Places, organisations and persons are told apart by lists of names."""

from __future__ import annotations

import gzip
from importlib.resources import files

import pytest

from remembrancer.application.extraction.rules.gazetteer import NameKind, kind_of, kinds_of
from remembrancer.domain.text import normalised

DATA = files("remembrancer.application.extraction.rules").joinpath("data")


@pytest.mark.parametrize(
    "name",
    [
        "Lisbon",
        "New York",
        "new york",
        "the Netherlands",
        "Netherlands",
        "Deutschland",
        "Allemagne",
        "ドイツ",
        "德国",
        "Rom",
        "US",
        "São Paulo",
        "Sao Paulo",
        "Köln",
        "Cologne",
        "Lissabon",
        "Grenoble",
        "Paris, France",
        "Austin, Texas",
        "downtown Toronto",
        "Bavaria",
        "Tokyo",
        "东京",
        "北京市",
        "Paris",
        "Salt Lake City",
        "State College",
    ],
)
def test_place_is_recognised(name: str) -> None:
    assert kind_of(name) is NameKind.PLACE


@pytest.mark.parametrize(
    "name",
    [
        "Acme Inc.",
        "Müller GmbH",
        "Bosch AG",
        "University of Oxford",
        "the University of Lima",
        "Universität Wien",
        "Bank of America",
        "New York Times",
        "Boston Children's Hospital",
        "东京大学",
        "株式会社青空",
    ],
)
def test_organisation_is_recognised(name: str) -> None:
    assert kind_of(name) is NameKind.ORGANISATION


@pytest.mark.parametrize(
    "name", ["Bob", "Sandra", "Anna Schmidt", "Dr. Singh", "Mrs Quillfeather", "田中さん"]
)
def test_person_is_recognised(name: str) -> None:
    assert kind_of(name) is NameKind.PERSON


@pytest.mark.parametrize(
    "name",
    [
        "Rust",
        "Kubernetes",
        "Slack",
        "GitHub Actions",
        "Team Falcon",
        "Gate 23",
        "oat milk",
        "Excel",
        "Room 204",
        "reading",
        "nice",
        "bath",
        "us",
        "Soon",
        "mark",
        "Quillmark",
        "Paris Kubernetes, Berlin",
        "",
        " ",
        "x" * 1000,
    ],
)
def test_name_in_no_list_is_unknown(name: str) -> None:
    assert kind_of(name) is NameKind.UNKNOWN


@pytest.mark.parametrize(
    ("name", "prevailing"), [("Florence", NameKind.PERSON), ("Houston", NameKind.PLACE)]
)
def test_name_may_be_of_two_kinds(name: str, prevailing: NameKind) -> None:
    assert kinds_of(name) == {NameKind.PLACE, NameKind.PERSON}
    assert kind_of(name) is prevailing


@pytest.mark.parametrize("file", ["places.txt.gz", "given_names.txt.gz"])
def test_lists_are_small_sorted_and_in_the_form_of_comparison(file: str) -> None:
    data = DATA.joinpath(file).read_bytes()
    parts = [part.split("\n") for part in gzip.decompress(data).decode().strip().split("\n\n")]

    assert len(data) < 300_000
    assert all(part == sorted(set(part)) for part in parts)
    assert all(normalised(name) == name for part in parts for name in part)


def test_sources_and_licences_stand_beside_the_lists() -> None:
    told = DATA.joinpath("README.md").read_text("utf-8")

    assert "GeoNames" in told
    assert "CC BY 4.0" in told
