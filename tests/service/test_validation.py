"""A method is only taken by the kind of request that can run it."""

from __future__ import annotations

import pytest

from actionlens.v1 import method_pb2, model_pb2
from service.errors import FailedPrecondition
from service.validation import check_methods


def test_a_method_of_the_other_kind_is_sent_to_the_right_call():
    model = model_pb2.Model(name="m")
    model.methods.add(method="grad-cam", supported=True)
    model.methods.add(method="temporal-mask", supported=True, job=True)
    live, job = method_pb2.Method(grad_cam={}), method_pb2.Method(temporal_mask={})
    check_methods([live], model, "methods")
    check_methods([job], model, "method", job=True)
    with pytest.raises(FailedPrecondition, match=r"temporal-mask is too dear .* CreateJob .* fit here: grad-cam"):
        check_methods([live, job], model, "methods")
    with pytest.raises(FailedPrecondition, match=r"grad-cam needs no job.* fit here: temporal-mask"):
        check_methods([live], model, "method", job=True)
