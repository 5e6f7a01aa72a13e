"""C3D: the ports' layout, its size, and that its head has no logits per frame."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from handlers.models import family
from handlers.models.architectures.c3d import C3D
from tests.handlers.models.architectures import checks

SMALL = {"widths": (4, 4, 6, 6), "hidden": 8, "size": 32}


def test_published_size() -> None:
    assert checks.parameters("c3d", 101) == 78_409_573


def test_names_and_shapes_of_the_public_layout() -> None:
    expected = {
        "conv1.weight": (64, 3, 3, 3, 3),
        "conv2.weight": (128, 64, 3, 3, 3),
        "conv3a.weight": (256, 128, 3, 3, 3),
        "conv3b.bias": (256,),
        "conv4b.weight": (512, 512, 3, 3, 3),
        "conv5b.weight": (512, 512, 3, 3, 3),
        "fc6.weight": (4096, 8192),
        "fc7.weight": (4096, 4096),
        "fc8.weight": (487, 4096),
    }
    found = checks.shapes("c3d", 487)
    assert {key: found.get(key) for key in expected} == expected
    assert len(found) == 22


def test_the_numbered_names_of_the_ported_weights_become_ours() -> None:
    names = ("conv1", "conv2", "conv3a", "conv3b", "conv4a", "conv4b", "conv5a", "conv5b", "fc6", "fc7", "fc8")
    numbered = [f"features.{number}" for number in (0, 3, 6, 8, 11, 13, 16, 18)]
    numbered += [f"classifier.{number}" for number in (0, 3, 6)]
    given = {f"{layer}.{kind}": torch.tensor(0) for layer in numbered for kind in ("weight", "bias")}
    assert list(family("c3d").named(given)) == [f"{name}.{kind}" for name in names for kind in ("weight", "bias")]


def test_it_computes_the_layers_in_the_papers_order() -> None:
    torch.manual_seed(0)
    network = C3D(3, **SMALL).double().eval()
    x = checks.clip(16, 32)
    y = x
    pools = {"1": (1, 2, 2), "2": 2, "3b": 2, "4b": 2}
    for name in ("1", "2", "3a", "3b", "4a", "4b", "5a", "5b"):
        layer = network.get_submodule(f"conv{name}")
        y = nn.functional.conv3d(y, layer.weight, layer.bias, padding=1).relu()
        if name in pools:
            y = nn.functional.max_pool3d(y, pools[name])
    y = nn.functional.max_pool3d(y, 2, padding=(0, 1, 1)).flatten(1)
    expected = network.fc8(network.fc7(network.fc6(y).relu()).relu())
    torch.testing.assert_close(network(x), expected, rtol=1e-12, atol=1e-12)


def test_relevance_is_propagated_and_frames_have_no_logits() -> None:
    torch.manual_seed(0)
    program = checks.check_program(C3D(3, **SMALL).double().eval(), checks.clip(16, 32, batch=2), "relu5b")
    assert not program.no_relevance
    assert "the head is not linear" in program.head().reason


def test_clips_too_small_for_five_poolings_are_named() -> None:
    with pytest.raises(ValueError, match=r"^frames, size: 8 and 112"):
        C3D(2, frames=8)
