"""Entropy of the frame profile, against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from actionlens.tensors import to_array
from actionlens.v1 import explanation_pb2, method_pb2
from actionlens.worker.v1 import worker_pb2
from handlers.engine.engine import Engine
from handlers.explainers import frame_profile as profile
from handlers.explainers.attribution import Attribution, FrameAttribution, RelevanceMatrix, SaliencyVolume
from handlers.wire.requests import answer
from tests.handlers import networks


def frame_entropy(attribution: Attribution) -> float | None:
    return profile.frame_entropy(attribution, target=1)


def volume(steps: list[list[float]], mask: Tensor | None = None) -> SaliencyVolume:
    """One row of pixels per time step."""
    values = torch.tensor(steps)[:, None, :]
    return SaliencyVolume(values, tuple(map(float, range(len(steps)))), mask=None if mask is None else mask[:, None, :])


def matrix(values: list[list[float]], logits: list[float]) -> RelevanceMatrix:
    positions = tuple(map(float, range(len(values))))
    return RelevanceMatrix(torch.tensor(values), positions, torch.tensor(logits), (1,) * len(values), None, None)


def test_half_in_one_step_and_a_quarter_in_two_others() -> None:
    # H = 1/2 ln 2 + 2 * 1/4 ln 4 = 3/2 ln 2; the maximum over four steps is ln 4 = 2 ln 2.
    assert frame_entropy(volume([[3.0, 1.0], [2.0, 0.0], [0.0, 2.0], [0.0, 0.0]])) == pytest.approx(3 / 4)


def test_one_step_is_0_and_all_alike_is_1() -> None:
    assert frame_entropy(volume([[0.0], [5.0], [0.0]])) == 0
    assert frame_entropy(volume([[2.0], [2.0], [2.0]])) == pytest.approx(1)


def test_negative_relevance_and_what_a_mask_drops_do_not_count() -> None:
    mask = torch.tensor([[True, True], [True, False], [True, True]])
    steps = [[1.0, -9.0], [1.0, 7.0], [-3.0, 0.0]]
    assert profile.frame_profile(volume(steps, mask), 1).tolist() == [1, 1, 0]
    assert frame_entropy(volume(steps, mask)) == pytest.approx(math.log(2) / math.log(3))


def test_a_matrix_is_summed_over_the_rows_that_speak_for_the_class() -> None:
    # Rows 0 and 2 count: columns 1 + 2, 1 + 0, 0 + 0 make 3/4 and 1/4.
    found = matrix([[1.0, 1.0, -4.0], [0.0, 0.0, 9.0], [2.0, 0.0, 0.0]], [2.0, -1.0, 0.5])
    expected = (3 / 4 * math.log(4 / 3) + 1 / 4 * math.log(4)) / math.log(3)
    assert frame_entropy(found) == pytest.approx(expected)


def test_frame_attributions_are_their_own_profile() -> None:
    assert frame_entropy(FrameAttribution(torch.tensor([4.0, -1.0, 0.0, 4.0]))) == pytest.approx(1 / 2)
    both = torch.tensor([[9.0, 4.0], [9.0, -1.0], [0.0, 0.0], [9.0, 4.0]])
    assert frame_entropy(FrameAttribution(both)) == pytest.approx(1 / 2)


@pytest.mark.parametrize(
    "nothing",
    [volume([[1.0, 2.0]]), volume([[-1.0], [0.0]]), volume([[math.inf], [1.0]]), matrix([[1.0, 0.0]], [-1.0])],
)
def test_unset_where_it_says_nothing(nothing: SaliencyVolume | RelevanceMatrix) -> None:
    assert frame_entropy(nothing) is None


def test_every_live_method_reports_it() -> None:
    clip = networks.clip(1)
    frames, height, width, _ = clip.shape
    compute = worker_pb2.Compute(
        clip=clip.tobytes(),
        frames=frames,
        height=height,
        width=width,
        target=method_pb2.Target(explained=method_pb2.ClassSelector(label="right")),
        methods=[
            method_pb2.Method(grad_cam=method_pb2.GradCam()),
            method_pb2.Method(dtd=method_pb2.Dtd()),
            method_pb2.Method(atr=method_pb2.Atr()),
        ],
    )
    (reply,) = answer(Engine(networks.model()), [worker_pb2.ComputeRequest(compute=compute)])
    assert [entry.method for entry in reply.explanations] == ["grad-cam", "dtd", "atr"]
    assert any(entry.quality.HasField("frame_entropy") for entry in reply.explanations)
    for entry in reply.explanations:
        positive = evidence(entry)
        if positive.sum() > 0:
            shares = positive / positive.sum()
            expected = -sum(share * math.log(share) for share in shares if share > 0) / math.log(len(shares))
            assert entry.quality.frame_entropy == pytest.approx(expected, abs=1e-5)
        else:
            assert not entry.quality.HasField("frame_entropy")


def evidence(entry: explanation_pb2.Explanation) -> NDArray[np.float64]:
    """The same from what was sent, by another road."""
    if entry.WhichOneof("value") == "saliency":
        return np.maximum(to_array(entry.saliency.values), 0).sum((1, 2), dtype=np.float64)
    matrix = entry.relevance_matrix
    rows = np.asarray(matrix.row_logits) > 0
    return np.maximum(to_array(matrix.values)[rows], 0).sum(0, dtype=np.float64)
