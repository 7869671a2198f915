"""Configuration of Sphinx, which builds the pages of the documentation (``sh dev docs``).

The source folder is the root of the repository, so that the Markdown files are the pages as they
are, and a link between two of them works here as it does in a checkout.

Sphinx, because it is maintained, links outside ``docs/`` work, and a warning can fail the build.
MkDocs has had no release since 2024, and the successors of its most used theme are before 1.0.
"""

from __future__ import annotations

from pathlib import Path

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

import remembrancer
from remembrancer import types

project = "remembrancer"
author = "The remembrancer developers"
version = release = remembrancer.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "README"
include_patterns = ["*.md", "docs/**", "bench/README.md", "examples/*/README.md"]
include_patterns += ["tests/README.md", "application/extraction/rules/data/README.md"]
exclude_patterns = [".*", "build", "remembrancer"]

# Headings get the anchors that a forge gives them. Links to source files become downloads.
myst_heading_anchors = 4
myst_enable_extensions = ["html_image"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = f"remembrancer {release}"
html_show_copyright = False
html_copy_source = False
# The address of a site is often its root.
html_additional_pages = {"index": "to_readme.html"}
templates_path = ["templates"]

PORTS = sorted(
    path.stem for path in Path(remembrancer.__file__).parent.glob("domain/ports/[a-z]*.py")
)


def automodule(name: str, *options: str) -> str:
    """Markdown that documents all public names of a module."""
    lines = "\n".join(["   :members:", *(f"   :{option}:" for option in options)])
    return f"\n```{{eval-rst}}\n.. automodule:: {name}\n{lines}\n```\n"


CONTENTS = {
    "README": """
```{toctree}
:hidden:
:caption: Learn
docs/README
docs/tutorial
docs/tutorials/why-did-the-bot-say-that
docs/explanation/how-it-works
docs/explanation/what-we-test
docs/reference/glossary
```
```{toctree}
:hidden:
:glob:
:caption: Do
docs/how-to/*
docs/adapters
docs/deploy/README
docs/deploy/scaling
examples/*/README
```
```{toctree}
:hidden:
:glob:
:caption: Look up
docs/reference/settings
docs/reference/filters
docs/reference/errors
docs/reference/audit
docs/site/api/*
```
```{toctree}
:hidden:
:caption: Take part
CONTRIBUTING
docs/adr/README
tests/README
bench/README
application/extraction/rules/data/README
CHANGELOG
SECURITY
CODE_OF_CONDUCT
```
""",
    "docs/adr/README": """
```{toctree}
:hidden:
:glob:
0*
```
""",
    "docs/site/api/1-memory": automodule(
        "remembrancer",
        "exclude-members: __version__, " + ", ".join(types.__all__),
        "inherited-members: Exception",
    ),
    "docs/site/api/2-types": automodule("remembrancer.types"),
    "docs/site/api/3-doctor": automodule("remembrancer.doctor"),
    "docs/site/api/4-ports": "".join(
        f"\n## {port}\n" + automodule(f"remembrancer.domain.ports.{port}") for port in PORTS
    ),
    "docs/site/api/5-testing": automodule("remembrancer.testing")
    + "\n## given\n"
    + automodule("remembrancer.testing.given"),
}
"""Text that is appended to a page: the navigation and the API. A forge would show it as code."""


def append_contents(_app: Sphinx, page: str, source: list[str]) -> None:
    """Append its text to a page."""
    source[0] += CONTENTS.get(page, "")


def shorten_factories(
    _app: Sphinx,
    _kind: str,
    _name: str,
    _documented: object,
    _options: object,
    signature: str | None,
    returns: str | None,
) -> tuple[str | None, str | None]:
    """Write ``...`` for a default that attrs makes anew for each object."""
    return signature and signature.replace("= NOTHING", "= ..."), returns


def setup(app: Sphinx) -> None:
    """Show Mermaid as code, since drawing it needs a script from a network, and add the texts."""
    app.add_lexer("mermaid", TextLexer)
    app.connect("source-read", append_contents)
    app.connect("autodoc-process-signature", shorten_factories)
