"""Guesses the card of somebody's own network by running it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from actionlens.card import ModelCard
from handlers.errors import ModelError
from handlers.models.action_model import ActionModel, check_logits

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's, per channel RGB of 0 .. 1: what most published networks are trained with."""


@dataclass(frozen=True)
class GuessedCard:
    """layer: what Grad-CAM reads; empty where no layer has a map. notes: what was guessed, for people."""

    layer: str
    notes: tuple[str, ...]


def output_classes(module: nn.Module, shape: tuple[int, int, int]) -> int:
    """How many numbers a module puts out for a clip of [T, H, W] = shape. Raises ModelError where that is no [1, K]."""
    found = _run(module, torch.zeros(1, 3, *shape))
    if isinstance(found, Tensor) and found.dim() == 2 and found.shape[0] == 1 and found.shape[1] > 1:
        return found.shape[1]
    other = _run(module, torch.zeros(1, shape[0], 3, *shape[1:]))
    if isinstance(other, Tensor) and not isinstance(found, Tensor):
        raise ModelError(
            "module: it takes clips as [B, T, C, H, W], and is given [B, C, T, H, W]; put a module around it whose "
            f"forward is self.net(x.transpose(1, 2)), and import that ({found})"
        )
    shown = list(found.shape) if isinstance(found, Tensor) else found
    raise ModelError(
        f"module: for float32 [1, 3, {', '.join(map(str, shape))}], batch, channels, time, height and width, it should "
        f"put out logits [1, K], and: {shown}; put a module around it that does, or give its --frames and --size"
    )


@torch.no_grad()
def _run(module: nn.Module, clip: Tensor) -> Tensor | str:
    try:
        found: Any = module(clip)
    except Exception as error:
        return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
    return found if isinstance(found, Tensor) else f"it puts out a {type(found).__name__}"


def guessed_card(module: nn.Module, card: ModelCard) -> GuessedCard:
    """Guess what a card of this module leaves open. card: without a layer. Raises ModelError where it does not fit."""
    check_logits(module, card)
    maps = dict[str, tuple[int, ...]]()

    def noting(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def note(_: nn.Module, __: Any, found: Any) -> None:
            if isinstance(found, Tensor) and found.dim() == 5 and found.shape[2:].numel() > 1:
                maps.pop(name, None)  # the last time counts, and last
                maps[name] = tuple(found.shape[1:])

        return note

    known = set(ActionModel(card, module).program.layers)
    hooks = [part.register_forward_hook(noting(name)) for name, part in module.named_modules() if name in known]
    try:
        check_logits(module, card)
    finally:
        for hook in hooks:
            hook.remove()
    size = card.input
    notes = [
        f"guessed: clips are float32 [B, 3, {size.frames}, {size.height}, {size.width}], and its answer has "
        f"{len(card.labels)} classes",
        "guessed: pixels are normalised with ImageNet's mean and standard deviation; if it was trained with others, "
        "say so in the card: input: {mean: ..., std: ...}",
        f"guessed: frames are spread over the whole file (sampling: {size.sampling}), and the middle is cut out "
        f"(resize: {size.resize})",
    ]
    layer = next(reversed(maps), "")
    notes.append(
        f"guessed: Grad-CAM reads {layer}, {list(maps[layer])}, the last map over time and space"
        if layer
        else "no layer puts out a map over time and space [B, C, T, H, W], so Grad-CAM has none to read"
    )
    return GuessedCard(layer, tuple(notes))
