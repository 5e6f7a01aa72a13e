"""A network as a function that autograd goes through, so that other libraries can take gradients of it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from handlers.relevance.program.protocol import Network


def logits(network: Network, clips: Tensor) -> Tensor:
    """Logits [B, K] of clips [B, C, T, H, W]; their gradient reaches the clips and nothing else.

    The gradient is the network's own: exact and without gradients of weights; a program's is about twice as fast as
    autograd through the module. It can be taken once per call. Safe to use from several threads. Raises BadClip.
    """
    if torch.is_grad_enabled() and clips.requires_grad:
        found: Tensor = _Logits.apply(clips, network)  # type: ignore[no-untyped-call]
        return found
    return network.forward(clips, relevance=False).logits


class _Logits(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, clips: Tensor, network: Network) -> Tensor:
        ctx.forward_pass = network.forward(clips)
        return ctx.forward_pass.logits.clone()  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor, None]:
        found = ctx.forward_pass.gradient("", cotangents[0])
        del ctx.forward_pass  # the activations: not until Python's collector finds the time
        return found, None
