"""The models that a backend is to load."""

from __future__ import annotations

from pathlib import Path

from actionlens.card import CARD_FILE, CardError, read_card
from actionlens.store import stored_models
from service.errors import NotFound, Unavailable
from service.settings import Settings


def chosen_models(settings: Settings) -> dict[str, Path]:
    """Folders of the models to load, by name.

    Raises NotFound when settings.models names one that the store lacks, Unavailable when the store is empty, a card
    does not fit, or a model brings code that is not trusted.
    """
    try:
        found = stored_models(settings.stores)
    except CardError as error:
        raise Unavailable(
            "a card of the model store does not fit", reason="MODEL_STORE_INVALID", detail=str(error)
        ) from error
    missing = sorted(set(settings.models) - set(found))
    if missing:
        raise NotFound(
            f"models: {', '.join(missing)} not in the model store; it holds: {', '.join(found) or 'none'}",
            field="models",
            detail=str(settings.model_store),
        )
    chosen = {name: folder for name, folder in found.items() if not settings.models or name in settings.models}
    if not chosen:
        raise Unavailable(
            "the model store holds no model; add one with `actionlens models import`",
            reason="MODEL_STORE_EMPTY",
            detail=str(settings.model_store),
        )
    if not settings.trust_code:
        for name, folder in chosen.items():
            if (card := read_card(folder)).code is not None:
                raise Unavailable(
                    f"model {name!r} brings code of its own, and nothing of it was run",
                    reason="CODE_UNTRUSTED",
                    detail=f"{folder / CARD_FILE}: architecture: {card.architecture} is run only with --trust-code or "
                    "ACTIONLENS_TRUST_CODE=1; --model NAME serves others without it",
                )
    return chosen
