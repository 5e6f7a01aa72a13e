"""Reads YAML and JSON that others wrote: out comes a plain, small document, or DocumentError and nothing else.

A few bytes can nest deeper than a program's stack, or by aliases stand for more than its memory. Who walks a document
from here need think of neither.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

MOST_BYTES = 16 * 2**20
"""Longest file that is read as a document."""
DEEPEST = 64
"""Lists and mappings within each other."""
MOST_VALUES = 1_000_000
"""Values of a document, where aliases count as what they stand for."""


class DocumentError(ValueError):
    """A file that is absent, or whose text is no document; the message says why."""


def read_yaml(path: Path) -> Any:
    """The document in a YAML file, as yaml.safe_load has it. Raises DocumentError."""
    return parse_yaml(_text(path))


def read_json(path: Path) -> Any:
    """The document in a JSON file. Raises DocumentError."""
    return parse_json(_text(path))


def parse_yaml(text: str) -> Any:
    """The document of a YAML text. Raises DocumentError."""
    try:
        return yaml.load(text, Loader=_Loader)
    except DocumentError:
        raise
    except Exception as error:  # its constructors end in whatever a text of theirs happens to hit
        raise DocumentError(str(error) or type(error).__name__) from error


def parse_json(
    text: str | bytes,
    pairs: Callable[[list[tuple[str, Any]]], Any] | None = None,
    constant: Callable[[str], Any] | None = None,
) -> Any:
    """The document of a JSON text. pairs: makes an object of its names and values; constant: a value of NaN or an
    infinity, which JSON has not. Raises DocumentError, and what these two raise."""
    try:
        document = json.loads(text, object_pairs_hook=pairs, parse_constant=constant)
    except RecursionError as error:
        raise DocumentError(_TOO_DEEP) from error
    except ValueError as error:
        raise DocumentError(str(error)) from error
    _check_depth(document)
    return document


_TOO_DEEP = f"lists and mappings within each other go deeper than {DEEPEST}"


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        raise DocumentError(str(error)) from error
    if len(data) > MOST_BYTES:
        raise DocumentError(f"has more than {MOST_BYTES} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DocumentError(str(error)) from error


def _check_depth(document: Any) -> None:
    layer = [document]
    for _ in range(DEEPEST + 1):
        layer = [
            inner
            for value in layer
            if isinstance(value, dict | list)
            for inner in (value.values() if isinstance(value, dict) else value)
        ]
        if not layer:
            return
    raise DocumentError(_TOO_DEEP)


class _Loader(yaml.SafeLoader):
    """Counts how deep nodes lie and how many they stand for, before anything is made of them."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise DocumentError(_TOO_DEEP)
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    def get_single_node(self) -> yaml.Node | None:
        node = super().get_single_node()
        if node is not None:
            self._measure(node, {})
        return node

    def _measure(self, node: yaml.Node, known: dict[int, tuple[int, int] | None]) -> tuple[int, int]:
        """Values and depth of a node, with what its aliases stand for. known: None while a node is being measured."""
        if id(node) in known:
            measured = known[id(node)]
            if measured is None:
                raise DocumentError("an alias stands for what it is itself in")
            return measured
        known[id(node)] = None
        values, depth = 1, 0
        if isinstance(node, yaml.CollectionNode):
            parts = node.value
            for part in parts if isinstance(node, yaml.SequenceNode) else (each for pair in parts for each in pair):
                within, deep = self._measure(part, known)
                values, depth = values + within, max(depth, deep + 1)
        if depth > DEEPEST:
            raise DocumentError(_TOO_DEEP)
        if values > MOST_VALUES:
            raise DocumentError(f"stands for more than {MOST_VALUES} values by its aliases")
        known[id(node)] = (values, depth)
        return values, depth
