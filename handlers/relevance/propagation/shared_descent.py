"""Reuses the descent of temporal relevance's rows as the upper half of the clip's own.

Relevance is linear in its start. Where the start of the clip's logit is a sum of the rows' starts, each times a number
of its own (one class, one branch), its messages at the step where rows and frames meet are the same sum of the rows'
messages, and only the way from there down to the clip is left.
"""

from __future__ import annotations

import torch
from torch import Tensor

from handlers.relevance.messages import Message, from_frames, laid, laid_out
from handlers.relevance.operations.base import Manner
from handlers.relevance.program.forward_pass import ForwardPass

_TOLERANCE = 64
"""Times the resolution of floats: by how much the clip's start may differ from such a sum."""


def keep(forward: ForwardPass, item: int, slopes: Tensor, manner: Manner, messages: dict[int, Message]) -> None:
    """Leave a clip's messages for whoever explains the same logit, slopes [K], of the same clip in the same manner."""
    forward.derived[_key(item, slopes, manner)] = messages


def kept(forward: ForwardPass, item: int, slopes: Tensor, manner: Manner) -> dict[int, Message] | None:
    """The messages that `keep` left; None where it left nothing. A graph that other runtimes run has nothing kept."""
    if torch.compiler.is_exporting():
        return None
    messages: dict[int, Message] | None = forward.derived.get(_key(item, slopes, manner))
    return messages


def _key(item: int, slopes: Tensor, manner: Manner) -> tuple[str, int, tuple[float, ...], Manner]:
    return "shared descent", item, tuple(slopes.tolist()), manner


class SharedDescent:
    """The clip's messages at a meeting step, gathered from chunks of rows.

    whole: the message of the clip's logit at the features that the head averages. complete: False as soon as a row does
    not fit, and then messages are of no use.
    """

    def __init__(self, whole: Message) -> None:
        self.messages: dict[int, Message] = {}
        self.complete = whole.slope is not None and whole.amount is None and whole.spans is None
        self._whole = whole

    def add(self, forward: ForwardPass, start: Message, found: dict[int, Message]) -> None:
        """Take in some rows: their start at the features, one time step each, and what arrived at the meeting step."""
        weights = self._weights(start) if self.complete else None
        self.complete = weights is not None and all(message.amount is None for message in found.values())
        if weights is None or not self.complete:
            self.messages.clear()
            return
        for value, message in found.items():
            assert message.slope is not None
            if value not in self.messages:
                channels, steps, height, width = forward.value(value).shape[1:]
                empty = message.slope.new_zeros((1, steps, height, width, channels))
                self.messages[value] = Message(from_frames(empty))
            total = self.messages[value].slope
            assert total is not None
            _add(total, message, weights)

    def _weights(self, start: Message) -> list[float] | None:
        """The number that each row's start is to be multiplied with; None where there is none."""
        assert start.slope is not None
        assert start.spans is not None
        assert self._whole.slope is not None
        rows = start.slope[0].transpose(0, 1).flatten(1)
        wanted = self._whole.slope[0].transpose(0, 1)[[step for step, _ in start.spans]].flatten(1)
        size = (rows * rows).sum(1)
        if not bool((size > 0).all()):
            return None
        weights = (wanted * rows).sum(1) / size
        near = _TOLERANCE * torch.finfo(rows.dtype).eps * wanted.abs().amax()
        fits = ((weights[:, None] * rows - wanted).abs() <= near).all()
        return weights.tolist() if bool(fits) else None


def _add(total: Tensor, message: Message, weights: list[float]) -> None:
    """Add every row times its weight, in place, to one activation [1, C, T, H, W]."""
    assert message.slope is not None
    slope, spans = laid_out(message.slope, message.spans)
    for (at, (first, stop)), weight in zip(laid(spans), weights, strict=True):
        if first < stop:
            total[:, :, first:stop].add_(slope[:, :, at : at + stop - first], alpha=weight)
