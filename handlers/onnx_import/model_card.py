"""Reads off an .onnx file what its model's card can say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from actionlens.card import ModelCard
from actionlens.documents import DocumentError, parse_json
from handlers.errors import ModelError
from handlers.labels import labels_of
from handlers.onnx_import.file import OnnxFile, read_onnx
from handlers.onnx_import.module import checked, fitting, made
from handlers.onnx_import.opaque_runtime import OnnxRuntime

_MEASURES = ("mean", "std", "color", "resize", "sampling", "stride", "shorter", "fps")
"""Fields of a card's input that the file's metadata may give, as JSON."""


def about(path: Path, labels: Sequence[str] | None) -> tuple[dict[str, Any], list[str]]:
    """The card of a file that has none, but for its name, and what is to be said about it.

    labels: as the user gives them; else the file's metadata ("labels", a JSON list), else numbers. Raises ModelError
    where the file leaves the clip's size open.
    """
    file = read_onnx(path)
    size = dict(zip(("frames", "height", "width"), file.size, strict=True))
    if open_ := [name for name, number in size.items() if number is None]:
        raise ModelError(
            f"input.{open_[0]}: {path.name} takes any; write a card that says which, and import that: "
            "actionlens models import CARD --weights FILE"
        )
    notes = list[str]()
    given = {name: _json(file, name) for name in _MEASURES if name in file.metadata}
    if not {"mean", "std"} & set(given):
        notes.append("no mean and std in the file's metadata: pixels are taken as 0 .. 1; if wrong, write a card")
    if labels is None and "labels" in file.metadata:
        found = labels_of(_json(file, "labels"), f"{path}, its metadata")
        labels, notes = found.names, [*notes, *found.notes]
    if labels is None:
        classes = _classes(file)
        labels = [str(number) for number in range(classes)]
        notes.append(f"no labels given: the {classes} classes are called by number; name them with --labels FILE")
    return {"architecture": "onnx", "labels": list(labels), "input": {**size, **given}}, notes


def settled(card: ModelCard, path: Path, labels_from: str = "") -> tuple[ModelCard, tuple[str, ...]]:
    """The card with the layer that Grad-CAM reads and what the file's scores are, and what came of converting the file,
    after comparing the two.

    labels_from: the file with them. Raises ModelError when the labels are not as many as the classes, or the
    conversion answers otherwise.
    """
    shown = card.of_network
    settled_file = fitting(read_onnx(path), shown)
    file, notes = settled_file.file, (*settled_file.file.notes, *settled_file.notes)
    module = made(file, shown)
    card = card.model_copy(update={"scores": settled_file.scores})
    size = (shown.input.frames, shown.input.height, shown.input.width)
    classes = checked(file, module, size)
    if len(card.labels) != classes:
        raise ModelError(
            f"labels: {labels_from and labels_from + ' has '}{len(card.labels)} labels, but {path.name} has {classes} "
            "classes"
        )
    if isinstance(module, OnnxRuntime):
        return card, (
            *notes,
            f"onnxruntime predicts; methods that need gradients cannot explain it: {module.reason}",
        )
    layer = card.layer or _last_map(module, size)
    return card.model_copy(update={"layer": layer}), (*notes, "every operator was converted to torch")


def _classes(file: OnnxFile) -> int:
    frames, height, width = (number or 0 for number in file.size)
    runtime = OnnxRuntime(file, "")
    return checked(file, runtime, (frames, height, width))


def _last_map(module: nn.Module, size: tuple[int, int, int]) -> str:
    """The last layer that puts out channels over time and more than one position; "" where there is none."""
    found = ""

    def look(name: str) -> Any:
        def hook(_: nn.Module, inputs: object, output: Tensor) -> None:
            nonlocal found
            if output.dim() == 5 and output.shape[3] * output.shape[4] > 1:
                found = name

        return hook

    hooks = [part.register_forward_hook(look(name)) for name, part in module.named_modules() if name]
    with torch.no_grad():
        module(torch.zeros(1, 3, *size))
    for hook in hooks:
        hook.remove()
    return found


def _json(file: OnnxFile, name: str) -> Any:
    try:
        return parse_json(file.metadata[name])
    except DocumentError as error:
        raise ModelError(f"{file.path}: its metadata {name!r} is not JSON: {error}") from error
