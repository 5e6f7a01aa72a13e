"""ATR: how much every input frame contributes to every output time step (ATR paper, 3.2)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from actionlens.row_lengths import row_lengths, summary
from handlers.relevance.errors import NoFrameLogits, RelevanceError
from handlers.relevance.messages import Message
from handlers.relevance.operations.base import Manner, Portion
from handlers.relevance.precision import manner_of
from handlers.relevance.program.forward_pass import ForwardPass, propagating
from handlers.relevance.program.protocol import Pass
from handlers.relevance.propagation import shared_descent
from handlers.relevance.propagation.propagate import Contrast, descend, start_slopes
from handlers.relevance.propagation.shared_descent import SharedDescent
from handlers.relevance.rules import AddRule, NormRule
from handlers.relevance.temporal.contraction import by_time, contract, in_frames
from handlers.relevance.temporal.cost_model import CostModel
from handlers.relevance.temporal.frame_fractions import ancestors, ascend, crossing, gives_all
from handlers.relevance.temporal.row_starts import first_messages

Rectify = Literal["element", "frame"] | None

_SUMS_TO_ZERO = "the rows of un-rectified CLRP sum to 0, so no share of them is defined; rectify by element (Eq. 2)"
_BOTH_SIGNS = (
    "un-rectified rows of several classes have parts of both signs, so no share of them is defined; rectify by element"
)

MEMORY = 2 * 2**30
"""Default bound in bytes of what temporal relevance allocates beyond the forward pass."""


@dataclass(frozen=True)
class TemporalRelevance:
    """values: [B, T', N] relevance a_ij of input frame j for output time step i.

    row_logits: [B, T'] logit of the target per time step, with a contrast class less that of the contrast.
    anchors: [T'] the frame at the centre of each row's receptive field, may be fractional. lengths: [B, T'] frames
    of the shortest window around the anchor that holds the share sigma of the row, 0 where undefined. average, maximum:
    avg-ATR and max-ATR of each clip, None with the reason in `reasons` (else "") where no row has a positive logit, and
    for contrasts that are not rectified, which have no lengths by construction. meeting: number of the step above which
    rows were carried; 0: down to the clip.
    """

    values: Tensor
    row_logits: Tensor
    anchors: tuple[float, ...]
    lengths: Tensor
    average: tuple[float | None, ...]
    maximum: tuple[float | None, ...]
    reasons: tuple[str, ...]
    meeting: int

    def merged(self, block: int) -> Tensor:
        """[B, T' / block, N / block] block sums (SlowFast: block = frames per slow frame; ATR paper, appendix B)."""
        return _blocks(self.values, block)


def temporal_relevance(
    forward: Pass,
    target: Tensor | int,
    contrast: Contrast = None,
    rectify: Rectify = None,
    share: float = 0.975,
    memory: int = MEMORY,
    meeting: int | None = None,
    items: Sequence[int] | None = None,
    norm: NormRule | None = None,
    add: AddRule | None = None,
    blocks: bool = False,
) -> TemporalRelevance:
    """The relevance matrix of every clip, exact, at the cost of a few forward passes.

    `relevance` of the same target afterwards costs only its way from the meeting step down.
    target, contrast: as in `relevance`; contrast=None is LRP, where every row sums to its logit (up to relevance
    that z+ loses), "negated" is CLRP, whose rows sum to 0 until rectified. rectify: "element" is Eq. 2 of the paper as
    printed, max(0, .) at every input value, which needs all rows carried to the clip; "frame" rectifies the frame
    sums, a cheaper and different quantity. share: sigma of the lengths. memory: bytes; rows are taken in chunks
    that fit. meeting: step number at which rows and frames meet; None lets the cost model choose. items: only these
    clips of the batch, in this order; target and contrast still count the whole batch. norm, add: as in `relevance`.
    blocks: sums over blocks of r x r, r the frames per step of the slowest branch, and lengths that count those.
    Raises NoFrameLogits (with the reason), UnknownClass, NotKept, MemoryLimitExceeded, RelevanceError. A clip
    whose logits are not finite has NaN everywhere, and no length.
    """
    forward = propagating(forward)
    if rectify not in (None, "element", "frame"):
        raise RelevanceError(f"rectify: {rectify!r} is none of None, 'element', 'frame'")
    if not 0 < share <= 1:
        raise RelevanceError(f"share: must be above 0 and at most 1, got {share}")
    logits = forward.frame_logits
    slopes = start_slopes(forward, target, contrast)
    wanted = list(range(len(forward)) if items is None else items)
    broken = forward.broken
    for item in wanted:
        if reason := forward.no_frame_logits_of(item):
            raise NoFrameLogits(f"clip {item}: no logits per frame: {reason}")
    costs = CostModel.of(forward)
    cut = 0 if rectify == "element" else costs.best(memory) if meeting is None else costs.checked(meeting)
    size = costs.rows_at_once(cut, memory)
    with torch.no_grad():
        matrices = [
            torch.full((logits.shape[1], forward.clip.shape[2]), torch.nan).to(logits)
            if item in broken
            else _matrix(
                forward,
                item,
                slopes[item],
                isinstance(contrast, str),
                rectify == "element",
                cut,
                size,
                costs,
                manner_of(forward.reduced, slopes[item], isinstance(contrast, str), None, norm, add),
            )
            for item in wanted
        ]
        values = torch.stack(matrices)
        if rectify == "frame":
            values = values.clamp(min=0)
        row_logits = (logits * slopes[:, None]).sum(2)[wanted]
    anchors = centres = costs.anchors
    if blocks:
        pace = forward.pace
        if pace == 1:
            raise RelevanceError("blocks: no branch of the model is slower than another")
        values, row_logits = _blocks(values, pace), row_logits.reshape(len(wanted), -1, pace).sum(2)
        anchors = tuple(sum(anchors[first : first + pace]) / pace for first in range(0, len(anchors), pace))
        centres = tuple(float(block) for block in range(len(anchors)))
    undefined = [_undefined(slopes[item], isinstance(contrast, str), rectify) for item in wanted]
    lengths = [
        [0] * len(matrix) if reason else row_lengths(matrix, centres, share)
        for matrix, reason in zip(values.double().tolist(), undefined, strict=True)
    ]
    found = [
        (None, None, reason) if reason and all(map(math.isfinite, row)) else summary(own, row)
        for own, row, reason in zip(lengths, row_logits.double().tolist(), undefined, strict=True)
    ]
    average, maximum, reasons = (tuple(part) for part in zip(*found, strict=True))
    counted = torch.tensor(lengths, device=values.device)
    return TemporalRelevance(values, row_logits, anchors, counted, average, maximum, reasons, cut)


def _blocks(values: Tensor, block: int) -> Tensor:
    batch, rows, columns = values.shape
    if block < 1 or rows % block or columns % block:
        raise RelevanceError(f"block: {block} does not divide {rows} rows and {columns} frames")
    return values.reshape(batch, rows // block, block, columns // block, block).sum((2, 4))


def _undefined(slopes: Tensor, negated: bool, rectify: Rectify) -> str:
    """Why rows with these weights of the logits have no lengths, whatever their values are; empty where they have."""
    if rectify is not None:
        return ""
    if negated:
        return _SUMS_TO_ZERO
    return _BOTH_SIGNS if int((slopes != 0).sum()) > 1 else ""


def relevance_matrix(forward: Pass, slopes: Tensor, memory: int = MEMORY) -> Tensor:
    """[T', N] of the only clip of a forward pass, unrectified, all rows carried down to the clip.

    slopes: [1, K] weights of the logits. Nothing here depends on values, so it can be written as a graph.
    """
    forward = propagating(forward)
    costs = CostModel(forward)
    with torch.no_grad():
        manner = manner_of(forward.reduced, slopes[0], False)
        return _matrix(forward, 0, slopes[0], False, False, 0, costs.rows_at_once(0, memory), costs, manner)


def _matrix(
    forward: ForwardPass,
    item: int,
    slopes: Tensor,
    negated: bool,
    rectify: bool,
    cut: int,
    size: int,
    costs: CostModel,
    manner: Manner,
) -> Tensor:
    """[T', N] of one clip."""
    rows, frames = forward.frame_logits.shape[1], forward.clip.shape[2]
    portions = _portions(forward, item, cut, manner, costs)
    parts = []
    gathered = None if negated or cut == 0 else _shared_descent(forward, item, slopes, manner)
    for first in range(0, rows, size):
        chunk = range(first, min(rows, first + size))
        start = first_messages(forward, item, slopes, negated, chunk, manner)
        found = descend(forward, item, start, cut, manner=manner)
        if gathered is not None:
            gathered.add(forward, start[forward.head.values[0]], found)
        part = slopes.new_zeros((len(chunk), frames))
        for value, message in found.items():
            x = forward.value(value, item)
            if portions[value].values is None:
                part += in_frames(by_time(message, x, rectify), replace(portions[value], frames=tuple(range(frames))))
                continue
            own = contract(message, portions[value], x)
            if own.shape[1] < frames:
                rest = by_time(message, x).sum(1, keepdim=True) - own.sum(1, keepdim=True)
                own = torch.cat([own[:, : costs.spared], rest, own[:, costs.spared :]], 1)
            part += own
        parts.append(part)
    if gathered is not None and gathered.complete:
        shared_descent.keep(forward, item, slopes, manner, gathered.messages)
    return torch.cat(parts)


def _shared_descent(forward: ForwardPass, item: int, slopes: Tensor, manner: Manner) -> SharedDescent | None:
    """An empty collection for the rows' part of the clip's own relevance; None where there is none."""
    if len(forward.head.values) > 1 or shared_descent.kept(forward, item, slopes, manner):
        return None  # branches of different length divide the logit by different numbers of steps
    (features,) = forward.head.values
    found = descend(forward, item, {forward.graph.output: Message(slopes[None])}, features, manner=manner)
    return SharedDescent(found[features]) if set(found) == {features} else None


def _portions(forward: ForwardPass, item: int, cut: int, manner: Manner, costs: CostModel) -> dict[int, Portion]:
    """Portions at a cut.

    Computed once per clip: another class or contrast costs the top half only. Those of one frame are left out where
    they are what the others' leave of the whole: not where units lose relevance, nor in reduced precision, where one
    column would get the errors of all others, nor where it is 0 for some row and would become a rounding error.
    """
    key = ("portions", item, cut, manner)
    if key not in forward.derived:
        wanted = crossing(forward.graph, cut, ancestors(forward.graph, set(forward.head.values)))
        wanted |= {value for value in forward.head.values if value <= cut}
        frames = list(range(forward.clip.shape[2]))
        if costs.spared is not None and manner.dtype is None and gives_all(forward, item, cut, wanted, manner):
            frames.remove(costs.spared)
        forward.derived[key] = ascend(forward, item, cut, wanted, tuple(frames), manner)
    result: dict[int, Portion] = forward.derived[key]
    return result
