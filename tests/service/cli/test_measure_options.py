"""Measures as the command line has them."""

from __future__ import annotations

import pytest

from actionlens.v1 import model_pb2
from service.cli.measure_options import chosen_measures, split_measures
from service.errors import InvalidArgument


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (["insertion,deletion"], ["insertion", "deletion"]),
        (
            ["insertion:steps=64,blank=grey,deletion", "agreement"],
            ["insertion:steps=64,blank=grey", "deletion", "agreement"],
        ),
        (["insertion:steps=4,deletion:steps=8,blur=0.1"], ["insertion:steps=4", "deletion:steps=8,blur=0.1"]),
        (["insertion, steps=4 ,,deletion"], ["insertion:steps=4", "deletion"]),
        ([""], []),
    ],
)
def test_commas_part_measures_and_their_parameters(given: list[str], found: list[str]) -> None:
    assert split_measures(given) == found


@pytest.mark.parametrize("given", [["steps=4"], ["insertion", "steps=4"]])
def test_a_parameter_belongs_to_a_measure(given: list[str]) -> None:
    with pytest.raises(InvalidArgument, match="is a parameter of no measure"):
        split_measures(given)


def test_default_measures_are_those_that_truth_and_model_allow() -> None:
    model = model_pb2.Model(name="m")
    for name, needs, subject in (
        ("insertion", [], "explanation"),
        ("pointing-game", ["objects"], "explanation"),
        ("agreement", [], "explanations"),
        ("whole-clip", [], "clip"),
    ):
        model.measures.add(measure=name, supported=True, needs=needs, subject=subject)
    model.measures.add(measure="deletion", supported=False, reason="no")
    assert chosen_measures([], model, frozenset(), 1) == ["insertion:steps=16"]
    assert chosen_measures([], model, frozenset({"objects"}), 2) == ["insertion:steps=16", "pointing-game", "agreement"]
    assert chosen_measures(["whole-clip,whole-clip"], model, frozenset(), 1) == ["whole-clip"]
