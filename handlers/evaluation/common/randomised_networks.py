"""Networks whose weights say nothing any more, layer by layer from the head down (Adebayo et al. 2018)."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from actionlens.card import Scores
from handlers.models.action_model import ActionModel
from handlers.relevance import Precision


def layers_from_head(module: nn.Module, clips: Tensor) -> list[str]:
    """Names of the modules that have weights of their own, the last that runs first.

    A module that is not called itself counts where the one around it is. clips: what the module takes.
    """
    watched = copy.deepcopy(module)
    called: dict[str, int] = {}

    def note(name: str, *_: object) -> None:
        called.setdefault(name, len(called))

    for name, part in watched.named_modules():
        part.register_forward_pre_hook(partial(note, name))
    with torch.no_grad():
        watched(clips)

    def place(name: str) -> int:
        while name and name not in called:
            name = name.rpartition(".")[0]
        return called[name]

    named = [name for name, part in module.named_modules() if next(part.parameters(recurse=False), None) is not None]
    # Stable: of modules that count at the same place the later one in the module is nearer to the head.
    return sorted(reversed(named), key=place, reverse=True)


def in_depths(layers: Sequence[str], depths: int) -> list[list[str]]:
    """Layers in at most so many groups, from the head down: the head alone, the others in groups as even as can be.
    A single group has all."""
    if depths == 1:
        return [list(layers)]
    head, others = list(layers[:1]), list(layers[1:])
    count = min(depths - 1, len(others))
    edges = [index * len(others) // count for index in range(count + 1)] if count else []
    return [head, *(others[start:end] for start, end in pairwise(edges))]


def shuffled_weights(module: nn.Module, layers: Sequence[str], generator: torch.Generator) -> dict[str, Tensor]:
    """New weights of these layers, by the parameter's name: the same values at random places of each tensor.

    Adebayo et al. draw from the initialiser, which a file of weights does not tell. The own values keep the scale of
    activations, whatever the normalisation behind them expects, and lose what was learnt. A weight that two layers
    share is new once.
    """
    found: dict[str, Tensor] = {}
    seen: set[int] = set()
    for layer in layers:
        for name, weight in module.get_submodule(layer).named_parameters(prefix=layer, recurse=False):
            if id(weight) not in seen:
                seen.add(id(weight))
                values = weight.detach().flatten()
                places = torch.randperm(len(values), generator=generator)
                found[name] = values[places].view_as(weight)
    return found


def with_weights(model: ActionModel, weights: Mapping[str, Tensor]) -> ActionModel:
    """The model with other values of some of its module's parameters, traced anew; the given one is left as it is."""
    module = copy.deepcopy(model.module)
    with torch.no_grad():
        for name, values in weights.items():
            module.get_parameter(name).copy_(values)
    # What it was made of already puts out logits.
    card = model.card.model_copy(update={"scores": Scores.LOGITS})
    precision = getattr(model.program, "precision", Precision.FLOAT32)
    return ActionModel(card, module, model.memory, precision)
