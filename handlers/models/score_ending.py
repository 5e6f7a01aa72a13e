"""Makes a torch module that puts out probabilities put out logits: explanations start where scores are linear."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from actionlens.card import Scores
from handlers.scores import apart, recognised

_EXACT = 2e-5

_SOFTMAX = {"softmax": Scores.PROBABILITIES, "log_softmax": Scores.LOG_PROBABILITIES, "sigmoid": Scores.SIGMOID}
_FUNCTIONS: dict[object, Scores] = {
    function: kind
    for name, kind in _SOFTMAX.items()
    for function in (getattr(torch, name), getattr(F, name), getattr(torch.special, name, None))
    if function is not None
}
_MODULES = {
    nn.Softmax: Scores.PROBABILITIES,
    nn.LogSoftmax: Scores.LOG_PROBABILITIES,
    nn.Sigmoid: Scores.SIGMOID,
}
_BEHIND_METHODS = {"view", "reshape", "flatten", "squeeze", "unsqueeze", "mean", "contiguous", "float", "permute"}
_BEHIND_FUNCTIONS = {torch.flatten, torch.squeeze, torch.unsqueeze, torch.mean, torch.reshape, torch.permute}
_BEHIND_FUNCTIONS |= {F.adaptive_avg_pool3d, F.adaptive_avg_pool1d, F.avg_pool3d}
_BEHIND_MODULES = (nn.Flatten, nn.Identity, nn.Dropout, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool3d, nn.AvgPool3d)


@dataclass(frozen=True)
class LogitsModule:
    """module: puts out logits. scores: what the module that it was made of puts out."""

    module: nn.Module
    scores: Scores


def before_softmax(module: nn.Module, clips: Tensor) -> LogitsModule | None:
    """The module without the softmax or sigmoid near its end; None where none is found, or predictions would change.

    clips: a few that the module takes, float32 [N, C, T, H, W]. Layers keep their names.
    """
    opened: set[str] = set()
    while (found := _traced(module, opened)) is not None:
        traced, node, kind = found
        if kind is not None:
            break
        inner = str(node.target)
        if node.op != "call_module" or inner in opened or not list(traced.get_submodule(inner).children()):
            return None
        opened.add(inner)  # the softmax may be within
    else:
        return None
    node.replace_all_uses_with(_argument(node))
    traced.graph.eliminate_dead_code()
    traced.recompile()
    assert kind is not None
    with torch.no_grad():
        if apart(traced(clips), module(clips), kind) > _EXACT:
            return None
    return LogitsModule(traced.eval(), kind)


class _Tracer(fx.Tracer):
    """Follows the forward of a module and of its parts that are opened; others stay as they are, names and all."""

    def __init__(self, opened: set[str]) -> None:
        super().__init__()
        self._opened = opened

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a part stays as it is."""
        return module_qualified_name not in self._opened


def _traced(module: nn.Module, opened: set[str]) -> tuple[fx.GraphModule, fx.Node, Scores | None] | None:
    """The module as a graph, the last node that does more than arrange or average, and the kind of scores it makes.

    None where the module cannot be followed.
    """
    try:
        traced = fx.GraphModule(module, _Tracer(opened).trace(module))
    except Exception:  # control flow over values, and whatever else the module does that tracing cannot follow
        return None
    (end,) = (node for node in traced.graph.nodes if node.op == "output")
    node = end.args[0]
    while isinstance(node, fx.Node):
        kind = _kind(traced, node)
        if kind is not None or not _is_behind(traced, node):
            return traced, node, kind
        node = node.args[0]
    return None


def as_logits(module: nn.Module, scores: Scores, clips: Tensor) -> nn.Module:
    """The module with the logarithm of its probabilities for logits, or the log odds of its sigmoid scores.

    Its layers keep their names. clips: as of `before_softmax`.
    """
    least = torch.finfo(torch.float32).tiny
    if scores is Scores.PROBABILITIES:
        with torch.no_grad():
            _, total = recognised(module(clips))
        return _ending_in(module, lambda rows: (rows / total + least).log())
    if scores is Scores.SIGMOID:
        return _ending_in(module, lambda rows: torch.logit(rows, eps=1e-7))
    return module


def _ending_in(module: nn.Module, function: Callable[[Tensor], Tensor]) -> nn.Module:
    """The same module, over the same weights, with a function of its output for output."""
    kind = type(module)

    def forward(self: nn.Module, clips: Tensor) -> Tensor:
        rows: Tensor = kind.forward(self, clips)
        return function(rows)

    made = copy.copy(module)
    made.__class__ = type(kind.__name__, (kind,), {"forward": forward})
    return made


def _kind(traced: fx.GraphModule, node: fx.Node) -> Scores | None:
    match node.op:
        case "call_module":
            return _MODULES.get(type(traced.get_submodule(str(node.target))))
        case "call_function":
            return _FUNCTIONS.get(node.target)
        case "call_method":
            return _SOFTMAX.get(str(node.target))
    return None


def _is_behind(traced: fx.GraphModule, node: fx.Node) -> bool:
    """Whether a node only arranges or averages its first argument."""
    match node.op:
        case "call_module":
            return isinstance(traced.get_submodule(str(node.target)), _BEHIND_MODULES)
        case "call_function":
            return node.target in _BEHIND_FUNCTIONS
        case "call_method":
            return node.target in _BEHIND_METHODS
    return False


def _argument(node: fx.Node) -> fx.Node:
    found = node.args[0] if node.args else node.kwargs["input"]
    assert isinstance(found, fx.Node)
    return found
