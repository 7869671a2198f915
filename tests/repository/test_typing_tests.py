"""``typing_tests/``, which the type checkers read and nothing runs, must cover the public API."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from remembrancer import AsyncMemory, Memory

FOLDER = Path(__file__).parents[2] / "typing_tests"


def attributes_in(file: Path) -> set[str]:
    """Return the names of all attributes that a file reads."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


@pytest.mark.parametrize(
    ("face", "file"), [(Memory, "memory.py"), (AsyncMemory, "async_memory.py")]
)
def test_types_of_every_public_method_are_held(face: type[object], file: str) -> None:
    public = {name for name in dir(face) if not name.startswith("_")}
    assert public - attributes_in(FOLDER / file) == set()
