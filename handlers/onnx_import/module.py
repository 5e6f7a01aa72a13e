"""The module that a card of the family `onnx` stands for."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from actionlens.card import ModelCard
from handlers.errors import ModelError
from handlers.onnx_import.convert import convert
from handlers.onnx_import.file import OnnxFile, read_onnx
from handlers.onnx_import.logits import LogitsFile, with_logits
from handlers.onnx_import.node_context import Unconverted
from handlers.onnx_import.opaque_runtime import OnnxRuntime

_BATCHES = (2, 3)
_SINGLE, _HALF = 1e-3, 3e-2
"""By how much, of the largest score, a converted network may differ from onnxruntime, which computes in the file's own
precision."""


def network(path: Path, card: ModelCard) -> nn.Module:
    """The file's network, in evaluation mode: as torch modules where every operator converts, else in onnxruntime.

    Argument `convert: false` of the card: in onnxruntime all the same. Raises ModelError for a file that does not fit
    the card. What the file says at its end may be probabilities (`with_logits`); the network gives logits.
    """
    unknown = set(card.arguments) - {"convert"}
    if unknown:
        raise ModelError(f"arguments: {', '.join(sorted(unknown))}: onnx takes convert alone")
    found = fitting(read_onnx(path), card)
    module = made(found.file, card)
    module.__dict__["scores"] = found.scores  # for cards that do not say
    return module


def fitting(file: OnnxFile, card: ModelCard) -> LogitsFile:
    """The file for clips of the card's size, ending in logits. Raises ModelError where it takes others."""
    size = (card.input.frames, card.input.height, card.input.width)
    for name, fixed, given in zip(("frames", "height", "width"), file.size, size, strict=True):
        if fixed not in (None, given):
            raise ModelError(f"input.{name}: {given}, but {file.path.name} takes {fixed}")
    return with_logits(file, size, card.scores)


def made(file: OnnxFile, card: ModelCard) -> nn.Module:
    """The module of a file that ends in logits."""
    size = (card.input.frames, card.input.height, card.input.width)
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
        if not apart <= (_HALF if file.half else _SINGLE):
            raise ModelError(
                f"{file.path}: converted to torch, it answers otherwise than in onnxruntime (by {apart:.2g}); "
                "import it with a card that has arguments: {convert: false}, and report the file"
            )
    return classes
