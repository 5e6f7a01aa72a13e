"""A traced model: runs clips, keeps what explanations need."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from handlers.interruption import check
from handlers.relevance.operations.opaque_module import OpaqueCall
from handlers.relevance.operations.pointwise import Relu
from handlers.relevance.operations.reshaping import Identity, Pad
from handlers.relevance.operations.weighted import Weighted
from handlers.relevance.precision import Precision, reduced_type
from handlers.relevance.program.clip_checks import check_clip, check_logits, refuse_misfit
from handlers.relevance.program.finiteness import Finiteness
from handlers.relevance.program.first_convolution import FirstConvolution
from handlers.relevance.program.forward_pass import ForwardPass
from handlers.relevance.program.graph import Graph, by_frame, fused
from handlers.relevance.program.head import Head, find_head
from handlers.relevance.program.receptive_field import frame_centres
from handlers.relevance.rules import Rules


@dataclass(eq=False)
class Program:
    """A model as an explicit program. Made by `trace`; used by many threads at once."""

    rules: Rules
    graph: Graph
    precision: Precision = Precision.FLOAT32
    no_gradient = ""
    _plans: dict[frozenset[int], tuple[Graph, Head]] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of all layers that `keep` and `gradient` take, in order of execution."""
        return tuple(sorted(self.graph.layers, key=lambda name: (self.graph.layers[name], name)))

    def describe(self) -> list[str]:
        """One line per step, for people: its name, its operation, the steps that it reads."""
        graph, _ = self._plan(frozenset())
        names = {0: "clip"} | {step.number: step.step_name for step in graph.steps}
        return [f"{s.step_name}: {s.operation.kind} ({', '.join(names[i] for i in s.inputs)})" for s in graph.steps]

    @property
    def channels(self) -> int | None:
        """C of the clips that it takes, as the first convolution that reads them says; None where none does."""
        for step in self.graph.steps:
            layer = step.operation
            if not isinstance(layer, Weighted) or not layer.reads_clip or layer.weights.geometry is None:
                continue
            if all(isinstance(before, Identity | Pad) for before in layer.path):  # what slices leave may be fewer
                return int(layer.weights.weight.shape[1]) * layer.weights.geometry.groups
        return None

    @property
    def no_relevance(self) -> str:
        """Why relevance cannot be propagated through this model; empty where it can."""
        for step in self.graph.steps:
            if isinstance(step.operation, OpaqueCall):
                return f"{step.step_name} has no relevance rule: {step.operation.module.no_rule}"
        return ""

    @property
    def rectifies(self) -> bool:
        """Whether there are rectifiers, which guided backprop guides gradients by."""
        return any(isinstance(step.operation, Relu) for step in self.graph.steps)

    def head(self) -> Head:
        """How the logits arise from frames; says why not, where there are no logits per frame."""
        return self._plan(frozenset())[1]

    @property
    def no_frame_logits(self) -> str:
        """Why no clip has logits per frame; empty where the head allows them."""
        return self.head().reason

    def frame_centres(self, layer: str, frames: int, steps: int) -> tuple[float, ...]:
        """See `receptive_field.frame_centres`."""
        return frame_centres(self.graph, layer, frames, steps)

    def by_frame(self, layer: str) -> bool:
        """Whether this layer's output is made from every frame by itself, and is all that the steps after it read."""
        return by_frame(self.graph, self.graph.value_of(layer))

    def of_frames(self, clip: Tensor, layer: str) -> Tensor:
        """Run clips through a layer that is `by_frame`, [B, C, T, H, W]: [B, C', T, H', W']. Raises as `forward`."""
        number = self.graph.value_of(layer)
        graph, _ = self._plan(frozenset({number}))
        below = Graph(tuple(step for step in graph.steps if step.number <= number), number, graph.layers)
        values: dict[int, Any] = {0: _checked(clip)}
        with torch.no_grad():
            watched = Finiteness(len(clip), values)
            execute(below, values, watched, lowest=number, notes=False, spared=())
            result: Tensor = values[number]
            if watched.broken is None:
                return result
            if clip.shape[2] == 1:
                return result.masked_fill(watched.broken.view(-1, 1, 1, 1, 1), torch.nan)
            # One frame must not take the others with it.
            return torch.cat([self.of_frames(frame, layer) for frame in torch.split(clip, 1, 2)], 2)

    def forward(
        self,
        clip: Tensor,
        keep: Iterable[str] = (),
        relevance: bool = True,
        known: Mapping[str, Tensor] | None = None,
    ) -> ForwardPass:
        """Run clips [B, C, T, H, W], normalised as the model was trained; any B, T, H, W that the model takes.

        keep: layers whose activations are kept for `ForwardPass.gradient` and `ForwardPass.activation`.
        relevance: keep everything that relevance propagation needs; False frees all else as early as possible.
        known: what a layer that is `by_frame` makes of the clips; nothing below it is computed, or can be kept.
        Raises BadClip for another number of axes, another dtype than the weights', or a size that does not fit;
        UnknownLayer for a layer that does not exist.
        """
        given = {self.graph.value_of(layer): tensor for layer, tensor in (known or {}).items()}
        wanted = frozenset({*map(self.graph.value_of, keep), *given})
        graph, head = self._plan(wanted)
        with torch.no_grad():
            found = run(graph, head, _checked(clip), wanted, relevance, given)
        found.reduced = reduced_type(self.precision, self.rules.convolution, clip)
        return found

    @property
    def first_convolution(self) -> FirstConvolution | None:
        """The convolution that alone reads the clip; None where the network begins with anything else."""
        return FirstConvolution.of(self._plan(frozenset())[0])

    def after_first_convolution(self, output: Tensor) -> Tensor:
        """Logits [B, K] from what the first convolution makes of clips, with its batch norm and rectifier.

        output: [B, C', T', H', W']; channels last in memory is fastest.
        """
        graph, _ = self._plan(frozenset())
        values: dict[int, Any] = {graph.steps[0].number: output}
        with torch.no_grad():
            watched = Finiteness(len(output), values)
            execute(graph, values, watched, lowest=graph.output, notes=False, spared=())
            logits: Tensor = values[graph.output]
            return logits if watched.broken is None else logits.masked_fill(watched.broken[:, None], torch.nan)

    def _plan(self, wanted: frozenset[int]) -> tuple[Graph, Head]:
        with self._lock:
            if wanted not in self._plans:
                graph = fused(self.graph, wanted)
                self._plans[wanted] = (graph, find_head(graph))
            return self._plans[wanted]


def run(
    graph: Graph, head: Head, clip: Tensor, wanted: frozenset[int], relevance: bool, given: Mapping[int, Tensor]
) -> ForwardPass:
    """All steps in order from the clip, or from the one value that is given.

    The logits of a clip with an activation that is not finite are NaN, whatever came out.
    """
    lowest = 0 if relevance else min(wanted, default=graph.output)
    values: dict[int, Any] = {0: clip, **given}
    watched = Finiteness(clip.shape[0], values)
    saved = execute(graph, values, watched, lowest=lowest, notes=True, spared=head.values)
    if watched.broken is not None:
        logits = check_logits(values[graph.output], clip)
        values[graph.output] = logits.masked_fill(watched.broken[:, None], torch.nan)
    return ForwardPass(graph, head, clip, values, saved, relevance, min(wanted, default=graph.output))


def execute(
    graph: Graph,
    values: dict[int, Any],
    watched: Finiteness,
    *,
    lowest: int,
    notes: bool,
    spared: Collection[int],
) -> dict[int, dict[str, Tensor]]:
    """Add to `values` what the steps after the last one there make, in order.

    Values below `lowest` that are not spared are freed after their last reader. Returns, if notes are asked for, what
    the way back down to `lowest` needs.
    """
    last: dict[int, int] = {}
    for step in graph.steps:
        for value in step.inputs:
            last[value] = step.number
    saved: dict[int, dict[str, Tensor]] = {}
    first = max(values)
    clip = values.get(0, values[first])
    for step in graph.steps:
        if step.number <= first:
            continue
        check()
        noted: dict[str, Tensor] | None = {} if notes and step.number > lowest else None
        try:
            values[step.number] = step.operation.forward([values[i] for i in step.inputs], noted)
        except (RuntimeError, IndexError) as error:
            refuse_misfit(clip, step.step_name, error)
        watched.after(step, values)
        if noted:
            saved[step.number] = noted
        for value in step.inputs:
            if last[value] == step.number and value < lowest and value not in spared:
                values.pop(value, None)
    return saved


def _checked(clip: Tensor) -> Tensor:
    """The clip in the layout in which it is computed. Raises BadClip."""
    check_clip(clip)
    clip = clip.detach()
    return clip.contiguous(memory_format=torch.channels_last_3d) if clip.device.type == "cpu" else clip
