"""Everything that can be chosen, wherever it is said, and what is refused."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from attrs import field, frozen

from remembrancer.adapters.stores.sqlite.database import Durability, SqliteSettings
from remembrancer.domain.errors import InvalidRequest
from remembrancer.wiring.settings import ALONE, DEFAULTS, Settings, load_settings, structured

SECTIONS = ", ".join((*DEFAULTS, "projections", *ALONE))


def loaded(config: Any = None, **arguments: Any) -> Settings:
    """Settings that the environment of the test run has no part in."""
    return load_settings(config, **{"environment": {}, **arguments})


def database(config: Any = None, **arguments: Any) -> SqliteSettings:
    chosen: SqliteSettings = loaded(config, **arguments).audit_log.settings
    return chosen


def values(settings: Settings) -> list[Any]:
    """What was chosen, without the ways to build it."""
    choices = (settings.audit_log, settings.embedder, settings.extractor, settings.reconciler)
    return [settings.patience, *((choice.chosen, choice.settings) for choice in choices)]


def refusal(load: Callable[..., object], *arguments: Any, **named: Any) -> str:
    with pytest.raises(InvalidRequest) as refused:
        load(*arguments, **named)
    message = str(refused.value)
    assert "\n" not in message
    return message


# Where settings come from


def test_without_a_word_everything_has_a_default() -> None:
    settings = loaded()
    assert [
        settings.audit_log.chosen,
        settings.embedder.chosen,
        settings.extractor.chosen,
        settings.reconciler.chosen,
    ] == ["sqlite", "hashing", "rules", "rules"]
    assert settings.patience == 10.0
    assert settings.audit_log.settings == SqliteSettings()


SAID: dict[str, Any] = {
    "patience": 2.5,
    "embedder": "hashing",
    "audit_log": {
        "provider": "sqlite",
        "path": "app.db",
        "durability": "normal",
        "busy_timeout": 3,
        "read_only": True,
    },
}
TOML = """
patience = 2.5
embedder = "hashing"
[audit_log]
provider = "sqlite"
path = "app.db"
durability = "normal"
busy_timeout = 3
read_only = true
"""
YAML = """
patience: 2.5
embedder: hashing
audit_log:
  provider: sqlite
  path: app.db
  durability: normal
  busy_timeout: 3
  read_only: yes
"""
VARIABLES = {
    "REMEMBRANCER_PATIENCE": "2.5",
    "REMEMBRANCER_EMBEDDER": "hashing",
    "REMEMBRANCER_AUDIT_LOG": "sqlite",
    "REMEMBRANCER_AUDIT_LOG__PATH": "app.db",
    "REMEMBRANCER_AUDIT_LOG__DURABILITY": "normal",
    "REMEMBRANCER_AUDIT_LOG__BUSY_TIMEOUT": "3",
    "REMEMBRANCER_AUDIT_LOG__READ_ONLY": "true",
}


@pytest.mark.parametrize("way", ["mapping", "toml", "yaml", "yml", "variables"])
def test_settings_may_be_said_in_any_of_these_ways(way: str, tmp_path: Path) -> None:
    # Given the same settings in five forms
    for name, text in (("c.toml", TOML), ("c.yaml", YAML), ("c.yml", YAML)):
        (tmp_path / name).write_text(text)
    # When they are loaded from one of them
    if way == "mapping":
        settings = loaded(SAID)
    elif way == "variables":
        settings = loaded(environment=VARIABLES)
    else:
        settings = loaded(tmp_path / f"c.{way}")
    # Then they say the same
    assert settings.patience == 2.5
    assert settings.audit_log.settings == SqliteSettings(
        path="app.db", durability=Durability.NORMAL, busy_timeout=3.0, read_only=True
    )


def test_a_file_may_be_named_by_a_string(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("patience = 1")
    assert loaded(str(tmp_path / "c.toml")).patience == 1.0


@pytest.mark.parametrize("name", ["c.yaml", "c.toml"])
def test_an_empty_file_says_nothing(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("")
    assert values(loaded(tmp_path / name)) == values(loaded())


def test_the_argument_is_stronger_than_variables_and_those_than_the_configuration() -> None:
    config = {"audit_log": {"path": "config.db", "busy_timeout": 1}, "patience": 1}
    environment = {"REMEMBRANCER_DB": "variable.db", "REMEMBRANCER_PATIENCE": "2"}
    weak = loaded(config, environment=environment)
    assert (weak.audit_log.settings.path, weak.patience) == ("variable.db", 2.0)
    strong = loaded(config, environment=environment, path="argument.db")
    assert strong.audit_log.settings.path == "argument.db"
    # and what only the weak one says still holds
    assert strong.audit_log.settings.busy_timeout == 1.0


def test_a_variable_adds_to_a_section_that_is_a_bare_name() -> None:
    settings = loaded({"audit_log": "sqlite"}, environment={"REMEMBRANCER_DB": "x.db"})
    assert settings.audit_log.settings.path == "x.db"


def test_the_environment_of_the_process_is_read_unless_another_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REMEMBRANCER_PATIENCE", "4")
    assert load_settings().patience == 4.0
    assert load_settings(environment={}).patience == 10.0


def test_empty_variables_and_those_of_others_are_left_alone() -> None:
    # An orchestrator injects names such as these for a service called remembrancer
    others = {
        "REMEMBRANCER_PATIENCE": "",
        "REMEMBRANCER_PORT": "tcp://10.0.0.1:80",
        "REMEMBRANCER_SERVICE_HOST": "10.0.0.1",
        "OTHER_DB": "x.db",
    }
    assert values(loaded(environment=others)) == values(loaded())


def test_a_mapping_that_was_passed_in_stays_as_it_was() -> None:
    config: dict[str, Any] = {"audit_log": {"path": "a.db"}}
    loaded(config, path="b.db", environment={"REMEMBRANCER_EMBEDDER": "hashing"})
    assert config == {"audit_log": {"path": "a.db"}}


@pytest.mark.parametrize(
    ("spelled", "meant"),
    [
        *[(word, True) for word in ("true", "True", "TRUE", "1", "yes", "on")],
        *[(word, False) for word in ("false", "False", "0", "no", "off")],
    ],
)
def test_a_variable_says_true_or_false_in_the_usual_words(spelled: str, meant: bool) -> None:
    # Every non-empty string is true in Python, "false" among them
    environment = {"REMEMBRANCER_AUDIT_LOG__READ_ONLY": spelled}
    assert database(environment=environment).read_only is meant


def test_a_path_may_be_a_path_object(tmp_path: Path) -> None:
    assert database(path=tmp_path / "a.db").path == str(tmp_path / "a.db")
    assert database({"audit_log": {"path": tmp_path / "a.db"}}).path == str(tmp_path / "a.db")


# What is refused


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        (
            {"audit_lgo": {}},
            f"audit_lgo: unknown setting; allowed are {SECTIONS}; did you mean audit_log?",
        ),
        (
            {5: {}},
            f"5: unknown setting; allowed are {SECTIONS}",
        ),
        (
            {"audit_log": {"pth": "x"}},
            "audit_log.pth: unknown setting; allowed are path, durability, busy_timeout, "
            "read_only; did you mean path?",
        ),
        (
            {"audit_log": {"provider": "memory", "path": "x"}},
            "audit_log.path: unknown setting; allowed are none",
        ),
        (
            {"audit_log": {"provider": "sqllite"}},
            "audit_log.provider: 'sqllite' is not one of sqlite, postgres, memory; "
            "did you mean sqlite?",
        ),
        (
            {"embedder": "hashing2"},
            "embedder.provider: 'hashing2' is not one of hashing, litellm, "
            "fastembed; did you mean hashing?",
        ),
        ({"embedder": "qqq"}, "embedder.provider: 'qqq' is not one of hashing, litellm, fastembed"),
        ({"audit_log": {"provider": 5}}, "audit_log.provider: expected a name, got int"),
        ({"audit_log": {"provider": None}}, "audit_log.provider: expected a name, got NoneType"),
        ({"audit_log": None}, "audit_log: expected a mapping, got NoneType"),
        ({"audit_log": ["sqlite"]}, "audit_log: expected a mapping, got list"),
        ({"audit_log": {"path": None}}, "audit_log.path: expected a string, got NoneType"),
        ({"audit_log": {"path": 5}}, "audit_log.path: expected a string, got int"),
        ({"audit_log": {"path": b"x"}}, "audit_log.path: expected a string, got bytes"),
        (
            {"audit_log": {"busy_timeout": "soon"}},
            "audit_log.busy_timeout: expected a number, got 'soon'",
        ),
        (
            {"audit_log": {"busy_timeout": True}},
            "audit_log.busy_timeout: expected a number, got bool",
        ),
        (
            {"audit_log": {"busy_timeout": float("nan")}},
            "audit_log.busy_timeout: expected a number, got float",
        ),
        (
            {"audit_log": {"durability": "FULL"}},
            "audit_log.durability: expected one of full, normal, got 'FULL'",
        ),
        (
            {"audit_log": {"read_only": "perhaps"}},
            "audit_log.read_only: expected true or false, got 'perhaps'",
        ),
        ({"audit_log": {"read_only": 1}}, "audit_log.read_only: expected true or false, got int"),
        (
            {"embedder": {"dimension": 1.5}},
            "embedder.dimension: expected a whole number, got float",
        ),
        (
            {"embedder": {"dimension": "1e3"}},
            "embedder.dimension: expected a whole number, got '1e3'",
        ),
        ({"patience": "long"}, "patience: expected a number, got 'long'; it is in seconds"),
        ({"patience": True}, "patience: expected a number, got bool; it is in seconds"),
        ({"patience": None}, "patience: expected a number, got NoneType; it is in seconds"),
        ({"patience": float("inf")}, "patience: expected a number, got float; it is in seconds"),
        ({"patience": 10**400}, "patience: expected a number, got int; it is in seconds"),
        ({"patience": -1}, "patience: expected 0 seconds or more, got -1.0"),
        (5, "config: expected a mapping or a file, got int"),
        (["a.toml"], "config: expected a mapping or a file, got list"),
        (b"a.toml", "config: expected a mapping or a file, got bytes"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_setting_is_named_with_its_path_and_what_is_allowed(
    config: Any, problem: str
) -> None:
    assert refusal(loaded, config) == problem


@pytest.mark.parametrize(
    ("environment", "problem"),
    [
        (
            {"REMEMBRANCER_AUDIT_LOG__PATHS": "x"},
            "audit_log.paths: unknown setting; allowed are path, durability, busy_timeout, "
            "read_only; did you mean path?",
        ),
        (
            {"REMEMBRANCER_EMBEDER__DIMENSION": "8"},
            f"embeder: unknown setting; allowed are {SECTIONS}; did you mean embedder?",
        ),
        (
            {"REMEMBRANCER_PATIENCE": "5", "REMEMBRANCER_PATIENCE__SECONDS": "1"},
            "patience: expected a number, got dict; it is in seconds",
        ),
        (
            {"REMEMBRANCER_AUDIT_LOG": "oracle"},
            "audit_log.provider: 'oracle' is not one of sqlite, postgres, memory",
        ),
    ],
)
def test_a_wrong_variable_is_named_like_the_setting_that_it_means(
    environment: Mapping[str, str], problem: str
) -> None:
    assert refusal(loaded, environment=environment) == problem


@pytest.mark.parametrize("path", [b"a.db", 5, ["a.db"]])
def test_a_path_argument_that_is_no_path_is_refused(path: object) -> None:
    assert refusal(loaded, path=path) == f"path: expected a path, got {type(path).__name__}"


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("c.toml", b"patience = ", "is not TOML: "),
        ("c.toml", b"\xff", "can't be read: "),
        ("c.yaml", b"a: [", "is not YAML: "),
        ("c.yaml", b"- a", ": expected a mapping at the top"),
        ("c.yaml", b"!!python/object/apply:os.getcwd []", "is not YAML: "),
        ("c.json", b"{}", ": expected a .toml, .yaml or .yml file"),
        ("c.toml", None, "can't be read: "),
        ("folder.toml", ..., "can't be read: "),
    ],
)
def test_a_file_that_is_none_of_ours_is_refused(
    name: str, content: Any, problem: str, tmp_path: Path
) -> None:
    file = tmp_path / name
    if content is ...:
        file.mkdir()
    elif content is not None:
        file.write_bytes(content)
    with pytest.raises(InvalidRequest) as refused:
        loaded(file)
    assert refused.value.path == "config"
    assert str(file) in refused.value.problem
    assert problem in refused.value.problem


# Settings classes of other people


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@frozen(kw_only=True)
class Lamp:
    """Nested settings, with a check of their own."""

    watts: int = 5
    colour: Colour = Colour.RED

    def __attrs_post_init__(self) -> None:
        if self.watts < 1:
            raise ValueError("a lamp needs power; watts must be 1 or more")


@frozen(kw_only=True)
class Room:
    name: str
    lamps: list[Lamp] = field(factory=list)
    hint: str | None = None


def test_settings_may_be_nested_and_of_any_type() -> None:
    raw = {"name": "hall", "lamps": [{"watts": "7"}, {"colour": "blue"}], "hint": None}
    assert structured(raw, Room, "room") == Room(
        name="hall", lamps=[Lamp(watts=7), Lamp(colour=Colour.BLUE)]
    )


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        ({}, "room.name: required field missing"),
        ({"name": 5}, "room.name: expected a string, got int"),
        (
            {"name": "x", "lamps": [{}, {"watts": "x"}]},
            "room.lamps[1].watts: expected a whole number, got 'x'",
        ),
        (
            {"name": "x", "lamps": [{"colour": "green"}]},
            "room.lamps[0].colour: expected one of red, blue, got 'green'",
        ),
        (
            {"name": "x", "lamps": [{"watts": 0}]},
            "room.lamps[0]: a lamp needs power; watts must be 1 or more",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_inside_is_named_with_its_whole_path(
    raw: Mapping[str, Any], problem: str
) -> None:
    assert refusal(structured, raw, Room, "room") == problem


# Adapters of other packages


PLUGIN = """
from attrs import frozen
from remembrancer.wiring.registry import Adapter

@frozen(kw_only=True)
class LightSettings:
    brightness: int = 3

adapter = Adapter(settings=LightSettings, build=lambda settings: ("built", settings.brightness))
not_an_adapter = object()
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Installs a distribution with the entry points given, as an installer would."""

    def install(entry_points: str) -> None:
        (tmp_path / "lighthouse.py").write_text(PLUGIN)
        info = tmp_path / "lighthouse-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lighthouse\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(entry_points)
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, "lighthouse", raising=False)

    return install


def test_an_adapter_of_another_package_goes_by_its_name(
    installed: Callable[[str], None],
) -> None:
    installed("[remembrancer.embedder]\nlight = lighthouse:adapter\n")
    choice = loaded({"embedder": {"provider": "light", "brightness": "9"}}).embedder
    assert (choice.chosen, choice.settings.brightness) == ("light", 9)
    assert choice.adapter.build(choice.settings) == ("built", 9)


def test_the_settings_of_another_packages_adapter_are_checked_like_ours(
    installed: Callable[[str], None],
) -> None:
    installed("[remembrancer.embedder]\nlight = lighthouse:adapter\n")
    assert refusal(loaded, {"embedder": {"provider": "light", "brigthness": 9}}) == (
        "embedder.brigthness: unknown setting; allowed are brightness; did you mean brightness?"
    )


def test_an_adapter_is_known_for_the_port_that_it_registers_for_only(
    installed: Callable[[str], None],
) -> None:
    installed("[remembrancer.embedder]\nlight = lighthouse:adapter\n")
    assert refusal(loaded, {"extractor": "light"}) == (
        "extractor.provider: 'light' is not one of rules, model"
    )
    assert refusal(loaded, {"embedder": "lihgt"}) == (
        "embedder.provider: 'lihgt' is not one of hashing, litellm, fastembed, "
        "light; did you mean light?"
    )


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("lighthouse:not_an_adapter", "lighthouse:not_an_adapter is not a remembrancer Adapter"),
        ("lighthouse:missing", "lighthouse:missing can't be loaded: "),
        ("no_such_module:adapter", "no_such_module:adapter can't be loaded: "),
    ],
)
def test_a_broken_registration_is_named(
    installed: Callable[[str], None], value: str, problem: str
) -> None:
    installed(f"[remembrancer.embedder]\nlight = {value}\n")
    message = refusal(loaded, {"embedder": "light"})
    assert message.startswith(f"embedder.provider: {problem}")


def test_a_broken_registration_harms_nobody_who_does_not_choose_it(
    installed: Callable[[str], None],
) -> None:
    installed("[remembrancer.embedder]\nlight = no_such_module:adapter\n")
    assert loaded().embedder.chosen == "hashing"


def test_nobody_takes_the_name_of_a_built_in_adapter(installed: Callable[[str], None]) -> None:
    installed("[remembrancer.embedder]\nhashing = lighthouse:adapter\n")
    assert loaded().embedder.settings == loaded({"embedder": "hashing"}).embedder.settings
    assert not hasattr(loaded().embedder.settings, "brightness")


@pytest.mark.parametrize("categories", ["music, work", ["music", "work"]])
def test_several_texts_are_a_list_or_one_text_with_commas(categories: object) -> None:
    settings = load_settings(
        {
            "language_model": {"provider": "litellm", "model": "openai/any"},
            "extractor": {"categories": categories},
        },
        environment={},
    )
    assert settings.extractor.settings.categories == ("music", "work")
