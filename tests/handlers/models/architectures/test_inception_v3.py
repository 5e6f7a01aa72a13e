"""TSN and TRN on InceptionV3: the port's names, what it computes, and the sizes of frames that it takes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from actionlens.card import read_card
from handlers.errors import ModelError
from handlers.importing.recognition import fit
from handlers.models import family
from handlers.relevance import Rules, relevance, trace
from tests.handlers import networks
from tests.handlers.models.architectures import checks, published
from tests.handlers.models.architectures.test_frame_layouts import (
    State,
    answered,
    doubled,
    imported,
    saved,
    shown,
    small,
    to_public,
)

SIDE = 299
SQUARE = "conv tower_conv tower_conv_1 tower_1_conv tower_1_conv_1 tower_1_conv_2 tower_2_conv"
LONG = (
    "conv tower_conv tower_conv_1 tower_conv_2 tower_1_conv tower_1_conv_1 tower_1_conv_2 tower_1_conv_3 "
    "tower_1_conv_4 tower_2_conv"
)
FANNED = (
    "conv tower_conv tower_mixed_conv tower_mixed_conv_1 tower_1_conv tower_1_conv_1 tower_1_mixed_conv "
    "tower_1_mixed_conv_1 tower_2_conv"
)
UNITS = {
    "mixed": SQUARE,
    "mixed_1": SQUARE,
    "mixed_2": SQUARE,
    "mixed_3": "conv tower_conv tower_conv_1 tower_conv_2",
    "mixed_4": LONG,
    "mixed_5": LONG,
    "mixed_6": LONG,
    "mixed_7": LONG,
    "mixed_8": "tower_conv tower_conv_1 tower_1_conv tower_1_conv_1 tower_1_conv_2 tower_1_conv_3",
    "mixed_9": FANNED,
    "mixed_10": FANNED,
}
NORMS = ("weight", "bias", "running_mean", "running_var")


def published_shapes(segments: int, classes: int) -> dict[str, tuple[int, ...]]:
    """By the names of TRN_moments_RGB_InceptionV3_TRNmultiscale_segment8_best.pth.tar."""
    found = checks.shapes("tsn-inceptionv3")
    units = [f"{module}_{unit}" for module, names in UNITS.items() for unit in names.split()]
    names = ["conv", "conv_1", "conv_2", "conv_3", "conv_4", *units]
    tensors = [f"base_model.{name}_Conv2D.{kind}" for name in names for kind in ("weight", "bias")]
    tensors += [f"base_model.{name}_batchnorm.{kind}" for name in names for kind in NORMS]
    shapes = {name: found[name] for name in tensors}
    shapes |= {"new_fc.weight": (256, 2048), "new_fc.bias": (256,)}
    for place, scale in enumerate(range(segments, 1, -1)):
        at = f"consensus.fc_fusion_scales.{place}"
        shapes |= {f"{at}.1.weight": (256, scale * 256), f"{at}.1.bias": (256,)}
        shapes |= {f"{at}.3.weight": (classes, 256), f"{at}.3.bias": (classes,)}
    return shapes


def zeros(shapes: dict[str, tuple[int, ...]]) -> State:
    return {name: torch.zeros(shape, device="meta") for name, shape in shapes.items()}


def test_shapes_of_the_port() -> None:
    expected = {
        "conv_Conv2D.weight": (32, 3, 3, 3),
        "conv_Conv2D.bias": (32,),
        "conv_batchnorm.running_mean": (32,),
        "conv_3_Conv2D.weight": (80, 64, 1, 1),
        "conv_4_Conv2D.weight": (192, 80, 3, 3),
        "mixed_tower_conv_1_Conv2D.weight": (64, 48, 5, 5),
        "mixed_tower_2_conv_Conv2D.weight": (32, 192, 1, 1),
        "mixed_1_conv_Conv2D.weight": (64, 256, 1, 1),
        "mixed_2_tower_1_conv_2_batchnorm.weight": (96,),
        "mixed_3_conv_Conv2D.weight": (384, 288, 3, 3),
        "mixed_4_tower_conv_1_Conv2D.weight": (128, 128, 7, 1),
        "mixed_4_tower_conv_2_Conv2D.weight": (192, 128, 1, 7),
        "mixed_5_tower_1_conv_1_Conv2D.weight": (160, 160, 1, 7),
        "mixed_7_tower_1_conv_4_Conv2D.weight": (192, 192, 7, 1),
        "mixed_8_tower_conv_1_Conv2D.weight": (320, 192, 3, 3),
        "mixed_8_tower_1_conv_1_Conv2D.weight": (192, 192, 7, 1),
        "mixed_9_tower_mixed_conv_Conv2D.weight": (384, 384, 3, 1),
        "mixed_9_tower_1_conv_Conv2D.weight": (448, 1280, 1, 1),
        "mixed_10_tower_1_mixed_conv_1_Conv2D.weight": (384, 384, 1, 3),
        "mixed_10_tower_2_conv_Conv2D.weight": (192, 2048, 1, 1),
    }
    found = checks.shapes("tsn-inceptionv3")
    assert {name: found.get(f"base_model.{name}") for name in expected} == expected


def test_a_published_file_tells_its_arguments() -> None:
    entry = family("mtrn-inceptionv3")
    assert entry.reported is not None
    state = zeros(published_shapes(segments=8, classes=339))
    # 94 convolutions with weight and bias, four tensors of batch norm behind each, the features, seven relations.
    assert len(state) == 94 * 6 + 2 + 4 * 7
    checkpoint = entry.reported(state)
    assert checkpoint.arguments == {"segments": 8, "width": 256, "hidden": 256}
    assert checkpoint.input is not None
    given = checkpoint.input
    assert (given.frames, given.height, given.width, given.color.value) == (8, SIDE, SIDE, "bgr")
    assert fit(entry.with_arguments(checkpoint.arguments), state).classes == 339


def test_a_tensor_that_does_not_fit_is_named() -> None:
    entry, state = family("mtrn-inceptionv3"), zeros(published_shapes(segments=8, classes=339))
    name = "base_model.mixed_9_conv_Conv2D.weight"
    changed = state | {name: torch.zeros(320, 2048, 1, 1, device="meta")}
    both = r"mixed_9_conv_Conv2D\.weight is \[320, 2048, 1, 1\], mtrn-inceptionv3 takes \[320, 1280, 1, 1\]"
    with pytest.raises(ModelError, match=both):
        fit(entry, changed, said="; it is a changed one")
    del state[name]
    with pytest.raises(ModelError, match=r"mixed_9_conv_Conv2D\.weight \[320, 1280, 1, 1\] is missing"):
        fit(entry, state, said="; it is a part")


@pytest.mark.parametrize("name", ["tsn-inceptionv3", "mtrn-inceptionv3"])
def test_a_file_is_served_as_its_repository_runs_it(tmp_path: Path, name: str) -> None:
    state = {to_public(key): tensor for key, tensor in small(name).items()}
    path = saved(state, tmp_path / "net.pth.tar")
    made = imported(tmp_path, name, path, SIDE, divisor=16)
    assert read_card(made.folder).input.width == SIDE
    clip = networks.clip(frames=4, height=SIDE, width=SIDE)
    reference = published.tsn if name.startswith("tsn") else published.mtrn_expected
    expected = reference(doubled(state), shown(name, clip))
    torch.testing.assert_close(answered(made, clip), expected, rtol=1e-4, atol=1e-4)


def test_frames_of_another_size_are_refused_while_importing(tmp_path: Path) -> None:
    path = saved(small("tsn-inceptionv3"), tmp_path / "net.pth")
    with pytest.raises(ModelError, match=r"^input: .*\[4, 224, 224, 3\]: .*do not fit together for this size"):
        imported(tmp_path, "tsn-inceptionv3", path, 224, divisor=16)


def test_a_head_that_is_the_backbones_own_is_taken() -> None:
    """As tsn-pytorch leaves it where nothing is dropped out: no new_fc."""
    state = {to_public(key): tensor for key, tensor in small("tsn-inceptionv3").items()}
    named = {key.replace("new_fc.", "base_model.top_cls_fc."): tensor for key, tensor in state.items()}
    fitted = fit(family("tsn-inceptionv3").with_arguments({"divisor": 16}), named)
    assert torch.equal(fitted.state["consensus.classifier.weight"], state["new_fc.weight"])
    assert "base_model.top_cls_fc.weight is taken for consensus.classifier.weight" in fitted.notes


def network() -> nn.Module:
    return family("tsn-inceptionv3").build(classes=3, divisor=16)


def test_the_program_computes_the_module() -> None:
    entry = family("tsn-inceptionv3")
    seeded = checks.seeded(network())
    program = checks.check_program(seeded, checks.clip(2, entry.small.size), entry.layer)
    assert not program.no_relevance
    assert program.by_frame(entry.layer)
    checks.check_rows(seeded, checks.clip(3, entry.small.size))


def test_frames_have_rows_and_no_relevance_is_lost() -> None:
    entry = family("tsn-inceptionv3")
    checks.check_evidence(network(), 4, entry.small.size, entry.layer, 2)
    light: Tensor = checks.clip(2, entry.small.size) + 2
    found = relevance(trace(checks.rising(network()).double(), Rules()).forward(light), 1)
    assert float(found.values.min()) >= 0
    assert float(found.defect.abs().max()) < 1e-6
