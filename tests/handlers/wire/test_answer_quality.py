"""The quality of an answer's explanations, as a worker tells it."""

from __future__ import annotations

import numpy as np
import pytest

from actionlens.tensors import to_array
from actionlens.v1 import answer_pb2, explanation_pb2
from actionlens.worker.v1 import worker_pb2
from handlers.engine.engine import Engine
from handlers.evaluation.online_gap import OnlineGap
from handlers.wire.requests import answer
from service.client.method_messages import method_messages
from tests.handlers import networks


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(networks.model())


def compute(*methods: str, seed: int = 0, gap: bool = False, **fields: object) -> worker_pb2.ComputeRequest:
    clip = networks.clip(seed)
    frames, height, width, _ = clip.shape
    body = worker_pb2.Compute(
        clip=clip.tobytes(),
        frames=frames,
        height=height,
        width=width,
        methods=method_messages(methods),
        output=answer_pb2.OutputOptions(insertion_deletion_gap=gap),
        **fields,  # type: ignore[arg-type]
    )
    return worker_pb2.ComputeRequest(compute=body)


def profile(explanation: explanation_pb2.Explanation) -> np.ndarray:
    volume = explanation.saliency
    sums = to_array(volume.values).clip(min=0).sum((1, 2), dtype=np.float64)
    return np.interp(np.arange(6), list(volume.frame_positions), sums)


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's, by counting: a rank is how many are smaller, and half of how many are as large."""
    ranks = [((each[:, None] > each) + (each[:, None] == each) / 2).sum(1) for each in (one, other)]
    return float(np.corrcoef(ranks)[0, 1])


def test_agreement_is_the_mean_rank_correlation_of_the_profiles(engine: Engine) -> None:
    (reply,) = answer(engine, [compute("grad-cam", "dtd", "clrp")])
    cam, dtd, clrp = (profile(explanation) for explanation in reply.explanations)
    rhos = [correlation(one, other) for one, other in ((cam, dtd), (cam, clrp), (dtd, clrp))]
    assert reply.quality.agreement == pytest.approx(sum(rhos) / 3, abs=1e-6)
    assert reply.explanations[0].quality.agreement == pytest.approx((rhos[0] + rhos[1]) / 2, abs=1e-6)
    assert not any(explanation.quality.HasField("insertion_deletion_gap") for explanation in reply.explanations)
    assert not reply.timings.measure


def test_without_agreement_there_is_a_reason_and_of_one_explanation_nothing(engine: Engine) -> None:
    (alone,), (failed,) = (answer(engine, [compute(*methods)]) for methods in (["dtd"], ["dtd", "grad-cam:layer=none"]))
    assert not alone.HasField("quality")
    assert not failed.quality.HasField("agreement")
    assert failed.quality.agreement_left_out == "fewer than two explanations have relevance per frame"
    assert not failed.explanations[0].quality.HasField("agreement")


def test_the_gap_is_measured_for_who_asks_and_its_seconds_are_told_to_all(engine: Engine) -> None:
    asking = compute("grad-cam", "atr", "dtd", seed=1, gap=True)
    (alone,) = answer(engine, [asking])
    measured, mate = answer(engine, [asking, compute("dtd", seed=2)])
    cam, matrix, dtd = measured.explanations
    for explanation, expected in zip((cam, dtd), (alone.explanations[0], alone.explanations[2]), strict=True):
        gap = explanation.quality.insertion_deletion_gap
        assert -1 < gap < 1
        assert gap == pytest.approx(expected.quality.insertion_deletion_gap, abs=1e-5)
    assert not matrix.quality.HasField("insertion_deletion_gap")
    assert matrix.quality.gap_left_out == "the method explains frames, not voxels"
    assert len(measured.timings.measure) == 3
    assert measured.timings.others_measure == 0
    assert not mate.timings.measure
    assert mate.timings.others_measure == pytest.approx(sum(measured.timings.measure))
    assert not mate.explanations[0].quality.HasField("insertion_deletion_gap")
    assert sum(measured.timings.measure) + sum(measured.timings.explain) < measured.timings.total


def test_bars_are_left_out_where_the_request_names_them(engine: Engine) -> None:
    whole, part, nothing = (
        answer(engine, [compute("dtd", gap=True, visible=visible)])[0].explanations[0].quality
        for visible in (
            None,
            worker_pb2.Rectangle(left=0, right=16, top=3, bottom=9),
            worker_pb2.Rectangle(left=4, right=4, top=0, bottom=12),
        )
    )
    assert part.insertion_deletion_gap != whole.insertion_deletion_gap
    assert nothing.gap_left_out == "the clip is all padding"


def test_a_failed_method_is_not_measured_and_a_failed_measure_leaves_the_explanation(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (reply,) = answer(engine, [compute("dtd", "grad-cam:layer=none", gap=True)])
    assert reply.explanations[0].quality.HasField("insertion_deletion_gap")
    assert reply.explanations[1].HasField("failure")
    assert not reply.explanations[1].HasField("quality")
    assert list(reply.timings.measure)[1] == 0

    def broken(*_: object) -> float:
        raise MemoryError

    monkeypatch.setattr(OnlineGap, "of", broken)
    measured, mate = answer(engine, [compute("dtd", gap=True), compute("dtd")])
    assert measured.explanations[0].quality.gap_left_out == "MemoryError while measuring"
    assert "insertion-deletion gap failed" in caplog.text
    for each in (measured, mate):
        assert to_array(each.explanations[0].saliency.values).any()
