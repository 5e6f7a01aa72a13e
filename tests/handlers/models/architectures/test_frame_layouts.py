"""TSN and TRN of tsn-pytorch and TRN-pytorch: names, sizes, and what the published networks compute from a file."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from actionlens.card import read_card
from handlers.engine.engine import ClipAnswer, ClipRequest, Engine
from handlers.engine.frame_cache import FrameCache
from handlers.errors import ModelError
from handlers.importing.checkpoint import ImportedModel, import_checkpoint, import_model
from handlers.importing.recognition import fit
from handlers.models import family
from handlers.support import small_model
from handlers.tensor_files.weights import read_weights
from tests.handlers import networks
from tests.handlers.importing.test_checkpoint import write
from tests.handlers.models.architectures import checks, published

# Parameters of the backbones without their classifiers for 1000 classes, each with its features.
BNINCEPTION = 11_295_240 - 1025 * 1000
RESNET50 = 25_557_032 - 2049 * 1000
RESNET101 = 44_549_160 - 2049 * 1000
# torchvision's count without its auxiliary classifier, and the 17 216 biases of the port's convolutions.
INCEPTIONV3 = 23_834_568 + 17_216 - 2049 * 1000
SIZES = {
    "bninception": (BNINCEPTION, 1024),
    "inceptionv3": (INCEPTIONV3, 2048),
    "resnet50": (RESNET50, 2048),
    "resnet101": (RESNET101, 2048),
}
CLASSES, SIZE = 174, 64
State = dict[str, Tensor]


def to_public(name: str) -> str:
    """A tensor of the small networks (4 frames) under the name that TRN-pytorch has for it."""
    if not name.startswith("consensus."):
        return name
    if name.startswith("consensus.classifier.") and name.count(".") == 2:
        return name.replace("consensus.classifier", "new_fc")
    if "relations" not in name:
        return name
    name = name.replace("relations", "fc_fusion_scales")
    return name.replace(".first.", ".1.").replace(".last.", ".3.")


def small(name: str) -> State:
    """Tensors of a small network with random weights, by this project's names."""
    torch.manual_seed(5)
    network = checks.seeded(family(name).build(classes=3, **family(name).small.arguments)).float()
    # Convolutions as large as He et al. make them: of torch's own, little of the clip is left behind so many layers.
    return {
        name: tensor * math.sqrt(6) if tensor.dim() == 4 else tensor for name, tensor in network.state_dict().items()
    }


def saved(state: State, path: Path) -> Path:
    """A file as the training scripts of TSN and TRN leave it."""
    named = {f"module.{name}": tensor for name, tensor in state.items()}
    torch.save({"epoch": 9, "arch": "any", "state_dict": named, "best_prec1": torch.tensor(50.0)}, path)
    return path


def imported(tmp_path: Path, name: str, weights: Path, side: int = SIZE, **arguments: object) -> ImportedModel:
    shown = family(name).input
    assert shown is not None
    document = shown.model_copy(update={"frames": 4, "height": side, "width": side}).model_dump(mode="json")
    card = write(tmp_path / "card.yaml", architecture=name, arguments=arguments, input=document, layer="")
    return import_model(card, weights, tmp_path / "store")


def answered(made: ImportedModel, clip: NDArray[Any]) -> Tensor:
    (answer,) = Engine.load(made.folder).explain([ClipRequest(clip)])
    assert isinstance(answer, ClipAnswer)
    return torch.as_tensor(answer.logits).double()


def shown(name: str, clip: NDArray[Any]) -> Tensor:
    """The clip float64 [1, 3, T, H, W] as the published code prepares it for that backbone."""
    pixels = torch.from_numpy(clip).double().permute(3, 0, 1, 2)[None]
    if "inception" in name or name == "play-fair-mtrn":
        return pixels.flip(1) - torch.tensor([104.0, 117.0, 128.0]).view(3, 1, 1, 1)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (pixels / 255 - mean.view(3, 1, 1, 1)) / std.view(3, 1, 1, 1)


def doubled(state: State) -> State:
    return {name: tensor.double() for name, tensor in state.items()}


@pytest.mark.parametrize("backbone", SIZES)
def test_published_sizes(backbone: str) -> None:
    base, width = SIZES[backbone]
    assert checks.parameters(f"tsn-{backbone}", CLASSES) == base + (width + 1) * CLASSES
    features = base + (width + 1) * 256
    one = (8 * 256 + 1) * 512 + 513 * CLASSES
    assert checks.parameters(f"trn-{backbone}", CLASSES) == features + one
    many = sum((scale * 256 + 1) * 256 + 257 * CLASSES for scale in range(2, 9))
    assert checks.parameters(f"mtrn-{backbone}", CLASSES) == features + many


def test_names_and_shapes_of_the_ports_of_bninception() -> None:
    found = {name: shape for name, shape in checks.shapes("tsn-bninception").items() if "tracked" not in name}
    expected = {
        "conv1_7x7_s2.weight": (64, 3, 7, 7),
        "conv1_7x7_s2.bias": (64,),
        "conv1_7x7_s2_bn.running_mean": (64,),
        "conv2_3x3_reduce.weight": (64, 64, 1, 1),
        "conv2_3x3.weight": (192, 64, 3, 3),
        "inception_3a_1x1.weight": (64, 192, 1, 1),
        "inception_3a_pool_proj.weight": (32, 192, 1, 1),
        "inception_3c_double_3x3_2.weight": (96, 96, 3, 3),
        "inception_4c_3x3_bn.weight": (160,),
        "inception_4e_3x3_reduce.weight": (128, 608, 1, 1),
        "inception_5a_double_3x3_1.weight": (224, 160, 3, 3),
        "inception_5b_double_3x3_reduce_bn.running_var": (192,),
        "inception_5b_pool_proj.weight": (128, 1024, 1, 1),
    }
    assert {name: found.get(f"base_model.{name}") for name in expected} == expected
    # 69 convolutions with weight and bias, four tensors of batch norm behind each, and the classifier.
    assert len(found) == 69 * 6 + 2


@pytest.mark.parametrize("segments", [3, 8])
def test_a_published_file_tells_its_arguments(tmp_path: Path, segments: int) -> None:
    """At full size, by the names and shapes of TRN_..._BNInception_TRNmultiscale_segment8_best.pth.tar."""
    state = {
        name: torch.zeros(shape)
        for name, shape in checks.shapes("tsn-bninception").items()
        if "consensus" not in name and "tracked" not in name
    }
    state |= {"new_fc.weight": torch.zeros(256, 1024), "new_fc.bias": torch.zeros(256)}
    for place, scale in enumerate(range(segments, 1, -1)):
        at = f"consensus.fc_fusion_scales.{place}"
        state |= {f"{at}.1.weight": torch.zeros(256, scale * 256), f"{at}.1.bias": torch.zeros(256)}
        state |= {f"{at}.3.weight": torch.zeros(27, 256), f"{at}.3.bias": torch.zeros(27)}
    path = saved(state, tmp_path / "net.pth.tar")
    entry = family("mtrn-bninception")
    assert entry.reported is not None
    checkpoint = entry.reported(read_weights(path))
    assert checkpoint.arguments == {"segments": segments, "width": 256, "hidden": 256}
    assert checkpoint.input is not None
    assert (checkpoint.input.frames, checkpoint.input.color.value) == (segments, "bgr")
    assert "draws 3 of each length at random" in checkpoint.notes[0]
    assert fit(entry.with_arguments(checkpoint.arguments), checkpoint.state).classes == 27
    if segments == 3:
        looks = r"weights: .* looks like mtrn-bninception \(100%.*--family mtrn-bninception"
        for other in ("tsn-bninception", "mtrn-inceptionv3"):
            with pytest.raises(ModelError, match=looks):
                import_checkpoint(other, path, tmp_path / "store")
        return
    state.pop("consensus.fc_fusion_scales.1.1.bias")
    missing = r"consensus\.relations\.1\.first\.bias \[256\] is missing.* part of such"
    with pytest.raises(ModelError, match=missing):
        import_checkpoint("mtrn-bninception", saved(state, tmp_path / "part.pth"), tmp_path / "store")


REFERENCES: dict[str, Callable[[State, Tensor], Tensor]] = {
    "tsn-bninception": published.tsn,
    "tsn-resnet50": published.tsn,
    "trn-resnet50": published.trn,
    "mtrn-bninception": published.mtrn_expected,
}


@pytest.mark.parametrize("name", REFERENCES)
def test_a_file_is_served_as_its_repository_runs_it(tmp_path: Path, name: str) -> None:
    own = small(name)
    state = {to_public(key): tensor for key, tensor in own.items()}
    made = imported(tmp_path, name, saved(state, tmp_path / "net.pth.tar"), divisor=16)
    reported = {key: value for key, value in family(name).small.arguments.items() if key != "divisor"}
    assert read_card(made.folder).arguments == {"divisor": 16, **reported}
    clip = networks.clip(frames=4, height=SIZE, width=SIZE)
    expected = REFERENCES[name](doubled(state), shown(name, clip))
    torch.testing.assert_close(answered(made, clip), expected, rtol=1e-4, atol=1e-4)


FRAME_WISE = ["tsn-bninception", "trn-resnet50", "play-fair-tsn"]


@pytest.mark.parametrize("name", FRAME_WISE)
def test_the_program_computes_the_module(name: str) -> None:
    network = checks.seeded(family(name).build(classes=3, **family(name).small.arguments))
    program = checks.check_program(network, checks.clip(4, 32, batch=2), family(name).layer)
    assert not program.no_relevance
    assert program.by_frame(family(name).layer)
    assert ("the head is not linear" in program.head().reason) is (name == "trn-resnet50")


@pytest.mark.parametrize("name", ["tsn-bninception", "play-fair-tsn"])
def test_frames_have_logits_and_rows(name: str) -> None:
    def build() -> torch.nn.Module:
        return family(name).build(classes=3, **family(name).small.arguments)

    checks.check_rows(checks.seeded(build()), checks.clip(5, 32))
    checks.check_evidence(build(), 6, 32, family(name).layer, 2)


@torch.inference_mode()
def test_seen_frames_are_not_computed_again() -> None:
    model = small_model(family("mtrn-bninception"))
    seen, frames = FrameCache(model), networks.clip(frames=7, height=32, width=32)
    for window in (frames[:4], frames[2:6], frames[1:2], frames):
        plain = model.program.forward(model.prepare([window]), [model.layer], relevance=False)
        found = seen.forward([window], [model.layer], relevance=False)
        torch.testing.assert_close(found.logits, plain.logits, rtol=1e-5, atol=1e-6)
    assert len(seen._kept) == len(frames)


def test_what_the_scales_count() -> None:
    entry = family("mtrn-resnet50")
    consensus = entry.build(classes=3, **entry.small.arguments).consensus
    assert consensus.votes == (3, 3, 1)
    assert [consensus.share(frames) for frames in (1, 2, 3, 4)] == [1, 1, 1 / 2, 1 / 7]
    assert math.isclose(consensus.total, 7)
    with pytest.raises(ValueError, match=r"^scales: 2 to 1 are no scales"):
        entry.build(classes=3, segments=1)
