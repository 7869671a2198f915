"""The examples, installed as third-party packages and found by their entry points."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the unpacked wheels of the examples."""
    site = tmp_path_factory.mktemp("site")
    for example in sorted((ROOT / "examples").iterdir()):
        wheels = tmp_path_factory.mktemp(example.name)
        subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels)],
            cwd=example,
            check=True,
            capture_output=True,
        )
        (wheel,) = wheels.iterdir()
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)
    return site


def run(site: Path, folder: Path, code: str) -> Any:
    """The JSON that a program prints with the examples installed."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(site)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


REMEMBER = """
import json, sqlite3
from remembrancer import Memory
with Memory.from_config("remembrancer.toml") as memory:
    receipt = memory.add("I live in Paris. I like green tea.", user_id="ann")
    found = memory.search("Where does Ann live?", user_id="ann", limit=1)
rows = sqlite3.connect("tiny.db").execute("SELECT text FROM document ORDER BY text").fetchall()
print(json.dumps({
    "lagging": receipt.lagging, "degraded": found.degraded,
    "found": found[0].fact.text, "rows": rows,
}))
"""


def test_third_party_index_is_filled_and_searched(site: Path, tmp_path: Path) -> None:
    (tmp_path / "remembrancer.toml").write_text(
        '[audit_log]\npath = "app.db"\n[vector_index]\nprovider = "tinyindex"\npath = "tiny.db"\n'
    )
    assert run(site, tmp_path, REMEMBER) == {
        "lagging": [],
        "degraded": [],
        "found": "I live in Paris.",
        "rows": [["I like green tea."], ["I live in Paris."]],
    }


REFUSED = """
import json
from remembrancer import InvalidRequest, load_settings
problems = []
for config in (
    {"vector_index": {"provider": "tinyindex", "pth": "tiny.db"}},
    {"vector_index": {"provider": "tinyindx"}},
    {"vector_index": {"provider": "tinyindex", "busy_timeout": -1}},
    {"audit_log": {"provider": "jsonlines", "durability": "full"}},
):
    try:
        load_settings(config, environment={})
    except InvalidRequest as error:
        problems.append(str(error))
print(json.dumps(problems))
"""


def test_settings_of_third_party_adapters_are_checked(site: Path, tmp_path: Path) -> None:
    unknown, nobody, negative, foreign = run(site, tmp_path, REFUSED)
    assert unknown.startswith("vector_index.pth: unknown setting; allowed are path, busy_timeout")
    assert unknown.endswith("did you mean path?")
    assert nobody.startswith("vector_index.provider: 'tinyindx' is not one of ")
    assert nobody.endswith("did you mean tinyindex?")
    assert negative.startswith("vector_index")
    assert "busy_timeout" in negative
    assert foreign.startswith("audit_log.durability: unknown setting; allowed are path")


LIVE_IN_LINES = """
import json
from remembrancer import Memory
config = {
    "audit_log": {"provider": "jsonlines", "path": "ledger.jsonl"},
    "vector_index": {"provider": "tinyindex", "path": "tiny.db"},
}
with Memory.from_config(config) as memory:
    memory.add("I live in Paris.", user_id="ann")
with Memory.from_config(config) as memory:
    memory.add("I moved to Berlin.", user_id="ann")
    found = memory.search("Where does Ann live?", user_id="ann", limit=1)
    print(json.dumps([found[0].fact.text, found.degraded, memory.verify().ok]))
"""


def test_third_party_store_and_index_work_together(site: Path, tmp_path: Path) -> None:
    assert run(site, tmp_path, LIVE_IN_LINES) == ["I moved to Berlin.", [], True]


def test_code_in_the_guide_is_code_of_the_example() -> None:
    guide = (ROOT / "docs" / "adapters.md").read_text(encoding="utf-8")
    example = ROOT / "examples" / "remembrancer-tinyindex"
    printed = {
        "toml": ["pyproject.toml"],
        "python": [
            "src/remembrancer_tinyindex/settings.py",
            "src/remembrancer_tinyindex/__init__.py",
        ],
    }
    for language, files in printed.items():
        blocks = re.findall(rf"^```{language}\n(.*?)^```", guide, re.DOTALL | re.MULTILINE)
        for block, file in zip(blocks, files, strict=False):
            said = (example / file).read_text(encoding="utf-8").splitlines()
            docstring = '"""Where it is."""'
            lines = [line for line in block.splitlines() if line.strip() != docstring]
            assert [line for line in lines if line not in said] == [], file


def test_guide_names_every_file_of_the_example() -> None:
    guide = (ROOT / "docs" / "adapters.md").read_text(encoding="utf-8")
    listing = guide.partition("remembrancer-tinyindex/\n")[2].partition("```")[0]
    example = ROOT / "examples" / "remembrancer-tinyindex"
    named = set(re.findall(r"[\w-]+\.(?:py|toml|md)\b", listing))
    there = {
        each.name
        for each in example.rglob("*")
        if each.suffix in (".py", ".toml", ".md") and "__pycache__" not in each.parts
    }
    assert named == there
