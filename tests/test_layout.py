"""Rules of the layout that no linter knows: small folders, one name for one module, tests beside what they test."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MOST = 16
PEERS = {
    "handlers/models/architectures",
    "handlers/relevance/operations",
    "handlers/evaluation/measures",
    "service/cli",
}
"""Lists of peers: one file a family, an operation, a measure, a command."""
SHARED = {"protocol", "errors", "server", "backend", "metrics"}
"""Names that say the same in every package."""


def modules(top: str) -> list[Path]:
    return sorted(path for path in (ROOT / top).rglob("*.py") if not path.name.startswith("__"))


@pytest.mark.parametrize("top", ["service", "handlers"])
def test_a_folder_holds_at_most_sixteen_modules(top: str) -> None:
    count: dict[str, int] = defaultdict(int)
    for path in modules(top):
        count[path.parent.relative_to(ROOT).as_posix()] += 1
    assert {folder: found for folder, found in count.items() if found > MOST and folder not in PEERS} == {}


@pytest.mark.parametrize("top", ["service", "handlers"])
def test_no_two_modules_have_one_name(top: str) -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path in modules(top):
        places[path.stem].append(path.relative_to(ROOT).as_posix())
    assert {name: found for name, found in places.items() if len(found) > 1 and name not in SHARED} == {}


@pytest.mark.parametrize("top", ["service", "handlers"])
def test_every_package_says_what_it_is_for(top: str) -> None:
    for path in (ROOT / top).rglob("__init__.py"):
        assert len(ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "") > 40, path


def test_every_folder_of_tests_mirrors_one_of_the_product() -> None:
    apart = {"tests", "tests/e2e", "tests/hostile"}
    for folder in {path.parent for path in (ROOT / "tests").rglob("test_*.py")}:
        name = folder.relative_to(ROOT).as_posix()
        assert name in apart or (ROOT / name.removeprefix("tests/")).is_dir(), name
