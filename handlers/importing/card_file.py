"""Cards as people write them: YAML, the labels perhaps in a file beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from actionlens.documents import DocumentError, read_yaml
from handlers.errors import ModelError
from handlers.labels import Labels, labels_of, read_labels


def card_document(path: Path) -> tuple[dict[str, Any], Labels | None]:
    """Read a card, and its labels, which replace its `labels_file`; None where it has none.

    Raises ModelError naming the file, that of the labels where these are at fault.
    """
    try:
        document = read_yaml(path)
    except DocumentError as error:
        raise ModelError(f"{path}: {error}") from error
    if not isinstance(document, dict):
        raise ModelError(f"{path}: a card is a YAML mapping")
    labels = None
    if (name := document.pop("labels_file", None)) is not None:
        if "labels" in document:
            raise ModelError(f"{path}: labels and labels_file: give one of the two")
        labels = read_labels(path.parent / str(name))
    elif document.get("labels") is not None:
        labels = labels_of(document["labels"], str(path))
    if labels is not None:
        document["labels"] = list(labels.names)
    return document, labels
