"""Recurrences over the frames: LSTM and convolutional LSTM.

Gates weigh and carry no relevance (as in gated.py; Arras et al., 2017). Everything else is z+ for units of either sign:
relevance goes to those parts of a unit that have the unit's own sign, in proportion. With c = f c' + i g, g = tanh(z),
z = W x + U h' + b:  a hidden state hands all its relevance to its cell; the cell shares between f c' and i g; the
candidate g, by the sign of z, among the products w x and u h'. Biases take part in none of it. For inputs that are not
negative this is Excitation Backprop carried through time (Bargal et al., 2018). Relevance is conserved, but for
candidates that live on their bias alone, and never multiplies as with rules that divide by c or z themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from handlers.relevance.kernels.convolution import Kernel
from handlers.relevance.kernels.geometry import Geometry
from handlers.relevance.messages import Message, dense, scaled
from handlers.relevance.modules.conv_lstm import ConvLSTM, States
from handlers.relevance.operations.base import Operation, Site, inverse
from handlers.relevance.operations.layer_weights import LayerWeights
from handlers.relevance.operations.weighted_pieces import gathered, taken
from handlers.relevance.operations.weighted_rules import Piece
from handlers.relevance.rules import Rules

_SIGNS = (Piece.POSITIVE, Piece.NEGATIVE)
_BOX = (Piece.ABOVE_LOW, Piece.BELOW_HIGH)


@dataclass(eq=False)
class Recurrence(Operation):
    """All hidden states of a ConvLSTM. reads_clip, path: see Weighted; at the clip zB holds for both signs."""

    module: ConvLSTM
    rules: Rules
    reads_clip: bool = False
    path: tuple[Operation, ...] = ()
    _weights: dict[str, LayerWeights] = field(init=False, repr=False)

    kind = "recurrence"
    aligned = True

    def __post_init__(self) -> None:
        made, around = self.module, self.module.weight_hh.shape[-1] // 2
        along = Geometry((1, made.stride, made.stride), (0, made.padding, made.padding), (1, 1, 1))
        within = Geometry((1, 1, 1), (0, around, around), (1, 1, 1))
        self._weights = {
            "input": LayerWeights(made.weight_ih.detach().unsqueeze(2), None, along),
            "hidden": LayerWeights(made.weight_hh.detach().unsqueeze(2), None, within),
        }

    def after(self, path: tuple[Operation, ...] | None) -> Recurrence:
        """The same behind slices and paddings of the clip; None: behind other operations."""
        return replace(self, reads_clip=path is not None, path=path or ())

    def forward(self, inputs: Sequence[Any], saved: dict[str, Tensor] | None) -> Tensor:
        states = self.module.states(inputs[0])
        if saved is not None:
            saved.update(cells=states.cells, gates=states.gates)
        return states.hidden

    # -- gradient ----------------------------------------------------------------------------------------------------

    def gradient(self, cotangent: Tensor, site: Site, guided: bool) -> tuple[Tensor | None, ...]:
        """Backpropagation through time. There is no rectifier in it, so guided changes nothing."""
        states = self._states(site)
        back = self._plain("hidden")
        of_hidden = of_cell = torch.zeros_like(states.cells[:, :, :1])
        found = []
        for step in reversed(range(cotangent.shape[2])):
            now = slice(step, step + 1)
            enter, keep, candidate, leave = states.gates[:, :, now].chunk(4, 1)
            before = states.cells[:, :, step - 1 : step] if step else torch.zeros_like(enter)
            bent = states.cells[:, :, now].tanh()
            of_hidden = of_hidden + cotangent[:, :, now]
            of_cell = of_cell + of_hidden * leave * (1 - bent**2)
            slopes = (
                of_cell * candidate * enter * (1 - enter),
                of_cell * before * keep * (1 - keep),
                of_cell * enter * (1 - candidate**2),
                of_hidden * bent * leave * (1 - leave),
            )
            found.append(torch.cat(slopes, 1))
            of_cell = of_cell * keep
            of_hidden = back.transpose(found[-1], (1, *before.shape[3:]))
        return (self._plain("input").transpose(torch.cat(found[::-1], 2), tuple(site.inputs[0].shape[2:])),)

    # -- relevance ---------------------------------------------------------------------------------------------------

    def relevance(self, message: Message, site: Site) -> tuple[Message | None, ...]:
        hidden, steps = site.output, site.output.shape[2]
        if message.spans is not None:
            message = dense(message, steps)
        arriving = _whole(message, hidden)
        kept, added, positive = self._shares(site)
        back = self._signed("hidden")
        of_cell = of_hidden = torch.zeros_like(arriving[:, :, :1])
        found = []
        for step in reversed(range(steps)):
            now = slice(step, step + 1)
            of_cell = of_cell + of_hidden + arriving[:, :, now]
            ratio = scaled(of_cell, added[:, :, now])
            of_cell = scaled(of_cell, kept[:, :, now])
            above = positive[:, :, now]
            found.append(torch.cat([scaled(ratio, above), scaled(ratio, 1 - above)], 1))
            if step:
                before = hidden[:, :, step - 1 : step]
                of_positive, of_negative = back.transpose(found[-1], (1, *before.shape[3:])).chunk(2, 1)
                of_hidden = scaled(of_positive, before.clamp(min=0)) + scaled(of_negative, before.clamp(max=0))
        slopes = self._signed("input").transpose(torch.cat(found[::-1], 2), tuple(site.inputs[0].shape[2:]))
        pieces = dict(zip(self._pieces, slopes.chunk(2, 1), strict=True))
        return (gathered(self, pieces, site, None),)

    @property
    def _pieces(self) -> tuple[Piece, Piece]:
        """The parts of the input: one that is not negative, one that is not positive."""
        return _BOX if self.reads_clip and self.rules.low is not None else _SIGNS

    def _shares(self, site: Site) -> tuple[Tensor, Tensor, Tensor]:
        """[m, K, T, H', W'] each: the kept cell's share of the cell; the candidate's, over the sum z of the products
        that have its sign; 1 where that sign is positive, else 0. Once per clip, for all rows."""
        if "shares" not in site.derived:
            states = self._states(site)
            enter, keep, candidate, _ = states.gates.chunk(4, 1)
            sign = states.cells.sign()
            kept = (sign * keep * _earlier(states.cells)).clamp(min=0)
            added = (sign * enter * candidate).clamp(min=0)
            inverse_cell = inverse(kept + added)
            before = _earlier(site.output)
            seen = torch.cat([taken(self, piece, site) for piece in self._pieces], 1)
            held = torch.cat([before.clamp(min=0), before.clamp(max=0)], 1)
            above, below = (self._signed("input").apply(seen) + self._signed("hidden").apply(held)).chunk(2, 1)
            positive = (candidate > 0).to(candidate.dtype)
            z = torch.where(candidate > 0, above, below)
            site.derived["shares"] = (kept * inverse_cell, added * inverse_cell * inverse(z), positive)
        found: tuple[Tensor, Tensor, Tensor] = site.derived["shares"]
        return found

    def _states(self, site: Site) -> States:
        if "cells" in site.saved:
            return States(site.output, site.saved["cells"], site.saved["gates"])
        with torch.no_grad():
            return self.module.states(site.inputs[0])

    def _plain(self, name: str) -> Kernel:
        """All four gates' convolution of the input or of the hidden state."""
        weights = self._weights[name]
        found: Kernel = weights.once("plain", lambda: weights.map(weights.weight))
        return found

    def _signed(self, name: str) -> Kernel:
        """From the pieces (not negative, not positive) to the candidates' sums of positive and of negative products."""
        weights = self._weights[name]

        def build() -> Any:
            of_candidate = weights.weight.chunk(4, 0)[2]
            up, down = of_candidate.clamp(min=0), of_candidate.clamp(max=0)
            return weights.map(torch.cat([torch.cat([up, down], 1), torch.cat([down, up], 1)], 0))

        found: Kernel = weights.once("signed", build)
        return found


def _whole(message: Message, x: Tensor) -> Tensor:
    """R = x * slope + amount."""
    parts = [] if message.slope is None else [scaled(message.slope, x)]
    parts += [] if message.amount is None else [message.amount]
    return parts[0] + parts[1] if len(parts) == 2 else parts[0]


def _earlier(states: Tensor) -> Tensor:
    """The states before every frame."""
    return torch.cat([torch.zeros_like(states[:, :, :1]), states[:, :, :-1]], 2)
