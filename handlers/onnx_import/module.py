"""The module that a card of the family `onnx` stands for."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from actionlens.card import ModelCard
from handlers.errors import ModelError
from handlers.onnx_import.convert import convert
from handlers.onnx_import.file import OnnxFile, read_onnx
from handlers.onnx_import.node_context import Unconverted
from handlers.onnx_import.opaque_runtime import OnnxRuntime

_BATCHES = (2, 3)


def network(path: Path, card: ModelCard) -> nn.Module:
    """The file's network, in evaluation mode: as torch modules where every operator converts, else in onnxruntime.

    Argument `convert: false` of the card: in onnxruntime all the same. Raises ModelError for a file that does not fit
    the card.
    """
    unknown = set(card.arguments) - {"convert"}
    if unknown:
        raise ModelError(f"arguments: {', '.join(sorted(unknown))}: onnx takes convert alone")
    file, size = read_onnx(path), (card.input.frames, card.input.height, card.input.width)
    for name, fixed, given in zip(("frames", "height", "width"), file.size, size, strict=True):
        if fixed not in (None, given):
            raise ModelError(f"input.{name}: {given}, but {path.name} takes {fixed}")
    if card.arguments.get("convert", True) is False:
        return OnnxRuntime(file, "the card says convert: false").eval()
    try:
        return convert(file, size).eval()
    except Unconverted as error:
        return OnnxRuntime(file, str(error)).eval()


def checked(file: OnnxFile, module: nn.Module, size: tuple[int, int, int]) -> int:
    """How many classes the network tells apart, by running it beside onnxruntime on noise, two clips and three.

    Raises ModelError when its output is not [batch, classes], or the converted network answers otherwise.
    """
    reference = OnnxRuntime(file, "")
    generator = torch.Generator().manual_seed(0)
    classes = 0
    for batch in _BATCHES:
        clips = torch.randn((batch, 3, *size), generator=generator)
        try:
            expected: Tensor = reference(clips)
        except RuntimeError as error:
            raise ModelError(f"{file.path}: does not run on {list(clips.shape)}: {error}") from error
        if expected.dim() != 2 or len(expected) != batch or expected.shape[1] < 2:
            raise ModelError(
                f"{file.path}: output {file.output!r} of {batch} clips is {list(expected.shape)}; logits are "
                "[batch, classes]"
            )
        classes = expected.shape[1]
        with torch.no_grad():
            found: Tensor = module(clips)
        apart = float((found - expected).abs().max()) / max(1.0, float(expected.abs().max()))
        if not apart <= 1e-3:
            raise ModelError(
                f"{file.path}: converted to torch, it answers otherwise than in onnxruntime (by {apart:.2g}); "
                "import it with a card that has arguments: {convert: false}, and report the file"
            )
    return classes
