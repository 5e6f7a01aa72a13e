"""The inputs of the public repositories, against those of the families: facts of those repositories."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from actionlens.card import ColorOrder, Input, Resize, SamplingRule, read_card
from handlers.engine.description import describe
from handlers.models import families, family
from handlers.models.action_model import ActionModel
from handlers.support import small_card, small_model
from tests.handlers import networks

STORE = Path(__file__).resolve().parents[4] / "model_store"
Pixel = Sequence[float]
RED, GREEN, BLUE = 40, 130, 220
DENSE, UNIFORM = SamplingRule.DENSE, SamplingRule.UNIFORM
SEGMENTS, SPAN, STARTS = SamplingRule.SEGMENTS, SamplingRule.SPAN, SamplingRule.STARTS
RATE = SamplingRule.RATE


def normalised(mean: Pixel, std: Pixel) -> Callable[[float, float, float], Pixel]:
    """Of pixels within 0 .. 1, in red, green, blue."""
    return lambda *rgb: [(value / 255 - m) / s for value, m, s in zip(rgb, mean, std, strict=True)]


TORCHVISION = normalised((0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989))
IMAGENET = normalised((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
PYSLOWFAST = normalised((0.45,) * 3, (0.225,) * 3)

# Frames, how they are chosen, their distance; the shorter side, the square cut out of it; the numbers of a pixel.
PUBLISHED: dict[str, tuple[int, SamplingRule, int, int, int, Callable[[float, float, float], Pixel]]] = {
    "c3d": (16, DENSE, 1, 128, 112, lambda r, g, b: (b - 90, g - 98, r - 102)),
    "r3d-18": (16, RATE, 2, 128, 112, TORCHVISION),
    "mc3-18": (16, RATE, 2, 128, 112, TORCHVISION),
    "r2plus1d-18": (16, RATE, 2, 128, 112, TORCHVISION),
    "s3d": (64, RATE, 2, 256, 224, TORCHVISION),
    "i3d-inception": (64, DENSE, 1, 256, 224, lambda *rgb: [value / 255 * 2 - 1 for value in rgb]),
    "i3d-resnet50": (8, SEGMENTS, 1, 256, 224, IMAGENET),
    "tam-resnet50": (8, SEGMENTS, 1, 256, 224, IMAGENET),
    "tsm-resnet50": (8, SEGMENTS, 1, 256, 224, IMAGENET),
    "tsn-resnet50": (8, SEGMENTS, 1, 256, 224, IMAGENET),
    "mtrn-bninception": (8, SEGMENTS, 1, 256, 224, lambda r, g, b: (b - 104, g - 117, r - 128)),
    "tsn-inceptionv3": (8, SEGMENTS, 1, 341, 299, lambda r, g, b: (b - 104, g - 117, r - 128)),
    "slow-r50": (8, SPAN, 8, 256, 224, PYSLOWFAST),
    "c2d-r50": (8, SPAN, 8, 256, 224, PYSLOWFAST),
    "slowfast-r50-8x8": (32, SPAN, 2, 256, 224, PYSLOWFAST),
    "slowfast-r50-16x8": (64, SPAN, 2, 256, 224, PYSLOWFAST),
    "x3d-xs": (4, SPAN, 12, 182, 160, PYSLOWFAST),
    "x3d-s": (13, SPAN, 6, 182, 160, PYSLOWFAST),
    "x3d-m": (16, SPAN, 5, 256, 224, PYSLOWFAST),
    "videomae": (16, DENSE, 4, 0, 224, IMAGENET),
    "timesformer": (8, SPAN, 32, 0, 224, PYSLOWFAST),
    "vivit": (32, DENSE, 2, 0, 224, lambda *rgb: [(value / 127.5 - 1 - 0.5) / 0.5 for value in rgb]),
    "vjepa2": (64, UNIFORM, 1, 0, 256, IMAGENET),
}


def shown(said: Input) -> list[float]:
    """The pixel as a network with such an input is shown it."""
    pixel = (BLUE, GREEN, RED) if said.color is ColorOrder.BGR else (RED, GREEN, BLUE)
    return [(value / 255 - mean) / std for value, mean, std in zip(pixel, said.mean, said.std, strict=True)]


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_family_shows_its_networks_what_their_repository_does(name: str) -> None:
    said = family(name).input
    assert said is not None
    *clip, number = PUBLISHED[name]
    assert [said.frames, said.sampling, said.stride, said.shorter, said.height] == clip
    assert (said.width, said.resize) == (said.height, Resize.CROP)
    assert shown(said) == pytest.approx(list(number(RED, GREEN, BLUE)), rel=1e-6)


@pytest.mark.parametrize("name", ["r3d-18", "mc3-18", "r2plus1d-18", "s3d"])
def test_torchvisions_networks_see_fifteen_frames_a_second(name: str) -> None:
    said = family(name).input
    assert said is not None
    assert said.fps == 15
    assert describe(networks.model(input=said.model_copy(update={"height": 12, "width": 16}))).input.fps == 15


def test_keras_lrcn_takes_the_first_frames_of_whole_segments() -> None:
    said = family("cnn-lstm").input
    assert said is not None
    assert said.sampling is STARTS


@pytest.mark.parametrize("name", ["motion-primitives", "motion-trn"])
def test_bundled_models_are_sampled_as_they_were_trained(name: str) -> None:
    assert read_card(STORE / name).input.sampling is UNIFORM


@pytest.mark.parametrize("rule", SamplingRule)
def test_a_model_says_how_its_frames_are_chosen(rule: SamplingRule) -> None:
    size = networks.card().input.model_copy(update={"sampling": rule, "fps": 15.0 * (rule is RATE)})
    assert describe(networks.model(input=size)).input.sampling == rule


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("tsn-resnet50", "sampling: segments"),
        ("x3d-m", "sampling: span, stride: 5"),
        ("r3d-18", "sampling: rate, fps: 15"),
        ("cnn-lstm", "sampling: starts"),
        ("vjepa2", ""),
        ("motion-cnn", ""),
        ("conv3d", ""),
    ],
)
def test_a_card_of_the_former_rule_is_told_which_one_its_family_was_evaluated_with(name: str, rule: str) -> None:
    notes = small_model(family(name)).notes
    assert [note for note in notes if f"were evaluated with {rule}:" in note] == list(notes)
    assert bool(notes) == bool(rule)


def test_a_card_that_follows_its_family_is_told_nothing() -> None:
    said = family("r3d-18").input
    assert said is not None
    entry = family("r3d-18")
    card = small_card(entry).model_copy(update={"input": said.model_copy(update={"height": 32, "width": 32})})
    module = entry.build(classes=3, **card.arguments).eval()
    assert ActionModel(card, module).notes == ()


@pytest.mark.parametrize("name", [name for name, entry in families().items() if entry.input is not None])
def test_what_a_family_says_fits_a_card(name: str) -> None:
    said = family(name).input
    assert said is not None
    assert Input.model_validate(said.model_dump()) == said


def test_the_depths_and_heads_of_a_repository_share_its_input() -> None:
    for name, entry in families().items():
        kind = next((known for known in PUBLISHED if known.rpartition("-")[0] == name.rpartition("-")[0]), "")
        if kind.startswith(("i3d-resnet", "tam-", "tsm-")):
            assert entry.input == family(kind).input, name
    assert family("play-fair-mtrn").input == family("mtrn-bninception").input
    assert family("play-fair-tsn").input == family("tsn-resnet50").input
