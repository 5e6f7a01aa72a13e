"""How the score falls as elements are discarded in the order of their attribution (Play Fair, 3.1), and how it runs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from handlers.explainers.attribution import Curve, Target

Kept = tuple[int, ...]


def different(values: Tensor) -> list[Kept]:
    """The different sets that the curves are about, by size: none first, all last. values: [n]."""
    sets = {kept for chain in _chains(values).values() for kept in chain}
    return sorted(sets, key=lambda kept: (len(kept), kept))


def curves(values: Tensor, scores: Tensor, target: Target, unit: str) -> tuple[Curve, ...]:
    """Series of the explained class's probability, minus that of the contrast.

    "discard ... first": of all elements, then one less each time, down to none; by their values, and from the centre
    or the edges of the clip, which know nothing of the values. "running score": of none, then of more and more as time
    brings them. values: [n]. scores: probabilities [m, K] of the sets of `different(values)`. unit: what the elements
    are called.
    """
    known = dict(zip(different(values), of_target(scores, target).tolist(), strict=True))
    return tuple(
        Curve(
            name=name,
            x_name=f"{unit} seen" if name == "running score" else f"{unit} discarded",
            x=tuple(float(step) for step in range(len(chain))),
            y=tuple(known[kept] for kept in chain),
            unit="probability",
        )
        for name, chain in _chains(values).items()
    )


def _chains(values: Tensor) -> dict[str, list[Kept]]:
    """The elements kept step by step, by the name of the curve. Of equal values the earlier one is discarded first."""
    count = len(values)
    from_centre = (torch.arange(count) - (count - 1) / 2).abs()
    ranks = {
        "discard highest first": values.argsort(descending=True, stable=True).tolist(),
        "discard lowest first": values.argsort(stable=True).tolist(),
        "discard centre first": from_centre.argsort(stable=True).tolist(),
        "discard edges first": from_centre.argsort(descending=True, stable=True).tolist(),
    }
    found = {name: [tuple(sorted(rank[gone:])) for gone in range(count + 1)] for name, rank in ranks.items()}
    found["running score"] = [tuple(range(seen)) for seen in range(count + 1)]
    return found


def of_target(values: Tensor, target: Target) -> Tensor:
    """[..., K] to [...]: of the explained class, minus those of the contrast."""
    own = values[..., target.index]
    return own if target.contrast is None else own - values[..., target.contrast]


def prior(class_prior: Sequence[float] | None, classes: int) -> tuple[Tensor, str]:
    """f of no elements: float64 [K] class probabilities, and a note about them for the reader."""
    if class_prior is not None:
        return torch.tensor(class_prior, dtype=torch.float64), "nothing seen counts as the card's class_prior"
    note = f"the card gives no class_prior: nothing seen counts as 1/{classes} for every class"
    return torch.full((classes,), 1 / classes, dtype=torch.float64), note


def supporting(values: Tensor, unit: str) -> str:
    """Which elements support (> 0) and which distract (<= 0), for people. values: [n]."""
    groups = [(values > 0).nonzero()[:, 0].tolist(), (values <= 0).nonzero()[:, 0].tolist()]
    ours, theirs = (", ".join(map(str, group)) or "none" for group in groups)
    return f"supporting {unit}: {ours}; distracting: {theirs}"
