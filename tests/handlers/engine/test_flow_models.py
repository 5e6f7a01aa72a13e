"""Networks of optical flow: what they are shown, and that every way to them agrees on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from actionlens.card import ColorOrder, Input
from handlers.engine.block import advance
from handlers.engine.engine import ClipAnswer, ClipRequest, Engine, MethodCall
from handlers.engine.frame_cache import FrameCache
from handlers.errors import ModelError, RequestError
from handlers.explainers.attribution import FrameAttribution, RelevanceMatrix, SaliencyVolume
from handlers.exporting.onnx_graph import export
from handlers.importing.checkpoint import import_model
from handlers.models.action_model import ActionModel
from handlers.models.architectures.i3d_inception import I3DInception
from handlers.models.optical_flow import REACH, flow
from tests.handlers import networks

FRAMES, SIZE = 5, 32
FLOW_ARGUMENTS = {"time_stride": 2, "divisor": 16, "channels": 2}
INPUT = Input(frames=FRAMES, height=SIZE, width=SIZE, color=ColorOrder.FLOW)
CARD: dict[str, Any] = {
    "architecture": "i3d-inception",
    "arguments": {"time_stride": 2, "divisor": 16},
    "input": INPUT.model_dump(mode="json"),
    "layer": "",
}


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    """Under the names of the public layout; what moves is heard through all layers and speaks for every class."""
    torch.manual_seed(0)
    network = I3DInception(3, 2, channels=2, divisor=16)
    for tensor in network.parameters():
        if tensor.dim() == 5:
            nn.init.kaiming_normal_(tensor)
    found = network.state_dict()
    found["Conv3d_1a_7x7.conv3d.weight"] *= REACH
    found["logits.conv3d.weight"].abs_()
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, state: dict[str, Tensor]) -> Path:
    path = tmp_path_factory.mktemp("flow")
    return import_model(card(path), weights(path, state), path / "store").folder


@pytest.fixture(scope="module")
def engine(folder: Path) -> Engine:
    return Engine.load(folder)


def card(path: Path, **changes: Any) -> Path:
    document = networks.card(**(CARD | changes)).model_dump(mode="json", exclude={"weights"}, exclude_none=True)
    (path / "card.yaml").write_text(yaml.safe_dump(document))
    return path / "card.yaml"


def weights(path: Path, state: dict[str, Tensor]) -> Path:
    save_file(state, path / "flow_imagenet.safetensors")
    return path / "flow_imagenet.safetensors"


def probabilities(model: ActionModel, clip: NDArray[np.uint8]) -> Tensor:
    with torch.no_grad():
        (logits,) = model.module(torch.from_numpy(flow(clip)).permute(3, 0, 1, 2)[None])
    found: Tensor = logits.softmax(0)
    return found


def run(engine: Engine, clip: NDArray[np.uint8], name: str, **parameters: Any) -> FrameAttribution:
    asked, data, done = ClipRequest(clip, [MethodCall(name, parameters)], target=1), b"", False
    while not done:
        block = advance(engine, asked, data, 1e9, 0, result=True)
        data, done = block.state.to_bytes(), block.state.done
    assert isinstance(block.result, FrameAttribution)
    return block.result


def test_a_frozen_clip_does_not_move(engine: Engine) -> None:
    frozen = np.repeat(networks.clip(1, 1, SIZE, SIZE), FRAMES, 0)
    assert not flow(frozen).any()
    (answer,) = engine.explain([ClipRequest(frozen)])
    assert isinstance(answer, ClipAnswer)
    with torch.no_grad():
        expected = engine.model.module(torch.zeros(1, 2, FRAMES, SIZE, SIZE))[0]
    torch.testing.assert_close(answer.logits, expected, rtol=1e-5, atol=1e-5)


def test_an_imported_network_answers_and_explains(engine: Engine) -> None:
    clip = networks.clip(2, FRAMES, SIZE, SIZE)
    others = ("dtd", "selective-relevance", "clrp", "guided-backprop", "atr")
    asked = [MethodCall("grad-cam", {"signed": True}), *(MethodCall(name) for name in others)]
    (answer,) = engine.explain([ClipRequest(clip, asked)])
    assert isinstance(answer, ClipAnswer)
    torch.testing.assert_close(answer.logits.softmax(0), probabilities(engine.model, clip), rtol=1e-4, atol=1e-5)
    steps = engine.model.program.forward(engine.model.prepare([clip])).frame_logits.shape[1]
    shapes = {}
    for entry in answer.explained:
        assert isinstance(entry.result, SaliencyVolume | RelevanceMatrix), entry
        values = entry.result.values
        assert bool(values.isfinite().all()), entry.method
        assert float(values.abs().sum()) > 0, entry.method
        shapes[entry.method] = tuple(values.shape)
    assert shapes.pop("grad-cam")[1:] == (1, 1)
    assert shapes.pop("atr") == (steps, FRAMES)
    assert set(shapes.values()) == {(FRAMES, SIZE, SIZE)}


def test_relevance_of_flow_is_bounded_by_one_on_both_sides(engine: Engine) -> None:
    rules = engine.model.program.rules
    assert (rules.low, rules.high) == ((-1.0, -1.0), (1.0, 1.0))


def test_freezing_frames_stops_what_moves(engine: Engine) -> None:
    clip = networks.clip(3, FRAMES, SIZE, SIZE)
    found = run(engine, clip, "temporal-mask").details
    for (first, last), score in zip(
        found.arrays["windows"].int().tolist(), found.arrays["window_scores"].tolist(), strict=True
    ):
        frozen = clip.copy()
        frozen[first : last + 1] = clip[first - 1]
        assert not flow(frozen)[first - 1 : last].any()
        assert score == pytest.approx(float(probabilities(engine.model, frozen)[1]), abs=1e-5)
    turned = run(engine, clip, "temporal-mask", perturbation="reverse").details
    assert turned.measures["full_score"] == pytest.approx(float(probabilities(engine.model, clip[::-1])[1]), abs=1e-5)


def test_frames_are_held_as_pictures(engine: Engine) -> None:
    clip = networks.clip(4, FRAMES, SIZE, SIZE)
    found = run(engine, clip, "frame-shapley", elements=2)
    assert found.details.arrays["elements"].tolist() == [[0, 1], [2, 4]]
    whole, first, second = (
        float(probabilities(engine.model, clip[list(shown)])[1])
        for shown in ((0, 1, 2, 3, 4), (0, 1, 1, 1, 1), (2, 2, 2, 3, 4))
    )
    nothing = found.details.measures["empty_score"]
    share = ((first - nothing) + (whole - second)) / 2
    assert float(found.values[:2].sum()) == pytest.approx(share, abs=1e-5)


def test_what_pictures_cannot_be_mixed_for_is_refused_by_name(engine: Engine) -> None:
    asked = ClipRequest(networks.clip(5, FRAMES, SIZE, SIZE), [MethodCall("frame-shapley", {"absent": "mean"})])
    with pytest.raises(RequestError, match="absent: mean: the optical flow of mixed frames") as caught:
        advance(engine, asked, b"", 0.0, 0, result=False)
    assert caught.value.field == "absent"
    long = networks.model(**CARD | {"input": INPUT.model_copy(update={"frames": 33}), "arguments": FLOW_ARGUMENTS})
    asked = ClipRequest(networks.clip(5, 33, SIZE, SIZE), [MethodCall("temporal-mask")])
    with pytest.raises(RequestError, match="more than 32 frames need gradients: the optical flow"):
        advance(Engine(long), asked, b"", 0.0, 0, result=False)


def test_a_single_frame_is_refused(engine: Engine) -> None:
    (answer,) = engine.explain([ClipRequest(networks.clip(1, 1, SIZE, SIZE))])
    assert isinstance(answer, RequestError)
    assert answer.reason == "WRONG_CLIP_SHAPE"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"input": INPUT.model_copy(update={"color": ColorOrder.RGB})},
            "rgb has 3 channels, this i3d-inception takes 2",
        ),
        ({"arguments": FLOW_ARGUMENTS | {"channels": 3}}, "arguments: the card has .*'channels': 3"),
    ],
)
def test_a_card_of_other_channels_is_refused(
    tmp_path: Path, state: dict[str, Tensor], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        import_model(card(tmp_path, **changes), weights(tmp_path, state), tmp_path / "store")
    assert not list((tmp_path / "store").glob("*"))


def test_networks_of_pixels_are_not_shown_flow() -> None:
    with pytest.raises(ModelError, match=r"input\.color: flow has 2 channels, this conv3d takes 3"):
        networks.model(input=INPUT)


def test_no_graph_is_exported(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"input\.color: flow is computed from the clip by OpenCV"):
        export(folder, ["grad-cam"], tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_a_frame_is_not_known_by_its_own_pixels_where_its_flow_is_shown() -> None:
    class ByFrame(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.relu2 = nn.Sequential(nn.Conv3d(2, 4, (1, 3, 3)), nn.ReLU())
            self.fc = nn.Linear(4, 3)

        def forward(self, clip: Tensor) -> Tensor:
            logits: Tensor = self.fc(self.relu2(clip).mean((2, 3, 4)))
            return logits

    model = ActionModel(networks.card(input=INPUT), ByFrame().eval())
    seen = FrameCache(model)
    for seed in (1, 2):
        clip = networks.clip(1, FRAMES, SIZE, SIZE)
        clip[1:] = networks.clip(seed, FRAMES - 1, SIZE, SIZE)
        found = seen.forward([clip], (), relevance=False).logits
        torch.testing.assert_close(found, model.program.forward(model.prepare([clip])).logits)
