"""Every number that a method or measure takes has two bounds; the door holds them; within them answers are finite."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
import pytest
from google.protobuf.struct_pb2 import Struct
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from actionlens.v1 import answer_pb2, method_pb2, model_pb2
from actionlens.worker.v1 import worker_pb2
from handlers.engine.description import describe
from handlers.engine.engine import Engine
from handlers.evaluation.evaluation_plan import describe_measures
from handlers.models.action_model import ActionModel
from handlers.support import cases
from handlers.wire.requests import answer
from service.errors import InvalidArgument
from service.validation.parameters import check_parameters, check_struct
from tests.handlers import networks

Named = tuple[str, model_pb2.Parameter]
_LARGEST = 2**32 - 1
_NUMBERS = ("number", "numbers")


@cache
def model() -> ActionModel:
    return networks.model()


@cache
def engine(method: str) -> Engine:
    """A network that the method explains."""
    return Engine(cases()["tsn"]() if method == "esv" else model())


@cache
def described() -> model_pb2.Model:
    """The model as clients see it; ESV's network differs in nothing that bounds a parameter."""
    message = describe(model())
    message.measures.extend(describe_measures(model()))
    return message


def of_methods() -> list[Named]:
    return [
        (entry.method, parameter)
        for entry in described().methods
        for parameter in entry.parameters
        if parameter.type in _NUMBERS
    ]


def of_measures() -> list[Named]:
    return [
        (entry.measure, parameter)
        for entry in described().measures
        for parameter in entry.parameters
        if parameter.type in _NUMBERS
    ]


def name(value: object) -> str:
    return value.name if isinstance(value, model_pb2.Parameter) else str(value)


METHODS, MEASURES = of_methods(), of_measures()
of_method = pytest.mark.parametrize(("method", "parameter"), METHODS, ids=name)
of_measure = pytest.mark.parametrize(("measure", "parameter"), MEASURES, ids=name)


def test_there_are_numbers_to_be_held() -> None:
    assert ("temporal-mask", "sparsity") in {(method, parameter.name) for method, parameter in METHODS}
    assert ("partial-sampling", "sizes") in {(measure, parameter.name) for measure, parameter in MEASURES}


@pytest.mark.parametrize(("owner", "parameter"), METHODS + MEASURES, ids=name)
def test_every_number_has_two_bounds_and_every_list_a_most(owner: str, parameter: model_pb2.Parameter) -> None:
    assert parameter.HasField("minimum"), owner
    assert parameter.HasField("maximum"), owner
    assert math.isfinite(parameter.minimum)
    assert parameter.minimum < parameter.maximum < _LARGEST
    assert parameter.type == "number" or parameter.most_entries


def outside(parameter: model_pb2.Parameter) -> st.SearchStrategy[float]:
    """Numbers just and far outside, and those that are none."""
    low, high = parameter.minimum, parameter.maximum
    if parameter.whole:
        below = st.integers(max_value=int(low) - 1, min_value=-(2**53))
        return st.one_of(below, st.integers(int(high) + 1, 2**53)).map(float)
    just = [math.nextafter(low, -math.inf), math.nextafter(high, math.inf)]
    just += [low] * parameter.above_minimum + [high] * parameter.below_maximum
    far = [1e300, -1e300, math.inf, -math.inf, math.nan]
    above = st.floats(min_value=high, exclude_min=True)
    return st.one_of(st.sampled_from(just + far), above, st.floats(max_value=low, exclude_max=True))


def inside(parameter: model_pb2.Parameter) -> st.SearchStrategy[float]:
    if parameter.whole:
        return st.integers(int(parameter.minimum), int(parameter.maximum)).map(float)
    return st.floats(
        parameter.minimum,
        parameter.maximum,
        exclude_min=parameter.above_minimum,
        exclude_max=parameter.below_maximum,
    )


def edges(parameter: model_pb2.Parameter) -> Sequence[float]:
    """The smallest and the largest number that is allowed, and their neighbours inside."""
    low, high = parameter.minimum, parameter.maximum
    if parameter.whole:
        return [low, high]
    # The smallest of all, 5e-324, is allowed where the bound is "more than 0".
    found = [low, math.nextafter(low, math.inf), math.nextafter(high, -math.inf), high]
    return found[parameter.above_minimum : len(found) - parameter.below_maximum]


def ends(parameter: model_pb2.Parameter) -> Sequence[float]:
    """The smallest and the largest number that is allowed."""
    allowed = edges(parameter)
    return allowed[0], allowed[-1]


def method_with(method: str, **parameters: object) -> method_pb2.Method:
    return method_pb2.Method(**{method.replace("-", "_"): parameters})  # type: ignore[arg-type]


def value_of(parameter: model_pb2.Parameter, number: float) -> object:
    plain = int(number) if parameter.whole else number
    return [plain] if parameter.type == "numbers" else plain


def check(method: str, parameter: model_pb2.Parameter, number: float) -> None:
    message = method_with(method, **{parameter.name: value_of(parameter, number)})
    support = next(entry for entry in described().methods if entry.method == method)
    check_parameters(getattr(message, method.replace("-", "_")), support, "method")


def check_measure(measure: str, parameter: model_pb2.Parameter, number: float) -> None:
    given = Struct()
    given.update({parameter.name: [number] if parameter.type == "numbers" else number})
    support = next(entry for entry in described().measures if entry.measure == measure)
    check_struct(given, support.parameters, "parameters")


def refused(error: InvalidArgument, parameter: model_pb2.Parameter) -> None:
    """It names the field, and a bound as the way out."""
    assert error.reason == "BAD_PARAMETER"
    assert error.field.split(".")[1].split("[")[0] == parameter.name
    assert f"{parameter.minimum:g}" in error.message
    assert f"{parameter.maximum:g}" in error.message


@of_method
def test_numbers_of_methods_are_held_at_the_door(method: str, parameter: model_pb2.Parameter) -> None:
    @settings(max_examples=25, deadline=None, derandomize=True, database=None)
    @given(outside(parameter))
    def beyond(number: float) -> None:
        assume(not parameter.whole or 0 <= number <= _LARGEST)  # the message holds no other
        with pytest.raises(InvalidArgument) as caught:
            check(method, parameter, number)
        refused(caught.value, parameter)

    @settings(max_examples=10, deadline=None, derandomize=True, database=None)
    @given(inside(parameter))
    def within(number: float) -> None:
        check(method, parameter, number)

    beyond()
    within()
    for number in edges(parameter):
        check(method, parameter, number)


@of_measure
def test_numbers_of_measures_are_held_at_the_door(measure: str, parameter: model_pb2.Parameter) -> None:
    @settings(max_examples=25, deadline=None, derandomize=True, database=None)
    @given(outside(parameter))
    def beyond(number: float) -> None:
        with pytest.raises(InvalidArgument) as caught:
            check_measure(measure, parameter, number)
        refused(caught.value, parameter)

    beyond()
    for number in edges(parameter):
        check_measure(measure, parameter, number)
    if parameter.whole:
        with pytest.raises(InvalidArgument, match="is not a whole number"):
            check_measure(measure, parameter, parameter.minimum + 0.5)


def test_a_list_of_too_many_numbers_is_refused() -> None:
    sizes = next(parameter for measure, parameter in MEASURES if parameter.name == "sizes")
    given = Struct()
    given.update({"sizes": [float(n) for n in range(1, sizes.most_entries + 2)]})
    with pytest.raises(InvalidArgument, match=f"give at most {sizes.most_entries}"):
        check_struct(given, [sizes], "parameters")


# What makes the parameter matter, and few iterations of whatever it does.
_WITH: dict[str, dict[str, object]] = {
    "alpha": {"rule": "alpha-beta"},
    "beta": {"rule": "alpha-beta"},
    "gamma": {"rule": "gamma"},
}
_SHORT: dict[str, dict[str, object]] = {
    "esv": {"samples": 8, "iterations": 3, "exact_up_to": 2},
    "frame-shapley": {"elements": 4, "iterations": 3, "exact_up_to": 2},
    "gradient-shap": {"samples": 3},
    "integrated-gradients": {"steps": 3},
    "occlusion": {"frames": 4, "pixels": 8},
    "shapley-sampling": {"samples": 3},
    "st-perturbation": {"areas": [0.3], "iterations": 4},
    "temporal-mask": {"iterations": 4},
}
_BLOCKS = 2


@of_method
def test_answers_within_the_bounds_are_finite(method: str, parameter: model_pb2.Parameter) -> None:
    for number in ends(parameter):
        given = {**_SHORT.get(method, {}), **_WITH.get(parameter.name, {})}
        if method == "st-perturbation" and parameter.name == "sigma":
            given["step"] = 64  # reach is at most some steps
        given[parameter.name] = value_of(parameter, number)
        for response in computed(method, given):
            # A refusal in words is an answer too, such as of two numbers that do not go together.
            refusal = [response.failure] if response.HasField("failure") else []
            refusal += [entry.failure for entry in response.explanations if entry.HasField("failure")]
            assert all(failure.reason == "BAD_PARAMETER" for failure in refusal), (number, refusal)
            assert list(not_finite(response)) == []


@of_measure
def test_measures_within_the_bounds_are_finite(measure: str, parameter: model_pb2.Parameter) -> None:
    """What cannot be measured is left out with its reason; nothing takes the clip's other rows away."""
    for number in ends(parameter):
        asked = method_pb2.Measure(name=measure)
        asked.parameters.update({parameter.name: [number] if parameter.type == "numbers" else number})
        evaluate = method_pb2.Evaluate(methods=[method_pb2.Method(grad_cam={})], measures=[asked], draws=1)
        bits = np.packbits(np.arange(6 * 12 * 16) % 16 < 6).tobytes()
        truth = worker_pb2.Truth(label=1, objects=bits, annotated=[True] * 6, segment=[True] * 6)
        compute = worker_pb2.Compute(methods=[method_pb2.Method(evaluate=evaluate)], truth=truth)
        block = worker_pb2.Advance(compute=compute, budget_seconds=_LARGEST, seed=1, result=True)
        (response,) = answer(engine(measure), [worker_pb2.ComputeRequest(advance=block)], [networks.clip(3)])
        assert list(not_finite(response)) == []
        if response.failure.reason == "MEASURE_UNSUPPORTED":  # on this network; its other numbers are those of methods
            continue
        assert not response.HasField("failure"), (number, response.failure)
        rows = response.explanations[0].evaluation.rows
        assert rows
        assert not [row.left_out for row in rows if "while measuring" in row.left_out], number


def computed(method: str, given: dict[str, object]) -> Iterator[worker_pb2.ComputeResponse]:
    """A live answer, or that of each of the first blocks of a job."""
    size = engine(method).model.card.input
    pixels = networks.clip(3, size.frames, size.height, size.width)
    output = answer_pb2.OutputOptions(encoding=answer_pb2.VALUE_ENCODING_FLOAT32)
    compute = worker_pb2.Compute(methods=[method_with(method, **given)], output=output)
    if not next(entry for entry in described().methods if entry.method == method).job:
        yield from answer(engine(method), [worker_pb2.ComputeRequest(compute=compute)], [pixels])
        return
    state, done = b"", False
    for _ in range(_BLOCKS):
        block = worker_pb2.Advance(compute=compute, state=state, budget_seconds=0.0, seed=2**64 - 1, result=True)
        (response,) = answer(engine(method), [worker_pb2.ComputeRequest(advance=block)], [pixels])
        yield response
        state, done = response.advanced.state, response.advanced.done
        if done or response.HasField("failure"):
            return


def not_finite(message: object) -> Iterator[str]:
    """Names of fields with NaN or infinity, tensors included."""
    for field, value in message.ListFields():  # type: ignore[attr-defined]
        if field.message_type is not None:
            entries = list(value.values()) if field.message_type.GetOptions().map_entry else value
            entries = entries if isinstance(entries, list) or field.is_repeated else [entries]
            for entry in entries:
                if hasattr(entry, "ListFields"):
                    yield from not_finite(entry)
                elif isinstance(entry, float) and not math.isfinite(entry):
                    yield field.name
        elif field.cpp_type in (field.CPPTYPE_DOUBLE, field.CPPTYPE_FLOAT):
            numbers = value if field.is_repeated else [value]
            if not all(map(math.isfinite, numbers)):
                yield field.name
