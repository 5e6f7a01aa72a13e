"""Slow, C2D, SlowFast and X3D: equal to PyTorchVideo's networks with the same weights; PySlowFast's names."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from actionlens.row_lengths import row_lengths, summary
from handlers.engine.engine import ClipAnswer, ClipRequest, Engine, MethodCall
from handlers.errors import RequestError
from handlers.explainers.attribution import RelevanceMatrix
from handlers.importing.recognition import fit, looks_like
from handlers.models import family
from handlers.models.action_model import ActionModel
from handlers.models.architectures.slow import Slow
from handlers.models.architectures.slowfast import SlowFast
from handlers.models.architectures.x3d import X3D
from handlers.relevance import EvenFrames, Rules, temporal_relevance, trace
from tests.handlers import networks
from tests.handlers.models.architectures import checks, pyslowfast
from tests.handlers.models.architectures.oracle import create_resnet, create_slowfast, create_x3d

SIZES = {
    "slow-r50": 32_454_096,
    "c2d-r50": 24_327_632,
    "slowfast-r50-8x8": 34_566_488,
    "slowfast-r50-16x8": 34_566_488,
    "x3d-xs": 3_794_274,
    "x3d-s": 3_794_274,
    "x3d-m": 3_794_274,
}


@pytest.mark.parametrize("name", SIZES)
def test_published_sizes(name: str) -> None:
    assert checks.parameters(name) == SIZES[name]


def public(name: str) -> nn.Module:
    """PyTorchVideo's own full-size network, without its softmax."""
    if name.startswith("x3d"):
        return create_x3d(input_clip_length=4, input_crop_size=160, head_activation=None)
    if name.startswith("slowfast"):
        return create_slowfast(model_depth=50, slowfast_fusion_conv_kernel_size=(7, 1, 1))
    if name == "c2d-r50":
        flat = ((1, 1, 1),) * 4
        return create_resnet(
            stem_conv_kernel_size=(1, 7, 7), stage1_pool=nn.MaxPool3d, stage_conv_a_kernel_size=flat, model_depth=50
        )
    return create_resnet(stem_conv_kernel_size=(1, 7, 7), head_pool_kernel_size=(8, 7, 7), model_depth=50)


@pytest.mark.parametrize("name", ["slow-r50", "c2d-r50", "slowfast-r50-8x8", "x3d-m"])
def test_names_and_shapes_are_the_public_ones(name: str) -> None:
    with torch.device("meta"):
        expected = {key: tuple(tensor.shape) for key, tensor in public(name).state_dict().items()}
    assert checks.shapes(name) == expected


def twins(ours: nn.Module, theirs: nn.Module) -> tuple[nn.Module, nn.Module]:
    ours = checks.seeded(ours)
    theirs = theirs.double().eval()
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def test_slow_equals_the_public_network() -> None:
    torch.manual_seed(0)
    ours, theirs = twins(
        Slow(3, width=4),
        create_resnet(
            stem_dim_out=4,
            stem_conv_kernel_size=(1, 7, 7),
            model_num_class=3,
            stage1_pool=None,
            head_pool_kernel_size=(4, 2, 2),
        ),
    )
    x = checks.clip(4, 64, batch=2)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-9, atol=1e-9)


def pathways(clip: Tensor, alpha: int) -> list[Tensor]:
    """Both inputs as PySlowFast packs them."""
    steps = torch.linspace(0, clip.shape[2] - 1, clip.shape[2] // alpha).long()
    return [torch.index_select(clip, 2, steps), clip]


def test_slowfast_equals_the_public_network() -> None:
    torch.manual_seed(0)
    theirs = create_slowfast(
        stem_dim_outs=(8, 1),
        model_num_class=3,
        slowfast_fusion_conv_kernel_size=(7, 1, 1),
        head_pool_kernel_sizes=((2, 1, 1), (8, 1, 1)),
    )
    ours, theirs = twins(SlowFast(3, width=8), theirs)
    x = checks.clip(8, 32, batch=2)
    torch.testing.assert_close(ours(x), theirs(pathways(x, 4)), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("shortcut_norm", [False, True])
def test_x3d_equals_the_public_network(shortcut_norm: bool) -> None:
    torch.manual_seed(0)
    theirs = create_x3d(
        input_clip_length=4,
        input_crop_size=32,
        model_num_class=3,
        head_dim_out=16,
        depth_factor=1.0,
        head_activation=None,
    )
    if shortcut_norm:  # as PySlowFast has it
        theirs.blocks[1].res_blocks[0].branch1_norm = nn.BatchNorm3d(24)
    ours, theirs = twins(X3D(3, counts=(1, 2, 5, 3), outputs=16, shortcut_norm=shortcut_norm), theirs)
    x = checks.clip(4, 32)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-9, atol=1e-9)


SLOW = {"width": 4, "counts": (1, 1, 2, 1)}
FAST = {"width": 8, "counts": (1, 1, 2, 1)}
GATED = {"widths": (8, 8, 16, 16), "counts": (1, 1, 2, 1), "outputs": 8}


@pytest.mark.parametrize(
    ("network", "layer", "frames"),
    [
        (Slow(3, **SLOW), "blocks.4", 4),
        (Slow(3, (1, 1, 1, 1), True, **SLOW), "blocks.5", 4),
        (SlowFast(3, **FAST), "blocks.4.multipathway_blocks.0", 8),
        (SlowFast(3, **FAST), "blocks.4.multipathway_blocks.1", 8),
        (X3D(3, **GATED), "blocks.4", 4),
    ],
)
def test_the_program_computes_the_module(network: nn.Module, layer: str, frames: int) -> None:
    program = checks.check_program(checks.seeded(network), checks.clip(frames, 32, batch=2), layer)
    assert not program.no_relevance


@pytest.mark.parametrize(
    ("network", "frames"),
    [(Slow(3, **SLOW), 6), (Slow(3, (1, 1, 1, 1), True, **SLOW), 6), (SlowFast(3, **FAST), 16)],
)
def test_rows(network: nn.Module, frames: int) -> None:
    found = trace(checks.seeded(network), Rules(low=(-2.0,) * 3, high=(2.0,) * 3)).forward(checks.clip(frames, 16))
    met, down = temporal_relevance(found, 1), temporal_relevance(found, 1, meeting=0)
    torch.testing.assert_close(met.values, down.values, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("frame", [1, 5, 6])
def test_evidence_in_one_frame_is_found_in_its_row_of_one_pathway(frame: int) -> None:
    checks.check_evidence(Slow(2, **SLOW), 8, 16, "blocks.4", frame)
    checks.check_evidence(Slow(2, (1, 1, 1, 1), True, **SLOW), 8, 16, "blocks.5", frame)


def test_slow_frames_are_spread_from_the_first_to_the_last() -> None:
    assert EvenFrames(4).positions(32) == [0, 4, 8, 13, 17, 22, 26, 31]
    x = torch.arange(32.0).view(1, 1, 32, 1, 1)
    assert EvenFrames(4)(x).flatten().tolist() == [0, 4, 8, 13, 17, 22, 26, 31]


@pytest.mark.parametrize(("frame", "block"), [(0, 0), (5, 1), (10, 2), (15, 3)])
def test_evidence_in_a_slow_frame_is_found_in_its_block(frame: int, block: int) -> None:
    x = torch.zeros(1, 3, 16, 16, 16)
    x[:, :, frame] = 1.0
    program = trace(checks.rising(SlowFast(2, **FAST)), Rules())
    layer = "blocks.4.multipathway_blocks.0"
    found = program.forward(x, keep=[layer])
    merged = temporal_relevance(found, 0).merged(4)[0]
    assert divmod(int(merged.argmax()), 4) == (block, block)
    assert float(merged[:, block].sum()) > 0.999 * float(merged.sum())
    assert int(found.activation(layer)[0].sum((0, 2, 3)).argmax()) == block


@pytest.mark.parametrize("frames", [16, 32])
def test_slow_logits_count_at_the_frames_that_the_slow_pathway_samples(frames: int) -> None:
    """linspace from the first to the last frame, not multiples of alpha (ATR paper, appendix B)."""
    network = checks.seeded(SlowFast(3, **FAST))
    assert isinstance(network, SlowFast)
    clip = checks.clip(frames, 16)
    slow, fast = network.slow_frames(clip), clip
    for block in network.blocks[:5]:
        slow, fast = block(slow, fast)
    expanded = torch.zeros(1, slow.shape[1], frames, dtype=torch.float64)
    expanded[:, :, torch.linspace(0, frames - 1, frames // 4).long()] = slow.mean((3, 4))
    projection = network.blocks[6].proj
    expected = projection(torch.cat([expanded, fast.mean((3, 4))], 1).transpose(1, 2))
    forward = trace(network).forward(clip)
    torch.testing.assert_close(forward.frame_logits, expected.detach(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("frame", [0, 4, 8, 13, 17, 22, 26, 31])
def test_evidence_in_a_sampled_frame_is_found_in_that_frame_s_row(frame: int) -> None:
    x = torch.zeros(1, 3, 32, 16, 16)
    x[:, :, frame] = 1.0
    found = trace(checks.rising(SlowFast(2, **FAST))).forward(x)
    rows = temporal_relevance(found, 0)
    slow = {row: float(rows.row_logits[0, row]) for row in EvenFrames(4).positions(32)}
    assert max(slow, key=lambda row: slow[row]) == frame
    met, down = (temporal_relevance(found, 0, meeting=meeting).values for meeting in (None, 0))
    torch.testing.assert_close(met, down, rtol=1e-4, atol=1e-6)


def test_blocks_are_sums_of_the_rows_and_their_lengths_count_slow_frames() -> None:
    network = checks.seeded(SlowFast(3, **FAST), seed=4)
    forward = trace(network, Rules(low=(-2.0,) * 3, high=(2.0,) * 3)).forward(checks.clip(32, 16))
    for contrast, rectify in ((None, None), ("negated", "element"), (0, "element")):
        whole = temporal_relevance(forward, 1, contrast, rectify)  # type: ignore[arg-type]
        found = temporal_relevance(forward, 1, contrast, rectify, blocks=True)  # type: ignore[arg-type]
        assert found.values.shape == (1, 8, 8)
        assert torch.equal(found.values, whole.merged(4))
        torch.testing.assert_close(found.row_logits, whole.row_logits.view(1, 8, 4).sum(2))
        lengths = row_lengths(found.values[0].tolist(), range(8), 0.975)
        assert found.lengths[0].tolist() == lengths
        assert (found.average[0], found.maximum[0]) == summary(lengths, found.row_logits[0].tolist())[:2]
        assert max(lengths) <= 8
        assert len(found.anchors) == 8


def test_blocks_are_part_of_the_request_and_refused_without_a_slower_pathway() -> None:
    card = networks.card(
        architecture="slowfast-r50-8x8",
        arguments=FAST,
        layer="",
        input={"frames": 16, "height": 16, "width": 16, "mean": (0.45,) * 3, "std": (0.225,) * 3},
    )
    call = MethodCall("atr", {"blocks": True, "relevance": "clrp"})
    (found,) = Engine(ActionModel(card, networks.module(card).eval())).explain(
        [ClipRequest(networks.clip(1, 16, 16, 16), [call])]
    )
    assert isinstance(found, ClipAnswer)
    matrix = found.explained[0].result
    assert isinstance(matrix, RelevanceMatrix)
    assert matrix.values.shape == (4, 4)
    assert found.explained[0].parameters["blocks"] is True
    (other,) = Engine(networks.model()).explain([ClipRequest(networks.clip(1), [call, MethodCall("atr")])])
    assert isinstance(other, ClipAnswer)
    refused, plain = (entry.result for entry in other.explained)
    assert isinstance(refused, RequestError)
    assert "no branch of the model is slower" in refused.message
    assert isinstance(plain, RelevanceMatrix)


def test_a_branch_that_slices_counts_at_the_frames_that_it_takes() -> None:
    class Sliced(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.slow, self.fast = nn.Conv3d(3, 4, (1, 3, 3)), nn.Conv3d(3, 4, 3, padding=(1, 0, 0))
            self.fc = nn.Linear(8, 3)

        def forward(self, clip: Tensor) -> Tensor:
            slow, fast = torch.relu(self.slow(clip[:, :, 1::2])), torch.relu(self.fast(clip))
            return self.fc(torch.cat([slow.mean((2, 3, 4)), fast.mean((2, 3, 4))], 1))

    torch.manual_seed(0)
    network = Sliced().double().eval()
    network.fc.weight.data[:, 4:] = 0
    forward = trace(network).forward(checks.clip(8, 8))
    alone = forward.frame_logits - network.fc.bias
    assert bool((alone[0, ::2].abs() < 1e-12).all())
    assert bool((alone[0, 1::2].abs().amax(1) > 1e-6).all())
    rows = temporal_relevance(forward, 0).values[0]
    assert [int(rows[row].abs().argmax()) for row in range(1, 8, 2)] == [1, 3, 5, 7]


def test_x3d_has_no_logits_per_frame_and_says_why() -> None:
    program = trace(checks.seeded(X3D(3, **GATED)), Rules())
    assert "the head is not linear" in program.head().reason


# Names of PySlowFast's tensors (facts of its checkpoints) and what they are here.
FOREIGN = {
    "slow-r50": {
        "s1.pathway0_stem.conv.weight": "blocks.0.conv.weight",
        "s3.pathway0_res0.branch1_bn.weight": "blocks.2.res_blocks.0.branch1_norm.weight",
        "s5.pathway0_res2.branch2.c_bn.bias": "blocks.4.res_blocks.2.branch2.norm_c.bias",
        "head.projection.weight": "blocks.5.proj.weight",
    },
    "c2d-r50": {
        "s2.pathway0_res0.branch1.weight": "blocks.1.res_blocks.0.branch1_conv.weight",
        "s3.pathway0_res1.branch2.a.weight": "blocks.3.res_blocks.1.branch2.conv_a.weight",
        "head.projection.bias": "blocks.6.proj.bias",
    },
    "slowfast-r50-8x8": {
        "s1.pathway1_stem.bn.weight": "blocks.0.multipathway_blocks.1.norm.weight",
        "s1_fuse.conv_f2s.weight": "blocks.0.multipathway_fusion.conv_fast_to_slow.weight",
        "s4_fuse.bn.running_mean": "blocks.3.multipathway_fusion.norm.running_mean",
        "s4.pathway0_res5.branch2.b.weight": "blocks.3.multipathway_blocks.0.res_blocks.5.branch2.conv_b.weight",
        "head.projection.weight": "blocks.6.proj.weight",
    },
    "x3d-m": {
        "s1.pathway0_stem.conv_xy.weight": "blocks.0.conv.conv_t.weight",
        "s1.pathway0_stem.conv.weight": "blocks.0.conv.conv_xy.weight",
        "s2.pathway0_res0.branch2.se.fc1.weight": "blocks.1.res_blocks.0.branch2.norm_b.1.block.0.weight",
        "s2.pathway0_res1.branch2.b_bn.weight": "blocks.1.res_blocks.1.branch2.norm_b.0.weight",
        "head.conv_5_bn.bias": "blocks.5.pool.pre_norm.bias",
        "head.lin_5.weight": "blocks.5.pool.post_conv.weight",
    },
}


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("slow-r50", pyslowfast.resnet((1, 1, 3, 3))),
        ("c2d-r50", pyslowfast.resnet((1, 1, 1, 1))),
        ("slowfast-r50-8x8", pyslowfast.slowfast()),
        ("x3d-xs", pyslowfast.x3d()),
    ],
)
def test_every_tensor_of_pyslowfast_has_its_place(name: str, given: pyslowfast.Shapes) -> None:
    entry = family(name)
    state = {key: torch.empty(shape, device="meta") for key, shape in given.items()}
    reported = {} if entry.reported is None else entry.reported(state).arguments
    assert reported == ({"shortcut_norm": True} if name == "x3d-xs" else {})
    assert fit(entry.with_arguments(reported), state).classes == 400
    assert name in looks_like(state)[0]
    assert looks_like(state)[1] == 1.0


@pytest.mark.parametrize("name", FOREIGN)
def test_the_names_of_pyslowfast_become_ours(name: str) -> None:
    known = checks.shapes(name)
    tensors = {foreign: torch.tensor(number) for number, foreign in enumerate(FOREIGN[name])}
    assert family(name).named(tensors) == dict(zip(FOREIGN[name].values(), tensors.values(), strict=True))
    assert set(FOREIGN[name].values()) <= set(known)
    assert family(name).named(dict.fromkeys(known, torch.tensor(0))).keys() == known.keys()
