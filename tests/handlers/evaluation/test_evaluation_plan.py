"""What clients are told of measures: enough to refuse at the door what a worker would refuse."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ValidationError

from actionlens.v1 import model_pb2
from handlers.evaluation.evaluation_plan import describe_measures
from handlers.evaluation.measure_registry import measures
from tests.handlers import networks

DESCRIBED = [
    pytest.param(measures()[support.measure].parameters, parameter, id=f"{support.measure}-{parameter.name}")
    for support in describe_measures(networks.model())
    for parameter in support.parameters
    if parameter.type in ("number", "numbers")
]


def takes(parameters: type[BaseModel], name: str, value: object) -> bool:
    try:
        parameters.model_validate({name: value})
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize(("parameters", "parameter"), DESCRIBED)
def test_numbers_are_described_as_they_are_checked(parameters: type[BaseModel], parameter: model_pb2.Parameter) -> None:
    low, high = parameter.minimum, parameter.maximum
    assert parameter.HasField("minimum")
    assert parameter.HasField("maximum"), "no bound: a number of any size would reach the worker"
    inside = round((low + high) / 2) if parameter.whole else (low + high) / 2

    def taken(*values: float) -> bool:
        return takes(parameters, parameter.name, list(values) if parameter.type == "numbers" else values[0])

    assert taken(inside)
    assert taken(low) != parameter.above_minimum
    assert taken(high) != parameter.below_maximum
    assert not taken(low - 1)
    assert not taken(high + 1)
    assert taken(int(inside) + 0.5) != parameter.whole or not low < int(inside) + 0.5 < high
    if parameter.type == "numbers":
        most = parameter.most_entries
        assert most
        assert taken(*[inside] * most)
        assert not taken(*[inside] * (most + 1))
        assert takes(parameters, parameter.name, []) == (parameter.fewest_entries == 0)
