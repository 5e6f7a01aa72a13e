"""Networks of torch that put out probabilities: shown as they are, explained from the logits, at every way they go."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from safetensors.torch import save_file
from torch import Tensor, nn

from actionlens.card import Scores, read_card
from actionlens.worker.v1 import worker_pb2
from handlers.checking import check_model
from handlers.engine.description import describe
from handlers.engine.engine import ClipAnswer, ClipRequest, Engine, MethodCall
from handlers.errors import ModelError
from handlers.exporting.onnx_graph import export
from handlers.importing.checkpoint import ImportedModel, import_model
from handlers.models import Family
from handlers.models import family_registry as registry
from handlers.wire.responses import clip_response
from tests.handlers import networks


class Net(nn.Module):
    """Convolution and a linear layer; `end` makes scores of its logits."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv3d(3, 4, 3, padding=1), nn.ReLU())
        self.classifier = nn.Linear(4, classes)
        self.soft = nn.Softmax(-1)

    def logits(self, clip: Tensor) -> Tensor:
        return 5 * self.classifier(self.features(clip).mean((2, 3, 4)))

    def forward(self, clip: Tensor) -> Tensor:
        return self.end(self.logits(clip))

    def end(self, logits: Tensor) -> Tensor:
        raise NotImplementedError


class Softmax(Net):
    def end(self, logits: Tensor) -> Tensor:
        return self.soft(logits)


class SoftmaxOfOne(Net):
    """With a mean over the one position that there is, as PyTorchVideo's heads have it."""

    def end(self, logits: Tensor) -> Tensor:
        return F.softmax(logits.unsqueeze(2), dim=1).mean(2).flatten(1)


class LogSoftmax(Net):
    def end(self, logits: Tensor) -> Tensor:
        return logits.log_softmax(1)


class Sigmoid(Net):
    def end(self, logits: Tensor) -> Tensor:
        return torch.sigmoid(logits)


class MeanOfFrames(Net):
    """The mean of the frames' probabilities: of no logits the softmax."""

    def forward(self, clip: Tensor) -> Tensor:
        maps = self.features(clip).mean((3, 4)).transpose(1, 2)
        return torch.softmax(5 * self.classifier(maps), -1).mean(1)


class Hidden(Net):
    """With a step that symbolic tracing cannot follow."""

    def end(self, logits: Tensor) -> Tensor:
        if float(logits.detach().sum()) > 1e9:
            return logits
        return logits.softmax(1)


NETS: dict[str, tuple[type[Net], Scores, bool]] = {
    "softmax": (Softmax, Scores.PROBABILITIES, True),
    "softmax-of-one": (SoftmaxOfOne, Scores.PROBABILITIES, True),
    "log-softmax": (LogSoftmax, Scores.LOG_PROBABILITIES, True),
    "sigmoid": (Sigmoid, Scores.SIGMOID, True),
    "mean-of-frames": (MeanOfFrames, Scores.PROBABILITIES, False),
    "hidden": (Hidden, Scores.PROBABILITIES, False),
}
"""By name, the network, what it puts out, and whether its logits are found."""


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    every = registry.families() | {
        name: Family(name=name, summary="", build=net, layer="features", traceable=linear)
        for name, (net, _, linear) in NETS.items()
    }
    monkeypatch.setattr(registry, "families", lambda: every)


def net(name: str) -> Net:
    torch.manual_seed(0)
    return NETS[name][0](classes=3).eval()


def imported(path: Path, name: str, **fields: object) -> ImportedModel:
    card = networks.card(architecture=name, arguments={}, layer="")
    document = card.model_dump(mode="json", exclude={"weights"}, exclude_none=True) | fields
    (path / "card.yaml").write_text(yaml.safe_dump(document))
    save_file(net(name).state_dict(), path / "w.safetensors")
    return import_model(path / "card.yaml", path / "w.safetensors", path / "store", replace=True)


def shown(engine: Engine, clip: np.ndarray) -> list[float]:
    """The probabilities that a client is sent, by class."""
    request = ClipRequest(clip, [MethodCall("grad-cam")])
    (answer,) = engine.explain([request])
    assert isinstance(answer, ClipAnswer)
    compute = worker_pb2.Compute()
    compute.output.top_k = 3
    prediction = clip_response(engine, compute, answer).prediction
    return [score.probability for score in sorted(prediction.top, key=lambda score: score.index)]


@pytest.mark.parametrize("name", NETS)
def test_predictions_are_the_networks_own(tmp_path: Path, name: str) -> None:
    _, scores, linear = NETS[name]
    made = imported(tmp_path, name)
    assert read_card(made.folder).scores is scores
    assert len([note for note in made.notes if "explanations start at the logits" in note]) == linear
    assert len([note for note in made.notes if "explanations are of their logarithm" in note]) == (not linear)
    engine = Engine.load(made.folder)
    for seed in range(3):
        clip = networks.clip(seed)
        with torch.no_grad():
            own = net(name)(engine.model.prepare([clip]))[0]
        expected = own.exp() if scores is Scores.LOG_PROBABILITIES else own
        np.testing.assert_allclose(shown(engine, clip), expected, atol=1e-5)
    assert (made.methods["dtd"] == "") == linear
    assert made.methods["grad-cam"] == ""
    if linear:
        (answer,) = engine.explain([ClipRequest(networks.clip(5))])
        assert isinstance(answer, ClipAnswer)
        with torch.no_grad():
            logits = net(name).logits(engine.model.prepare([networks.clip(5)]))[0]
        torch.testing.assert_close(torch.as_tensor(answer.logits), logits)
    report = check_model(made.folder)
    assert report.passed
    assert f"it puts out {scores}" in report.steps[-1].detail


@pytest.mark.parametrize("name", NETS)
def test_a_card_without_its_scores_is_found_out_when_it_is_loaded(tmp_path: Path, name: str) -> None:
    _, scores, _ = NETS[name]
    made = imported(tmp_path, name)
    path = made.folder / "card.yaml"
    path.write_text("".join(line for line in path.read_text().splitlines(True) if not line.startswith("scores")))
    assert read_card(made.folder).scores is None
    engine = Engine.load(made.folder)
    message = describe(engine.model)
    assert message.scores == scores
    clip = networks.clip(3)
    with torch.no_grad():
        own = net(name)(engine.model.prepare([clip]))[0]
    expected = own.exp() if scores is Scores.LOG_PROBABILITIES else own
    np.testing.assert_allclose(shown(engine, clip), expected, atol=1e-5)
    (note,) = message.notes
    report = check_model(made.folder)
    assert report.passed
    assert f"it puts out {scores}; {note}" in report.steps[-1].detail


def test_a_card_may_say_that_they_are_logits(tmp_path: Path) -> None:
    made = imported(tmp_path, "mean-of-frames", scores="logits")
    assert read_card(made.folder).scores is Scores.LOGITS
    assert not [note for note in made.notes if "probabilities" in note]
    with pytest.raises(ModelError, match=r"architecture: softmax: .*leave softmax to the caller"):
        imported(tmp_path, "softmax", scores="logits")


@pytest.mark.parametrize("name", ["softmax-of-one", "sigmoid"])
def test_an_exported_graph_shows_what_the_network_does(tmp_path: Path, name: str) -> None:
    from actionlens.v1 import explanation_pb2
    from service.backends.onnx.graph import Graph
    from service.backends.onnx.graph_answer import _prediction

    made = imported(tmp_path, name)
    export(made.folder, ["grad-cam"], tmp_path / "graph.onnx")
    graph, engine = Graph(tmp_path / "graph.onnx", 1), Engine.load(made.folder)
    clip = networks.clip(1)
    found = graph.part(("logits", "explained")).run(clip[None], np.array([-1]))
    prediction: explanation_pb2.Prediction = _prediction(graph, {key: value[0] for key, value in found.items()}, 3)
    scores = [score.probability for score in sorted(prediction.top, key=lambda score: score.index)]
    np.testing.assert_allclose(scores, shown(engine, clip), atol=1e-5)
