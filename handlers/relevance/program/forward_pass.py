"""The result of one run of a program: logits, and the activations that explanations need."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from handlers.interruption import check
from handlers.relevance.errors import BadClip, NoFrameLogits, NotKept, UnknownLayer
from handlers.relevance.operations.base import AS_TRACED, Manner, Site
from handlers.relevance.operations.weighted import Weighted
from handlers.relevance.program.branches import branch_rows
from handlers.relevance.program.clip_checks import check_logits
from handlers.relevance.program.graph import Graph, Step
from handlers.relevance.program.head import Head
from handlers.relevance.program.protocol import Pass


@dataclass(frozen=True)
class _FrameLogits:
    """logits: [B, T', K], None for the reason. misfits: [B] whether a clip's logits are not their mean."""

    logits: Tensor | None
    reason: str = ""
    misfits: tuple[bool, ...] = ()


_FOLDED = "the frames are folded into the batch before the classifier; use Conv3d layers instead"
_NOT_THE_MEAN = "the model's logits are not the mean of logits per time step"
_TOLERANCES = {torch.float64: 1e-8, torch.float32: 1e-3, torch.float16: 2e-2, torch.bfloat16: 0.1}
"""How far, of the largest logit, logits may be from the mean of those per time step by rounding."""


class ForwardPass:
    """One forward of a batch of clips through a program. Reading it from several threads is safe; see `Pass`.

    logits: [B, K], NaN for a clip of which some activation is not finite. clip: [B, C, T, H, W] as given. reduced: type
    of the rules' convolutions where nothing cancels; None: as all else.
    """

    reduced: torch.dtype | None = None

    def __init__(
        self,
        graph: Graph,
        head: Head,
        clip: Tensor,
        values: dict[int, Any],
        saved: dict[int, dict[str, Tensor]],
        has_relevance: bool,
        lowest: int,
    ) -> None:
        self.graph = graph
        self.head = head
        self.clip = clip
        self.logits = check_logits(values[graph.output], clip)
        self.has_relevance = has_relevance
        self._values = values
        self._saved = saved
        self._lowest = lowest
        self._singles: dict[int, ForwardPass] = {}
        self._sites: dict[tuple[int, int | None], Site] = {}
        self._frames: _FrameLogits | None = None
        self.derived: dict[Any, Any] = {}

    def __len__(self) -> int:
        return int(self.clip.shape[0])

    def single(self, item: int) -> ForwardPass:
        """The pass of one clip, sharing memory with this one; for batches in which every clip asks for its own."""
        if not 0 <= item < len(self):
            raise BadClip(f"item: the batch holds clips 0 .. {len(self) - 1}, got {item}")
        if len(self) == 1:
            return self
        if item not in self._singles:
            values = {number: self.value(number, item) for number in self._values}
            saved = {number: self._saved_of(number, item) for number in self._saved}
            clip = self.clip[item : item + 1]
            part = ForwardPass(self.graph, self.head, clip, values, saved, self.has_relevance, self._lowest)
            part.reduced = self.reduced
            self._singles.setdefault(item, part)
        return self._singles[item]

    @property
    def broken(self) -> frozenset[int]:
        """The clips with logits that are not finite: their activations mean nothing, and have no explanation."""
        if torch.compiler.is_exporting():
            return frozenset()
        finite = self.logits.isfinite().all(1).tolist()
        return frozenset(item for item, whole in enumerate(finite) if not whole)

    # -- logits per frame ----------------------------------------------------------------------------------------

    @property
    def frame_logits(self) -> Tensor:
        """[B, T', K] logits per output time step; their mean over T' is `logits` (for one branch).

        Branches with fewer time steps (SlowFast) count at the frames that they sample and are 0 between (ATR paper,
        appendix B);
        the bias counts once per step. Raises NoFrameLogits with the reason where the head is not linear; clips for
        which only their numbers say that (`no_frame_logits_of`) have rows that mean nothing.
        """
        found = self._frame_logits()
        if self.no_frame_logits:
            raise NoFrameLogits(f"model: no logits per frame: {self.no_frame_logits}")
        assert found.logits is not None
        return found.logits

    @property
    def no_frame_logits(self) -> str:
        """Why there are no logits per frame for any clip; empty where there are."""
        found = self._frame_logits()
        return found.reason or (_NOT_THE_MEAN if found.misfits and all(found.misfits) else "")

    def no_frame_logits_of(self, item: int) -> str:
        """Why this clip of the batch has no logits per frame; empty where it has."""
        found = self._frame_logits()
        return found.reason or (_NOT_THE_MEAN if found.misfits and found.misfits[item] else "")

    def rows_of(self, value: int, steps: int, rows: int) -> tuple[int, ...]:
        """The output time steps, of so many, at which the `steps` of one of the head's values count."""
        return branch_rows(self.graph, value, self.clip.shape[2], steps, rows)

    @property
    def pace(self) -> int:
        """Output time steps per step of the slowest branch; 1 where all are equally fast. Raises NoFrameLogits."""
        return int(self.frame_logits.shape[1] // min(self.value(value).shape[2] for value in self.head.values))

    def _frame_logits(self) -> _FrameLogits:
        if self._frames is None:
            with torch.no_grad():
                self._frames = self._computed_frame_logits()
        return self._frames

    def _computed_frame_logits(self) -> _FrameLogits:
        if self.head.reason:
            return _FrameLogits(None, self.head.reason)
        pooled = []
        clips = self.clip.shape[0]  # not len(), which would fix the number of clips of an exported graph
        for value in self.head.values:
            features = self._values.get(value)
            if not isinstance(features, Tensor) or features.dim() != 5 or features.shape[0] != clips:
                return _FrameLogits(None, _FOLDED)
            pooled.append(features.mean((3, 4)).transpose(1, 2))
        weight, bias = classifier(self.head)
        steps = max(p.shape[1] for p in pooled)
        if weight.shape[1] != sum(p.shape[2] for p in pooled) or any(steps % p.shape[1] for p in pooled):
            return _FrameLogits(None, "the classifier does not see averages of whole feature maps")
        result = self.logits.new_zeros((clips, steps, weight.shape[0]))
        mean = self.logits.new_zeros(self.logits.shape)
        columns_of = torch.split(weight, [p.shape[2] for p in pooled], 1)
        for value, part, columns in zip(self.head.values, pooled, columns_of, strict=True):
            own = part @ columns.T
            rows = list(self.rows_of(value, part.shape[1], steps))
            result[:, rows] = result[:, rows] + own
            mean += own.mean(1)
        if bias is not None:
            result += bias
            mean += bias
        if torch.compiler.is_exporting():
            # Values are not known yet; the clip that ran before has shown that they agree.
            return _FrameLogits(result)
        result.masked_fill_(~self.logits.isfinite().all(1)[:, None, None], torch.nan)
        scale = self.logits.abs().amax(1).clamp(min=1.0)
        misfits = (mean - self.logits).abs().amax(1) > _TOLERANCES[self.logits.dtype] * scale
        return _FrameLogits(result, misfits=tuple(misfits.tolist()))

    # -- activations and gradients -------------------------------------------------------------------------------

    def activation(self, layer: str) -> Tensor:
        """[B, ...] output of a kept layer. Raises UnknownLayer, NotKept."""
        number = self._number(layer)
        if number not in self._values:
            raise NotKept(f"layer: {layer!r} was not kept; name it in forward(keep=...)")
        tensor: Tensor = self._values[number]
        return tensor

    def gradient(self, layer: str, cotangent: Tensor) -> Tensor:
        """Gradient of sum(cotangent * logits) with respect to the activation of a kept layer, exact.

        cotangent: [B, K]. Returns the shape of the activation. "" is the clip. Raises UnknownLayer, NotKept.
        """
        return self.pulled(layer, cotangent, guided=False)

    def pulled(self, layer: str, cotangent: Tensor, guided: bool) -> Tensor:
        """As `gradient`; guided: rectifiers also stop negative cotangents (Guided Backprop)."""
        if cotangent.shape != self.logits.shape:
            raise BadClip(f"cotangent: expected {list(self.logits.shape)}, got {list(cotangent.shape)}")
        number = self._number(layer)
        if number not in self._values or not (self.has_relevance or number >= self._lowest):
            raise NotKept(f"layer: {layer!r} was not kept; name it in forward(keep=...)")
        with torch.no_grad():
            return self._descend(number, cotangent.to(self.logits.dtype), guided)

    def _descend(self, number: int, cotangent: Tensor, guided: bool) -> Tensor:
        above = {number}
        for step in self.graph.steps:
            if step.carries and above.intersection(step.inputs):
                above.add(step.number)
        pending: dict[int, Tensor] = {self.graph.output: cotangent}
        for step in reversed(self.graph.steps):
            if step.number <= number:
                break
            arriving = pending.pop(step.number, None)
            if arriving is None or step.number not in above:
                continue
            check()
            for value, part in zip(
                step.inputs, step.operation.gradient(arriving, self.site(step), guided), strict=True
            ):
                if part is not None and value in above:
                    pending[value] = pending[value] + part if value in pending else part
        found = pending.get(number)
        return torch.zeros_like(self._values[number]) if found is None else found

    def _number(self, layer: str) -> int:
        if layer == "":
            return 0
        if layer not in self.graph.layers:
            raise UnknownLayer(f"layer: {layer!r} is not in this model, or was not named in forward(keep=...)")
        return self.graph.layers[layer]

    # -- for the propagation ---------------------------------------------------------------------------------------

    def value(self, number: int, item: int | None = None) -> Any:
        """A value of the program; item: of one clip, [m, ...]."""
        value = self._values[number]
        if item is None or not isinstance(value, Tensor):
            return value
        folded, left = divmod(value.shape[0], len(self))
        if left:
            raise BadClip(f"model: an activation of shape {list(value.shape)} does not keep the batch first")
        return value[item * folded : (item + 1) * folded]

    def site(self, step: Step, item: int | None = None, manner: Manner = AS_TRACED) -> Site:
        """One step's inputs and output; item: during one clip of the batch. manner: how the explanation is computed."""
        if item is not None and len(self) == 1:
            item = None
        key = (step.number, item)
        if key not in self._sites:
            saved = self._saved_of(step.number, item)
            inputs = tuple(self.value(number, item) if number in self._values else None for number in step.inputs)
            shape = torch.Size((1, *self.clip.shape[1:]))
            self._sites.setdefault(key, Site(inputs, self.value(step.number, item), saved, shape))
        return self._sites[key] if manner == AS_TRACED else replace(self._sites[key], manner=manner)

    def _saved_of(self, number: int, item: int | None) -> dict[str, Tensor]:
        saved = self._saved.get(number, {})
        if item is None:
            return saved
        return {name: t.reshape(len(self), -1, *t.shape[1:])[item] for name, t in saved.items()}


def classifier(head: Head) -> tuple[Tensor, Tensor | None]:
    """Weights [K, C] and bias [K] of the head's last layer, batch norm folded in."""
    assert head.classifier is not None
    layer = head.classifier.operation
    assert isinstance(layer, Weighted)
    mapping, bias = layer.folded
    return mapping.weight.flatten(1), bias


def propagating(forward: Pass) -> ForwardPass:
    """The pass as one that relevance can be propagated through. Raises NotKept where it is none."""
    if not isinstance(forward, ForwardPass):
        raise NotKept("forward: the network has operations without a relevance rule; see its no_relevance")
    if not forward.has_relevance:
        raise NotKept("forward: ran with relevance=False; run it again with relevance=True")
    return forward
