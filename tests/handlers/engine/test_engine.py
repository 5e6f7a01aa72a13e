"""The engine: batches, mixed requests, errors that stay with their item."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from handlers.engine.engine import ClipAnswer, ClipRequest, Engine, MethodCall
from handlers.errors import RequestError
from handlers.explainers.attribution import SaliencyVolume
from tests.handlers import networks
from tests.waiting import PATIENCE

GRAD_CAM = MethodCall("grad-cam")
SELECTIVE = MethodCall("selective-relevance", {"threshold": 1.0})


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(networks.model())


def answered(engine: Engine, *requests: ClipRequest) -> list[ClipAnswer]:
    answers = engine.explain(requests)
    assert all(isinstance(answer, ClipAnswer) for answer in answers), answers
    return [answer for answer in answers if isinstance(answer, ClipAnswer)]


def test_prediction_is_that_of_the_untouched_network(engine: Engine) -> None:
    (answer,) = answered(engine, ClipRequest(networks.clip()))
    card = networks.card()
    pixels = torch.from_numpy(networks.clip()).permute(3, 0, 1, 2).double() / 255
    mean, std = (torch.tensor(v, dtype=torch.float64).reshape(3, 1, 1, 1) for v in (card.input.mean, card.input.std))
    expected = networks.module(card).double().eval()(((pixels - mean) / std)[None])[0]
    torch.testing.assert_close(answer.logits.double(), expected, rtol=1e-5, atol=1e-6)
    assert answer.explained == []


def test_bgr_networks_get_bgr() -> None:
    (rgb,) = answered(Engine(networks.model()), ClipRequest(networks.clip()))
    swapped = {"frames": 6, "height": 12, "width": 16, "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.25, 0.3), "color": "bgr"}
    bgr_engine = Engine(networks.model(input=swapped))
    (bgr,) = answered(bgr_engine, ClipRequest(np.ascontiguousarray(networks.clip()[..., ::-1])))
    torch.testing.assert_close(rgb.logits, bgr.logits)


def test_a_mixed_batch_is_its_singles(engine: Engine) -> None:
    requests = [
        ClipRequest(networks.clip(1), [GRAD_CAM], target="right"),
        ClipRequest(networks.clip(2)),
        ClipRequest(networks.clip(3), [SELECTIVE, GRAD_CAM], target=2, contrast=0),
        ClipRequest(networks.clip(4), [GRAD_CAM, MethodCall("grad-cam", {"layer": "relu1", "signed": True})]),
    ]
    for request, together in zip(requests, answered(engine, *requests), strict=True):
        (alone,) = answered(engine, request)
        torch.testing.assert_close(together.logits, alone.logits)
        assert together.target == alone.target
        assert [entry.method for entry in together.explained] == [call.name for call in request.methods]
        for one, other in zip(together.explained, alone.explained, strict=True):
            assert isinstance(one.result, SaliencyVolume)
            assert isinstance(other.result, SaliencyVolume)
            torch.testing.assert_close(one.result.values, other.result.values)


@pytest.mark.parametrize(
    ("request_", "field", "reason"),
    [
        (ClipRequest(networks.clip(frames=5)), "clip", "WRONG_CLIP_SHAPE"),
        (ClipRequest(networks.clip(), target="up"), "target.explained.label", "UNKNOWN_CLASS"),
        (ClipRequest(networks.clip(), target=3), "target.explained.index", "UNKNOWN_CLASS"),
        (ClipRequest(networks.clip(), contrast="down"), "target.contrast.label", "UNKNOWN_CLASS"),
    ],
)
def test_a_bad_item_harms_nobody(engine: Engine, request_: ClipRequest, field: str, reason: str) -> None:
    good = ClipRequest(networks.clip(), [GRAD_CAM])
    before, error, after = engine.explain([good, request_, good])
    assert isinstance(error, RequestError)
    assert (error.field, error.reason) == (field, reason)
    assert isinstance(before, ClipAnswer)
    assert isinstance(after, ClipAnswer)


@pytest.mark.parametrize(
    ("call", "field", "reason"),
    [
        (MethodCall("grad-cam", {"layer": "conv9"}), "layer", "UNKNOWN_LAYER"),
        (MethodCall("grad-cam", {"layer": 3}), "layer", "BAD_PARAMETER"),
        (MethodCall("grad-cam", {"colour": True}), "colour", "BAD_PARAMETER"),
        (MethodCall("selective-relevance", {"threshold": -1.0}), "threshold", "BAD_PARAMETER"),
        (MethodCall("selective-relevance", {"threshold": float("nan")}), "threshold", "BAD_PARAMETER"),
        (MethodCall("selective-relevance", {"base": "selective-relevance"}), "base", "BASE_IS_SELF"),
        (MethodCall("selective-relevance", {"base": "tea-leaves"}), "base", "UNKNOWN_METHOD"),
        (MethodCall("tea-leaves"), "", "UNKNOWN_METHOD"),
    ],
)
def test_a_bad_method_leaves_the_prediction_and_the_other_methods(
    engine: Engine, call: MethodCall, field: str, reason: str
) -> None:
    (answer,) = answered(engine, ClipRequest(networks.clip(), [call, GRAD_CAM]))
    bad, good = answer.explained
    assert isinstance(bad.result, RequestError)
    assert (bad.result.field, bad.result.reason) == (field, reason)
    assert isinstance(good.result, SaliencyVolume)


def test_contrasting_a_class_with_itself_is_refused(engine: Engine) -> None:
    (answer,) = answered(engine, ClipRequest(networks.clip(), [GRAD_CAM], target="left", contrast=0))
    assert isinstance(answer.explained[0].result, RequestError)
    assert answer.explained[0].result.reason == "CONTRAST_IS_TARGET"


def test_logits_that_are_not_finite_are_an_error_of_that_clip() -> None:
    model = networks.model()
    network = networks.module(networks.card()).eval()
    with torch.no_grad():
        network.get_submodule("fc1").bias[0] = float("inf")
    broken = Engine(type(model)(model.card, network))
    (error,) = broken.explain([ClipRequest(networks.clip(), [GRAD_CAM])])
    assert isinstance(error, RequestError)
    assert error.reason == "LOGITS_NOT_FINITE"


def test_threads_do_not_disturb_each_other(engine: Engine) -> None:
    requests = [ClipRequest(networks.clip(seed), [GRAD_CAM, SELECTIVE]) for seed in range(4)]
    expected = [answered(engine, request)[0] for request in requests]
    wrong: list[int] = []

    def work(index: int) -> None:
        for _ in range(20):
            (answer,) = answered(engine, requests[index])
            for one, other in zip(answer.explained, expected[index].explained, strict=True):
                if not torch.equal(one.result.values, other.result.values):  # type: ignore[union-attr]
                    wrong.append(index)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert wrong == []


def test_the_callers_clip_is_not_written_to(engine: Engine) -> None:
    clip = networks.clip()
    before = clip.copy()
    answered(engine, replace(ClipRequest(clip), methods=[GRAD_CAM]))
    assert np.array_equal(clip, before)
