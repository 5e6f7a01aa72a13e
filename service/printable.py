"""Makes texts of strangers fit to print: none of their control characters commands a terminal or begins a line."""

from __future__ import annotations

import json
import re
from typing import Any

# C0 and C1 controls, line and paragraph separators, and what turns the direction of writing.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def has_controls(text: str) -> bool:
    r"""Say whether a text holds a control character, a line break (\n, U+2028) or an override of its direction."""
    return _CONTROLS.search(text) is not None


def printable(text: str, keep: str = "") -> str:
    r"""Write control characters as escapes, "\x1b"; those of `keep` stay."""
    return _CONTROLS.sub(lambda found: found[0] if found[0] in keep else ascii(found[0])[1:-1], text)


def printable_json(document: Any) -> str:
    r"""A JSON text on one line in which such characters are escapes, "\u001b"; a program reads the same from it."""
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(document, ensure_ascii=False))
