"""What the commands say was computed."""

from __future__ import annotations

import pytest

from actionlens.v1 import answer_pb2, explanation_pb2
from service.commands.screen import computed, computed_briefly


def answer(*methods: str, failed: str = "") -> answer_pb2.Answer:
    made = answer_pb2.Answer(explanations=[explanation_pb2.Explanation(method=method) for method in methods])
    if failed:
        made.explanations.add(method=failed).failure.message = "no evidence"
    return made


@pytest.mark.parametrize(
    ("given", "names", "brief"),
    [
        (answer(), [], "prediction"),
        (answer("dtd"), ["dtd"], "dtd"),
        (answer("selective-relevance", failed="atr"), ["selective-relevance"], "selective"),
        (answer("grad-cam", "selective-relevance", "atr"), ["atr", "selective-relevance", "grad-cam"], "atr +2"),
        (answer("grad-cam", "grad-cam"), ["grad-cam"], "grad-cam"),
    ],
)
def test_what_was_computed_is_named_the_highest_first(given: answer_pb2.Answer, names: list[str], brief: str) -> None:
    assert computed(given) == names
    assert computed_briefly(given) == brief
