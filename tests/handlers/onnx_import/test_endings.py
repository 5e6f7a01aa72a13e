"""What .onnx files end in: predictions are what the file itself puts out, explanations start at logits."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import yaml
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from actionlens.card import Scores, read_card
from handlers.checking import check_model
from handlers.engine.engine import ClipAnswer, ClipRequest, Engine, MethodCall
from handlers.errors import ModelError
from handlers.importing.checkpoint import ImportedModel, import_checkpoint, import_model
from tests.handlers import networks, onnx_files
from tests.handlers.onnx_files import SIZE

Nodes = list[onnx.NodeProto]
Parts = tuple[Nodes, dict[str, NDArray[Any]]]
CLIPS = [networks.clip(seed, *SIZE) for seed in range(3)]


def node(kind: str, *inputs: str, out: str = "out", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, list(inputs), [out], name=f"{kind}_{out}", **attributes)


def ended(*nodes: onnx.NodeProto, **constants: NDArray[Any]) -> Callable[[], Parts]:
    """The usual network, then nodes from its "logits" [B, 3] to "out"."""

    def make() -> Parts:
        first, weights = onnx_files.network()
        return [*first, *nodes], {**weights, **constants}

    return make


def convolved(positions: bool) -> Parts:
    """A head that is a convolution, its softmax, then the mean over positions, as PyTorchVideo has it.

    positions: whether there is more than one.
    """
    nodes = [
        helper.make_node("Conv", ["clip", "stem.weight", "stem.bias"], ["x"], pads=[1] * 6),
        helper.make_node("Relu", ["x"], ["y"]),
        helper.make_node("AveragePool", ["y"], ["p"], kernel_shape=[2, 6, 8], strides=[2, 6, 8])
        if positions
        else helper.make_node("GlobalAveragePool", ["y"], ["p"]),
        helper.make_node("Conv", ["p", "head.weight", "head.bias"], ["z"]),
        node("Softmax", "z", out="s", axis=1),
        node("GlobalAveragePool", "s", out="g"),
        node("Flatten", "g"),
    ]
    weights = {
        "stem.weight": onnx_files.weight(5, 3, 3, 3, 3),
        "stem.bias": onnx_files.weight(5, seed=1),
        "head.weight": 9 * onnx_files.weight(3, 5, 1, 1, 1, seed=2),
        "head.bias": onnx_files.weight(3, seed=3),
    }
    return nodes, weights


POWERS = [
    node("ReduceMax", "logits", "last", out="m", keepdims=1),
    node("Sub", "logits", "m", out="d"),
    node("Exp", "d", out="e"),
    node("ReduceSum", "e", "last", out="t", keepdims=1),
]
LAST = {"last": np.array([-1])}

LINEAR: dict[str, tuple[Callable[[], Parts], Scores]] = {
    "softmax": (ended(node("Softmax", "logits")), Scores.PROBABILITIES),
    "softmax, flatten": (ended(node("Softmax", "logits", out="s"), node("Flatten", "s")), Scores.PROBABILITIES),
    "softmax, cast": (ended(node("Softmax", "logits", out="s"), node("Cast", "s", to=1)), Scores.PROBABILITIES),
    "softmax, clip": (
        ended(
            node("Softmax", "logits", out="s"), node("Clip", "s", "low", "high"), low=np.float32(0), high=np.float32(1)
        ),
        Scores.PROBABILITIES,
    ),
    "softmax over channels, reshaped": (
        ended(
            node("Unsqueeze", "logits", "two", out="u"),
            node("Softmax", "u", out="s", axis=1),
            node("Squeeze", "s", "two"),
            two=np.array([2]),
        ),
        Scores.PROBABILITIES,
    ),
    "softmax over channels, mean of one": (
        ended(
            node("Unsqueeze", "logits", "one1", out="u"),
            node("Softmax", "u", out="s", axis=-1),
            node("ReduceMean", "s", "one1", keepdims=0),
            one1=np.array([1]),
        ),
        Scores.PROBABILITIES,
    ),
    "one position": (lambda: convolved(False), Scores.PROBABILITIES),
    "in pieces": (ended(*POWERS, node("Div", "e", "t"), **LAST), Scores.PROBABILITIES),
    "in pieces, reciprocal": (
        ended(*POWERS, node("Reciprocal", "t", out="r"), node("Mul", "e", "r"), **LAST),
        Scores.PROBABILITIES,
    ),
    "softmax in double precision": (
        ended(node("Cast", "logits", out="w", to=11), node("Softmax", "w", out="s"), node("Cast", "s", to=1)),
        Scores.PROBABILITIES,
    ),
    "log-softmax, exp": (ended(node("LogSoftmax", "logits", out="l"), node("Exp", "l")), Scores.PROBABILITIES),
    "log-softmax": (ended(node("LogSoftmax", "logits")), Scores.LOG_PROBABILITIES),
    "softmax, log": (ended(node("Softmax", "logits", out="s"), node("Log", "s")), Scores.LOG_PROBABILITIES),
    "log-softmax in pieces": (
        ended(node("ReduceLogSumExp", "logits", "last", out="t", keepdims=1), node("Sub", "logits", "t"), **LAST),
        Scores.LOG_PROBABILITIES,
    ),
    "logits": (ended(node("Identity", "logits")), Scores.LOGITS),
}
"""Files whose prediction is the softmax of a linear layer's logits, with what they put out."""

NOT_LINEAR: dict[str, Callable[[], Parts]] = {
    "mean of several positions": lambda: convolved(True),
    "percent": ended(
        node("Softmax", "logits", out="s"), node("Mul", "s", "hundred"), hundred=np.array(100, np.float32)
    ),
    "no softmax, by its numbers": ended(
        node("Softplus", "logits", out="e"),
        node("ReduceSum", "e", "last", out="t", keepdims=1),
        node("Div", "e", "t"),
        **LAST,
    ),
}


def imported(path: Path, parts: Parts, *, convert: bool = True, **card: Any) -> ImportedModel:
    onnx_files.write(path / "net.onnx", *parts, output="out")
    document = {
        "name": "net",
        "architecture": "onnx",
        "labels": ["left", "right", "still"],
        "input": {"frames": SIZE[0], "height": SIZE[1], "width": SIZE[2]},
        "arguments": {} if convert else {"convert": False},
        **card,
    }
    (path / "card.yaml").write_text(yaml.safe_dump(document))
    return import_model(path / "card.yaml", path / "net.onnx", path / "store", replace=True)


def own(path: Path, clip: NDArray[np.uint8]) -> torch.Tensor:
    """What the file puts out, by onnxruntime alone, of pixels / 255."""
    import onnxruntime

    pixels = (clip.astype(np.float32) / 255).transpose(3, 0, 1, 2)[None]
    return torch.from_numpy(onnxruntime.InferenceSession(path).run(None, {"clip": pixels})[0][0]).float()


def predicted(folder: Path, clip: NDArray[np.uint8]) -> torch.Tensor:
    engine = Engine.load(folder)
    (answer,) = engine.explain([ClipRequest(clip)])
    assert isinstance(answer, ClipAnswer)
    return engine.model.probabilities(torch.as_tensor(answer.logits))


@pytest.mark.parametrize("convert", [True, False])
@pytest.mark.parametrize("name", LINEAR)
def test_predictions_are_the_files_and_explanations_start_at_its_logits(
    tmp_path: Path, name: str, convert: bool
) -> None:
    make, scores = LINEAR[name]
    made = imported(tmp_path, make(), convert=convert)
    assert read_card(made.folder).scores is scores
    said = [note for note in made.notes if "left out: explanations start at the logits" in note]
    assert len(said) == (scores is not Scores.LOGITS)
    for clip in CLIPS:
        given = own(tmp_path / "net.onnx", clip)
        expected = {"probabilities": given, "log-probabilities": given.exp(), "logits": given.softmax(0)}[scores]
        torch.testing.assert_close(predicted(made.folder, clip), expected, atol=1e-5, rtol=1e-4)
    if convert:
        assert made.methods["dtd"] == made.methods["clrp"] == ""
        (answer,) = Engine.load(made.folder).explain([ClipRequest(CLIPS[0], [MethodCall("dtd")])])
        assert isinstance(answer, ClipAnswer)
        # Logits of the linear layer itself, not shifted or squashed ones.
        made_of = onnx.load(tmp_path / "net.onnx")
        made_of.graph.output.add().name = "z" if name == "one position" else "logits"
        onnx.save(made_of, tmp_path / "more.onnx")
        import onnxruntime

        pixels = (CLIPS[0].astype(np.float32) / 255).transpose(3, 0, 1, 2)[None]
        raw = onnxruntime.InferenceSession(tmp_path / "more.onnx").run(None, {"clip": pixels})[1].reshape(3)
        np.testing.assert_allclose(answer.logits, raw, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("convert", [True, False])
@pytest.mark.parametrize("name", NOT_LINEAR)
def test_probabilities_that_no_logits_make_are_shown_as_they_are(tmp_path: Path, name: str, convert: bool) -> None:
    made = imported(tmp_path, NOT_LINEAR[name](), convert=convert)
    assert read_card(made.folder).scores is Scores.PROBABILITIES
    (said,) = [note for note in made.notes if "explanations are of their logarithm" in note]
    assert ("averages of a Softmax" in said) == name.startswith("mean")
    for clip in CLIPS:
        given = own(tmp_path / "net.onnx", clip)
        torch.testing.assert_close(predicted(made.folder, clip), given / given.sum(), atol=1e-5, rtol=1e-4)
    assert ("no relevance rule" in made.methods["dtd"]) == convert
    assert made.methods["occlusion"] == ""
    assert (made.methods["grad-cam"] == "") == convert


@pytest.mark.parametrize("convert", [True, False])
def test_sigmoid_scores_are_shown_class_by_class(tmp_path: Path, convert: bool) -> None:
    made = imported(tmp_path, ended(node("Sigmoid", "logits", out="s"), node("Flatten", "s"))(), convert=convert)
    assert read_card(made.folder).scores is Scores.SIGMOID
    assert [note for note in made.notes if "Sigmoid near its end is left out" in note and "one by one" in note]
    for clip in CLIPS:
        torch.testing.assert_close(predicted(made.folder, clip), own(tmp_path / "net.onnx", clip), atol=1e-5, rtol=1e-4)
    for name in ("frame-shapley", "st-perturbation", "temporal-mask"):
        assert "needs probabilities that sum to 1" in made.methods[name]
    assert (made.methods["dtd"] == "") == convert


def test_a_class_that_is_dropped_behind_the_softmax_leaves_shares(tmp_path: Path) -> None:
    """As detectors drop their background: what is left does not sum to 1."""
    drop = ended(
        node("Softmax", "logits", out="s"),
        node("Slice", "s", "from1", "to3", "axis1"),
        from1=np.array([1]),
        to3=np.array([3]),
        axis1=np.array([1]),
    )
    made = imported(tmp_path, drop(), labels=["right", "still"])
    assert read_card(made.folder).scores is Scores.PROBABILITIES
    assert [note for note in made.notes if "shares among those that are left" in note]
    for clip in CLIPS:
        given = own(tmp_path / "net.onnx", clip)
        torch.testing.assert_close(predicted(made.folder, clip), given / given.sum(), atol=1e-5, rtol=1e-4)
    assert made.methods["dtd"] == ""


def test_what_cannot_be_told_apart_is_said(tmp_path: Path) -> None:
    squashed = ended(
        node("Neg", "logits", out="n"),
        node("Exp", "n", out="e"),
        node("Add", "e", "unit", out="d"),
        node("Reciprocal", "d"),
        unit=np.array(1, np.float32),
    )
    made = imported(tmp_path, squashed(), convert=False)
    assert read_card(made.folder).scores is Scores.LOGITS
    assert [note for note in made.notes if "lie between 0 and 1 and do not sum to 1" in note]


def test_a_card_that_says_what_its_scores_are_is_believed_or_refused(tmp_path: Path) -> None:
    soft, plain = ended(node("Softmax", "logits"))(), ended(node("Identity", "logits"))()
    made = imported(tmp_path, soft, scores="logits")
    assert read_card(made.folder).scores is Scores.LOGITS
    assert [note for note in made.notes if "is left in: the card says scores: logits" in note]
    given = own(tmp_path / "net.onnx", CLIPS[0])
    torch.testing.assert_close(predicted(made.folder, CLIPS[0]), given.softmax(0), atol=1e-5, rtol=1e-4)
    with pytest.raises(ModelError, match=r"scores: the card says probabilities, but net\.onnx puts out logits"):
        imported(tmp_path, plain, scores="probabilities")
    with pytest.raises(ModelError, match=r"scores: the card says sigmoid, and no Sigmoid"):
        imported(tmp_path, plain, scores="sigmoid")


def test_models_that_were_imported_before_cards_said_so_are_read_by_their_graph(tmp_path: Path) -> None:
    made = imported(tmp_path, convolved(True))
    path = made.folder / "card.yaml"
    path.write_text("".join(line for line in path.read_text().splitlines(True) if not line.startswith("scores")))
    assert read_card(made.folder).scores is None
    torch.testing.assert_close(
        predicted(made.folder, CLIPS[0]), own(tmp_path / "net.onnx", CLIPS[0]), atol=1e-5, rtol=1e-4
    )
    report = check_model(made.folder)
    assert report.passed
    assert "it puts out probabilities" in report.steps[-1].detail


def half(parts: Parts, path: Path, *, keep_io: bool) -> Path:
    """The network in half precision, its casts appended behind all nodes as the public converter leaves them."""
    nodes, weights = copy.deepcopy(parts)
    for each in nodes:
        each.input[:] = ["clip16" if name == "clip" and keep_io else name for name in each.input]
        each.output[:] = ["out16" if name == "out" and keep_io else name for name in each.output]
    if keep_io:
        nodes += [
            node("Cast", "clip", out="clip16", to=TensorProto.FLOAT16),
            node("Cast", "out16", to=TensorProto.FLOAT),
        ]
    kind = TensorProto.FLOAT if keep_io else TensorProto.FLOAT16
    graph = helper.make_graph(
        nodes,
        "half",
        [helper.make_tensor_value_info("clip", kind, ("batch", 3, *SIZE))],
        [helper.make_tensor_value_info("out", kind, ("batch", 3))],
        [
            numpy_helper.from_array(value.astype(np.float16) if value.dtype == np.float32 else np.asarray(value), name)
            for name, value in weights.items()
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


@pytest.mark.parametrize("name", ["softmax", "softmax, flatten", "one position", "logits"])
@pytest.mark.parametrize("keep_io", [True, False])
def test_half_precision_files_are_read_whatever_the_order_of_their_nodes(
    tmp_path: Path, name: str, keep_io: bool
) -> None:
    make, scores = LINEAR[name]
    path = half(make(), tmp_path / "half.onnx", keep_io=keep_io)
    made = import_checkpoint("onnx", path, tmp_path / "store")
    assert read_card(made.folder).scores is scores
    assert any("put in order" in note for note in made.notes) == keep_io
    assert made.methods["dtd"] == ""
    import onnxruntime

    for clip in CLIPS:
        pixels = (clip.astype(np.float32) / 255).transpose(3, 0, 1, 2)[None]
        given = {"clip": pixels if keep_io else pixels.astype(np.float16)}
        found = torch.from_numpy(onnxruntime.InferenceSession(path).run(None, given)[0][0]).float()
        expected = found.softmax(0) if scores is Scores.LOGITS else found
        torch.testing.assert_close(predicted(made.folder, clip), expected, atol=4e-3, rtol=1e-2)


def test_nodes_in_any_order_are_sorted_and_a_missing_value_is_named(tmp_path: Path) -> None:
    nodes, weights = ended(node("Softmax", "logits"))()
    straight = imported(tmp_path, (nodes, weights))
    expected = predicted(straight.folder, CLIPS[0])
    turned = imported(tmp_path, (nodes[::-1], weights))
    assert any("put in order" in note for note in turned.notes)
    torch.testing.assert_close(predicted(turned.folder, CLIPS[0]), expected)
    nodes[3].input[0] = "nowhere"
    with pytest.raises(ModelError, match=r"cannot be read as \.onnx: .*nowhere"):
        imported(tmp_path, (nodes[::-1], weights))


@pytest.mark.parametrize("name", ["m_x3d", "m_fp16_keepio", "m_logits"])
def test_the_cases_of_the_faults(assets: Path, tmp_path: Path, name: str) -> None:
    path = assets / f"faults/{name}.onnx"
    made = import_checkpoint("onnx", path, tmp_path / "store")
    clip = networks.clip(1, 8, 32, 32)
    given = own(path, clip)
    expected = given.softmax(0) if name == "m_logits" else given
    torch.testing.assert_close(predicted(made.folder, clip), expected, atol=1e-3, rtol=1e-3)
