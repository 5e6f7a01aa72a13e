"""Model stores: the one that comes with ActionLens, and models looked up in several, the first of which wins."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from actionlens.card import list_models

_PACKAGE = Path(__file__).resolve().parent


def bundled_store() -> Path:
    """The folder of the models and the catalogue that come with ActionLens: in an installed package, or of the
    checkout."""
    installed = _PACKAGE / "model_store"
    return installed if installed.is_dir() else _PACKAGE.parent / "model_store"


def stored_models(stores: Sequence[Path]) -> dict[str, Path]:
    """Folders of the models in these stores, by name, sorted. Of one name in several, the first store's.

    A store that does not exist holds none. Raises CardError when a card is invalid or two of one store share a name.
    """
    found: dict[str, Path] = {}
    for store in reversed(stores):
        found.update(list_models(store))
    return dict(sorted(found.items()))
