"""Loading of settings: sources, precedence, errors and third-party adapters."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from attrs import field, frozen

from remembrancer import Memory
from remembrancer.adapters.stores.sqlite.database import Durability, SqliteSettings
from remembrancer.domain.errors import InvalidRequest
from remembrancer.wiring.settings import ALONE, DEFAULTS, Settings, load_settings, structured

SECTIONS = ", ".join((*DEFAULTS, "projections", "limits", "recall", *ALONE))


def loaded(config: Any = None, **arguments: Any) -> Settings:
    """Settings without the environment of the test run."""
    return load_settings(config, **{"environment": {}, **arguments})


def database(config: Any = None, **arguments: Any) -> SqliteSettings:
    chosen: SqliteSettings = loaded(config, **arguments).audit_log.settings
    return chosen


def values(settings: Settings) -> list[Any]:
    """The chosen providers and their settings, without the build functions."""
    choices = (settings.audit_log, settings.embedder, settings.extractor, settings.reconciler)
    return [settings.patience, *((choice.chosen, choice.settings) for choice in choices)]


def refusal(load: Callable[..., object], *arguments: Any, **named: Any) -> str:
    with pytest.raises(InvalidRequest) as refused:
        load(*arguments, **named)
    message = str(refused.value)
    assert "\n" not in message
    return message


# Where settings come from


def test_every_setting_has_a_default() -> None:
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
def test_settings_can_come_from_a_mapping_a_file_or_variables(way: str, tmp_path: Path) -> None:
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
    # Then they are equal
    assert settings.patience == 2.5
    assert settings.audit_log.settings == SqliteSettings(
        path="app.db", durability=Durability.NORMAL, busy_timeout=3.0, read_only=True
    )


def test_file_can_be_given_as_a_string(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("patience = 1")
    assert loaded(str(tmp_path / "c.toml")).patience == 1.0


@pytest.mark.parametrize("name", ["c.yaml", "c.toml"])
def test_empty_file_gives_the_defaults(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("")
    assert values(loaded(tmp_path / name)) == values(loaded())


def test_argument_overrides_variable_and_variable_overrides_config() -> None:
    config = {"audit_log": {"path": "config.db", "busy_timeout": 1}, "patience": 1}
    environment = {"REMEMBRANCER_DB": "variable.db", "REMEMBRANCER_PATIENCE": "2"}
    weak = loaded(config, environment=environment)
    assert (weak.audit_log.settings.path, weak.patience) == ("variable.db", 2.0)
    strong = loaded(config, environment=environment, path="argument.db")
    assert strong.audit_log.settings.path == "argument.db"
    # and a setting that only the config has is kept
    assert strong.audit_log.settings.busy_timeout == 1.0


def test_variable_extends_a_section_that_is_only_a_provider_name() -> None:
    settings = loaded({"audit_log": "sqlite"}, environment={"REMEMBRANCER_DB": "x.db"})
    assert settings.audit_log.settings.path == "x.db"


def test_process_environment_is_read_unless_another_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REMEMBRANCER_PATIENCE", "4")
    assert load_settings().patience == 4.0
    assert load_settings(environment={}).patience == 10.0


def test_empty_and_unrelated_variables_are_ignored() -> None:
    # An orchestrator sets such variables for a service named remembrancer
    others = {
        "REMEMBRANCER_PATIENCE": "",
        "REMEMBRANCER_PORT": "tcp://10.0.0.1:80",
        "REMEMBRANCER_SERVICE_HOST": "10.0.0.1",
        "OTHER_DB": "x.db",
    }
    assert values(loaded(environment=others)) == values(loaded())


def test_config_mapping_is_not_modified() -> None:
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
def test_variable_accepts_the_usual_words_for_true_and_false(spelled: str, meant: bool) -> None:
    # Every non-empty string is true in Python, also "false"
    environment = {"REMEMBRANCER_AUDIT_LOG__READ_ONLY": spelled}
    assert database(environment=environment).read_only is meant


def test_path_can_be_a_path_object(tmp_path: Path) -> None:
    assert database(path=tmp_path / "a.db").path == str(tmp_path / "a.db")
    assert database({"audit_log": {"path": tmp_path / "a.db"}}).path == str(tmp_path / "a.db")


# Refused settings


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
            "fastembed, local; did you mean hashing?",
        ),
        (
            {"embedder": "qqq"},
            "embedder.provider: 'qqq' is not one of hashing, litellm, fastembed, local",
        ),
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
def test_wrong_setting_is_refused_with_its_path_and_the_allowed_values(
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
def test_wrong_variable_is_refused_with_the_path_of_its_setting(
    environment: Mapping[str, str], problem: str
) -> None:
    assert refusal(loaded, environment=environment) == problem


@pytest.mark.parametrize("path", [b"a.db", 5, ["a.db"]])
def test_path_argument_of_another_type_is_refused(path: object) -> None:
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
def test_unreadable_or_invalid_file_is_refused(
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


# Nested settings classes


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@frozen(kw_only=True)
class Lamp:
    """Nested settings with a validation."""

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


def test_settings_can_be_nested_and_of_any_type() -> None:
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
def test_wrong_nested_setting_is_refused_with_its_whole_path(
    raw: Mapping[str, Any], problem: str
) -> None:
    assert refusal(structured, raw, Room, "room") == problem


# Adapters of other packages


PLUGIN = """
from attrs import frozen
from remembrancer import Adapter

@frozen(kw_only=True)
class LightSettings:
    brightness: int = 3

adapter = Adapter(settings=LightSettings, build=lambda settings: ("built", settings.brightness))
not_an_adapter = object()
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Install a distribution with the given entry points."""

    def install(entry_points: str) -> None:
        (tmp_path / "lighthouse.py").write_text(PLUGIN)
        info = tmp_path / "lighthouse-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lighthouse\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(entry_points)
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, "lighthouse", raising=False)

    return install


def test_adapter_of_another_package_is_chosen_by_its_name(
    installed: Callable[[str], None],
) -> None:
    installed("[remembrancer.embedder]\nlight = lighthouse:adapter\n")
    choice = loaded({"embedder": {"provider": "light", "brightness": "9"}}).embedder
    assert (choice.chosen, choice.settings.brightness) == ("light", 9)
    assert choice.adapter.build(choice.settings) == ("built", 9)


def test_settings_of_a_third_party_adapter_are_checked(
    installed: Callable[[str], None],
) -> None:
    installed("[remembrancer.embedder]\nlight = lighthouse:adapter\n")
    assert refusal(loaded, {"embedder": {"provider": "light", "brigthness": 9}}) == (
        "embedder.brigthness: unknown setting; allowed are brightness; did you mean brightness?"
    )


def test_adapter_is_found_only_for_its_registered_port(
    installed: Callable[[str], None],
) -> None:
    installed("[remembrancer.embedder]\nlight = lighthouse:adapter\n")
    assert refusal(loaded, {"extractor": "light"}) == (
        "extractor.provider: 'light' is not one of rules, model"
    )
    assert refusal(loaded, {"embedder": "lihgt"}) == (
        "embedder.provider: 'lihgt' is not one of hashing, litellm, fastembed, local, "
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
def test_broken_registration_is_refused_with_its_name(
    installed: Callable[[str], None], value: str, problem: str
) -> None:
    installed(f"[remembrancer.embedder]\nlight = {value}\n")
    message = refusal(loaded, {"embedder": "light"})
    assert message.startswith(f"embedder.provider: {problem}")


def test_broken_registration_is_ignored_unless_chosen(
    installed: Callable[[str], None],
) -> None:
    installed("[remembrancer.embedder]\nlight = no_such_module:adapter\n")
    assert loaded().embedder.chosen == "hashing"


def test_entry_point_cannot_replace_a_built_in_adapter(installed: Callable[[str], None]) -> None:
    installed("[remembrancer.embedder]\nhashing = lighthouse:adapter\n")
    assert loaded().embedder.settings == loaded({"embedder": "hashing"}).embedder.settings
    assert not hasattr(loaded().embedder.settings, "brightness")


@pytest.mark.parametrize("categories", ["music, work", ["music", "work"]])
def test_list_of_texts_can_be_one_text_with_commas(categories: object) -> None:
    settings = load_settings(
        {
            "language_model": {"provider": "litellm", "model": "openai/any"},
            "extractor": {"categories": categories},
        },
        environment={},
    )
    assert settings.extractor.settings.categories == ("music", "work")


# Settings of a memory


def test_mapping_as_settings_is_refused_with_the_method_for_it() -> None:
    with pytest.raises(InvalidRequest, match=r"settings: expected Settings, got dict.*from_config"):
        Memory(settings={"audit_log": {"path": ":memory:"}})  # type: ignore[arg-type]


def test_path_beside_settings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"path: settings are given, too"):
        Memory(tmp_path / "m.db", settings=load_settings(environment={}))
    assert list(tmp_path.iterdir()) == []


def test_weights_of_a_search_are_settings() -> None:
    weights = loaded({"recall": {"assistant": 1, "keyword": 2}}).recall

    assert (weights.assistant, weights.keyword, weights.context) == (1.0, 2.0, 1.5)


@pytest.mark.parametrize(
    ("recall", "problem"),
    [
        ({"assistent": 1}, "recall.assistent: unknown setting;"),
        ({"assistant": 2}, "recall.assistant: expected a number from 0 to 1, got 2.0"),
        ({"keyword": -1}, "recall.keyword: expected a finite number of at least 0, got -1.0"),
    ],
)
def test_wrong_weights_are_refused(recall: Mapping[str, Any], problem: str) -> None:
    assert problem in refusal(loaded, {"recall": recall})
