"""TSN (Wang et al., 2016), as tsn-pytorch, TRN-pytorch and TSM's repository name its parameters."""

from __future__ import annotations

from functools import partial

from torch import nn

from handlers.models.blocks.consensus import AverageConsensus
from handlers.models.blocks.frame_network import BACKBONES, FrameNetwork
from handlers.models.family import Family, Small


def _tsn(classes: int, backbone: str, divisor: int = 1) -> FrameNetwork:
    """The mean of what a 2-D network says about single frames. divisor: of all widths."""
    base = BACKBONES[backbone].build(divisor)
    return FrameNetwork(base, AverageConsensus(nn.Linear(base.outputs, classes)))


FAMILIES = tuple(
    Family(
        f"tsn-{name}",
        f"{name} on every frame, the mean of the frames' logits (tsn-pytorch); clips of any length",
        partial(_tsn, backbone=name),
        layer=f"base_model.{backbone.layer}",
        most_frames=64,
        input=backbone.input,
        renamed=((r"^new_fc\.", "consensus.classifier."),),
        small=Small({"divisor": 16}, size=backbone.smallest),
    )
    for name, backbone in BACKBONES.items()
)
