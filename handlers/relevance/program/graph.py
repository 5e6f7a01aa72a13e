"""The explicit program that a traced module becomes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from handlers.relevance.errors import UnknownLayer
from handlers.relevance.operations.average_pool import AdaptiveAveragePool, AveragePool, Mean
from handlers.relevance.operations.base import Operation
from handlers.relevance.operations.frame_selection import FrameSelection
from handlers.relevance.operations.gated import Gate
from handlers.relevance.operations.max_pool import MaxPool
from handlers.relevance.operations.pointwise import Add, Factor, Norm, Relu
from handlers.relevance.operations.recurrence import Recurrence
from handlers.relevance.operations.reshaping import Concatenate, Identity, Pad, Permute, Reshape, Slice
from handlers.relevance.operations.weighted import Weighted


@dataclass(eq=False)
class ShapeValue(Operation):
    """A number or tuple of numbers computed from shapes (x.size(0) // 4); carries no relevance."""

    compute: Callable[..., Any]
    kind = "size"

    def forward(self, inputs: Sequence[Any], saved: Any) -> Any:
        return self.compute(*inputs)


@dataclass(frozen=True)
class Step:
    """One operation of the program. Value number i is what step i makes; value 0 is the clip.

    step_name: where it stands in the module ("layer1.0.conv1"). inputs: numbers of the values that it reads.
    """

    number: int
    step_name: str
    operation: Operation
    inputs: tuple[int, ...]

    @property
    def carries(self) -> bool:
        """Whether it makes a tensor (and not a number from shapes)."""
        return not isinstance(self.operation, ShapeValue)


@dataclass(frozen=True)
class Graph:
    """Steps in the order of execution, the value that is the model's output, and the values of named layers.

    derived: what was worked out from shapes, for all clips.
    """

    steps: tuple[Step, ...]
    output: int
    layers: dict[str, int]
    derived: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    def value_of(self, layer: str) -> int:
        """Number of the value that the named module puts out. Raises UnknownLayer."""
        try:
            return self.layers[layer]
        except KeyError:
            known = [name for name in self.layers if "." not in name]
            raise UnknownLayer(
                f"layer: {layer!r} is not in this model; its top layers are {', '.join(known)}"
            ) from None

    def readers(self) -> dict[int, list[Step]]:
        """For each value the steps that read it."""
        found: dict[int, list[Step]] = {}
        for step in self.steps:
            for value in dict.fromkeys(step.inputs):
                found.setdefault(value, []).append(step)
        return found


def fused(graph: Graph, wanted: Iterable[int]) -> Graph:
    """The same graph with batch norm and rectifier joined to what they follow, except across the wanted values.

    Relevance and gradients of all remaining values stay as they were; what disappears is only memory traffic.
    """
    kept = {graph.output, *wanted}
    steps = {step.number: step for step in graph.steps}
    for step in graph.steps:
        if len(step.inputs) != 1 or step.inputs[0] not in steps:
            continue
        producer = steps[step.inputs[0]]
        alone = sum(s.inputs.count(producer.number) for s in steps.values()) == 1
        if not alone or producer.number in kept:
            layer, follower = producer.operation, step.operation
            if alone and isinstance(layer, Weighted) and isinstance(follower, Norm) and _join(layer, follower):
                # Whoever reads the value between them must not change what the folding rule makes of both.
                steps[producer.number] = replace(producer, operation=replace(layer, behind=follower.scale))
                steps[step.number] = replace(step, operation=replace(follower, part=True))
            continue
        joined = _join(producer.operation, step.operation)
        if joined is not None:
            steps[step.number] = Step(step.number, producer.step_name, joined, producer.inputs)
            del steps[producer.number]
    ordered = tuple(steps[number] for number in sorted(steps))
    layers = {name: value for name, value in graph.layers.items() if value == 0 or value in steps}
    return Graph(annotated(ordered), graph.output, layers)


def _join(first: Operation, second: Operation) -> Operation | None:
    if isinstance(first, Weighted) and not first.relu:
        if isinstance(second, Norm) and first.scale is None:
            return first.with_norm(second.scale, second.shift)
        if isinstance(second, Relu):
            return replace(first, relu=True)
    if isinstance(first, Add) and isinstance(second, Relu):
        return replace(first, relu=True)
    return None


def by_frame(graph: Graph, value: int) -> bool:
    """Whether all steps up to a value look at every frame by itself, and all later ones read nothing but it."""
    before = [step for step in graph.steps if step.number <= value]
    after = [step for step in graph.steps if step.number > value]
    single = all(
        step.operation.time_kernel == (1, 1) and not step.operation.time_padding and not _pads_time(step.operation)
        for step in before
    )
    return single and all(number >= value for step in after for number in step.inputs)


def _pads_time(operation: Operation) -> bool:
    return isinstance(operation, Pad) and operation.around(1) != (0, 0)


def annotated(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Annotate every convolution with what is known of its input before any clip has been seen."""
    positive: set[int] = set()
    paths: dict[int, tuple[Operation, ...]] = {0: ()}
    unmixed = {0}
    result = []
    for step in steps:
        operation, inputs = step.operation, step.inputs
        if isinstance(operation, Weighted):
            unmixed_input = inputs[0] in unmixed and _one_tap(operation)
            operation = replace(
                operation,
                not_negative=inputs[0] in positive,
                reads_clip=inputs[0] in paths,
                path=paths.get(inputs[0], ()),
                watches_dead=unmixed_input,
            )
            step = replace(step, operation=operation)
            mixes = not unmixed_input
        elif isinstance(operation, Recurrence):
            step = replace(step, operation=operation.after(paths.get(inputs[0])))
            mixes = True
        else:
            mixes = not _keeps_frames(operation)
        tensors = inputs if isinstance(operation, Add | Concatenate) else inputs[:1]
        if step.carries and not mixes and all(value in unmixed for value in tensors):
            unmixed.add(step.number)
        if isinstance(operation, Identity | Slice | Pad | FrameSelection) and inputs[0] in paths:
            paths[step.number] = (*paths[inputs[0]], operation)
        if _not_negative(operation, [value in positive for value in tensors]):
            positive.add(step.number)
        result.append(step)
    return tuple(result)


def _one_tap(operation: Weighted) -> bool:
    geometry = operation.weights.geometry
    return geometry is not None and len(geometry.stride) == 3 and operation.weights.weight.shape[2] == 1


def _keeps_frames(operation: Operation) -> bool:
    return operation.keeps_time or isinstance(operation, Slice | Pad)


def _not_negative(operation: Operation, inputs: list[bool]) -> bool:
    """Whether the output cannot be negative, given which inputs cannot."""
    match operation:
        case Relu() | Weighted(relu=True) | Add(relu=True):
            return True
        case Factor(factor=factor):
            return factor >= 0 and all(inputs)
        case (
            Add()
            | Concatenate()
            | Identity()
            | Slice()
            | Pad()
            | Permute()
            | Reshape()
            | FrameSelection()
            | Gate()
            | MaxPool()
            | Mean()
            | AveragePool()
            | AdaptiveAveragePool()
        ):
            return all(inputs)
        case _:
            return False
