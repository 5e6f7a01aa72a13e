"""Cards as people write them: YAML, the labels perhaps in a file beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from handlers.errors import ModelError


def card_document(path: Path) -> dict[str, Any]:
    """Read a card, its `labels_file` replaced by the labels. Raises ModelError naming the file."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(document, dict):
            raise ModelError(f"{path}: a card is a YAML mapping")
        if (name := document.pop("labels_file", None)) is not None:
            document["labels"] = lines_of(path.parent / str(name))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ModelError(f"{path}: {error}") from error
    return document


def lines_of(path: Path) -> list[str]:
    """Labels, one a line, without empty lines. Raises ModelError naming the file."""
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"labels: {path}: {error}") from error
