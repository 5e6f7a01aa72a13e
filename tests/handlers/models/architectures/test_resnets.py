"""I3D-ResNet, TAM2D-ResNet and TSM: their repositories' layouts and what they compute."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from handlers.importing.recognition import fit, looks_like
from handlers.models import family
from handlers.models.architectures.i3d_resnet import I3DResNet
from handlers.models.architectures.tam_resnet import TAMResNet, TemporalAggregation
from handlers.models.architectures.tsm import TSM, TemporalShift
from handlers.models.blocks.frame_conv import FrameConv2d
from tests.handlers.models.architectures import checks

SMALL = (8, 8, 8, 8)
ARGUMENTS = {"depth": 18, "widths": SMALL}

# ResNet-18 / 50 / 101 of single pictures for 1000 classes: 11,689,512 / 25,557,032 / 44,549,160.
TWO_D = {18: 11_689_512 - 513 * 1000, 50: 25_557_032 - 2049 * 1000, 101: 44_549_160 - 2049 * 1000}


def inputs_of_blocks(depth: int) -> int:
    counts, top = ((2, 2, 2, 2), 1) if depth == 18 else ((3, 4, 6, 3), 4)
    total, before = 0, 64
    for width, count in zip((64, 128, 256, 512), counts, strict=True):
        total += before + (count - 1) * width * top
        before = width * top
    return total


@pytest.mark.parametrize("depth", [18, 50, 101])
def test_a_shift_costs_no_parameter(depth: int) -> None:
    width = 512 if depth == 18 else 2048
    assert checks.parameters(f"tsm-resnet{depth}", 174) == TWO_D[depth] + (width + 1) * 174


@pytest.mark.parametrize("depth", [18, 50])
@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_aggregation_adds_one_weight_per_channel_and_neighbour(depth: int, kernel: int) -> None:
    width = 512 if depth == 18 else 2048
    found = checks.parameters(f"tam-resnet{depth}", 174, kernel=kernel)
    assert found == TWO_D[depth] + (width + 1) * 174 + kernel * inputs_of_blocks(depth)


@pytest.mark.parametrize("depth", [18, 50, 101])
def test_inflation_triples_every_three_by_three(depth: int) -> None:
    flat = (
        checks.shapes(f"tam-resnet{18 if depth == 18 else 50}", 174) if depth != 101 else checks.shapes("tsm-resnet101")
    )
    found = checks.shapes(f"i3d-resnet{depth}", 174)
    for name, shape in found.items():
        if len(shape) == 5:
            two_d = flat.get(name) or flat.get(f"base_model.{name}") or flat[f"base_model.{name[:-6]}net.weight"]
            time = 3 if shape[-1] > 1 else 1
            assert shape == (*two_d[:2], time, *two_d[2:])


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        (
            "i3d-resnet50",
            {},
            {
                "conv1.weight": (64, 3, 3, 7, 7),
                "bn1.running_mean": (64,),
                "layer1.0.conv1.weight": (64, 64, 1, 1, 1),
                "layer1.0.conv2.weight": (64, 64, 3, 3, 3),
                "layer1.0.downsample.0.weight": (256, 64, 1, 1, 1),
                "layer4.2.bn3.weight": (2048,),
                "fc.weight": (400, 2048),
            },
        ),
        (
            "tam-resnet50",
            {"kernel": 3},
            {
                "conv1.weight": (64, 3, 7, 7),
                "layer1.0.tam.prev_se.fc1.weight": (64, 1, 1, 1),
                "layer2.0.tam.next_se.fc1.weight": (256, 1, 1, 1),
                "layer4.2.tam.curr_se.fc1.weight": (2048, 1, 1, 1),
                "layer3.0.downsample.0.weight": (1024, 512, 1, 1),
                "fc.bias": (400,),
            },
        ),
        (
            "tam-resnet18",
            {"kernel": 7, "depthwise": False},
            {"layer2.1.tam.blending_layers.6.fc1.weight": (128, 128, 1, 1), "layer2.1.conv2.weight": (128, 128, 3, 3)},
        ),
        (
            "tsm-resnet50",
            {},
            {
                "base_model.conv1.weight": (64, 3, 7, 7),
                "base_model.layer1.0.conv1.net.weight": (64, 64, 1, 1),
                "base_model.layer3.5.conv1.net.weight": (256, 1024, 1, 1),
                "base_model.layer3.5.bn2.bias": (256,),
                "new_fc.weight": (400, 2048),
            },
        ),
        (
            "tsm-resnet101",
            {},
            {
                "base_model.layer3.2.conv1.net.weight": (256, 1024, 1, 1),
                "base_model.layer3.3.conv1.weight": (256, 1024, 1, 1),
            },
        ),
    ],
)
def test_names_and_shapes_of_the_public_layouts(
    name: str, arguments: dict[str, object], expected: dict[str, tuple[int, ...]]
) -> None:
    found = checks.shapes(name, **arguments)
    assert {key: found.get(key) for key in expected} == expected


@pytest.mark.parametrize("arguments", [{"kernel": 3}, {"kernel": 5}, {"kernel": 7, "depthwise": False}])
def test_a_checkpoint_tells_how_frames_are_mixed(arguments: dict[str, object]) -> None:
    entry = family("tam-resnet18")
    known = checks.shapes("tam-resnet18", 174, **arguments)
    state = {f"module.{name}": torch.empty(shape, device="meta") for name, shape in known.items()}
    assert entry.reported is not None
    reported = entry.reported(state)
    assert reported.arguments == {"depthwise": True} | arguments
    assert fit(entry.with_arguments(reported.arguments), reported.state).classes == 174
    assert looks_like(state) == (("tam-resnet18",), 1.0)


def test_frames_are_convolved_as_pictures() -> None:
    layer = FrameConv2d(3, 4, 3, stride=2, padding=1).double()
    x = checks.clip(5, 9, batch=2)
    pictures = torch.nn.functional.conv2d(x.transpose(1, 2).flatten(0, 1), layer.weight, layer.bias, 2, 1)
    torch.testing.assert_close(layer(x), pictures.unflatten(0, (2, 5)).transpose(1, 2), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_aggregation_weighs_and_shifts_frames(kernel: int) -> None:
    torch.manual_seed(0)
    layer = TemporalAggregation(4, kernel, depthwise=True).double()
    x = torch.randn(2, 4, 4, 3, 3, dtype=torch.float64)
    order = (layer.prev_se, layer.curr_se, layer.next_se) if kernel == 3 else layer.blending_layers
    expected = torch.zeros_like(x)
    for t in range(4):
        for place, blend in enumerate(order):
            source = t + place - kernel // 2
            if 0 <= source < 4:
                expected[:, :, t] += x[:, :, source] * blend.fc1.weight[:, 0, 0, 0].view(1, -1, 1, 1)
    torch.testing.assert_close(layer(x), expected.relu(), rtol=1e-12, atol=1e-12)


def test_a_shift_takes_channels_from_both_neighbours() -> None:
    layer = TemporalShift(FrameConv2d(8, 8, 1, bias=False), 4).double()
    layer.net.weight.data = torch.eye(8, dtype=torch.float64)[:, :, None, None]
    x = torch.arange(1.0, 5.0, dtype=torch.float64).view(1, 1, 4, 1, 1).expand(1, 8, 4, 1, 1)
    found: Tensor = layer(x)[0, :, :, 0, 0]
    assert found[:2].tolist() == [[2, 3, 4, 0]] * 2
    assert found[2:4].tolist() == [[0, 1, 2, 3]] * 2
    assert found[4:].tolist() == [[1, 2, 3, 4]] * 4


NETWORKS = [
    (I3DResNet, {}, "layer4"),
    (I3DResNet, {"temporal_pooling": True}, "layer4"),
    (TAMResNet, {"kernel": 3}, "layer4"),
    (TAMResNet, {"kernel": 5, "temporal_pooling": "max"}, "layer4"),
    (TAMResNet, {"kernel": 3, "depthwise": False, "temporal_pooling": "average"}, "layer4"),
    (TSM, {}, "base_model.layer4"),
]


@pytest.mark.parametrize(("build", "arguments", "layer"), NETWORKS)
def test_the_program_computes_the_module_and_its_rows(
    build: type[torch.nn.Module], arguments: dict[str, object], layer: str
) -> None:
    torch.manual_seed(0)
    network = checks.seeded(build(3, **ARGUMENTS, **arguments))
    program = checks.check_program(network, checks.clip(9, 16, batch=2), layer)
    assert not program.no_relevance
    checks.check_rows(network, checks.clip(9, 8))


@pytest.mark.parametrize(("build", "arguments", "layer"), NETWORKS)
@pytest.mark.parametrize("frame", [2, 8])
def test_evidence_in_one_frame_is_found_in_its_row(
    build: type[torch.nn.Module], arguments: dict[str, object], layer: str, frame: int
) -> None:
    checks.check_evidence(build(2, **ARGUMENTS, **arguments), 12, 16, layer, frame)


def test_a_bottleneck_computes_what_its_program_does() -> None:
    torch.manual_seed(0)
    network = checks.seeded(TSM(3, depth=50, widths=(8, 8, 8, 8)))
    checks.check_program(network, checks.clip(3, 16), "base_model.layer4")


@pytest.mark.parametrize(
    ("build", "arguments", "field"),
    [
        (I3DResNet, {"depth": 20}, "depth"),
        (TAMResNet, {"kernel": 4}, "kernel"),
        (TAMResNet, {"temporal_pooling": "sum"}, "temporal_pooling"),
        (TSM, {"divisor": 1}, "divisor"),
    ],
)
def test_arguments_that_do_not_exist_are_named(
    build: type[torch.nn.Module], arguments: dict[str, object], field: str
) -> None:
    with pytest.raises(ValueError, match=f"^{field}:"):
        build(2, **arguments)
