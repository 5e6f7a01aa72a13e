"""Lengths of contrasts: of CLRP, of a class against a class, and of none that is not rectified."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from actionlens.row_lengths import row_lengths
from actionlens.v1 import answer_pb2, method_pb2
from actionlens.worker.v1 import worker_pb2
from handlers.engine.engine import ClipAnswer, ClipRequest, Engine, MethodCall
from handlers.explainers.attribution import RelevanceMatrix
from handlers.models.action_model import ActionModel
from handlers.relevance import temporal_relevance
from handlers.wire.requests import answer
from service.readings.explanation import read_explanation
from service.telemetry.records import _record_method
from tests.handlers import networks


def engine(seed: int = 0) -> Engine:
    card = networks.card()
    return Engine(ActionModel(card, networks.module(card, seed).eval()))


def atr(
    made: Engine, clip: int = 0, contrast: int | None = None, target: int = 1, **parameters: Any
) -> tuple[Any, Any]:
    """The matrix, and the parameters as used."""
    calls = [MethodCall("atr", parameters)]
    (found,) = made.explain([ClipRequest(networks.clip(clip), calls, target, contrast)])
    assert isinstance(found, ClipAnswer)
    matrix = found.explained[0].result
    assert isinstance(matrix, RelevanceMatrix), matrix
    return matrix, found.explained[0].parameters


@settings(max_examples=25)
@given(seed=st.integers(0, 50), clip=st.integers(0, 50), target=st.integers(0, 2))
def test_clrp_is_rectified_by_element_unless_another_way_is_named(seed: int, clip: int, target: int) -> None:
    made = engine(seed)
    plain, used = atr(made, clip, target=target, relevance="clrp")
    named, _ = atr(made, clip, target=target, relevance="clrp", rectify="element")
    assert (used["relevance"], used["rectify"]) == ("clrp", "element")
    assert bool((plain.values >= 0).all())
    torch.testing.assert_close(plain.values, named.values)
    assert (plain.average_length, plain.row_lengths) == (named.average_length, named.row_lengths)
    _, left = atr(made, clip, target=target)
    assert (left["relevance"], left["rectify"]) == ("lrp", "none")


@settings(max_examples=25)
@given(
    seed=st.integers(0, 50),
    target=st.integers(0, 2),
    contrast=st.sampled_from([None, 0, 1, 2]),
    share=st.sampled_from([0.5, 0.975]),
)
def test_contrasts_that_are_not_rectified_have_no_lengths(
    seed: int, target: int, contrast: int | None, share: float
) -> None:
    if contrast == target:
        contrast = None
    relevance = "clrp" if contrast is None else "lrp"
    matrix, _ = atr(engine(seed), seed, contrast, target, relevance=relevance, rectify="none", share=share)
    assert (matrix.average_length, matrix.maximum_length) == (None, None)
    assert set(matrix.row_lengths) == {0}
    assert "rectif" in matrix.undefined


@pytest.mark.parametrize("rectify", ["element", "frame"])
@pytest.mark.parametrize("seed", range(4))
def test_rows_of_a_class_contrast_are_weighted_by_its_own_value(seed: int, rectify: str) -> None:
    made = engine(seed)
    matrix, _ = atr(made, seed, 0, 1, rectify=rectify)
    forward = made.model.program.forward(made.model.prepare([networks.clip(seed)]))
    scores = (forward.frame_logits[0, :, 1] - forward.frame_logits[0, :, 0]).tolist()
    assert matrix.row_logits.tolist() == pytest.approx(scores, abs=1e-5)
    lengths = row_lengths(matrix.values.double().tolist(), matrix.frame_positions, 0.975)
    counted = [(score, length) for score, length in zip(scores, lengths, strict=True) if score > 0 and length > 0]
    if not counted:
        assert matrix.average_length is None
        return
    expected = sum(score * length for score, length in counted) / sum(score for score, _ in counted)
    assert matrix.average_length == pytest.approx(expected, rel=1e-4)
    assert matrix.maximum_length == max(length for _, length in counted)


def test_classes_that_somebody_weighs_are_a_contrast_too() -> None:
    model = engine().model
    forward = model.program.forward(model.prepare([networks.clip(0), networks.clip(1)]))
    weights = torch.tensor([[1.0, -1.0, 0.0], [0.0, 2.0, 0.0]])
    found = temporal_relevance(forward, weights)
    assert "both signs" in found.reasons[0]
    assert "both signs" not in found.reasons[1]
    assert found.lengths[0].sum() == 0
    assert found.lengths[1].sum() > 0
    rectified = temporal_relevance(forward, weights, rectify="element")
    torch.testing.assert_close(rectified.values[0], temporal_relevance(forward, 0, 1, "element").values[0])


def test_message_reading_and_metrics_have_no_length_but_the_reason() -> None:
    clip = networks.clip(1)
    frames, height, width, _ = clip.shape
    methods = [
        method_pb2.Method(atr=method_pb2.Atr(relevance="clrp", rectify="none")),
        method_pb2.Method(atr=method_pb2.Atr(relevance="clrp")),
    ]
    compute = worker_pb2.Compute(clip=clip.tobytes(), frames=frames, height=height, width=width, methods=methods)
    (reply,) = answer(engine(), [worker_pb2.ComputeRequest(compute=compute)])
    bare, rectified = reply.explanations
    assert not bare.relevance_matrix.HasField("average_length")
    assert not bare.relevance_matrix.HasField("maximum_length")
    assert "rectif" in bare.relevance_matrix.undefined
    assert rectified.provenance.parameters["rectify"] == "element"
    report = answer_pb2.FrameReport(used=range(frames))
    assert read_explanation(bare, report).startswith(
        "CLRP, not rectified: no ATR: the rows of un-rectified CLRP sum to 0"
    )
    assert read_explanation(rectified, report).startswith("CLRP: avg-ATR")
    record = _record_method(bare, 0.0, 0.0)
    assert (record.average_length, record.maximum_length) == (None, None)
