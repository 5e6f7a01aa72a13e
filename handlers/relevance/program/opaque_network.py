"""A network that can be run and not looked into: no layers, no gradients, no relevance."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NoReturn

import torch
from torch import Tensor, nn

from handlers.interruption import check
from handlers.relevance.errors import NoFrameLogits, NotKept, UnknownLayer
from handlers.relevance.program.clip_checks import check_clip, check_logits, refuse_misfit
from handlers.relevance.rules import Rules


class Opaque(nn.Module):
    """Base of modules that run elsewhere than in torch. reason: why, for people."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


class OpaquePass:
    """One forward of a batch of clips; see `Pass`. Nothing but the logits is known."""

    def __init__(self, clip: Tensor, logits: Tensor, reason: str) -> None:
        self.clip = clip
        self.logits = logits
        self.no_frame_logits = reason

    def __len__(self) -> int:
        return int(self.clip.shape[0])

    @property
    def frame_logits(self) -> Tensor:
        """Raises NoFrameLogits."""
        raise NoFrameLogits(f"model: no logits per frame: {self.no_frame_logits}")

    def no_frame_logits_of(self, item: int) -> str:
        """The reason, for every clip."""
        return self.no_frame_logits

    def activation(self, layer: str) -> NoReturn:
        """Raises NotKept."""
        raise NotKept(f"layer: {layer!r} was not kept: {self.no_frame_logits}")

    def gradient(self, layer: str, cotangent: Tensor) -> NoReturn:
        """Raises NotKept."""
        raise NotKept(f"layer: {layer!r} has no gradient: {self.no_frame_logits}")


class OpaqueNetwork:
    """Such a module as a `Network`."""

    layers: tuple[str, ...] = ()

    def __init__(self, module: Opaque, rules: Rules) -> None:
        self.rules = rules
        self._module = module
        reason = f"the network runs outside of torch: {module.reason}"
        self.no_gradient = self.no_relevance = self.no_frame_logits = reason

    def forward(self, clip: Tensor, keep: Iterable[str] = (), relevance: bool = True) -> OpaquePass:
        """See `Network`. relevance makes no difference."""
        check()
        check_clip(clip)
        for layer in keep:
            raise UnknownLayer(f"layer: {layer!r} is not known: {self.no_relevance}")
        try:
            with torch.no_grad():
                found = self._module(clip)
        except RuntimeError as error:
            refuse_misfit(clip, type(self._module).__name__, error)
        return OpaquePass(clip, check_logits(found, clip), self.no_relevance)

    def frame_centres(self, layer: str, frames: int, steps: int) -> NoReturn:
        """Raises UnknownLayer."""
        raise UnknownLayer(f"layer: {layer!r} is not known: {self.no_relevance}")
