"""Registries that fill themselves: a new family or method is one new file."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType


def find(package: ModuleType, attribute: str) -> list[object]:
    """Collect `attribute` from every module of a package that has it, in the order of the modules' names."""
    modules = (
        importlib.import_module(f"{package.__name__}.{info.name}") for info in pkgutil.iter_modules(package.__path__)
    )
    return [getattr(module, attribute) for module in modules if hasattr(module, attribute)]
