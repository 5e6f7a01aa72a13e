"""What is imported is declared, and the table of extras is the project file's."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from actionlens.extras import MODULES, MissingExtra, explain_missing, needing

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OWN = {"actionlens", "handlers", "service"}
BROUGHT = {"google": "protobuf", "pydantic_core": "pydantic"}
"""Imported packages that another declared one brings or shares its folder with."""


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[^\w.-]", requirement)[0].lower().replace("_", "-") for requirement in requirements}


def distributions(module: str) -> set[str]:
    if module in BROUGHT:
        return {BROUGHT[module]}
    return {name.lower().replace("_", "-") for name in packages_distributions().get(module, [])}


def imported() -> set[str]:
    """Third-party packages that the product imports anywhere."""
    found = set()
    for path in (path for top in sorted(OWN) for path in (ROOT / top).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.partition(".")[0])
    return found - OWN - set(sys.stdlib_module_names)


def test_every_package_that_is_imported_is_declared_and_known_by_its_extra() -> None:
    everybody = names(PROJECT["dependencies"])
    extra_of = {module: extra for extra, modules in MODULES.items() for module in modules}
    for module in imported():
        if module in extra_of:
            assert distributions(module) & names(PROJECT["optional-dependencies"][extra_of[module]]), module
        else:
            assert distributions(module) & everybody, module


def test_the_table_holds_every_requirement_of_every_extra() -> None:
    for extra, modules in MODULES.items():
        declared = names(PROJECT["optional-dependencies"][extra]) - {"actionlens"}
        for package in declared:
            assert any(package in distributions(module) for module in modules), (extra, package)


def test_a_missing_package_leaves_with_what_to_type() -> None:
    says = r"torch is not installed; pip install 'actionlens\[worker\]'"
    with pytest.raises(MissingExtra, match=says) as caught, needing("worker"):
        raise ModuleNotFoundError("No module named 'torch'", name="torch")
    assert explain_missing(caught.value) == str(caught.value)
    assert explain_missing(ModuleNotFoundError("", name="av")) == "av is not installed; pip install 'actionlens[media]'"


def test_other_errors_stay_as_they_are() -> None:
    with pytest.raises(ModuleNotFoundError, match="elsewhere") as caught, needing("worker"):
        raise ModuleNotFoundError("No module named 'elsewhere'", name="elsewhere")
    assert not isinstance(caught.value, MissingExtra)
    assert explain_missing(caught.value) == ""
    assert explain_missing(ModuleNotFoundError("No module named 'onnxscript.newer'", name="onnxscript.newer")) == ""
    assert explain_missing(ImportError("cannot import name", name="torch")) == ""
