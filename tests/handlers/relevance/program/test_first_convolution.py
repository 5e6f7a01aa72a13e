"""The output of the first convolution, added up part by part, against the convolution itself."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from handlers.relevance import Program, Rules, trace
from handlers.relevance.program.first_convolution import FirstConvolution


class Network(nn.Module):
    def __init__(self, first: nn.Module, channels: int = 5) -> None:
        super().__init__()
        self.first, self.head = first, nn.Linear(channels, 4)

    def forward(self, clip: Tensor) -> Tensor:
        return self.head(self.first(clip).mean((2, 3, 4)))


def traced(module: nn.Module) -> Program:
    return trace(module.eval(), Rules(low=(-3.0,) * 3, high=(3.0,) * 3))


def first_of(module: nn.Module) -> FirstConvolution:
    found = traced(module).first_convolution
    assert found is not None
    return found


def parts(frames: int, height: int, width: int, count: int, draws: torch.Generator) -> tuple[Tensor, Tensor]:
    """Parts of any form, each within a frame and none twice."""
    owner = torch.randint(0, count, (frames, height * width), generator=draws)
    found = [(owner[t] == part).nonzero()[:, 0] + t * height * width for t in range(frames) for part in range(count)]
    found = [part for part in found if len(part)]
    order = torch.randperm(len(found), generator=draws).tolist()
    return torch.cat([found[i] for i in order]), torch.tensor([len(found[i]) for i in order])


axis = st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(0, 3), st.integers(1, 2)).filter(
    lambda a: a[3] * (a[0] - 1) >= a[1] - 1
)


@settings(max_examples=40)
@given(
    axis, axis, axis, st.integers(1, 4), st.integers(7, 10), st.integers(7, 11), st.booleans(), st.integers(0, 2**32)
)
def test_each_part_adds_what_the_convolution_makes_of_it(
    time: tuple[int, ...],
    rows: tuple[int, ...],
    columns: tuple[int, ...],
    count: int,
    height: int,
    width: int,
    bias: bool,
    seed: int,
) -> None:
    draws = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    kernel, stride, padding, dilation = zip(time, rows, columns, strict=True)
    layer = nn.Conv3d(3, 5, kernel, stride, padding, dilation, bias=bias)
    first = first_of(Network(layer))
    start, end = (torch.randn(3, 7, height, width, generator=draws) for _ in range(2))
    voxels, sizes = parts(7, height, width, count, draws)
    output = layer(start[None])[0]
    assert first.output_size((7, height, width)) == tuple(output.shape[1:])
    current = first.rows(start)
    places, amounts = first.added(end - start, voxels, sizes)
    done = 0
    clip = start.clone()
    for unit, size in enumerate(sizes.tolist()):
        changed = voxels[done : done + size]
        clip.view(3, -1)[:, changed] = end.view(3, -1)[:, changed]
        current.index_add_(0, places[unit], amounts[unit])
        done += size
        if unit in (0, len(sizes) // 2, len(sizes) - 1):
            expected = layer(clip[None])[0].flatten(1).T
            assert torch.allclose(current[:-1], expected, atol=1e-4)
    assert torch.equal(clip, end)


def test_batch_norm_and_rectifier_are_part_of_the_layer() -> None:
    torch.manual_seed(0)
    block = nn.Sequential(nn.Conv3d(3, 5, 3, padding=1, bias=False), nn.BatchNorm3d(5), nn.ReLU())
    for name, tensor in block[1].named_buffers():
        if "running" in name:
            tensor.uniform_(0.5, 2)
    program = traced(Network(block))
    first = program.first_convolution
    assert first is not None
    clips = torch.randn(2, 3, 4, 8, 8)
    made = torch.empty(2, 4 * 8 * 8, 5)
    for clip, into in zip(clips, made, strict=True):
        first.activations(first.rows(clip), into)
    output = made.view(2, 4, 8, 8, 5).permute(0, 4, 1, 2, 3)
    assert torch.allclose(output, block(clips), atol=1e-5)
    assert torch.allclose(program.after_first_convolution(output), program.forward(clips).logits, atol=1e-5)


def test_a_clip_that_is_not_finite_has_no_logits() -> None:
    program = traced(Network(nn.Sequential(nn.Conv3d(3, 5, 3), nn.ReLU())))
    output = torch.ones(2, 5, 2, 6, 6)
    output[1, 0, 0, 0, 0] = torch.inf
    logits = program.after_first_convolution(output)
    assert bool(logits[0].isfinite().all())
    assert bool(logits[1].isnan().all())


class Beside(Network):
    """Reads the clip twice."""

    def forward(self, clip: Tensor) -> Tensor:
        return self.head((self.first(clip) + clip.mean(1, keepdim=True)).mean((2, 3, 4)))


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 4)

    def forward(self, clip: Tensor) -> Tensor:
        return self.head(clip.mean((2, 3, 4)))


@pytest.mark.parametrize(
    "module",
    [
        Network(nn.Sequential(nn.MaxPool3d(2), nn.Conv3d(3, 5, 3))),
        Beside(nn.Conv3d(3, 5, 3, padding=1)),
        Network(nn.Conv3d(3, 6, 3, groups=3), 6),
        Network(nn.Conv3d(3, 5, 1, stride=2)),
        Linear(),
    ],
    ids=["pooling first", "read twice", "groups", "skips pixels", "no convolution"],
)
def test_networks_that_begin_otherwise_have_none(module: nn.Module) -> None:
    assert traced(module).first_convolution is None
