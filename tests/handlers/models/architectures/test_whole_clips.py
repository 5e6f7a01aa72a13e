"""Networks of whole clips compute what their repositories compute with the same tensors."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from handlers.models import family
from tests.handlers.models.architectures import checks, volumes

AVERAGED = partial(F.avg_pool3d, kernel_size=(3, 1, 1), stride=(2, 1, 1), padding=(1, 0, 0))
LARGEST = partial(F.max_pool3d, kernel_size=(3, 1, 1), stride=(2, 1, 1), padding=(1, 0, 0))
RESNET = partial(volumes.frame_resnet, head="fc")


def tsm(state: volumes.State, x: Tensor) -> Tensor:
    """The backbone's names without their prefix, as TSM's repository has them in its `base_model`."""
    return volumes.frame_resnet({key.removeprefix("base_model."): value for key, value in state.items()}, x, "new_fc")


@pytest.mark.parametrize(
    ("name", "arguments", "expected", "frames", "size"),
    [
        ("r3d-18", {"widths": [4, 4, 5, 6]}, volumes.video_resnet, 9, 24),
        ("mc3-18", {"widths": [4, 4, 5, 6]}, volumes.video_resnet, 5, 24),
        ("r2plus1d-18", {"widths": [4, 4, 5, 6]}, volumes.video_resnet, 9, 24),
        ("s3d", {"divisor": 16}, volumes.s3d, 17, 40),
        ("i3d-inception", {"divisor": 16}, volumes.i3d, 19, 37),
        ("i3d-inception", {"divisor": 16}, volumes.i3d, 16, 32),
        ("i3d-resnet18", {"widths": [4, 4, 5, 6]}, RESNET, 5, 33),
        ("i3d-resnet50", {"widths": [4, 4, 4, 4], "temporal_pooling": True}, partial(RESNET, step=2), 9, 24),
        ("tam-resnet18", {"widths": [4, 4, 5, 6]}, RESNET, 5, 24),
        ("tam-resnet50", {"widths": [4, 4, 4, 4], "kernel": 5, "depthwise": False}, RESNET, 4, 24),
        (
            "tam-resnet18",
            {"widths": [4] * 4, "kernel": 7, "temporal_pooling": "max"},
            partial(RESNET, pooled=LARGEST),
            9,
            24,
        ),
        (
            "tam-resnet18",
            {"widths": [4] * 4, "temporal_pooling": "average"},
            partial(RESNET, pooled=AVERAGED),
            9,
            24,
        ),
        ("tsm-resnet18", {"widths": [8, 8, 16, 16]}, tsm, 5, 24),
        ("tsm-resnet50", {"widths": [8, 8, 8, 8]}, tsm, 4, 24),
    ],
)
def test_logits_are_those_of_the_repository(
    name: str, arguments: dict[str, Any], expected: Any, frames: int, size: int
) -> None:
    torch.manual_seed(0)
    network = checks.seeded(family(name).build(classes=3, **arguments))
    x = checks.clip(frames, size, batch=2)
    with torch.no_grad():
        torch.testing.assert_close(network(x), expected(network.state_dict(), x), rtol=1e-9, atol=1e-9)
