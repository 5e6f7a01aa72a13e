"""The exported graph in onnxruntime beside the engine's own answers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from actionlens.card import Input
from handlers.engine.engine import ClipAnswer, ClipRequest, Engine, MethodCall
from handlers.errors import ModelError
from handlers.explainers.attribution import RelevanceMatrix, SaliencyVolume
from handlers.exporting.input_gradients import FORWARD, of_average_pool
from handlers.exporting.onnx_graph import EXPLANATIONS, export
from handlers.models.action_model import ActionModel
from handlers.relevance import EvenFrames
from tests.conftest import Exported
from tests.handlers import networks
from tests.waiting import PATIENCE

pytestmark = pytest.mark.timeout(400)

METHODS = Exported.METHODS
ROOT = Path(__file__).resolve().parents[3]
Answers = dict[str, NDArray[Any]]


@pytest.fixture(scope="module")
def folder(exported: Exported) -> Path:
    return exported.folder


@pytest.fixture(scope="module")
def graph(exported: Exported) -> Path:
    assert exported.names[:4] == ("logits", "explained", "frame_logits", "grad_cam")
    return exported.graph


def run(path: Path, clip: NDArray[np.uint8], target: int) -> Answers:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"clip": clip[None], "target": np.array([target])}), strict=True))


@pytest.mark.parametrize(("seed", "target"), [(1, None), (2, 0), (3, 2)])
def test_the_graph_answers_as_the_engine_does(folder: Path, graph: Path, seed: int, target: int | None) -> None:
    clip = networks.clip(seed, 4, 16, 16)
    clip[:, :8] = clip[:1, :8]  # one half stands still
    calls = tuple(MethodCall(method) for method in METHODS)
    (expected,) = Engine.load(folder).explain([ClipRequest(clip, calls, target)])
    assert isinstance(expected, ClipAnswer)
    found = run(graph, clip, -1 if target is None else target)
    np.testing.assert_allclose(found["logits"][0], expected.logits, rtol=1e-4, atol=1e-6)
    assert found["explained"].tolist() == [expected.target.index]
    cam, dtd, selective, atr = (each.result for each in expected.explained)
    assert isinstance(cam, SaliencyVolume)
    assert isinstance(dtd, SaliencyVolume)
    assert isinstance(selective, SaliencyVolume)
    assert isinstance(atr, RelevanceMatrix)
    assert selective.mask is not None
    assert selective.quality is not None
    for name, values in (
        ("grad_cam", cam.values),
        ("dtd", dtd.values),
        ("selective_relevance", selective.values * selective.mask),
        ("relevance_matrix", atr.values),
        ("row_logits", atr.row_logits),
    ):
        scale = float(values.abs().max())
        assert scale > 0 or target != 2, name  # of this untrained network's classes, 2 has evidence everywhere
        np.testing.assert_allclose(found[name][0], values, rtol=0, atol=1e-4 * scale, err_msg=name)
    share = np.nan if selective.quality.motion_share is None else selective.quality.motion_share
    assert share == pytest.approx(float(found["motion_share"][0]), abs=1e-4, nan_ok=True)


class TwoPathways(nn.Module):
    """As SlowFast: of 8 frames the slow pathway takes 0 and 7, which are no multiples of one number."""

    def __init__(self) -> None:
        super().__init__()
        self.slow_frames = EvenFrames(4)
        self.slow, self.fast = nn.Conv3d(3, 4, (1, 3, 3)), nn.Conv3d(3, 4, 3, padding=(1, 0, 0))
        self.fc = nn.Linear(8, 3)

    def forward(self, clip: Tensor) -> Tensor:
        slow, fast = torch.relu(self.slow(self.slow_frames(clip))), torch.relu(self.fast(clip))
        logits: Tensor = self.fc(torch.cat([slow.mean((2, 3, 4)), fast.mean((2, 3, 4))], 1))
        return logits


def test_rows_of_a_slower_pathway_are_those_of_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    takes = Input(frames=8, height=12, width=16, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    model = ActionModel(networks.card(input=takes, layer="fast"), TwoPathways().eval())
    monkeypatch.setattr(ActionModel, "load", lambda folder, **_: model)
    clip = networks.clip(1, 8)
    (expected,) = Engine(model).explain([ClipRequest(clip, (MethodCall("atr"),))])
    assert isinstance(expected, ClipAnswer)
    rows = expected.explained[0].result
    assert isinstance(rows, RelevanceMatrix)
    assert rows.row_logits is not None
    export(tmp_path, ["atr"], tmp_path / "model.onnx")
    found = run(tmp_path / "model.onnx", clip, -1)
    np.testing.assert_allclose(found["logits"][0], expected.logits, rtol=1e-4, atol=1e-6)
    for name, values in (("relevance_matrix", rows.values), ("row_logits", rows.row_logits)):
        np.testing.assert_allclose(found[name][0], values, rtol=0, atol=1e-4 * float(values.abs().max()), err_msg=name)


def test_the_graph_runs_without_torch_and_knows_its_card(graph: Path) -> None:
    program = """
import json, sys
import numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1])
about = json.loads(session.get_modelmeta().custom_metadata_map["actionlens"])
shape = session.get_inputs()[0].shape
answer = session.run(["logits"], {"clip": numpy.zeros(shape, numpy.uint8), "target": numpy.array([-1])})
print(json.dumps([about["card"]["labels"], about["methods"], answer[0].shape, "torch" in sys.modules]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(graph)], capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    assert json.loads(done.stdout) == [list(networks.LABELS), list(METHODS), [1, 3], False]


def test_a_method_that_cannot_be_exported_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"with: 'occlusion' cannot be exported; what can is grad-cam, dtd"):
        export(folder, ["occlusion"], tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_a_method_that_cannot_explain_the_model_is_named(tmp_path: Path) -> None:
    hidden = networks.folder(tmp_path / "tiny", arguments={"channels": [4, 6], "hidden": [5]})
    with pytest.raises(ModelError, match=r"with: atr cannot explain tiny: it has no logits per time step"):
        export(hidden, ["atr"], tmp_path / "model.onnx")


def test_what_breaks_off_leaves_the_earlier_graph_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    program = """
import resource, signal, sys
from handlers.exporting.onnx_graph import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write beyond the limit is then an error, as on a full disk
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
raise SystemExit(main([sys.argv[1], "--output", sys.argv[2]]))
"""
    path = tmp_path / "model.onnx"
    path.write_bytes(b"the earlier one")
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder), str(path)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"output: {path}: File too large"
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("model.onnx", b"the earlier one")]


def test_the_lines_of_the_readme_run(
    graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model.onnx").symlink_to(graph)
    (tmp_path / "CLIP.mp4").symlink_to(ROOT / "model_store/motion-primitives/sample.mp4")
    monkeypatch.chdir(tmp_path)
    section = (ROOT / "README.md").read_text().split("## Explanations without PyTorch")[1]
    exec(section.split("```python\n")[1].split("```")[0], {})
    label, share, *shape = capsys.readouterr().out.split()
    assert label in ("0", "1", "2") or label.isidentifier()
    assert 0 <= float(share.strip("[]")) <= 1
    assert len(" ".join(shape).split(",")) == 3


@pytest.mark.parametrize("over", [None, 5])
@pytest.mark.parametrize("counts_padding", [True, False])
@pytest.mark.parametrize(("size", "stride", "padding", "ceil"), [(3, 1, 1, False), (3, 2, 1, True), (2, 3, 0, True)])
@pytest.mark.parametrize("axes", [2, 3])
def test_gradients_of_average_pools(
    axes: int, size: int, stride: int, padding: int, ceil: bool, counts_padding: bool, over: int | None
) -> None:
    torch.manual_seed(0)
    pool = functional.avg_pool2d if axes == 2 else functional.avg_pool3d
    x = torch.randn(2, 3, *range(7, 7 + axes), dtype=torch.float64, requires_grad=True)
    means = pool(x, size, stride, padding, ceil, counts_padding, over)
    y = torch.randn_like(means)
    (expected,) = torch.autograd.grad(means, x, y)
    found = of_average_pool(y, x, [size] * axes, [stride] * axes, [padding] * axes, ceil, counts_padding, over)
    assert torch.allclose(found, expected)


class PoolGradient(nn.Module):
    """The gradient that relevance takes from an average pool."""

    def forward(self, y: Tensor) -> Tensor:
        back: Any = torch.ops.aten.avg_pool2d_backward
        return back(y, y.new_empty(2, 3, 8, 8), [3, 3], [1, 1], [1, 1], True, False, None)


def test_gradients_of_average_pools_survive_the_way_to_onnx(tmp_path: Path) -> None:
    module, y = PoolGradient(), torch.randn(2, 3, 8, 8)
    recorded = torch.export.export(module, (y,), strict=False).run_decompositions(FORWARD)
    made: Any = torch.onnx.export(recorded, (), input_names=["y"], dynamo=True, verbose=False)
    made.save(tmp_path / "gradient.onnx")
    (found,) = onnxruntime.InferenceSession(tmp_path / "gradient.onnx").run(None, {"y": y.numpy()})
    np.testing.assert_allclose(found, module(y).numpy(), atol=1e-6)


def test_a_graph_that_answers_otherwise_than_the_model_is_not_written(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, runs = EXPLANATIONS["grad-cam"], []

    def other_when_recorded(*asked: Any) -> dict[str, Tensor]:
        runs.append(asked)
        return {name: len(runs) * values for name, values in right(*asked).items()}

    monkeypatch.setitem(EXPLANATIONS, "grad-cam", other_when_recorded)
    with pytest.raises(ModelError, match=r"with: grad_cam of the graph differs from the model's own"):
        export(folder, ["grad-cam"], tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []
