"""TSN and multi-scale TRN of Play Fair (Price and Damen, 2020), from the files that its repository publishes.

A network is in several files: a backbone that makes 256 features of every frame, and heads on features, of the TRN one
for every number of frames. They lie in one directory, as the repository's download script leaves it.
"""

from __future__ import annotations

import re
from pathlib import Path

from torch import Tensor, nn

from handlers.errors import ModelError
from handlers.models.blocks.consensus import AverageConsensus, RelationalConsensus
from handlers.models.blocks.frame_network import BACKBONES, FrameNetwork
from handlers.models.family import Checkpoint, Family, Small
from handlers.tensor_files.weights import read_weights

_SCALES = 8
"""n_max of the paper; heads of more frames are published too."""
_TRN, _TSN = BACKBONES["bninception"], BACKBONES["resnet50"]
_LAYERS = {"1": "first", "3": "last"}  # 0 is dropout, 2 the rectifier
_PART = re.compile(r"(last_linear|classifier|[13])\.(weight|bias)")


def _mtrn(classes: int, scales: int = _SCALES, width: int = 256, hidden: int = 256, divisor: int = 1) -> FrameNetwork:
    """scales: n_max. width: features of a frame. hidden: units of every head. divisor: of the backbone's widths."""
    return FrameNetwork(_TRN.build(divisor), RelationalConsensus(width, hidden, classes, scales), width)


def _tsn(classes: int, width: int = 256, divisor: int = 1) -> FrameNetwork:
    """Arguments as of `_mtrn`. The mean goes before the classifier, which is the same."""
    return FrameNetwork(_TSN.build(divisor), AverageConsensus(nn.Linear(width, classes)), width, rectified=True)


def _read_mtrn(path: Path) -> Checkpoint:
    """A directory with backbones/trn.pth and features/trn_1_frames.pth and so on, or a file with all of it.

    Raises ModelError naming the file that is missing, also where only one of them is given.
    """
    names = [f"features/trn_{frames}_frames.pth" for frames in range(1, _SCALES + 1)]
    if not path.is_dir():
        return _whole(path, "backbones/trn.pth", f"{names[0]} to {names[-1]}")
    state = _backbone(path / "backbones/trn.pth")
    scales = max((index for index, name in enumerate(names, start=1) if (path / name).exists()), default=1)
    for index, file in enumerate(names[:scales]):
        for name, tensor in read_weights(path / file).items():
            number, _, kind = name.partition(".")
            state[f"consensus.relations.{index}.{_LAYERS.get(number, number)}.{kind}"] = tensor
    arguments = {"scales": scales} | _sizes(state, hidden="consensus.relations.0.first.weight")
    note = f"relations of 1 to {scales} frames, the mean over every subsequence of each length, then over the lengths"
    return Checkpoint(state, arguments, notes=(note,))


def _read_tsn(path: Path) -> Checkpoint:
    """A directory with backbones/tsn.pth and features/tsn.pth; else as `_read_mtrn`."""
    if not path.is_dir():
        return _whole(path, "backbones/tsn.pth", "features/tsn.pth")
    state = _backbone(path / "backbones/tsn.pth")
    state |= {f"consensus.{name}": tensor for name, tensor in read_weights(path / "features/tsn.pth").items()}
    return Checkpoint(state, _sizes(state))


def _whole(path: Path, backbone: str, heads: str) -> Checkpoint:
    """A network in one file, as the model store has it."""
    state = read_weights(path)
    part = next((name for name in state if _PART.fullmatch(name)), None)
    if part is None:
        return Checkpoint(state)
    raise ModelError(
        f"weights: {path} has {part} {list(state[part].shape)}: it is the backbone or a head alone, and a head reads "
        f"the backbone's features; give the directory that has both, {backbone} and {heads}"
    )


def _backbone(path: Path) -> dict[str, Tensor]:
    """Its last layer makes the features."""
    found = {f"base_model.{name}": tensor for name, tensor in read_weights(path).items()}
    return {name.replace("base_model.last_linear.", "new_fc."): tensor for name, tensor in found.items()}


def _sizes(state: dict[str, Tensor], **rows: str) -> dict[str, int]:
    """Arguments that count the rows of a tensor; those of which there is none are as published."""
    named = {"width": "new_fc.weight", **rows}
    return {argument: state[name].shape[0] for argument, name in named.items() if name in state}


FAMILIES = (
    Family(
        "play-fair-mtrn",
        "bninception on every frame, then relations of 1 to 8 frames (Play Fair); clips of any length",
        _mtrn,
        layer=f"base_model.{_TRN.layer}",
        most_frames=64,
        input=_TRN.input,
        read=_read_mtrn,
        small=Small({"scales": 3, "width": 6, "hidden": 5, "divisor": 16}),
    ),
    Family(
        "play-fair-tsn",
        "resnet50 on every frame, 256 features, the mean of the frames' logits (Play Fair); clips of any length",
        _tsn,
        layer=f"base_model.{_TSN.layer}",
        most_frames=64,
        input=_TSN.input,
        read=_read_tsn,
        small=Small({"width": 6, "divisor": 16}),
    ),
)
