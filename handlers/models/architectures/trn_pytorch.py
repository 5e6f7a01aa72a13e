"""Temporal relation networks (Zhou et al., 2018) of TRN-pytorch: of one scale, and multi-scale."""

from __future__ import annotations

import math
import re
from functools import partial

from torch import Tensor, nn

from actionlens.card import Input
from handlers.models.blocks.consensus import RelationalConsensus
from handlers.models.blocks.frame_network import BACKBONES, Backbone, FrameNetwork
from handlers.models.family import Checkpoint, Family, Small

_DRAWN = 3
"""So many subsequences of every scale but the longest are drawn at random by the published code."""
_MOST = 64
"""Frames of the longest clip."""
_FEATURES = r"(^|\.)new_fc\.weight$"
_ALL_FRAMES = (
    r"(^|\.)consensus\.classifier\.1\.weight$",
    r"(^|\.)consensus\.(fc_fusion_scales\.0\.1|relations\.0\.first)\.weight$",
)
_RENAMED = (
    (r"^consensus\.fc_fusion_scales\.(\d+)\.1\.", r"consensus.relations.\1.first."),
    (r"^consensus\.fc_fusion_scales\.(\d+)\.3\.", r"consensus.relations.\1.last."),
)


class OneRelation(nn.Module):
    """Logits of all frames at once, in their order; `classifier` has the published names.

    segments: frames. width: D of one frame. hidden: units.
    """

    def __init__(self, segments: int, width: int, hidden: int, classes: int) -> None:
        super().__init__()
        # The first rectifier acts on single frames: see FrameNetwork.
        self.classifier = nn.Sequential(
            nn.Identity(), nn.Linear(segments * width, hidden), nn.ReLU(), nn.Linear(hidden, classes)
        )

    def forward(self, features: Tensor) -> Tensor:
        """[B, segments, D] to [B, K]."""
        logits: Tensor = self.classifier(features.flatten(1))
        return logits


def _trn(
    classes: int, backbone: str, segments: int = 8, width: int = 256, hidden: int = 512, divisor: int = 1
) -> FrameNetwork:
    """segments: frames of every clip. width: features of a frame. divisor: of the backbone's widths."""
    consensus = OneRelation(segments, width, hidden, classes)
    return FrameNetwork(BACKBONES[backbone].build(divisor), consensus, width, rectified=True)


def _multi_scale(
    classes: int, backbone: str, segments: int = 8, width: int = 256, hidden: int = 256, divisor: int = 1
) -> FrameNetwork:
    """Arguments as of `_trn`; a scale counts as often as the published code draws subsequences of it, so that the
    logits are the expected ones of the published network, which sums what it drew."""
    votes = [min(_DRAWN, math.comb(segments, scale)) for scale in range(2, segments + 1)]
    consensus = RelationalConsensus(width, hidden, classes, segments, fewest=2, votes=votes, longest_first=True)
    return FrameNetwork(BACKBONES[backbone].build(divisor), consensus, width, rectified=True)


def _reported(state: dict[str, Tensor], shown: Input, multi: bool) -> Checkpoint:
    """Arguments by the shapes of the layers that make features and that read those of all frames."""
    sizes = {
        layer: tensor.shape
        for name, tensor in state.items()
        for layer in (_FEATURES, _ALL_FRAMES[multi])
        if re.search(layer, name) and tensor.dim() == 2
    }
    if len(sizes) < 2:
        return Checkpoint(state)
    width, (hidden, inputs) = sizes[_FEATURES][0], sizes[_ALL_FRAMES[multi]]
    if not width or inputs % width or inputs > _MOST * width:
        return Checkpoint(state)
    segments = inputs // width
    note = (
        f"relations of 2 to {segments} frames look at every subsequence; the published code draws {_DRAWN} of each "
        "length at random and sums what they say, and these logits are what that sum is expected to be"
    )
    arguments = {"segments": segments, "width": width, "hidden": hidden}
    frames = shown.model_copy(update={"frames": segments})
    return Checkpoint(state, arguments, frames, notes=(note,) if multi else ())


def _families(name: str, backbone: Backbone) -> tuple[Family, Family]:
    layer = f"base_model.{backbone.layer}"
    small = Small({"divisor": 16, "segments": 4, "width": 6, "hidden": 5}, size=backbone.smallest)
    one = Family(
        f"trn-{name}",
        f"{name} on every frame, then one relation of all frames in order (TRN-pytorch, TRN)",
        partial(_trn, backbone=name),
        layer=layer,
        input=backbone.input,
        reported=partial(_reported, shown=backbone.input, multi=False),
        small=small,
    )
    multi = Family(
        f"mtrn-{name}",
        f"{name} on every frame, then relations of 2 to n frames (TRN-pytorch, TRNmultiscale); clips of any length",
        partial(_multi_scale, backbone=name),
        layer=layer,
        most_frames=_MOST,
        input=backbone.input,
        renamed=_RENAMED,
        reported=partial(_reported, shown=backbone.input, multi=True),
        small=small,
    )
    return one, multi


FAMILIES = tuple(family for name, backbone in BACKBONES.items() for family in _families(name, backbone))
