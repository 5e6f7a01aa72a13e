"""From what torch.fx recorded to the steps of a program, node by node."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from torch import fx, nn

from handlers.relevance.errors import UnsupportedOperation
from handlers.relevance.operations.base import Operation
from handlers.relevance.operations.gated import Gate, Sigmoid
from handlers.relevance.operations.opaque_module import OpaqueCall, Whole
from handlers.relevance.operations.pointwise import Norm
from handlers.relevance.operations.reshaping import Identity
from handlers.relevance.operations.weighted import Weighted
from handlers.relevance.program.graph import Graph, ShapeValue, Step
from handlers.relevance.rules import NormRule, Rules
from handlers.relevance.tracing import alternatives, table
from handlers.relevance.tracing.calls import CALLS, flatten
from handlers.relevance.tracing.refs import Ref, filled, flat
from handlers.relevance.tracing.table import Refusal


class Recorder:
    """Turns fx nodes into steps, one by one."""

    def __init__(self, module: nn.Module, rules: Rules) -> None:
        self._module = module
        self.rules = rules
        self._steps: list[Step] = []
        self._values: dict[fx.Node, Any] = {}
        self._layers: dict[str, int] = {}
        self._step_name = ""

    def record(self, recorded: fx.Graph) -> Graph:
        """All nodes; returns the graph."""
        inputs = [node for node in recorded.nodes if node.op == "placeholder"]
        needed = [node for node in inputs if not node.args]
        if len(needed) != 1:
            raise UnsupportedOperation(
                f"{len(needed)} inputs", type(self._module).__name__, "write forward(clip) with one clip tensor"
            )
        output = None
        for node in recorded.nodes:
            stack = [path for path, _ in node.meta.get("nn_module_stack", {}).values()]
            self._step_name = self._where(node, stack)
            if node.op == "placeholder":
                self._values[node] = Ref(0, 5, 0) if node is needed[0] else node.args[0]
            elif node.op == "get_attr":
                self._values[node] = operator.attrgetter(str(node.target))(self._module)
            elif node.op == "output":
                output = self._logits(node)
            else:
                try:
                    self._values[node] = self._call(node)
                except Refusal as refusal:
                    raise UnsupportedOperation(refusal.args[0], self._step_name, refusal.args[1]) from None
            value = self._values.get(node)
            if isinstance(value, Ref) and not value.is_size:
                names = [*stack, str(node.target)] if node.op == "call_module" else stack
                self._layers.update({name: value.number for name in names if name})
        assert output is not None
        self._check_gates(output)
        graph = Graph(tuple(self._steps), output, self._layers)
        return _without_dead_ends(graph)

    def _where(self, node: fx.Node, stack: Sequence[str]) -> str:
        if node.op == "call_module":
            return str(node.target)
        inside = stack[-1] if stack else ""
        return f"{inside or type(self._module).__name__}, {node.name}"

    def _logits(self, node: fx.Node) -> int:
        value = self._get(node.args[0])
        if not isinstance(value, Ref) or value.is_size:
            raise UnsupportedOperation(
                f"an output of type {type(node.args[0]).__name__}",
                type(self._module).__name__,
                "return the logits [B, K] alone",
            )
        if value.number == 0:
            raise UnsupportedOperation("the clip as output", type(self._module).__name__, "return logits [B, K]")
        return value.number

    def _get(self, argument: Any) -> Any:
        """An fx argument with nodes replaced by their values."""
        return fx.node.map_arg(argument, lambda node: self._values[node])

    def step(self, operation: Operation, inputs: Sequence[Ref], axes: int, shares: Ref | None = None) -> Ref:
        """A new step; returns its value. shares: the value whose memory this one is a view of."""
        number = len(self._steps) + 1
        self._steps.append(Step(number, self._step_name, operation, tuple(ref.number for ref in inputs)))
        return Ref(number, axes, number if shares is None else shares.memory, isinstance(operation, ShapeValue))

    def made_by(self, ref: Ref) -> Operation | None:
        """The operation that made a value; None for the clip."""
        return self._steps[ref.number - 1].operation if ref.number else None

    def _check_gates(self, output: int) -> None:
        """Refuse a sigmoid that does something else than to set a gate."""
        for step in self._steps:
            if not isinstance(step.operation, Sigmoid):
                continue
            readers = [s for s in self._steps if step.number in s.inputs]
            gates = all(isinstance(s.operation, Gate) and s.inputs[0] != step.number for s in readers)
            if step.number == output or not gates:
                raise UnsupportedOperation("sigmoid", step.step_name, alternatives.ALTERNATIVES["sigmoid"])

    # -- calls -------------------------------------------------------------------------------------------------

    def _call(self, node: fx.Node) -> Any:
        args, kwargs = self._get(node.args), self._get(node.kwargs)
        if node.op == "call_module":
            return self._call_module(node, self._module.get_submodule(str(node.target)), *args, **kwargs)
        target = node.target
        refs = [a for a in flat((args, kwargs)) if isinstance(a, Ref)]
        if not refs:
            call: Any = getattr(args[0], str(target)) if node.op == "call_method" else target
            return call(*(args[1:] if node.op == "call_method" else args), **kwargs)
        if all(ref.is_size for ref in refs):
            return self._arithmetic(target, args)
        handler = CALLS.get(target)
        if handler is None:
            name = target if isinstance(target, str) else getattr(target, "__name__", str(target))
            raise Refusal(name, alternatives.ALTERNATIVES.get(name.rstrip("_").lower(), alternatives.NEAREST))
        try:
            result = handler(self, *args, **kwargs)
        except TypeError as error:
            name = target if isinstance(target, str) else getattr(target, "__name__", str(target))
            raise Refusal(f"{name} with these arguments ({error})", alternatives.NEAREST) from None
        if target in table.IN_PLACE or kwargs.get("inplace", False) is True:
            self._replace(node, args[0], result)
        return result

    def _call_module(self, node: fx.Node, module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        if kwargs or len(args) != 1 or not isinstance(args[0], Ref):
            raise Refusal(f"{type(module).__name__} called with more than one input", alternatives.NEAREST)
        x: Ref = args[0]
        if isinstance(module, nn.Flatten):
            return flatten(self, x, module.start_dim, module.end_dim)
        if isinstance(module, Whole):
            return self.step(OpaqueCall(module), [x], module.axes)
        operation = table.of_module(module, self.rules)
        if isinstance(operation, Identity):
            return x
        result = self.made(operation, x)
        if getattr(module, "inplace", False):
            self._replace(node, x, result)
        return result

    def made(self, operation: Operation, x: Ref) -> Ref:
        """A new step of one input; batch norm under the folding rule becomes the convolution that it is."""
        if isinstance(operation, Norm) and self.rules.norm is NormRule.FOLD and not self._follows_convolution(x):
            operation = table.folded_norm(operation, x.axes - 2, self.rules)
        return self.step(operation, [x], x.axes)

    def _follows_convolution(self, x: Ref) -> bool:
        return x.number > 0 and isinstance(self._steps[x.number - 1].operation, Weighted)

    def _replace(self, node: fx.Node, old: Any, new: Any) -> None:
        """From here on whoever reads the old value reads the new one: the call wrote into its memory."""
        if not isinstance(old, Ref) or not isinstance(new, Ref):
            return
        seen = False
        for other, value in self._values.items():
            if not isinstance(value, Ref) or value.is_size or value.memory != old.memory:
                continue
            if value == old:
                self._values[other] = new
            else:
                seen = seen or any(user > node for user in other.users)
        if seen or old.memory == 0:
            what = "the clip itself" if old.memory == 0 else "a tensor of which a view is used later"
            raise Refusal(f"an in-place operation on {what}", "use the form that returns a new tensor")

    def _arithmetic(self, target: Any, args: Sequence[Any]) -> Any:
        compute = table.SIZES.get(target)
        if compute is None:
            raise Refusal(f"arithmetic on shapes with {target}", "use +, -, *, // on sizes")
        refs = [a for a in args if isinstance(a, Ref)]
        return self.step(ShapeValue(filled(compute, args)), refs, 0)


def _without_dead_ends(graph: Graph) -> Graph:
    """Only the steps that the output depends on."""
    needed = {graph.output}
    for step in reversed(graph.steps):
        if step.number in needed:
            needed.update(step.inputs)
    steps = tuple(step for step in graph.steps if step.number in needed)
    return Graph(steps, graph.output, {name: v for name, v in graph.layers.items() if v in needed})
