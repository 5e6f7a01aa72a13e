"""I3D-Inception: the port's layout, its padding and its stride options."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from actionlens.card import ColorOrder
from handlers.importing.recognition import fit
from handlers.models import family
from handlers.models.architectures.i3d_inception import I3DInception
from handlers.relevance import SamePad
from tests.handlers.models.architectures import checks


def test_published_size() -> None:
    """12.3 million of the paper's 400 classes, and the batch norms' scales, which the paper's have not."""
    assert checks.parameters("i3d-inception") == 12_697_264


def test_names_and_shapes_of_the_public_layout() -> None:
    expected = {
        "Conv3d_1a_7x7.conv3d.weight": (64, 3, 7, 7, 7),
        "Conv3d_1a_7x7.bn.running_var": (64,),
        "Conv3d_2b_1x1.conv3d.weight": (64, 64, 1, 1, 1),
        "Conv3d_2c_3x3.conv3d.weight": (192, 64, 3, 3, 3),
        "Mixed_3b.b0.conv3d.weight": (64, 192, 1, 1, 1),
        "Mixed_4b.b1b.conv3d.weight": (208, 96, 3, 3, 3),
        "Mixed_4f.b2a.bn.bias": (32,),
        "Mixed_5c.b3b.conv3d.weight": (128, 832, 1, 1, 1),
        "logits.conv3d.weight": (400, 1024, 1, 1, 1),
        "logits.conv3d.bias": (400,),
    }
    found = checks.shapes("i3d-inception")
    assert {key: found.get(key) for key in expected} == expected
    assert len(found) == (3 + 9 * 6) * 6 + 2


@pytest.mark.parametrize("extent", [6, 7, 8, 9])
@pytest.mark.parametrize(("size", "stride"), [(7, 2), (3, 2), (2, 2), (3, 1), (1, 1), (1, 2)])
def test_padding_keeps_one_output_per_stride_and_puts_the_odd_zero_behind(extent: int, size: int, stride: int) -> None:
    pad = SamePad((1, 1, size), (1, 1, stride))
    x = torch.ones(1, 1, 1, 1, extent)
    padded = pad(x)
    assert nn.functional.max_pool3d(padded, (1, 1, size), (1, 1, stride)).shape[-1] == -(-extent // stride)
    front, back = pad.amounts(x.shape)[:2]
    assert back - front in (0, 1)


@pytest.mark.parametrize(("time_stride", "steps"), [(8, 3), (2, 9), (1, 17)])
def test_strides_change_the_time_steps_and_no_weight(time_stride: int, steps: int) -> None:
    torch.manual_seed(0)
    network = checks.seeded(I3DInception(3, time_stride, divisor=16))
    network.load_state_dict(I3DInception(3, divisor=16).state_dict())
    program = checks.check_program(network, checks.clip(17, 40), "Mixed_5c")
    assert program.forward(checks.clip(17, 40), keep=["Mixed_5c"]).activation("Mixed_5c").shape[2] == steps


@pytest.mark.parametrize("time_stride", [8, 1])
def test_rows(time_stride: int) -> None:
    torch.manual_seed(0)
    checks.check_rows(checks.seeded(I3DInception(3, time_stride, divisor=16)), checks.clip(11, 24))


@pytest.mark.parametrize(("time_stride", "frame"), [(8, 5), (8, 20), (2, 11), (1, 3)])
def test_evidence_in_one_frame_is_found_in_its_row(time_stride: int, frame: int) -> None:
    checks.check_evidence(I3DInception(2, time_stride, divisor=16), 24, 24, "Mixed_5c", frame)


def test_a_checkpoint_of_optical_flow_is_known_by_its_first_layer() -> None:
    found = checks.shapes("i3d-inception", channels=2)
    assert found["Conv3d_1a_7x7.conv3d.weight"] == (64, 2, 7, 7, 7)
    state = {f"net.{name}": torch.empty(shape, device="meta") for name, shape in found.items()}
    entry = family("i3d-inception")
    assert entry.reported is not None
    reported = entry.reported(state)
    assert reported.arguments == {"channels": 2}
    assert reported.input is not None
    assert reported.input.color is ColorOrder.FLOW
    fitted = fit(entry.with_arguments(reported.arguments), reported.state)
    assert (fitted.classes, fitted.notes) == (400, ("prefix 'net.' taken off",))
    rgb = {name: torch.empty(shape, device="meta") for name, shape in checks.shapes("i3d-inception").items()}
    assert entry.reported(rgb).input is None
