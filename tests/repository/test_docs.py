"""The docs: every Python block runs as printed, every link has a target, every record is listed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


WITH_CODE = [page for page in PAGES if BLOCK.search(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: str(page.relative_to(ROOT)))
def test_code_of_a_page_runs_from_top_to_bottom(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "docs"}
    for block in blocks:
        exec(compile(block, str(page), "exec"), namespace)


SKIPPED = {"build", "dist", "results"}
"""Names of folders with generated files; hidden folders are skipped too, except ``.github``."""

ALL_PAGES = [
    page
    for folder in sorted(ROOT.iterdir())
    if folder.name == ".github" or not (folder.name in SKIPPED or folder.name.startswith("."))
    for page in ([folder] if folder.suffix == ".md" else sorted(folder.rglob("*.md")))
]
MARKDOWN = MarkdownIt("gfm-like", {"linkify": False})


def flat(tokens: list[Token] | None) -> Iterator[Token]:
    """Tokens with the tokens inside them."""
    for token in tokens or ():
        yield token
        yield from flat(token.children)


def links_in(text: str) -> list[str]:
    """The relative targets of all links and images, those in HTML too."""
    targets = []
    for token in flat(MARKDOWN.parse(text)):
        if token.type in ("html_block", "html_inline"):
            targets += re.findall(r"""(?:href|src)=["']([^"']+)""", token.content)
        else:
            targets += [str(token.attrs[name]) for name in ("href", "src") if name in token.attrs]
    return [target for target in targets if not re.match(r"[a-z][a-z+.-]*:", target)]


def anchors_in(text: str) -> set[str]:
    """The anchors that a forge gives to headings: ``a-title``, ``a-title-1`` for the second one."""
    seen: Counter[str] = Counter()
    anchors = set()
    tokens = MARKDOWN.parse(text)
    for before, heading in pairwise(tokens):
        if before.type == "heading_open":
            title = "".join(
                token.content for token in flat(heading.children) if token.type != "html_inline"
            )
            slug = re.sub(r"[^\w -]", "", title.strip().lower()).replace(" ", "-")
            anchors.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
            seen[slug] += 1
    return anchors


def is_broken(page: Path, target: str) -> bool:
    """Whether the file of a relative link, or the heading in it, does not exist."""
    file, _, anchor = unquote(target).partition("#")
    path = page.parent / file if file else page
    if not path.exists():
        return True
    is_page = path.suffix == ".md" and bool(anchor)
    return is_page and anchor not in anchors_in(path.read_text(encoding="utf-8"))


def test_every_relative_link_has_a_target() -> None:
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in ALL_PAGES
        for target in links_in(page.read_text(encoding="utf-8"))
        if is_broken(page, target)
    ]
    assert broken == []


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("[here](there.md)", []),
        ("[here](there.md#a-title-twice)", []),
        ("[here](there.md#again-1)", []),
        ("[here](#own)\n\n# `Own`", []),
        ("[here](https://example.org/missing.md)", []),
        ("`[code](missing.md)`\n\n```\n[code](missing.md)\n```", []),
        ("[here](missing.md)", ["missing.md"]),
        ("[here][label]\n\n[label]: missing.md", ["missing.md"]),
        ("[here](there.md#missing)", ["there.md#missing"]),
        ("[here](#missing)", ["#missing"]),
        ("![picture](missing.svg)", ["missing.svg"]),
        ('<img src="missing.svg" alt="">', ["missing.svg"]),
        ("| a |\n|---|\n| [here](missing.md) |", ["missing.md"]),
    ],
)
def test_check_of_links_finds_missing_files_and_headings(
    tmp_path: Path, text: str, broken: list[str]
) -> None:
    (tmp_path / "there.md").write_text("# A title: *twice*!\n\n## Again\n\n## Again\n")
    page = tmp_path / "page.md"
    page.write_text(text)
    assert [target for target in links_in(text) if is_broken(page, target)] == broken


def test_index_lists_every_decision_record_in_order() -> None:
    folder = ROOT / "docs" / "adr"
    listed = re.findall(
        r"^\| \[(\d+)\. [^]]+\]\(([^)]+)\)", (folder / "README.md").read_text(), re.M
    )
    records = sorted(path.name for path in folder.glob("0*.md"))
    assert [name for _, name in listed] == records
    assert [int(number) for number, _ in listed] == [int(name[:4]) for name in records]
