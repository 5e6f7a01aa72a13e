"""The interface of a network to the engine and the explainers, however it is run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from torch import Tensor

from handlers.relevance.rules import Rules


class Pass(Protocol):
    """One forward of a batch of clips. Reading it from several threads is safe; it never changes the model.

    clip: [B, C, T, H, W] as given. logits: [B, K].
    """

    clip: Tensor
    logits: Tensor

    def __len__(self) -> int: ...

    @property
    def frame_logits(self) -> Tensor:
        """[B, T', K] logits per output time step. Raises NoFrameLogits with the reason where there are none."""
        ...

    @property
    def no_frame_logits(self) -> str:
        """Why there are no logits per frame for any clip; empty where there are."""
        ...

    def no_frame_logits_of(self, item: int) -> str:
        """Why this clip of the batch has no logits per frame; empty where it has."""
        ...

    def activation(self, layer: str) -> Tensor:
        """[B, ...] output of a kept layer. Raises UnknownLayer, NotKept."""
        ...

    def gradient(self, layer: str, cotangent: Tensor) -> Tensor:
        """Gradient of sum(cotangent * logits) with respect to the activation of a kept layer, exact.

        cotangent: [B, K]. Returns the shape of the activation. "" is the clip, for which the pass must have run with
        relevance=True. Raises UnknownLayer, NotKept.
        """
        ...


class Network(Protocol):
    """A loaded network: a `Program` where every operation is known, a `PlainNetwork` where torch knows them,
    an `OpaqueNetwork` where not even that."""

    @property
    def rules(self) -> Rules:
        """Of propagation; its bounds of the clip's values hold for every network."""
        ...

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of all layers that `keep` and `gradient` take, in order of execution."""
        ...

    @property
    def no_relevance(self) -> str:
        """Why relevance cannot be propagated through the network; empty where it can."""
        ...

    @property
    def no_gradient(self) -> str:
        """Why there are no gradients of logits; empty where there are."""
        ...

    @property
    def no_frame_logits(self) -> str:
        """Why no clip has logits per frame; empty where the network's end allows them."""
        ...

    def forward(self, clip: Tensor, keep: Iterable[str] = (), relevance: bool = True) -> Pass:
        """Run clips [B, C, T, H, W], normalised as the model was trained; any B, T, H, W that the model takes.

        keep: layers whose activations and gradients will be read. relevance: keep also what the gradient at the clip
        needs, and relevance propagation where there is any.
        Raises BadClip for another number of axes, another dtype than the weights', or a size that does not fit;
        UnknownLayer for a layer that does not exist.
        """
        ...

    def frame_centres(self, layer: str, frames: int, steps: int) -> tuple[float, ...]:
        """The input frame at the centre of what each of a layer's `steps` time steps sees, within 0 .. frames - 1.

        frames: of the clip. Raises UnknownLayer.
        """
        ...
