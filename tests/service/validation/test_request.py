"""A method is only taken by the kind of request that can run it."""

from __future__ import annotations

import pytest

from actionlens.v1 import method_pb2, model_pb2
from service.errors import FailedPrecondition, InvalidArgument
from service.validation.request import check_method, check_methods


def test_a_method_of_the_other_kind_is_sent_to_the_right_call():
    model = model_pb2.Model(name="m")
    model.methods.add(method="grad-cam", supported=True)
    model.methods.add(method="temporal-mask", supported=True, job=True)
    live, job = method_pb2.Method(grad_cam={}), method_pb2.Method(temporal_mask={})
    check_methods([live], model, "methods")
    check_method(job, model, "method", job=True)
    with pytest.raises(FailedPrecondition, match=r"temporal-mask is too expensive .* CreateJob .* fit here: grad-cam"):
        check_methods([live, job], model, "methods")
    with pytest.raises(FailedPrecondition, match=r"grad-cam needs no job.* fit here: temporal-mask"):
        check_method(live, model, "method", job=True)


def _support():
    support = model_pb2.MethodSupport(method="st-perturbation", supported=True, job=True)
    support.parameters.add(name="mode", type="string", choices=("preserve", "delete"))
    support.parameters.add(name="iterations", type="number", minimum=1, maximum=5000)
    support.parameters.add(name="areas", type="numbers", minimum=0, above_minimum=True, maximum=1, most_entries=3)
    return support


@pytest.mark.parametrize(
    ("parameters", "field", "hint"),
    [
        ({"mode": "destroy"}, "mode", "preserve, delete"),
        ({"iterations": 0}, "iterations", "at least 1 and at most 5000"),
        ({"iterations": 5001}, "iterations", "5001 is out of range"),
        ({"areas": [0.1, 0.0]}, "areas[1]", "more than 0 and at most 1"),
        ({"areas": [0.1, 0.2, 0.3, 0.4]}, "areas", "at most 3"),
        ({"areas": [0.1, 0.2, 0.1]}, "areas[2]", r"0\.1 is areas\[0\] too; each makes results of its own name"),
        ({"areas": [0.05, 0.05000000001]}, "areas[1]", r"0\.05 is areas\[0\] too"),
    ],
)
def test_parameters_are_held_against_their_description(parameters, field, hint):
    model = model_pb2.Model(name="m", methods=[_support()])
    with pytest.raises(InvalidArgument, match=hint) as caught:
        check_method(method_pb2.Method(st_perturbation=parameters), model, "method", job=True)
    assert caught.value.field == f"method.st_perturbation.{field}"


def test_parameters_at_their_bounds_are_taken():
    model = model_pb2.Model(name="m", methods=[_support()])
    given = {"mode": "delete", "iterations": 5000, "areas": [1e-9, 1.0], "variant": "left to the worker"}
    check_method(method_pb2.Method(st_perturbation=given), model, "method", job=True)
