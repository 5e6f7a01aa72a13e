"""A module that enters the program as one operation: it runs and has gradients, but its relevance has no rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from handlers.relevance.errors import UnsupportedOperation
from handlers.relevance.messages import Message
from handlers.relevance.operations.base import Operation, Site


class Whole(nn.Module):
    """Base of modules with one tensor in and one out that tracing does not look into.

    For what depends on the clip's length and so has no fixed list of operations. Batch first on both sides.
    """

    axes: ClassVar[int]
    """How many axes its output has, the batch included."""
    no_rule: ClassVar[str]
    """Why relevance cannot be propagated through it, and what explains such a model instead."""


@dataclass(eq=False)
class OpaqueCall(Operation):
    """One call of such a module."""

    module: Whole
    kind = "module without a relevance rule"

    def forward(self, inputs: Sequence[Any], saved: dict[str, Tensor] | None) -> Tensor:
        result: Tensor = self.module(inputs[0])
        return result

    def gradient(self, cotangent: Tensor, site: Site, guided: bool) -> tuple[Tensor | None, ...]:
        if guided:
            raise self._refused()
        # Answers are made in inference mode, in which autograd records nothing.
        with torch.inference_mode(False), torch.enable_grad():
            x = site.inputs[0].clone().requires_grad_()
            slopes: tuple[Tensor, ...] = torch.autograd.grad(self.module(x), x, cotangent.clone())
        return slopes

    def relevance(self, message: Message, site: Site) -> tuple[Message | None, ...]:
        raise self._refused()

    def _refused(self) -> UnsupportedOperation:
        return UnsupportedOperation(type(self.module).__name__, "model", self.module.no_rule)
