"""The base class of the operations of a traced network, and frames' portions of activations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from handlers.relevance import messages as windows
from handlers.relevance.messages import Message, Spans, dense, full, laid_out, look, settled, to_spans, union, whole
from handlers.relevance.rules import AddRule, ConvolutionRule, NormRule


@dataclass(frozen=True)
class Manner:
    """How one explanation differs from the program: rule of convolutions and linear layers, type of the rules'
    convolutions, rules of batch norm and of sums. None: as the program has it.
    """

    rule: ConvolutionRule | None = None
    dtype: torch.dtype | None = None
    norm: NormRule | None = None
    add: AddRule | None = None


AS_TRACED = Manner()


@dataclass
class Site:
    """One operation during one clip: what went in, what came out, and what was derived from that.

    inputs, output: activations with a leading axis of m (m = 1, or the frames folded into the batch).
    saved: tensors that `forward` left behind. clip: shape of the clip. derived: ratios that the first explanation
    computed; all later ones share them. manner: how this explanation is computed.
    """

    inputs: tuple[Any, ...]
    output: Tensor
    saved: dict[str, Tensor]
    clip: torch.Size
    derived: dict[Any, Any] = field(default_factory=dict)
    manner: Manner = AS_TRACED


@dataclass(frozen=True)
class Portion:
    """On the way up: for each input frame j the part x * f_j of an activation x that belongs to that frame.

    values None: every unit belongs wholly to one frame, time step t to frame `first + step * t`; nothing is carried.
    Otherwise values [N, C, T, H, W], or [1, C, M, H, W] with spans (see messages.py). frames: which input frames, N of
    them.
    """

    frames: tuple[int, ...]
    values: Tensor | None = None
    spans: Spans = None
    first: int = 0
    step: int = 1


class Operation:
    """A node of the program. Subclasses hold weights and options and are never changed by a pass."""

    kind = "operation"
    keeps_time = False
    """Works on windows of time steps as it stands, each step by itself."""

    aligned = False
    """Output step t answers for input step t, whatever else it has seen."""

    @property
    def time_kernel(self) -> tuple[int, int]:
        """(time steps of the input that one output step reads, stride); (0, 1): all of them."""
        return (1, 1) if self.keeps_time else (0, 1)

    @property
    def time_padding(self) -> int:
        """Time steps added in front."""
        return 0

    def signals(self, inputs: tuple[int, ...]) -> tuple[int, ...]:
        """Those of the inputs that relevance reaches; a gate's setting is not among them."""
        return inputs

    def forward(self, inputs: Sequence[Any], saved: dict[str, Tensor] | None) -> Any:
        """The operation itself. `saved` is filled with what the way back needs, unless it is None."""
        raise NotImplementedError

    def pull(self, y: Tensor, site: Site) -> tuple[Tensor | None, ...]:
        """Transposed Jacobian times y [rows * m, ...], per input; exact for linear and selecting operations."""
        raise NotImplementedError

    def gradient(self, cotangent: Tensor, site: Site, guided: bool) -> tuple[Tensor | None, ...]:
        """Exact vector-Jacobian product, per input. guided: rectifiers also stop negative cotangents."""
        return self.pull(cotangent, site)

    def relevance(self, message: Message, site: Site) -> tuple[Message | None, ...]:
        """The relevance of the output shared among the inputs; here: as `pull` does, which conserves it."""
        message = self.fitted(message, site)
        slopes = self._pulled(message.slope, site)
        amounts = self._pulled(message.amount, site)
        return tuple(
            None if slope is None and amount is None else Message(slope, amount, message.spans)
            for slope, amount in zip(slopes, amounts, strict=True)
        )

    def portions(self, portions: Sequence[Portion], site: Site) -> Portion:
        """The frames' parts of the output from those of the inputs (the transpose of `relevance`)."""
        raise NotImplementedError

    def gives_all(self, site: Site) -> bool:
        """Whether the frames' parts of the output add up to it, where those of the inputs add up to them."""
        return True

    @property
    def has_portions(self) -> bool:
        """Whether `portions` is available."""
        return type(self).portions is not Operation.portions

    def fitted(self, message: Message, site: Site) -> Message:
        """The message in a form that `pull` takes: with spans only where time steps are independent."""
        if message.spans is None or self.keeps_time:
            return message
        return dense(message, site.output.shape[2])

    def _pulled(self, tensor: Tensor | None, site: Site) -> tuple[Tensor | None, ...]:
        return (None,) * len(site.inputs) if tensor is None else self.pull(tensor, site)


def spread(tensor: Tensor, message: Message) -> Tensor:
    """An activation [m, ...] so that it multiplies the rows of a message: what they see of it where they have spans."""
    return windows.spread(tensor, message.spans, message.sample)


def as_slope(message: Message, site: Site) -> Tensor:
    """All of a message at the site's output as one slope: what came as an amount is divided by the output."""
    slope = message.slope
    if message.amount is not None:
        own = message.amount * inverse(spread(site.output, message))
        slope = own if slope is None else slope + own
    assert slope is not None
    return slope


def inverse(denominator: Tensor) -> Tensor:
    """1 / denominator, and 0 where it is too close to 0 to divide by."""
    small = tiny(denominator.dtype)
    return torch.where(denominator.abs() > small, 1.0 / denominator, 0.0)


def tiny(dtype: torch.dtype) -> float:
    """Denominators below this count as 0: far below any activation, far above what overflows when inverted."""
    return math.sqrt(torch.finfo(dtype).tiny)


def explicit(portion: Portion, activation: Tensor) -> Portion:
    """The same portion with its values written out, one row per input frame."""
    if portion.values is not None:
        return portion
    by_frame = {portion.first + portion.step * t: t for t in range(activation.shape[2])}
    return at_steps(portion.frames, by_frame, activation)


def at_steps(frames: tuple[int, ...], steps: Mapping[int, int], activation: Tensor) -> Portion:
    """The explicit portion of frames of which each has one whole time step of the activation, or none."""
    spans = tuple((steps[frame], steps[frame] + 1) if frame in steps else (0, 0) for frame in frames)
    return Portion(frames, *settled(look(activation, spans), spans, activation.shape[2]))


def spanning(portion: Portion, steps: int) -> Portion:
    """The same explicit portion with every row over all time steps."""
    assert portion.values is not None
    if portion.spans is None:
        return portion
    rows = len(portion.spans)
    return Portion(portion.frames, whole(to_spans(portion.values, portion.spans, full(rows, steps)), rows))


def joined(portions: Sequence[Portion], activations: Sequence[Tensor]) -> tuple[list[Tensor], Spans]:
    """The portions' values on common spans."""
    written = [explicit(p, x) for p, x in zip(portions, activations, strict=True)]
    if all(w.spans is None for w in written):
        return [w.values for w in written if w.values is not None], None
    pieces = [laid_out(w.values, w.spans) for w in written if w.values is not None]
    spans = union([own for _, own in pieces])
    return [to_spans(values, own, spans) for values, own in pieces], spans


def alike(portions: Sequence[Portion]) -> bool:
    """Whether every unit belongs wholly to one frame, the same in all of these activations."""
    return all(p.values is None for p in portions) and len({(p.first, p.step) for p in portions}) == 1
