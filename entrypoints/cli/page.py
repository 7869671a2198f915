"""An HTML page in one file: it opens offline, loads nothing, and is readable in light and dark."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html import escape
from typing import Any

from remembrancer.entrypoints.cli.printable import printable

_UNWRITABLE = re.compile("[\ud800-\udfff\ufffe\uffff]")

PALETTE = """
:root { color-scheme: light dark; --page: #fbfbf9; --card: #fff; --ink: #1b2733; --soft: #5d6b79;
  --line: #dfe3e6; --accent: #b4461f; --active: #3f7cc4; --superseded: #a9b6c4;
  --retracted: #cf8d86; --expired: #c9b26a; --ins: #d9f2dd; --del: #fbdfdc; }
@media (prefers-color-scheme: dark) { :root { --page: #14181d; --card: #1b2127; --ink: #e4e9ee;
  --soft: #94a1ae; --line: #323b45; --accent: #f0905f; --active: #4f8fdc; --superseded: #536273;
  --retracted: #97534d; --expired: #83733a; --ins: #1d4027; --del: #542a27; } }
"""

STYLE = """
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem; max-width: 76rem; background: var(--page);
  color: var(--ink); font: 15px/1.5 system-ui, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif; }
h1 { margin: 0; font-size: 1.35rem; font-weight: 650; }
.soft { color: var(--soft); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; }
"""


def text(value: str) -> str:
    """Untrusted text for HTML or SVG: escaped, control characters shown."""
    return escape(_UNWRITABLE.sub("\ufffd", printable(" ".join(value.split()))))


def embedded(value: Any) -> str:
    """JSON for a script element: nothing in it can end the element."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def page(title: str, body: str, *, style: str = "", script: str = "", data: Any = None) -> str:
    """The text of an HTML file.

    Args:
        title: its title; not yet escaped.
        body: the content, as HTML.
        style: CSS besides that of all pages.
        script: JavaScript; the page allows this text and no other.
        data: JSON values that the script finds in the element ``data``.
    """
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    scripts = f"script-src 'sha256-{digest}'" if script else "script-src 'none'"
    policy = f"default-src 'none'; style-src 'unsafe-inline'; {scripts}; base-uri 'none'"
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{text(title)}</title>",
        f"<style>{PALETTE}{STYLE}{style}</style></head><body>",
        body,
    ]
    if data is not None:
        parts.append(f'<script type="application/json" id="data">{embedded(data)}</script>')
    if script:
        parts.append(f"<script>{script}</script>")
    return "\n".join([*parts, "</body></html>", ""])
