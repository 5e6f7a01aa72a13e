"""Models from .onnx files: explained as far as they convert, and refused by name where they do not fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import yaml
from onnx import TensorProto, helper

from actionlens.card import read_card
from handlers.engine.engine import ClipAnswer, ClipRequest, Engine, MethodCall
from handlers.errors import ModelError
from handlers.importing.checkpoint import import_checkpoint, import_model, main
from handlers.models.action_model import ActionModel
from handlers.support import declared, tried
from tests.handlers import networks, onnx_files
from tests.handlers.onnx_files import SIZE

LABELS = json.dumps(["left", "right", "still"])


def converted(path: Path, **metadata: str) -> Path:
    nodes, weights = onnx_files.network()
    return onnx_files.write(path / "net.onnx", nodes, weights, **{"labels": LABELS, **metadata})


def opaque(path: Path) -> Path:
    nodes, weights = onnx_files.opaque()
    return onnx_files.write(path / "net.onnx", nodes, weights, labels=LABELS)


def card(path: Path, **changes: object) -> Path:
    document = {
        "name": "net",
        "architecture": "onnx",
        "labels": ["left", "right", "still"],
        "input": {"frames": SIZE[0], "height": SIZE[1], "width": SIZE[2]},
    }
    (path / "card.yaml").write_text(yaml.safe_dump(document | changes))
    return path / "card.yaml"


def logits(path: Path, clip: np.ndarray) -> np.ndarray:
    """By onnxruntime alone, of pixels / 255."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    pixels = (clip.astype(np.float32) / 255).transpose(3, 0, 1, 2)[None]
    return session.run(None, {"clip": pixels})[0][0]


def test_a_converted_file_is_explained_as_the_network_in_it(tmp_path: Path) -> None:
    made = import_checkpoint("onnx", converted(tmp_path), tmp_path / "store")
    found = read_card(made.folder)
    assert (found.name, found.labels, found.layer) == ("net", ("left", "right", "still"), "rectified")
    assert found.weights.file == "model.onnx"
    assert "every operator was converted to torch" in made.notes
    assert any("no mean and std" in note for note in made.notes)
    model = ActionModel.load(made.folder)
    said = declared(model)
    assert [name for name, reason in said.items() if reason] == ["attention-rollout", "esv"]
    assert tried(model) == said
    clip = networks.clip(1, *SIZE)
    (answer,) = Engine(model).explain([ClipRequest(clip, [MethodCall("dtd"), MethodCall("atr")])])
    assert isinstance(answer, ClipAnswer)
    np.testing.assert_allclose(answer.logits, logits(tmp_path / "net.onnx", clip), atol=1e-5)


def test_what_does_not_convert_predicts_and_has_the_black_box_methods(tmp_path: Path) -> None:
    made = import_checkpoint("onnx", opaque(tmp_path), tmp_path / "store")
    assert any("operators without a torch form: Shrink (at own)" in note for note in made.notes)
    model = ActionModel.load(made.folder)
    said = declared(model)
    able = [name for name, reason in said.items() if not reason]
    assert able == ["frame-shapley", "occlusion", "shapley-sampling", "temporal-mask"]
    for name in ("atr", "deep-lift", "dtd", "grad-cam", "integrated-gradients", "st-perturbation"):
        assert "Shrink" in said[name]
    assert tried(model) == said
    clip = networks.clip(1, *SIZE)
    (answer,) = Engine(model).explain([ClipRequest(clip)])
    assert isinstance(answer, ClipAnswer)
    np.testing.assert_allclose(answer.logits, logits(tmp_path / "net.onnx", clip), atol=1e-5)


def test_a_card_may_forbid_the_conversion(tmp_path: Path) -> None:
    made = import_model(card(tmp_path, arguments={"convert": False}), converted(tmp_path), tmp_path / "store")
    assert "the card says convert: false" in made.methods["dtd"]
    assert made.methods["occlusion"] == ""


def test_operators_without_relevance_leave_the_gradient_methods(tmp_path: Path) -> None:
    nodes, weights = onnx_files.network(helper.make_node("Tanh", ["features"], ["y"], name="squash"), last="y")
    onnx_files.write(tmp_path / "net.onnx", nodes, weights, labels=LABELS)
    made = import_checkpoint("onnx", tmp_path / "net.onnx", tmp_path / "store")
    assert "no relevance rule for tanh" in made.methods["dtd"]
    assert made.methods["grad-cam"] == made.methods["integrated-gradients"] == ""


@pytest.mark.parametrize(("axis", "order"), [(2, (0, 2, 1, 3, 4)), (4, (0, 4, 1, 2, 3))])
def test_colours_may_stand_elsewhere(tmp_path: Path, axis: int, order: tuple[int, ...]) -> None:
    nodes, weights = onnx_files.network()
    nodes[0].input[0] = "first"
    nodes.insert(0, helper.make_node("Transpose", ["clip"], ["first"], perm=order))
    dims: list[object] = ["batch", *SIZE]
    dims.insert(axis, 3)
    other = onnx_files.write(tmp_path / "other.onnx", nodes, weights, dims=dims, labels=LABELS)
    clip = networks.clip(2, *SIZE)
    answers = []
    for path in (converted(tmp_path), other):
        folder = import_checkpoint("onnx", path, tmp_path / "store").folder
        (answer,) = Engine.load(folder).explain([ClipRequest(clip)])
        assert isinstance(answer, ClipAnswer)
        answers.append(answer.logits)
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-6)


def test_metadata_tell_what_a_card_would(tmp_path: Path) -> None:
    nodes, weights = onnx_files.network()
    nodes[-1].output[0] = "scores"
    nodes.append(helper.make_node("Softmax", ["scores"], ["logits"]))
    path = onnx_files.write(
        tmp_path / "net.onnx", nodes, weights, mean="[0.5, 0.4, 0.3]", std="[0.2, 0.2, 0.2]", color='"bgr"'
    )
    made = import_checkpoint("onnx", path, tmp_path / "store", name="named")
    found = read_card(made.folder)
    assert (found.name, found.input.mean, found.input.color) == ("named", (0.5, 0.4, 0.3), "bgr")
    assert found.labels == ("0", "1", "2")
    assert any("Softmax at its end is left out" in note for note in made.notes)
    assert any("3 classes are called by number" in note for note in made.notes)


def exported(path: Path) -> None:
    nodes, weights = onnx_files.network()
    onnx_files.write(path, nodes, weights, actionlens="{}")


def outside(path: Path) -> None:
    nodes, weights = onnx_files.network()
    onnx_files.write(path, nodes, weights)
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="weights.bin", size_threshold=0)


def dims(*wanted: object, kind: int = TensorProto.FLOAT) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        nodes, weights = onnx_files.network()
        if kind != TensorProto.FLOAT:
            nodes[0].input[0] = "pixels"
            nodes.insert(0, helper.make_node("Cast", ["clip"], ["pixels"], to=1))
        onnx_files.write(path, nodes, weights, dims=wanted, kind=kind)

    return write


def partial_file(path: Path) -> None:
    dims("batch", 3, *SIZE)(path)
    path.write_bytes(path.read_bytes()[:-400])


def maps(path: Path) -> None:
    nodes, weights = onnx_files.network()
    nodes[1].output[0] = "logits"
    onnx_files.write(path, nodes[:2], {name: weights[name] for name in ("stem.weight", "stem.bias")}, rank=5)


def unknown_operator(path: Path) -> None:
    nodes, weights = onnx_files.network(
        helper.make_node("Wavelet", ["features"], ["y"], name="own", domain="org.example"), last="y"
    )
    onnx_files.write(path, nodes, weights)
    model = onnx.load(path)
    model.opset_import.add(domain="org.example", version=1)
    onnx.save(model, path)


def renamed(path: Path) -> None:
    onnx_files.write(path, *onnx_files.network())
    path.write_bytes(path.read_bytes().replace(b"stem.weight", b"\xfftem.weight"))


BAD = {
    "fixed batch": (
        dims(1, 3, *SIZE),
        r"input 'clip' is \[1, 3, 4, 12, 16\], a batch of 1 only; export it with a",
    ),
    "pictures": (dims("batch", 3, 12, 16), r"input 'clip' is \[\?, 3, 12, 16\]; clips have 5 axes"),
    "no colours": (dims("batch", 1, *SIZE), r"without an axis of 3 colours"),
    "bytes": (dims("batch", 3, *SIZE, kind=TensorProto.UINT8), "another type than float32"),
    "open size": (dims("batch", 3, "time", 12, 16), r"input\.frames: net\.onnx takes any; write a card"),
    "partial": (partial_file, r"net\.onnx: cannot be read as \.onnx"),
    "no UTF-8": (renamed, r"net\.onnx: cannot be read as \.onnx: .*no UTF-8"),
    "not ONNX": (lambda path: path.write_bytes(b"hello" * 30), r"net\.onnx: cannot be read as \.onnx"),
    "weights elsewhere": (outside, r"stem\.weight and \d more tensors lie in other files; save it as one"),
    "an export of ours": (exported, "holds explanations already.*--backend onnx"),
    "maps, not logits": (maps, r"output 'logits' of 2 clips is \[2, 5, 4, 12, 16\]; logits are \[batch, classes\]"),
    "an operator that nobody has": (unknown_operator, "onnxruntime cannot run it: .*Wavelet"),
}


@pytest.mark.parametrize("name", BAD)
def test_files_that_do_not_fit_are_refused_by_name(tmp_path: Path, name: str) -> None:
    write, message = BAD[name]
    write(tmp_path / "net.onnx")
    with pytest.raises(ModelError, match=message):
        import_checkpoint("onnx", tmp_path / "net.onnx", tmp_path / "store")
    assert not list((tmp_path / "store").glob("*"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ["a", "b"]}, r"labels: 2 labels, but net\.onnx has 3 classes"),
        ({"input": {"frames": 5, "height": 12, "width": 16}}, r"input\.frames: 5, but net\.onnx takes 4"),
        ({"arguments": {"depth": 18}}, "arguments: depth: onnx takes convert alone"),
        ({"layer": "nowhere"}, "layer: 'nowhere' is not a layer of onnx"),
    ],
)
def test_cards_that_do_not_fit_are_refused_by_field(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        import_model(card(tmp_path, **changes), converted(tmp_path), tmp_path / "store")


def test_a_conversion_that_answers_otherwise_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from handlers.onnx_import import operator_table as operators

    monkeypatch.setitem(operators.OPERATORS, "Relu", operators.OPERATORS["Tanh"])
    with pytest.raises(ModelError, match=r"answers otherwise than in onnxruntime .*convert: false"):
        import_checkpoint("onnx", converted(tmp_path), tmp_path / "store")


def test_the_command_imports_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = str(converted(tmp_path, mean="[0, 0, 0]"))
    assert main(["--family", "onnx", "--weights", weights, "--store", str(tmp_path / "store")]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["methods"]["atr"] == ""
