"""From a torch module to a program, once.

torch.fx records the Python that runs, so functional calls, a module used twice, in-place operations and tensors
that feed several branches are all seen as what they do, and the program serves clips of any length and size.
(torch.export would fix the shapes of one example clip, or need every dynamic axis declared beforehand.)
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from handlers.relevance import table
from handlers.relevance.errors import RelevanceError, UnsupportedOperation
from handlers.relevance.graph import Graph, Size, Step
from handlers.relevance.operations.base import Operation
from handlers.relevance.operations.pointwise import Add, Norm, Relu
from handlers.relevance.operations.structure import Concatenate, Identity, Permute, Reshape, Slice
from handlers.relevance.operations.weighted import Weighted
from handlers.relevance.operations.whole import Call, Whole
from handlers.relevance.rules import NormRule, Rules
from handlers.relevance.table import Refusal


@dataclass(frozen=True)
class Ref:
    """A value of the program: its number, how many axes it has, and which values share its memory."""

    number: int
    axes: int
    memory: int
    is_size: bool = False


def traced(module: nn.Module, rules: Rules) -> Graph:
    """The unfused program of a module in evaluation mode that maps one clip [B, C, T, H, W] to logits [B, K].

    The module is not changed; its parameters are shared, not copied, so retrace after changing them.
    Raises UnsupportedOperation (operation, place, alternative) for what has no rule.
    """
    for name, part in module.named_modules():
        if part.training:
            raise RelevanceError(f"model: {name or type(module).__name__} is in training mode; call model.eval() first")
    try:
        recorded = _Tracer().trace(module)
    except (fx.proxy.TraceError, TypeError, RuntimeError) as error:
        raise UnsupportedOperation(
            "control flow that depends on the clip", type(module).__name__, f"write the model without it ({error})"
        ) from error
    return _Recorder(module, rules).record(recorded)


class _InPlaceProxy(fx.Proxy):
    """Also records `x += y` and `x *= y` as what they are; plain fx takes them for x = x + y."""

    def __iadd__(self, other: Any) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", operator.iadd, (self, other), {})

    def __imul__(self, other: Any) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", operator.imul, (self, other), {})


class _Tracer(fx.Tracer):
    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _InPlaceProxy(node, self)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, Whole) or super().is_leaf_module(m, module_qualified_name)


class _Recorder:
    """Turns fx nodes into steps, one by one."""

    def __init__(self, module: nn.Module, rules: Rules) -> None:
        self._module = module
        self._rules = rules
        self._steps: list[Step] = []
        self._values: dict[fx.Node, Any] = {}
        self._layers: dict[str, int] = {}
        self._place = ""

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
            self._place = self._where(node, stack)
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
                    raise UnsupportedOperation(refusal.args[0], self._place, refusal.args[1]) from None
            value = self._values.get(node)
            if isinstance(value, Ref) and not value.is_size:
                names = [*stack, str(node.target)] if node.op == "call_module" else stack
                self._layers.update({name: value.number for name in names if name})
        assert output is not None
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

    def _step(self, operation: Operation, inputs: Sequence[Ref], axes: int, shares: Ref | None = None) -> Ref:
        number = len(self._steps) + 1
        self._steps.append(Step(number, self._place, operation, tuple(ref.number for ref in inputs)))
        return Ref(number, axes, number if shares is None else shares.memory, isinstance(operation, Size))

    # -- calls -------------------------------------------------------------------------------------------------

    def _call(self, node: fx.Node) -> Any:
        args, kwargs = self._get(node.args), self._get(node.kwargs)
        if node.op == "call_module":
            return self._call_module(node, self._module.get_submodule(str(node.target)), *args, **kwargs)
        target = node.target
        refs = [a for a in _flat((args, kwargs)) if isinstance(a, Ref)]
        if not refs:
            call: Any = getattr(args[0], str(target)) if node.op == "call_method" else target
            return call(*(args[1:] if node.op == "call_method" else args), **kwargs)
        if all(ref.is_size for ref in refs):
            return self._arithmetic(target, args)
        handler = _CALLS.get(target)
        if handler is None:
            name = target if isinstance(target, str) else getattr(target, "__name__", str(target))
            raise Refusal(name, table.ALTERNATIVES.get(name.rstrip("_").lower(), table.NEAREST))
        try:
            result = handler(self, *args, **kwargs)
        except TypeError as error:
            name = target if isinstance(target, str) else getattr(target, "__name__", str(target))
            raise Refusal(f"{name} with these arguments ({error})", table.NEAREST) from None
        if target in table.IN_PLACE or kwargs.get("inplace", False) is True:
            self._replace(node, args[0], result)
        return result

    def _call_module(self, node: fx.Node, module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        if kwargs or len(args) != 1 or not isinstance(args[0], Ref):
            raise Refusal(f"{type(module).__name__} called with more than one input", table.NEAREST)
        x: Ref = args[0]
        if isinstance(module, nn.Flatten):
            return self._flatten(x, module.start_dim, module.end_dim)
        if isinstance(module, Whole):
            return self._step(Call(module), [x], module.axes)
        operation = table.of_module(module, self._rules)
        if isinstance(operation, Identity):
            return x
        result = self._made(operation, x)
        if getattr(module, "inplace", False):
            self._replace(node, x, result)
        return result

    def _made(self, operation: Operation, x: Ref, **options: Any) -> Ref:
        if isinstance(operation, Norm) and self._rules.norm is NormRule.FOLD and not self._follows_convolution(x):
            operation = table.folded_norm(operation, x.axes - 2, self._rules)
        return self._step(operation, [x], x.axes)

    def _follows_convolution(self, x: Ref) -> bool:
        return x.number > 0 and isinstance(self._steps[x.number - 1].operation, Weighted)

    def _replace(self, node: fx.Node, old: Any, new: Any) -> None:
        """From here on whoever reads the old value reads the new one: the call wrote into its memory."""
        if not isinstance(old, Ref) or not isinstance(new, Ref):
            return
        seen = False
        for other, value in list(self._values.items()):
            if isinstance(value, Ref) and not value.is_size and value.memory == old.memory and value != old:
                seen = seen or any(user > node for user in other.users)
            if value == old:
                self._values[other] = new
        if seen or old.memory == 0:
            what = "the clip itself" if old.memory == 0 else "a tensor of which a view is used later"
            raise Refusal(f"an in-place operation on {what}", "use the form that returns a new tensor")

    def _arithmetic(self, target: Any, args: Sequence[Any]) -> Any:
        compute = table.SIZES.get(target)
        if compute is None:
            raise Refusal(f"arithmetic on shapes with {target}", "use +, -, *, // on sizes")
        refs = [a for a in args if isinstance(a, Ref)]
        return self._step(Size(_filled(compute, args)), refs, 0)

    # -- one method per kind of call ------------------------------------------------------------------------------

    def _relu(self, x: Ref, inplace: bool = False) -> Ref:
        return self._step(Relu(), [x], x.axes)

    def _add(self, x: Any, y: Any, alpha: float = 1) -> Ref:
        if alpha != 1 or not isinstance(x, Ref) or not isinstance(y, Ref):
            raise Refusal("addition of a constant or a multiple", "add two activations; put constants into a bias")
        if x.axes != y.axes:
            raise Refusal("addition with broadcasting", "add tensors of one shape")
        return self._step(Add(self._rules.add), [x, y], x.axes)

    def _multiply(self, x: Any, y: Any) -> Ref:
        tensor, number = (x, y) if isinstance(x, Ref) and not x.is_size else (y, x)
        return self._step(table.factor(number), [tensor], tensor.axes)

    def _divide(self, x: Any, y: Any) -> Ref:
        if not isinstance(x, Ref) or not isinstance(y, int | float):
            raise Refusal("division by a tensor", "divide by a constant number")
        return self._step(table.factor(1.0 / y), [x], x.axes)

    def _concatenate(self, tensors: Sequence[Ref], dim: int = 0, axis: int | None = None) -> Ref:
        if not isinstance(tensors, list | tuple) or not all(isinstance(t, Ref) for t in tensors):
            raise Refusal("cat of something else than activations", "concatenate activations")
        chosen = (dim if axis is None else axis) % tensors[0].axes
        if chosen == 0:
            raise Refusal("cat along the batch", "concatenate along channels or time")
        return self._step(Concatenate(chosen), list(tensors), tensors[0].axes)

    def _flatten(self, x: Ref, start_dim: int = 0, end_dim: int = -1) -> Ref:
        first, last = start_dim % x.axes, end_dim % x.axes
        return self._step(Reshape(lambda t: t.flatten(first, last)), [x], x.axes - (last - first), x)

    def _view(self, x: Ref, *shape: Any) -> Ref:
        sizes = shape[0] if len(shape) == 1 and isinstance(shape[0], list | tuple | torch.Size) else shape
        if len(shape) == 1 and isinstance(shape[0], Ref):
            return self._step(Reshape(lambda t, s: t.reshape(s)), [x, shape[0]], x.axes, x)
        refs = [s for s in sizes if isinstance(s, Ref)]
        build = _filled(lambda *full: tuple(full), sizes)
        return self._step(Reshape(lambda t, *found: t.reshape(build(*found))), [x, *refs], len(sizes), x)

    def _squeeze(self, x: Ref, dim: int | Sequence[int] | None = None) -> Ref:
        if dim is None:
            raise Refusal("squeeze of every axis", "name the axis, or use flatten(1)")
        axes = tuple(d % x.axes for d in ((dim,) if isinstance(dim, int) else dim))
        if 0 in axes:
            raise Refusal("squeeze of the batch", "name axes without the first")
        return self._step(Reshape(lambda t: t.squeeze(axes)), [x], x.axes - len(axes), x)

    def _unsqueeze(self, x: Ref, dim: int) -> Ref:
        axis = dim % (x.axes + 1)
        if axis == 0:
            raise Refusal("unsqueeze before the batch", "name another axis")
        return self._step(Reshape(lambda t: t.unsqueeze(axis)), [x], x.axes + 1, x)

    def _permute(self, x: Ref, *order: Any) -> Ref:
        chosen = order[0] if len(order) == 1 and isinstance(order[0], list | tuple) else order
        axes = tuple(int(d) % x.axes for d in chosen)
        if axes[0] != 0:
            raise Refusal("permute that moves the batch", "keep the first axis first")
        return self._step(Permute(axes), [x], x.axes, x)

    def _transpose(self, x: Ref, dim0: int, dim1: int) -> Ref:
        order = list(range(x.axes))
        a, b = dim0 % x.axes, dim1 % x.axes
        order[a], order[b] = order[b], order[a]
        return self._permute(x, order)

    def _mean(self, x: Ref, dim: Any = None, keepdim: bool = False) -> Ref:
        operation = table.mean(dim, keepdim, x.axes)
        return self._step(operation, [x], x.axes if keepdim else x.axes - len(operation.axes))

    def _item(self, x: Ref, index: Any) -> Ref:
        parts = index if isinstance(index, tuple) else (index,)
        if any(part is Ellipsis for part in parts):
            at = parts.index(Ellipsis)
            parts = (*parts[:at], *[slice(None)] * (x.axes - len(parts) + 1), *parts[at + 1 :])
        if not all(isinstance(part, slice) for part in parts) or parts[0] != slice(None):
            raise Refusal(f"indexing with {index!r}", "use slices, and keep the whole first axis")
        for part in parts:
            if not all(isinstance(n, int | None) for n in (part.start, part.stop, part.step)):
                raise Refusal("a slice with computed bounds", "use constant bounds")
        return self._step(Slice(tuple(parts)), [x], x.axes, x)

    def _shape(self, x: Ref, name: str = "shape") -> Ref:
        if name == "ndim":
            return x.axes  # type: ignore[return-value]
        if name != "shape":
            raise Refusal(f"attribute {name!r} of an activation", "use shape")
        return self._step(Size(lambda t: tuple(t.shape)), [x], 0)

    def _size(self, x: Ref, dim: int | None = None) -> Ref:
        return self._step(Size(lambda t: tuple(t.shape) if dim is None else t.shape[dim]), [x], 0)

    def _convolution(
        self,
        x: Ref,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Ref:
        if not isinstance(weight, Tensor):
            raise Refusal("a convolution with computed weights", "use weights that are parameters")
        return self._step(table.convolution(weight, bias, stride, padding, dilation, groups, self._rules), [x], x.axes)

    def _linear(self, x: Ref, weight: Tensor, bias: Tensor | None = None) -> Ref:
        if not isinstance(weight, Tensor):
            raise Refusal("a linear layer with computed weights", "use weights that are parameters")
        return self._step(table.linear(weight, bias, self._rules), [x], x.axes)

    def _norm(
        self,
        x: Ref,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Ref:
        if training:
            raise Refusal("batch norm in training mode", "call model.eval() and pass training=self.training")
        return self._made(table.norm(running_mean, running_var, weight, bias, eps, self._rules), x)

    def _dropout(self, x: Ref, p: float = 0.5, training: bool = True, inplace: bool = False) -> Ref:
        if training and p > 0:
            raise Refusal("dropout in training mode", "pass training=self.training")
        return x

    def _same(self, x: Ref, *args: Any, **kwargs: Any) -> Ref:
        return x

    def _copy(self, x: Ref, **kwargs: Any) -> Ref:
        return self._step(Identity(), [x], x.axes)

    def _pad(self, x: Ref, pad: Any, mode: str = "constant", value: float | None = None) -> Ref:
        return self._step(table.pad(pad, mode, value), [x], x.axes)


def _pool(make: Callable[..., Operation], axes: int) -> Callable[..., Ref]:
    def call(recorder: _Recorder, x: Ref, *args: Any, **kwargs: Any) -> Ref:
        names = {"kernel_size": "size", "output_size": "size"}
        operation = make(axes, *args, **{names.get(k, k): v for k, v in kwargs.items()})
        return recorder._step(operation, [x], x.axes)

    return call


def _calls() -> dict[Any, Callable[..., Any]]:
    r = _Recorder
    known: dict[Any, Callable[..., Any]] = dict.fromkeys(table.RELUS, r._relu) | dict.fromkeys(table.ADDS, r._add)
    known |= dict.fromkeys([operator.mul, torch.mul, "mul", operator.imul, "mul_"], r._multiply)
    known |= dict.fromkeys([operator.truediv, torch.div, "div"], r._divide)
    known |= dict.fromkeys([torch.cat, torch.concat, torch.concatenate], r._concatenate)
    known |= dict.fromkeys([torch.flatten, "flatten"], r._flatten)
    known |= dict.fromkeys(["view", "reshape", torch.reshape], r._view)
    known |= dict.fromkeys([torch.squeeze, "squeeze"], r._squeeze)
    known |= dict.fromkeys([torch.unsqueeze, "unsqueeze"], r._unsqueeze)
    known |= dict.fromkeys([torch.permute, "permute"], r._permute)
    known |= dict.fromkeys([torch.transpose, "transpose"], r._transpose)
    known |= dict.fromkeys([torch.mean, "mean"], r._mean)
    known |= dict.fromkeys([F.conv3d, F.conv2d, torch.conv3d, torch.conv2d], r._convolution)
    known |= dict.fromkeys([F.dropout, F.dropout2d, F.dropout3d, torch.dropout], r._dropout)
    known |= dict.fromkeys(["detach", "type_as"], r._same) | dict.fromkeys(
        ["contiguous", "clone", torch.clone], r._copy
    )
    known |= {operator.getitem: r._item, getattr: r._shape, "size": r._size, F.linear: r._linear, F.batch_norm: r._norm}
    known |= {F.pad: r._pad, "dim": lambda _, x: x.axes}
    for axes in (2, 3):
        known[getattr(F, f"max_pool{axes}d")] = _pool(table.max_pool, axes)
        known[getattr(F, f"avg_pool{axes}d")] = _pool(table.average_pool, axes)
        known[getattr(F, f"adaptive_avg_pool{axes}d")] = _pool(table.adaptive_average_pool, axes)
    return known


_CALLS = _calls()


def _flat(tree: Any) -> list[Any]:
    if isinstance(tree, Ref):
        return [tree]
    if isinstance(tree, dict):
        return [leaf for value in tree.values() for leaf in _flat(value)]
    if isinstance(tree, slice):
        return [leaf for value in (tree.start, tree.stop, tree.step) for leaf in _flat(value)]
    if isinstance(tree, list | tuple):
        return [leaf for value in tree for leaf in _flat(value)]
    return [tree]


def _filled(compute: Callable[..., Any], template: Sequence[Any]) -> Callable[..., Any]:
    """compute with the Refs of the template filled in at run time."""

    def call(*found: Any) -> Any:
        supply = iter(found)
        return compute(*(next(supply) if isinstance(part, Ref) else part for part in template))

    return call


def _without_dead_ends(graph: Graph) -> Graph:
    """Only the steps that the output depends on."""
    needed = {graph.output}
    for step in reversed(graph.steps):
        if step.number in needed:
            needed.update(step.inputs)
    steps = tuple(step for step in graph.steps if step.number in needed)
    return Graph(steps, graph.output, {name: v for name, v in graph.layers.items() if v in needed})
