"""A traced model: runs clips, keeps what explanations need."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from handlers.relevance.centres import frame_centres
from handlers.relevance.fitting import check_clip, refuse_misfit
from handlers.relevance.forward_pass import ForwardPass
from handlers.relevance.graph import Graph, annotated, fused
from handlers.relevance.head import Head, find_head
from handlers.relevance.operations.whole import Call
from handlers.relevance.precision import Precision, reduced_type
from handlers.relevance.rules import Rules
from handlers.relevance.trace import traced


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
        """One line per step, for people: place, operation, what it reads."""
        graph, _ = self._plan(frozenset())
        places = {0: "clip"} | {step.number: step.place for step in graph.steps}
        return [f"{s.place}: {s.operation.kind} ({', '.join(places[i] for i in s.inputs)})" for s in graph.steps]

    @property
    def no_relevance(self) -> str:
        """Why relevance cannot be propagated through this model; empty where it can."""
        for step in self.graph.steps:
            if isinstance(step.operation, Call):
                return f"{step.place} has no relevance rule: {step.operation.module.no_rule}"
        return ""

    def head(self) -> Head:
        """How the logits arise from frames; says why not, where there are no logits per frame."""
        return self._plan(frozenset())[1]

    @property
    def no_frame_logits(self) -> str:
        """Why no clip has logits per frame; empty where the head allows them."""
        return self.head().reason

    def frame_centres(self, layer: str, frames: int, steps: int) -> tuple[float, ...]:
        """See `centres.frame_centres`."""
        return frame_centres(self.graph, layer, frames, steps)

    def forward(self, clip: Tensor, keep: Iterable[str] = (), relevance: bool = True) -> ForwardPass:
        """Run clips [B, C, T, H, W], normalised as the model was trained; any B, T, H, W that the model takes.

        keep: layers whose activations are kept for `ForwardPass.gradient` and `ForwardPass.activation`.
        relevance: keep everything that relevance propagation needs; False frees all else as early as possible.
        Raises BadClip for another number of axes, another dtype than the weights', or a size that does not fit;
        UnknownLayer for a layer that does not exist.
        """
        check_clip(clip)
        wanted = frozenset(self.graph.value_of(layer) for layer in keep)
        graph, head = self._plan(wanted)
        with torch.no_grad():
            found = run(graph, head, clip.detach(), wanted, relevance)
        found.reduced = reduced_type(self.precision, self.rules.convolution, clip)
        return found

    def _plan(self, wanted: frozenset[int]) -> tuple[Graph, Head]:
        with self._lock:
            if wanted not in self._plans:
                graph = fused(self.graph, wanted)
                self._plans[wanted] = (graph, find_head(graph))
            return self._plans[wanted]


def trace(module: nn.Module, rules: Rules | None = None, precision: Precision | str = Precision.FLOAT32) -> Program:
    """Trace a model in evaluation mode, once. The module is not changed.

    precision: of relevance; predictions and gradients keep the model's own. Raises ValueError for an unknown one,
    UnsupportedOperation where an operation has no relevance rule, RelevanceError in training mode.
    """
    rules = Rules() if rules is None else rules
    graph = traced(module, rules)
    return Program(rules, Graph(annotated(graph.steps), graph.output, graph.layers), Precision(precision))


def run(graph: Graph, head: Head, clip: Tensor, wanted: frozenset[int], relevance: bool) -> ForwardPass:
    """All steps in order. Each value is freed after its last reader unless it is kept."""
    if clip.device.type == "cpu":
        clip = clip.contiguous(memory_format=torch.channels_last_3d)
    last: dict[int, int] = {}
    for step in graph.steps:
        for value in step.inputs:
            last[value] = step.number
    lowest = min(wanted, default=graph.output)
    values: dict[int, object] = {0: clip}
    saved: dict[int, dict[str, Tensor]] = {}
    frame_values = set(head.values)
    for step in graph.steps:
        keeps = relevance or step.number > lowest
        notes: dict[str, Tensor] | None = {} if keeps else None
        try:
            values[step.number] = step.operation.forward([values[i] for i in step.inputs], notes)
        except (RuntimeError, IndexError) as error:
            refuse_misfit(clip, step.place, error)
        if notes:
            saved[step.number] = notes
        for value in step.inputs:
            done = last[value] == step.number
            if done and not relevance and value < lowest and value not in frame_values:
                values.pop(value, None)
    return ForwardPass(graph, head, clip, values, saved, relevance, lowest)
