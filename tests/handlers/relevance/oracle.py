"""Relevance by zennit, an independent implementation on autograd hooks. Test only."""

from __future__ import annotations

import sys
import types

import torch
from torch import Tensor, nn

from handlers.relevance.rules import AlphaBeta, Gamma, Rules
from tests.handlers.relevance.networks import Sum

STABILIZER = 1e-100


def _zennit() -> types.ModuleType:
    """zennit imports torchvision for its canonizers only; empty stand-ins satisfy it."""
    if "torchvision" not in sys.modules:
        vision, models, resnet = (
            types.ModuleType(n) for n in ("torchvision", "torchvision.models", "torchvision.models.resnet")
        )
        resnet.Bottleneck = type("Bottleneck", (), {})  # type: ignore[attr-defined]
        resnet.BasicBlock = type("BasicBlock", (), {})  # type: ignore[attr-defined]
        vision.models, models.resnet = models, resnet  # type: ignore[attr-defined]
        sys.modules |= {"torchvision": vision, "torchvision.models": models, "torchvision.models.resnet": resnet}
    import zennit
    import zennit.composites
    import zennit.rules

    return zennit


def relevance(net: nn.Module, clip: Tensor, start: Tensor, rules: Rules) -> Tensor:
    """R at the clip when `start` (the shape of the output) is the relevance of the outputs."""
    zennit = _zennit()
    rule = zennit.rules
    options = {"stabilizer": STABILIZER, "zero_params": "bias"}

    def weighted() -> object:
        match rules.convolution:
            case AlphaBeta(alpha, beta):
                return rule.AlphaBeta(alpha, beta, **options)
            case Gamma(gamma):
                return rule.Gamma(gamma, **options)
            case _:
                return rule.ZPlus(**options)

    def layer_map(ctx: dict[str, object], name: str, module: nn.Module) -> object:
        match module:
            case nn.Conv3d() if rules.low is not None and module.in_channels == clip.shape[1]:
                low, high = (torch.tensor(b, dtype=clip.dtype).view(1, -1, 1, 1, 1) for b in (rules.low, rules.high))
                return rule.ZBox(low, high, **options)
            case nn.Conv3d() | nn.Linear():
                return weighted()
            case nn.BatchNorm3d() | nn.ReLU() | nn.Dropout():
                return rule.Pass()
            case Sum() | nn.AvgPool3d() | nn.AdaptiveAvgPool3d():
                return rule.Norm(stabilizer=STABILIZER)
            case _:
                return None

    composite = zennit.core.Composite(layer_map)
    x = clip.clone().requires_grad_(True)
    with composite.context(net) as modified:
        output = modified(x)
        (result,) = torch.autograd.grad(output, x, start)
    return result.detach()
