"""From a torch module to a program, once.

torch.fx records the Python that runs, so functional calls, a module used twice, in-place operations and tensors
that feed several branches are all seen as what they do, and the program serves clips of any length and size.
(torch.export would fix the shapes of one example clip, or need every dynamic axis declared beforehand.)
"""

from __future__ import annotations

import operator
from typing import Any

from torch import fx, nn

from handlers.relevance.errors import RelevanceError, UnsupportedOperation
from handlers.relevance.modules.conv_lstm import ConvLSTM
from handlers.relevance.modules.layers import EvenFrames, SamePad
from handlers.relevance.operations.opaque_module import Whole
from handlers.relevance.precision import Precision
from handlers.relevance.program.graph import Graph, annotated
from handlers.relevance.program.program import Program
from handlers.relevance.rules import Rules
from handlers.relevance.tracing.recorder import Recorder


def trace(module: nn.Module, rules: Rules | None = None, precision: Precision | str = Precision.FLOAT32) -> Program:
    """Trace a model in evaluation mode, once. The module is not changed.

    precision: of relevance; predictions and gradients keep the model's own. Raises ValueError for an unknown one,
    UnsupportedOperation where an operation has no relevance rule, RelevanceError in training mode.
    """
    rules = Rules() if rules is None else rules
    graph = traced(module, rules)
    return Program(rules, Graph(annotated(graph.steps), graph.output, graph.layers), Precision(precision))


def traced(module: nn.Module, rules: Rules) -> Graph:
    """The unfused program of a module in evaluation mode that maps one clip [B, C, T, H, W] to logits [B, K].

    The module is not changed; its parameters are shared, not copied, so retrace after changing them.
    Raises UnsupportedOperation (operation, step_name, alternative) for what has no rule.
    """
    for name, part in module.named_modules():
        if part.training:
            raise RelevanceError(f"model: {name or type(module).__name__} is in training mode; call model.eval() first")
    try:
        recorded = _Tracer(module).trace(module)
    except (fx.proxy.TraceError, TypeError, RuntimeError) as error:
        raise UnsupportedOperation(
            "control flow that depends on the clip", type(module).__name__, f"write the model without it ({error})"
        ) from error
    return Recorder(module, rules).record(recorded)


class _InPlaceProxy(fx.Proxy):
    """Also records `x += y` and `x *= y` as what they are; plain fx takes them for x = x + y."""

    def __iadd__(self, other: Any) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", operator.iadd, (self, other), {})

    def __imul__(self, other: Any) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", operator.imul, (self, other), {})


class _Tracer(fx.Tracer):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self._names = {id(parameter): name for name, parameter in module.named_parameters()}

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, fx.Proxy]) -> Any:
        """As fx does it, but for going through all parameters of the network at every access."""
        name = self._names.get(id(attr_val))
        if name is None:
            return attr_val
        if name not in parameter_proxy_cache:
            parameter_proxy_cache[name] = self.create_proxy("get_attr", name, (), {})
        return parameter_proxy_cache[name]

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _InPlaceProxy(node, self)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, Whole | SamePad | EvenFrames | ConvLSTM) or super().is_leaf_module(
            m, module_qualified_name
        )
