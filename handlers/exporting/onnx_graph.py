"""Prediction and explanations as one ONNX graph: `python -m handlers.exporting --help`.

Relevance propagation is a feed-forward computation, so it is written into the graph beside the network's own and runs
wherever ONNX does, without PyTorch.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from google.protobuf.json_format import MessageToDict
from torch import Tensor, nn

from actionlens.v1 import model_pb2
from handlers.engine.description import describe
from handlers.engine.engine import Engine, MethodCall
from handlers.engine.smoke_test import answer_noise, noise
from handlers.errors import ModelError, RequestError
from handlers.explainers import explainer
from handlers.explainers.attribution import RelevanceMatrix, SaliencyVolume
from handlers.explainers.live.grad_cam import grad_cam
from handlers.explainers.live.selective_relevance import SelectiveParameters, motion_mask
from handlers.exporting.input_gradients import FORWARD
from handlers.models.action_model import ActionModel
from handlers.relevance import Pass, relevance
from handlers.relevance.propagation.propagate import one_hot
from handlers.relevance.temporal.temporal_relevance import relevance_matrix

Outputs = dict[str, Tensor]


def _grad_cam(model: ActionModel, forward: Pass, slopes: Tensor) -> Outputs:
    layer = model.layer
    activation, gradient = (
        model.on_grid(layer, values) for values in (forward.activation(layer), forward.gradient(layer, slopes))
    )
    return {"grad_cam": grad_cam(activation, gradient)}


def _dtd(model: ActionModel, forward: Pass, slopes: Tensor) -> Outputs:
    return {"dtd": relevance(forward, slopes).values.sum(1)}


def _selective(model: ActionModel, forward: Pass, slopes: Tensor) -> Outputs:
    values = _dtd(model, forward, slopes)["dtd"]
    mask = motion_mask(values[0], SelectiveParameters().threshold)[None]
    positive = values.clamp(min=0).flatten(1)
    return {
        "selective_relevance": values * mask,
        "selective_map": values,
        "selective_mask": mask,
        "selected_positions": _kept(positive.sign(), mask),
        "motion_share": _kept(positive, mask),
    }


def _kept(positive: Tensor, mask: Tensor) -> Tensor:
    """[1] share of the sum of [1, n] that a mask keeps; NaN where there is nothing."""
    whole = positive.sum(1)
    kept = (positive * mask.flatten(1)).sum(1)
    return torch.where(whole > 0, kept / whole.clamp(min=torch.finfo(whole.dtype).tiny), torch.nan)


def _atr(model: ActionModel, forward: Pass, slopes: Tensor) -> Outputs:
    rows = (forward.frame_logits * slopes[:, None]).sum(2)
    return {"relevance_matrix": relevance_matrix(forward, slopes, model.memory)[None], "row_logits": rows}


EXPLANATIONS: dict[str, Callable[[ActionModel, Pass, Tensor], Outputs]] = {
    "grad-cam": _grad_cam,
    "dtd": _dtd,
    "selective-relevance": _selective,
    "atr": _atr,
}
"""By method, the graph's outputs, each with a leading axis of clips: with the method's default parameters."""

_BY_THRESHOLD = {"selective_relevance", "selective_mask", "selected_positions", "motion_share"}
_TOLERANCE = 1e-3
"""Of an output's largest value."""

# Relevance is propagated through one clip at a time.
_TAKE_SEVERAL = {"grad-cam"}


class ExplanationModule(nn.Module):
    """A model and explanations of it as one function of a clip.

    Input: clip uint8 [B, T, H, W, 3], RGB at the card's size; target int64 [B], the class to explain or -1 for the
    likeliest. Output: logits float32 [B, K], explained int64 [B], frame_logits float32 [B, T', K] where the model has
    them, and what EXPLANATIONS name. B is 1 where an explanation is of one clip at a time.
    """

    def __init__(self, model: ActionModel, methods: Sequence[str]) -> None:
        super().__init__()
        self.model = model
        self.methods = methods
        self.names: tuple[str, ...] = ()

    def forward(self, clip: Tensor, target: Tensor) -> tuple[Tensor, ...]:
        """See the class."""
        model = self.model
        keep = (model.layer,) if self.methods else ()
        done = model.program.forward(model.normalised(clip), keep, relevance=bool(self.methods))
        explained = torch.where(target < 0, done.logits.argmax(1), target)
        outputs = {"logits": done.logits, "explained": explained}
        if not done.no_frame_logits:
            outputs["frame_logits"] = done.frame_logits
        slopes = one_hot(done.logits, explained)
        for method in self.methods:
            outputs.update(EXPLANATIONS[method](model, done, slopes))
        self.names = tuple(outputs)
        return tuple(outputs.values())


def export(folder: Path, methods: Sequence[str], path: Path, *, trust_code: bool = False) -> tuple[str, ...]:
    """Write the graph of the model in a folder with these explanations; returns the names of its outputs.

    Raises ModelError naming the method that cannot be exported or explain this model, or the file that cannot be made.
    """
    if missing := [name for name in ("onnx", "onnxruntime", "onnxscript") if find_spec(name) is None]:
        raise ModelError(f"exporting needs {', '.join(missing)}: pip install 'actionlens[onnx]'")
    # A model of its own: what is cached while exporting must not serve anybody else.
    model = ActionModel.load(folder, trust_code=trust_code)
    if model.takes_flow:
        raise ModelError("input.color: flow is computed from the clip by OpenCV, which no graph holds; serve the model")
    for method in methods:
        if method not in EXPLANATIONS:
            raise ModelError(f"with: {method!r} cannot be exported; what can is {', '.join(EXPLANATIONS)}")
        if reason := explainer(method).unsupported(model):
            raise ModelError(f"with: {method} cannot explain {model.card.name}: {reason}")
        if reason := model.program.no_relevance:
            raise ModelError(f"with: {method} of {model.card.name} takes autograd, which no graph holds: {reason}")
    described = _explanations(model, methods)
    module, clip = ExplanationModule(model, methods).eval(), torch.from_numpy(noise(model.card))[None]
    with torch.no_grad():
        answers = module(clip, torch.tensor([-1]))
        recorded = _recorded(module, clip)
    recorded = recorded.run_decompositions(FORWARD)
    made: Any = torch.onnx.export(
        recorded,
        (),
        input_names=["clip", "target"],
        output_names=list(module.names),
        dynamo=True,
        optimize=True,
        verbose=False,
    )
    about = {
        "card": {**model.card.model_dump(mode="json"), "scores": model.scores},
        "methods": list(methods),
        "model": MessageToDict(_description(model, methods), preserving_proto_field_name=True),
        "explanations": described,
    }
    made.model.metadata_props.update({"actionlens": json.dumps(about)})
    expected = dict(zip(module.names, answers, strict=True))
    _save(made, path, lambda graph: _check(graph, clip, expected))
    return module.names


def _check(graph: Path, clip: Tensor, expected: Outputs) -> None:
    """Compare the graph with what it was made of: an operation may change its meaning on the way. Raises ModelError."""
    import onnxruntime

    session = onnxruntime.InferenceSession(graph)
    found = session.run(list(expected), {"clip": clip.numpy(), "target": np.array([-1])})
    for (name, values), other in zip(expected.items(), found, strict=True):
        # What a threshold lets through may differ by a voxel at its edge.
        if name not in _BY_THRESHOLD and not (abs(other - values.numpy()).max() <= _TOLERANCE * abs(values).max()):
            raise ModelError(f"with: {name} of the graph differs from the model's own; please report this model's card")


def _save(made: Any, path: Path, check: Callable[[Path], None]) -> None:
    """Write the graph beside its path and move it there when it is whole and right. Raises ModelError."""
    try:
        with tempfile.TemporaryDirectory(dir=path.absolute().parent, prefix=".export-") as work:
            made.save(Path(work) / path.name)
            check(Path(work) / path.name)
            # Large weights lie in a file beside the graph; the graph comes last.
            for file in sorted(Path(work).iterdir(), key=lambda file: file.name == path.name):
                file.replace(path.with_name(file.name))
    except OSError as error:
        raise ModelError(f"output: {path}: {error.strerror}") from error


def _recorded(module: ExplanationModule, clip: Tensor) -> torch.export.ExportedProgram:
    """The module's operations: for any number of clips where all of them take it, else for one."""
    if _TAKE_SEVERAL.issuperset(module.methods):
        several = {0: torch.export.Dim.AUTO}
        pair = (clip.repeat(2, 1, 1, 1, 1), torch.tensor([-1, -1]))
        recorded = torch.export.export(module, pair, dynamic_shapes=(several, several), strict=False)
        if recorded.range_constraints:
            return recorded
    return torch.export.export(module, (clip, torch.tensor([-1])), strict=False)


def _explanations(model: ActionModel, methods: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Describe each explanation beside its values, for readers of the graph. Raises ModelError."""
    found: dict[str, dict[str, Any]] = {}
    for each in answer_noise(Engine(model), tuple(MethodCall(method) for method in methods)).explained:
        result = each.result
        if not isinstance(result, SaliencyVolume | RelevanceMatrix):
            reason = result.message if isinstance(result, RequestError) else "is not a map or a matrix"
            raise ModelError(f"with: {each.method}: {reason}")
        found[each.method] = {
            "parameters": dict(each.parameters),
            "layer": result.layer if isinstance(result, SaliencyVolume) else "",
            "frame_positions": result.frame_positions,
        }
    return found


def _description(model: ActionModel, methods: Sequence[str]) -> model_pb2.Model:
    """The model as the graph serves it: with these methods alone, and nothing about them to choose."""
    message = describe(model)
    for support in message.methods:
        del support.parameters[:]
        if support.supported and support.method not in methods:
            support.supported = False
            kind = "export the model again with it" if support.method in EXPLANATIONS else "serve the model itself"
            support.reason = f"the exported graph does not hold it; {kind}"
    return message


def main(arguments: list[str] | None = None) -> int:
    """Command line: the outputs' names as JSON and 0, or 1 with the reason on standard error."""
    parser = argparse.ArgumentParser(prog="python -m handlers.exporting", description=__doc__)
    parser.add_argument("folder", type=Path, help="the model's folder")
    parser.add_argument("--with", dest="methods", default="", help=f"comma-separated: {', '.join(EXPLANATIONS)}")
    parser.add_argument("--output", type=Path, required=True, help="the .onnx file to write")
    parser.add_argument("--trust-code", action="store_true", help="run the code of a network that brings its own")
    options = parser.parse_args(arguments)
    methods = [method for method in options.methods.split(",") if method]
    try:
        names = export(options.folder, methods, options.output, trust_code=options.trust_code)
    except ModelError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps({"outputs": names}))
    return 0
