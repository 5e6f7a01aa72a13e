"""Where the rows of temporal relevance start: one per output time step, at the features that the head averages."""

from __future__ import annotations

import torch
from torch import Tensor

from handlers.relevance.errors import NoFrameLogits
from handlers.relevance.messages import Message
from handlers.relevance.operations.base import Manner, Site
from handlers.relevance.operations.weighted import Weighted
from handlers.relevance.program.forward_pass import ForwardPass


def first_messages(
    forward: ForwardPass, item: int, slopes: Tensor, negated: bool, rows: range, manner: Manner
) -> dict[int, Message]:
    """The rows at the features of every branch: row i lives at time step i only.

    slopes: [K] weight of every class. negated: R - R-bar at the classifier. rows: which output time steps.
    manner: how the explanation is computed.
    A branch with fewer steps takes part in the rows of the frames that it samples (ATR paper, appendix B).
    """
    logits = forward.frame_logits[item]
    step = forward.head.classifier
    assert step is not None
    layer = step.operation
    assert isinstance(layer, Weighted)
    if layer.reads_clip:
        raise NoFrameLogits("model: the classifier reads the clip itself")
    features = [forward.value(value, item) for value in forward.head.values]
    count = logits.shape[0]
    pooled = []
    slots = []
    for value, x in zip(forward.head.values, features, strict=True):
        own = x[0].mean((2, 3)).T
        spaced = own.new_zeros((count, own.shape[1]))
        taken = forward.rows_of(value, own.shape[0], count)
        slots.append({row: slot for slot, row in enumerate(taken)})
        spaced[list(taken)] = own
        pooled.append(spaced)
    chosen = list(rows)
    seen = torch.cat(pooled, 1)[chosen]
    shape = (*seen.shape, *([1] * (layer.weights.weight.dim() - 2)))
    outputs = logits[chosen].reshape(len(chosen), -1, *shape[2:])
    site = Site((seen.reshape(shape),), outputs, {}, torch.Size((1, *forward.clip.shape[1:])), {}, manner)
    start = Message(slopes.expand(len(chosen), -1).reshape(outputs.shape))
    answer = (layer.contrast if negated else layer.relevance)(start, site)[0]
    assert answer is not None
    assert answer.slope is not None
    slope = answer.slope.flatten(1)
    messages: dict[int, Message] = {}
    for value, x, slot_of, part in zip(
        forward.head.values, features, slots, torch.split(slope, [p.shape[1] for p in pooled], 1), strict=True
    ):
        present = [at for at, row in enumerate(chosen) if row in slot_of]
        if not present:
            continue
        part = part[present] / (x.shape[3] * x.shape[4])
        spread = part.T[None, :, :, None, None].expand(-1, -1, -1, x.shape[3], x.shape[4])
        spans = tuple((slot_of[row], slot_of[row] + 1) if row in slot_of else (0, 0) for row in chosen)
        messages[value] = Message(spread.contiguous(memory_format=torch.channels_last_3d), None, spans)
    return messages
