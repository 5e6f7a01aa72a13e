"""docs/settings.md from the settings class: python -m deploy.settings_table"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any

from annotated_types import Ge, Gt, Le
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from service import settings

PAGE = Path(__file__).resolve().parents[1] / "docs" / "settings.md"

_HEAD = """# Settings

Every setting is an environment variable of the service, of `actionlens jobs worker`, and of every command that computes
by itself; an option of a command goes before the variable (`actionlens serve --help`). Times are in seconds, sizes in
bytes. Lists are JSON: `ACTIONLENS_MODELS='["motion-trn"]'`. A value out of its range ends the command with exit code 2
and the field's name. In Python they are the fields of `service.settings.Settings`.

Any setting may come from a file instead, as secrets do: `ACTIONLENS_JOBS__DB_FILE=/run/secrets/db` names the file with
the value of `ACTIONLENS_JOBS__DB`, less its last newline. Setting both is an error.

This page is written by `python -m deploy.settings_table`.
"""
_TAIL = """
## Not of the settings class

| variable | meaning |
|---|---|
| `ACTIONLENS_JOBS_DB` | Another name of `ACTIONLENS_JOBS__DB`. |
| `ACTIONLENS_ADDRESS` | Service that client commands call, as their option `--address`. |
| `ACTIONLENS_DEBUG` | Anything: a command that fails unexpectedly prints its traceback. |
"""
_COLUMNS = "| variable | default | range | meaning |\n|---|---|---|---|\n"
_DEFAULTS = {
    "ACTIONLENS_MODEL_STORE": "`models` in ACTIONLENS_DATA",
    "ACTIONLENS_DATA": "`$XDG_DATA_HOME/actionlens`, or `~/.local/share/actionlens`",
}
"""Defaults that depend on the machine."""


@dataclass(frozen=True)
class Setting:
    """One row. section: heading and introduction of the class that holds the field."""

    section: tuple[str, str]
    variable: str
    default: str
    bounds: str
    meaning: str


def page() -> str:
    """The page's text."""
    text, section = _HEAD, None
    for row in rows():
        if row.section != section:
            section = row.section
            text += (
                f"\n## {section[0]}\n\n{section[1]}\n\n| variable | default | range | meaning |\n|---|---|---|---|\n"
            )
        text += f"| `{row.variable}` | {row.default} | {row.bounds} | {row.meaning} |\n"
    return text + _TAIL


def rows() -> Iterator[Setting]:
    """Every setting, those of the service first, then one section after the other."""
    return _rows(settings.Settings, "Service", "ACTIONLENS_", _docstrings(settings))


def _rows(
    model: type[BaseModel], heading: str, prefix: str, docstrings: dict[tuple[str, str], str]
) -> Iterator[Setting]:
    section = (heading, " ".join((model.__doc__ or "").split()))
    nested = []
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            nested.append((field.annotation, name.capitalize(), f"{prefix}{name.upper()}__"))
            continue
        variable = f"{prefix}{name.upper()}"
        default = _DEFAULTS.get(variable) or _default(field.default)
        if variable.endswith("_BYTES"):
            default += f" ({_binary(field.default)})"
        yield Setting(section, variable, default, _bounds(field), docstrings.get((model.__name__, name), ""))
    for inner in nested:
        yield from _rows(*inner, docstrings)


def _docstrings(module: ModuleType) -> dict[tuple[str, str], str]:
    """The string below each field, by class and field."""
    found = {}
    for node in ast.parse(inspect.getsource(module)).body:
        if not isinstance(node, ast.ClassDef):
            continue
        for field, below in zip(node.body, node.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                match below:
                    case ast.Expr(value=ast.Constant(value=str(text))):
                        found[node.name, field.target.id] = " ".join(text.split())
    return found


def _default(value: Any) -> str:
    match value:
        case None | "" | ():
            return "–"
        case Enum():
            return f"`{value.value}`"
        case frozenset():
            return ", ".join(f"`{item}`" for item in sorted(value))
        case float():
            return f"{value:g}"
        case int():
            return str(value)
        case _:
            return f"`{value}`"


def _binary(count: int) -> str:
    return f"{count // 2**30} GiB" if count % 2**30 == 0 else f"{count // 2**20} MiB"


def _bounds(field: FieldInfo) -> str:
    if isinstance(field.annotation, type) and issubclass(field.annotation, Enum):
        return ", ".join(f"`{member.value}`" for member in field.annotation)
    least = most = ""
    for bound in field.metadata:
        match bound:
            case Gt(gt=value):
                least = f"above {value}"
            case Ge(ge=value):
                least = f"{value}"
            case Le(le=value):
                most = f"{value}"
            case _ if pattern := getattr(bound, "pattern", None):
                return ", ".join(f"`{word}`" for word in pattern.strip("^()$").split("|"))
    if least.startswith("above"):
        return f"{least}, at most {most}" if most else least
    return f"{least} to {most}" if most else least and f"at least {least}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
