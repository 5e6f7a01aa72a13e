"""R3D-18, MC3-18 and R(2+1)D-18: torchvision's layout, sizes and outputs."""

from __future__ import annotations

import pytest
import torch

from handlers.models.architectures.video_resnet import Kind, VideoResNet
from tests.handlers.models.architectures import checks

SMALL = (4, 4, 5, 6)


@pytest.mark.parametrize(
    ("name", "count"), [("r3d-18", 33_371_472), ("mc3-18", 11_695_440), ("r2plus1d-18", 31_505_325)]
)
def test_published_sizes(name: str, count: int) -> None:
    assert checks.parameters(name) == count


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("r3d-18", {"stem.0.weight": (64, 3, 3, 7, 7), "layer2.0.conv1.0.weight": (128, 64, 3, 3, 3)}),
        (
            "mc3-18",
            {
                "layer1.1.conv2.0.weight": (64, 64, 3, 3, 3),
                "layer2.0.conv1.0.weight": (128, 64, 1, 3, 3),
                "layer4.0.downsample.0.weight": (512, 256, 1, 1, 1),
            },
        ),
        (
            "r2plus1d-18",
            {
                "stem.0.weight": (45, 3, 1, 7, 7),
                "stem.3.weight": (64, 45, 3, 1, 1),
                "stem.4.running_var": (64,),
                "layer1.0.conv1.0.0.weight": (144, 64, 1, 3, 3),
                "layer1.0.conv1.0.1.weight": (144,),
                "layer1.0.conv1.0.3.weight": (64, 144, 3, 1, 1),
                "layer1.0.conv1.1.bias": (64,),
                "layer2.0.conv1.0.0.weight": (230, 64, 1, 3, 3),
                "layer2.0.conv2.0.0.weight": (230, 128, 1, 3, 3),
                "layer2.0.downsample.1.running_mean": (128,),
                "fc.weight": (400, 512),
            },
        ),
    ],
)
def test_names_and_shapes_of_the_public_layout(name: str, expected: dict[str, tuple[int, ...]]) -> None:
    found = checks.shapes(name)
    assert {key: found.get(key) for key in expected} == expected
    # Per convolution with batch norm 6 tensors, and the head's 2.
    assert len(found) == {"r3d-18": 20, "mc3-18": 20, "r2plus1d-18": 37}[name] * 6 + 2


@pytest.mark.parametrize("kind", ["r3d", "mc3", "r2plus1d"])
def test_the_program_computes_the_module_and_its_rows(kind: Kind) -> None:
    torch.manual_seed(0)
    network = checks.seeded(VideoResNet(3, kind, SMALL))
    checks.check_program(network, checks.clip(5, 16, batch=2), "layer4")
    checks.check_rows(network, checks.clip(9, 8))


@pytest.mark.parametrize("kind", ["r3d", "mc3", "r2plus1d"])
@pytest.mark.parametrize("frame", [3, 12])
def test_evidence_in_one_frame_is_found_in_its_row(kind: Kind, frame: int) -> None:
    checks.check_evidence(VideoResNet(2, kind, SMALL), 16, 16, "layer4", frame)
