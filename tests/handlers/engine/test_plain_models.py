"""Models with operations that have no relevance rule: served all the same, without the methods that need relevance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from handlers.checking import check_method
from handlers.engine.engine import ClipRequest, Engine, MethodCall
from handlers.errors import ModelError, RequestError
from handlers.explainers import methods
from handlers.explainers.attribution import SaliencyVolume
from handlers.exporting.onnx_graph import export
from handlers.models import Family
from handlers.models import family_registry as registry
from tests.handlers import networks

NEED_RELEVANCE = {"dtd", "clrp", "atr", "guided-backprop", "guided-grad-cam", "deep-lift", "esv"}
GRADIENTS = {
    "grad-cam",
    "selective-relevance",
    "integrated-gradients",
    "gradient-shap",
    "st-perturbation",
    "temporal-mask",
}
BLACK_BOX = {"frame-shapley", "occlusion", "shapley-sampling"}


class Smooth(nn.Module):
    """A 3-D CNN whose activations are smooth."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv3d(3, 4, 3, padding=1), nn.Hardswish(), nn.AvgPool3d((2, 1, 1)))
        self.classifier = nn.Linear(4, classes)

    def forward(self, clip: Tensor) -> Tensor:
        return self.classifier(self.features(clip).mean((2, 3, 4)))


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two families of one network: one that says that it may have operations without a rule, one that does not."""
    every = registry.families() | {
        name: Family(name=name, summary="", build=Smooth, layer="features", traceable=name == "smooth-by-mistake")
        for name in ("smooth", "smooth-by-mistake")
    }
    monkeypatch.setattr(registry, "families", lambda: every)


def model(architecture: str = "smooth"):
    return networks.model(architecture=architecture, arguments={}, layer="")


def test_every_method_explains_it_or_says_which_operation_is_in_the_way():
    engine = Engine(model())
    checks = {name: check_method(engine, name) for name in methods()}
    assert {name for name, check in checks.items() if check.supported} >= GRADIENTS | BLACK_BOX
    refused = {name: check.reason for name, check in checks.items() if not check.supported}
    assert set(refused) >= NEED_RELEVANCE
    for name in NEED_RELEVANCE - {"esv"}:
        assert "features.1: no relevance rule for Hardswish" in refused[name], name


def test_its_grad_cam_is_that_of_autograd_beside_a_refusal_in_one_answer():
    loaded = model()
    requests = [
        ClipRequest(networks.clip(seed), [MethodCall("grad-cam"), MethodCall("dtd")], target=1) for seed in (0, 1)
    ]
    answers = Engine(loaded).explain(requests)
    clips = loaded.prepare([request.clip for request in requests])
    kept = loaded.module.features(clips).detach().requires_grad_()
    logits = loaded.module.classifier(kept.mean((2, 3, 4)))
    (slopes,) = torch.autograd.grad(logits[:, 1].sum(), kept)
    expected = (slopes.mean((3, 4), keepdim=True) * kept).sum(1).clamp(min=0).detach()
    for item, answer in enumerate(answers):
        assert not isinstance(answer, RequestError)
        torch.testing.assert_close(answer.logits, logits[item], rtol=1e-4, atol=1e-5)
        heat, refusal = (entry.result for entry in answer.explained)
        assert isinstance(heat, SaliencyVolume)
        torch.testing.assert_close(heat.values, expected[item], rtol=1e-4, atol=1e-6)
        assert heat.frame_positions == (0.5, 2.5, 4.5)
        assert isinstance(refusal, RequestError)
        assert refusal.reason == "METHOD_UNSUPPORTED"


def test_a_layer_that_has_no_place_in_time_and_space_is_refused_alone():
    calls = [MethodCall("grad-cam", {"layer": "classifier"}), MethodCall("grad-cam")]
    (answer,) = Engine(model()).explain([ClipRequest(networks.clip(), calls)])
    assert not isinstance(answer, RequestError)
    refusal, heat = (entry.result for entry in answer.explained)
    assert isinstance(refusal, RequestError)
    assert (refusal.field, refusal.reason) == ("layer", "LAYER_WITHOUT_MAP")
    assert isinstance(heat, SaliencyVolume)


def test_a_family_that_should_be_traceable_is_not_run_plainly_instead():
    with pytest.raises(ModelError, match=r"smooth-by-mistake: features\.1: no relevance rule for Hardswish"):
        model("smooth-by-mistake")


def test_a_card_whose_input_the_network_does_not_take_is_refused_while_loading(monkeypatch: pytest.MonkeyPatch):
    def refuses(self: Smooth, clip: Tensor) -> Tensor:
        return self.classifier(self.features(clip).view(1, 5))

    monkeypatch.setattr(Smooth, "forward", refuses)
    with pytest.raises(ModelError, match=r"input: smooth: clip: .* does not fit the model at Smooth"):
        model()


def test_its_prediction_can_be_exported_and_its_explanations_cannot(tmp_path: Path):
    import onnxruntime

    folder = networks.folder(tmp_path / "smooth", architecture="smooth", arguments={}, layer="")
    with pytest.raises(ModelError, match=r"with: grad-cam of tiny takes autograd, which no graph holds: features\.1"):
        export(folder, ["grad-cam"], tmp_path / "model.onnx")
    with pytest.raises(ModelError, match=r"with: dtd cannot explain tiny: features\.1"):
        export(folder, ["dtd"], tmp_path / "model.onnx")
    assert export(folder, [], tmp_path / "model.onnx") == ("logits", "explained")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    clip = networks.clip(3)
    logits, explained = session.run(None, {"clip": clip[None], "target": np.array([-1])})
    (answer,) = Engine(model()).explain([ClipRequest(clip)])
    assert not isinstance(answer, RequestError)
    np.testing.assert_allclose(logits[0], answer.logits, rtol=1e-4, atol=1e-5)
    assert int(explained[0]) == answer.target.index
