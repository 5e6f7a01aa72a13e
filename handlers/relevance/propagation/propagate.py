"""Relevance propagation (DTD / LRP) and its contrastive form (CLRP), downwards through the program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from handlers.interruption import check
from handlers.relevance.errors import BadClip, UnknownClass
from handlers.relevance.messages import Message, scaled, total
from handlers.relevance.operations.base import AS_TRACED, Manner
from handlers.relevance.operations.weighted import Weighted
from handlers.relevance.precision import manner_of
from handlers.relevance.program.forward_pass import ForwardPass, propagating
from handlers.relevance.program.protocol import Pass
from handlers.relevance.propagation import shared_descent
from handlers.relevance.rules import AddRule, ConvolutionRule, NormRule

Contrast = Tensor | int | Literal["negated"] | None


@dataclass(frozen=True)
class Relevance:
    """values: [B, ...] relevance of every unit of the clip (or of the layer asked for).

    start: [B] what was propagated: the target's logit, or the difference of two logits, or 0 for negated contrast.
    defect: [B] 1 - sum(values) / start, the share that was not conserved; NaN where start is 0.
    """

    values: Tensor
    start: Tensor
    defect: Tensor


def relevance(
    forward: Pass,
    target: Tensor | int,
    contrast: Contrast = None,
    layer: str = "",
    items: Sequence[int] | None = None,
    rule: ConvolutionRule | None = None,
    norm: NormRule | None = None,
    add: AddRule | None = None,
) -> Relevance:
    """Share the target's logit among the input (selective-relevance paper; ATR paper, 3.1).

    target: class number, or [B] of them, or [B, K] weights of the logits. contrast: class number(s) c, then
    l_target - l_c is shared ("why the target and not c"); "negated", then R - R-bar of CLRP (ATR paper, Eq. 2
    before its max): both start from the target's logit, one through W, one through -W of the last layer.
    layer: relevance at that layer's output instead of at the clip. items: only these clips of the batch, in this order;
    target and contrast still count the whole batch. rule, norm, add: of convolutions and linear layers, of batch norm
    and of sums, where they shall not be those that the model was traced with (batch norm that tracing folded stays so
    where it follows no convolution).
    Linear in its start, so a contrast is merged and propagated once. Raises UnknownClass, UnknownLayer, NotKept.
    A clip whose logits are not finite has NaN everywhere.
    """
    forward = propagating(forward)
    slopes = start_slopes(forward, target, contrast)
    floor = forward._number(layer)
    negated = isinstance(contrast, str)
    chosen = list(range(len(forward)) if items is None else items)
    broken = forward.broken
    parts = []
    with torch.no_grad():
        for item in chosen:
            if item in broken:
                parts.append(torch.full_like(forward.value(floor, item), torch.nan))
                continue
            start = {forward.graph.output: Message(slopes[item : item + 1])}
            manner = manner_of(forward.reduced, slopes[item], negated, rule, norm, add)
            if not negated and floor == 0:
                start = shared_descent.kept(forward, item, slopes[item], manner) or start
            found = descend(forward, item, start, floor, negated, manner).get(floor)
            x = forward.value(floor, item)
            parts.append(torch.zeros_like(x) if found is None else amount(found, x))
        values = torch.cat(parts)
        begun = (slopes * forward.logits).sum(1)[chosen]
        if negated:
            begun = torch.zeros_like(begun)
        whole = values.reshape(len(chosen), -1).sum(1, dtype=torch.float64)
        defect = torch.where(begun == 0, torch.nan, 1.0 - whole / begun.double())
    return Relevance(values, begun, defect)


def amount(message: Message, x: Tensor) -> Tensor:
    """R = x * slope + amount, dense rows."""
    if message.slope is None:
        assert message.amount is not None
        return message.amount
    own = scaled(message.slope, x)
    return own if message.amount is None else own + message.amount


def start_slopes(forward: Pass, target: Tensor | int, contrast: Contrast) -> Tensor:
    """[B, K] weight of every logit at the start."""
    logits = forward.logits
    if isinstance(target, Tensor) and target.is_floating_point():
        if target.shape != logits.shape:
            raise BadClip(f"target: weights must be {list(logits.shape)}, got {list(target.shape)}")
        slopes = target.to(logits)
    else:
        slopes = one_hot(logits, class_numbers(logits, target, "target"))
    if contrast is None or isinstance(contrast, str):
        if isinstance(contrast, str) and contrast != "negated":
            raise UnknownClass(f"contrast: {contrast!r} is neither a class number nor 'negated'")
        return slopes
    return slopes - one_hot(logits, class_numbers(logits, contrast, "contrast"))


def class_numbers(logits: Tensor, chosen: Tensor | int, name: str) -> Tensor:
    """[B] class numbers, checked against 0 .. K-1. Raises UnknownClass."""
    wanted = f"{name}: expected one class number, or one per clip of {logits.shape[0]}"
    try:
        numbers = torch.as_tensor(chosen, device=logits.device)
    except (TypeError, ValueError, RuntimeError) as error:  # a label, None, numbers too large for 64 bits
        raise UnknownClass(f"{wanted}, got {chosen!r}") from error
    # True and False would count as classes 1 and 0.
    if numbers.dtype is torch.bool or numbers.is_floating_point() or numbers.is_complex():
        raise UnknownClass(f"{wanted}, got {chosen!r}")
    if numbers.dim() > 1 or numbers.numel() not in (1, logits.shape[0]):
        raise UnknownClass(f"{wanted}, got {list(numbers.shape)}")
    numbers = numbers.long()
    if int(numbers.min()) < 0 or int(numbers.max()) >= logits.shape[1]:
        raise UnknownClass(f"{name}: classes are 0 .. {logits.shape[1] - 1}, got {numbers.tolist()}")
    return numbers.reshape(-1).expand(logits.shape[0])


def one_hot(logits: Tensor, numbers: Tensor) -> Tensor:
    """[B, K], 1 at the numbered class."""
    return torch.zeros_like(logits).scatter_(1, numbers.reshape(-1, 1), 1.0)


def descend(
    forward: ForwardPass,
    item: int,
    start: dict[int, Message],
    floor: int,
    negated: bool = False,
    manner: Manner = AS_TRACED,
) -> dict[int, Message]:
    """Carry messages down from the values where they start through all steps above `floor`.

    Returns the messages that arrived at values of number `floor` or below. negated: the classifier answers with
    R - R-bar. manner: how the explanation is computed.
    """
    pending = {value: [message] for value, message in start.items()}
    head = forward.head.classifier
    for step in reversed(forward.graph.steps):
        if step.number <= floor:
            break
        arriving = pending.pop(step.number, None)
        if arriving is None:
            continue
        check()
        site = forward.site(step, item, manner)
        steps = site.output.shape[2] if site.output.dim() == 5 else 0
        message = total(arriving, steps)
        del arriving
        if negated and head is not None and step.number == head.number:
            assert isinstance(step.operation, Weighted)
            parts = step.operation.contrast(message, site)
        else:
            parts = step.operation.relevance(message, site)
        del message
        for value, part in zip(step.inputs, parts, strict=False):
            if part is not None:
                pending.setdefault(value, []).append(part)
    return {
        value: total(messages, forward.value(value).shape[2] if forward.value(value).dim() == 5 else 0)
        for value, messages in pending.items()
    }
