"""S3D: torchvision's layout and size, and its rows."""

from __future__ import annotations

import pytest
import torch

from handlers.models.architectures.s3d import S3D
from tests.handlers.models.architectures import checks


def test_published_size() -> None:
    assert checks.parameters("s3d") == 8_320_048


def test_names_and_shapes_of_the_public_layout() -> None:
    expected = {
        "features.0.0.0.weight": (64, 3, 1, 7, 7),
        "features.0.0.1.running_mean": (64,),
        "features.0.1.0.weight": (64, 64, 7, 1, 1),
        "features.2.0.weight": (64, 64, 1, 1, 1),
        "features.3.1.0.weight": (192, 192, 3, 1, 1),
        "features.5.branch0.0.weight": (64, 192, 1, 1, 1),
        "features.5.branch1.0.0.weight": (96, 192, 1, 1, 1),
        "features.5.branch1.1.0.0.weight": (128, 96, 1, 3, 3),
        "features.12.branch2.1.1.1.bias": (128,),
        "features.15.branch3.1.0.weight": (128, 832, 1, 1, 1),
        "classifier.1.weight": (400, 1024, 1, 1, 1),
        "classifier.1.bias": (400,),
    }
    found = checks.shapes("s3d")
    assert {key: found.get(key) for key in expected} == expected


@pytest.mark.parametrize("temporal_pooling", [True, False])
def test_the_program_computes_the_module_and_its_rows(temporal_pooling: bool) -> None:
    torch.manual_seed(0)
    network = checks.seeded(S3D(3, temporal_pooling, divisor=16))
    checks.check_program(network, checks.clip(17, 32), "features")
    checks.check_rows(network, checks.clip(17, 32))


@pytest.mark.parametrize(("temporal_pooling", "frame"), [(True, 6), (True, 17), (False, 12)])
def test_evidence_in_one_frame_is_found_in_its_row(temporal_pooling: bool, frame: int) -> None:
    checks.check_evidence(S3D(2, temporal_pooling, divisor=16), 24, 32, "features", frame)
