from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actionlens.v1 import method_pb2
from service.client.method_messages import method_messages, method_names
from service.errors import InvalidArgument

WANTED = method_pb2.Method(selective_relevance=method_pb2.SelectiveRelevance(threshold=3, base="grad-cam", signed=True))


@pytest.mark.parametrize(
    "written",
    [
        "selective-relevance:threshold=3,base=grad-cam,signed=true",
        "selective_relevance: threshold = 3.0, base = grad-cam, signed = 1",
        {"selective-relevance": {"threshold": 3, "base": "grad-cam", "signed": True}},
        {"selective_relevance": {"threshold": "3", "base": "grad-cam", "signed": "on"}},
        WANTED,
    ],
)
def test_all_ways_to_write_a_method_mean_the_same(written: object) -> None:
    assert method_messages([written]) == [WANTED]  # type: ignore[list-item]


def test_every_method_of_the_messages_can_be_named() -> None:
    known = [field.name.replace("_", "-") for field in method_pb2.Method.DESCRIPTOR.fields]
    assert [*method_names(), "evaluate"] == known
    for name, message in zip(method_names(), method_messages(method_names()), strict=True):
        # A method without parameters is still set: an empty message is not the same as none.
        assert message.WhichOneof("method") == name.replace("-", "_")
        assert message.ByteSize() > 0


def test_a_lone_method_needs_no_list() -> None:
    assert method_messages("grad-cam") == method_messages(["grad-cam"])


@pytest.mark.parametrize(
    ("written", "field", "says"),
    [
        (["grad-cam", "grad-camm"], "methods[1]", "did you mean grad-cam"),
        (["zebra"], "methods[0]", "known: grad-cam"),
        (["grad-cam:pool=1"], "methods[0].grad_cam.pool", "did you mean pool_time"),
        (["selective-relevance:threshold=high"], "methods[0].selective_relevance.threshold", "finite number"),
        (["selective-relevance:threshold=nan"], "methods[0].selective_relevance.threshold", "finite number"),
        (["selective-relevance:threshold=NaN"], "methods[0].selective_relevance.threshold", "finite number"),
        ([{"selective-relevance": {"threshold": float("inf")}}], "methods[0].selective_relevance.threshold", "finite"),
        (["grad-cam:signed=perhaps"], "methods[0].grad_cam.signed", "true or false"),
        (["grad-cam:signed"], "methods[0]", "grad-cam:NAME=VALUE"),
        ([{"grad-cam": {}, "selective-relevance": {}}], "methods[0]", "one method per mapping"),
    ],
)
def test_what_cannot_be_meant_is_named_with_the_fix(written: list[object], field: str, says: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        method_messages(written)  # type: ignore[arg-type]
    assert caught.value.field == field
    assert says in caught.value.message


@settings(max_examples=50)
@given(st.sampled_from(method_names()), st.text(max_size=20))
def test_any_parameters_are_understood_or_refused(name: str, rest: str) -> None:
    try:
        (message,) = method_messages([f"{name}:{rest}"])
    except InvalidArgument as refused:
        error = refused
    else:
        assert message.WhichOneof("method") == name.replace("-", "_")
        return
    assert error.field.startswith("methods[0]")
