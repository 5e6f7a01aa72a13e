"""Which methods explain which families: each asked about a small network. `python -m handlers.support --help`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from actionlens.card import ColorOrder, Input, ModelCard, Weights
from handlers.checking import check_method
from handlers.engine.engine import Engine
from handlers.explainers import methods
from handlers.models.action_model import ActionModel
from handlers.models.family import Family, Small
from handlers.models.family_registry import families, family
from handlers.relevance import Opaque

Support = dict[str, str]
"""By method, why it cannot explain; "": it can."""

_WITH_FLOW = "i3d-inception"


def small_card(entry: Family) -> ModelCard:
    """The card of the family's small network, for three classes."""
    return _card(entry.name, entry.small)


def small_model(entry: Family) -> ActionModel:
    """The family's small network with random weights (seed 0)."""
    return _model(entry, small_card(entry))


def _model(entry: Family, card: ModelCard) -> ActionModel:
    torch.manual_seed(0)
    return ActionModel(card, entry.build(classes=len(card.labels), **card.arguments).eval())


def cases() -> dict[str, Callable[[], ActionModel]]:
    """By name, the functions that make the small model of every family.

    Of a family whose files are networks of their own: one that is not converted. Those that are have what their
    operators have. Of one with networks of optical flow: one of these too.
    """
    found: dict[str, Callable[[], ActionModel]] = {}
    for entry in families().values():
        if entry.network is None:
            found[entry.name] = partial(small_model, entry)
        else:
            found[f"{entry.name}, not converted"] = partial(_unconverted, entry)
        if entry.name == _WITH_FLOW:
            found[f"{entry.name}, optical flow"] = partial(_of_flow, entry)
    return found


def declared(model: ActionModel) -> Support:
    """Ask every method whether it can explain a model, before any has run."""
    return {name: method.unsupported(model) or "" for name, method in methods().items()}


def tried(model: ActionModel) -> Support:
    """Run every method on a model, live ones once and jobs for one block, and collect why each cannot explain it."""
    engine = Engine(model)
    return {name: check_method(engine, name).reason for name in methods()}


class _Elsewhere(Opaque):
    """Runs a network as onnxruntime runs one: nothing but its logits comes back."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__("an operator of it has no torch form")
        self._forward = module.forward

    def forward(self, clips: Tensor) -> Tensor:
        """[B, 3, T, H, W] to logits [B, K]."""
        logits: Tensor = self._forward(clips)
        return logits.detach()


def _unconverted(entry: Family) -> ActionModel:
    module = small_model(family("conv3d")).module
    return ActionModel(_card(entry.name, Small()), _Elsewhere(module).eval())


def _of_flow(entry: Family) -> ActionModel:
    card = small_card(entry)
    size = Input(**card.input.model_dump(include={"frames", "height", "width"}), color=ColorOrder.FLOW)
    return _model(entry, card.model_copy(update={"arguments": {**card.arguments, "channels": 2}, "input": size}))


def _card(name: str, small: Small) -> ModelCard:
    return ModelCard(
        name=name,
        architecture=name,
        arguments=dict(small.arguments),
        weights=Weights(file="weights.safetensors", sha256="0" * 64),
        labels=("a", "b", "c"),
        input=Input(
            frames=small.frames, height=small.size, width=small.size, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)
        ),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: every family's methods as JSON."""
    argparse.ArgumentParser(prog="python -m handlers.support", description=__doc__).parse_args(arguments)
    torch.set_num_threads(1)
    print(json.dumps({name: declared(make()) for name, make in cases().items()}, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
