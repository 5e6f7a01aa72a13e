"""Captum and zennit called as their users would: what the relevance benchmark compares with."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


def zennit_pass(net: nn.Module) -> Callable[[Tensor], Tensor]:
    """Relevance of class 0 by zennit: zB at the clip, z+ below, batch norm passes."""
    if "torchvision" not in sys.modules:
        vision, models, resnet = (
            types.ModuleType(n) for n in ("torchvision", "torchvision.models", "torchvision.models.resnet")
        )
        resnet.Bottleneck, resnet.BasicBlock = type("Bottleneck", (), {}), type("BasicBlock", (), {})  # type: ignore[attr-defined]
        sys.modules |= {m.__name__: m for m in (vision, models, resnet)}
    import zennit.core
    import zennit.rules as rule

    def rule_of(ctx: dict[str, Any], name: str, module: nn.Module) -> Any:
        if isinstance(module, nn.Conv3d) and module.in_channels == 3:
            return rule.ZBox(-2.0, 2.0, zero_params="bias")
        if isinstance(module, nn.Conv3d | nn.Linear):
            return rule.ZPlus(zero_params="bias")
        return rule.Pass() if isinstance(module, nn.BatchNorm3d | nn.ReLU | nn.Dropout) else None

    def run(clip: Tensor) -> Tensor:
        x = clip.clone().requires_grad_(True)
        with torch.enable_grad(), zennit.core.Composite(rule_of).context(net) as modified:
            output = modified(x)
            start = torch.zeros_like(output)
            start[:, 0] = output[:, 0].detach()
            return torch.autograd.grad(output, x, start)[0]

    return run


def captum_pass(net: nn.Module) -> Callable[[Tensor], Tensor]:
    """Relevance of class 0 by Captum's LRP, with rules set by hand for the layers that it does not know."""
    from captum.attr import LRP
    from captum.attr._utils.lrp_rules import Alpha1_Beta0_Rule, EpsilonRule, IdentityRule

    def run(clip: Tensor) -> Tensor:
        for module in net.modules():
            if isinstance(module, nn.Conv3d | nn.Linear):
                module.rule = Alpha1_Beta0_Rule()
            elif isinstance(module, nn.BatchNorm3d):
                module.rule = IdentityRule()
            elif isinstance(module, nn.Identity | nn.Flatten):
                module.rule = EpsilonRule()
        with torch.enable_grad():
            result: Tensor = LRP(net).attribute(clip.clone(), target=0)
        return result

    return run


def captum_cam(net: nn.Module, layer: str) -> Callable[[Tensor], object]:
    """A prediction, then Grad-CAM of class 0 by Captum at the named layer."""
    from captum.attr import LayerGradCam

    cam = LayerGradCam(lambda x: net(x), net.get_submodule(layer))

    def run(clip: Tensor) -> object:
        with torch.enable_grad():
            return net(clip), cam.attribute(clip.clone(), target=0)

    return run
