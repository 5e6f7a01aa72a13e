"""Logits that come from activations that are not finite are not finite, whatever the kernels make of them."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from handlers.relevance import Program, Rules, guided_backprop, relevance, temporal_relevance, trace
from handlers.relevance.errors import UnknownClass
from handlers.relevance.program.finiteness import Finiteness


class Frames(nn.Module):
    """Convolutions over single frames, folded into the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, 3)

    def forward(self, clip: Tensor) -> Tensor:
        batch, channels, frames, height, width = clip.shape
        x = clip.transpose(1, 2).reshape(batch * frames, channels, height, width)
        x = torch.relu(self.norm(self.conv(x)))
        return self.fc(x.mean((2, 3)).reshape(batch, frames, 4).mean(1))


def stack(*layers: nn.Module) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(*copy.deepcopy(layers), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 3))


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "conv": stack(nn.Conv3d(3, 4, 3, padding=1), nn.ReLU()),
    "deep": stack(*(layer for c in (3, 4, 4) for layer in (nn.Conv3d(c, 4, 3, padding=1), nn.ReLU()))),
    "norm": stack(nn.Conv3d(3, 4, 3, padding=1), nn.BatchNorm3d(4), nn.ReLU()),
    "through time": stack(nn.Conv3d(3, 4, (3, 1, 1), padding=(1, 0, 0)), nn.ReLU()),
    "strided": stack(nn.Conv3d(3, 4, 3, stride=2, padding=1), nn.ReLU(), nn.MaxPool3d(2)),
    "grouped": stack(nn.Conv3d(3, 4, 1), nn.ReLU(), nn.Conv3d(4, 4, 3, padding=1, groups=4), nn.ReLU()),
    "frames": Frames,
}


def program(name: str, dtype: torch.dtype = torch.float32) -> tuple[nn.Module, Program]:
    torch.manual_seed(0)
    module = NETWORKS[name]().eval().to(dtype)
    return module, trace(module, Rules(low=(-1.0,) * 3, high=(1.0,) * 3))


def clips(count: int = 1, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return (torch.rand((count, 3, 4, 6, 6), generator=generator) * 2 - 1).to(dtype)


@settings(max_examples=60)
@given(
    name=st.sampled_from(sorted(NETWORKS)),
    value=st.sampled_from([float("nan"), float("inf"), -float("inf")]),
    at=st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
    with_relevance=st.booleans(),
)
def test_one_pixel_that_is_not_finite_takes_its_clip_s_logits_and_no_other_s(
    name: str, value: float, at: tuple[int, ...], dtype: torch.dtype, with_relevance: bool
) -> None:
    _, network = program(name, dtype)
    batch = clips(3, dtype)
    expected = network.forward(batch).logits
    batch[at] = value
    found = network.forward(batch, relevance=with_relevance)
    finite = found.logits.isfinite()
    for item in range(3):
        if item == at[0]:
            assert not finite[item].any()
        else:
            torch.testing.assert_close(found.logits[item], expected[item])
    if with_relevance:
        shared = relevance(found, 0)
        for item in range(3):
            known = shared.values[item].isfinite()
            assert bool(known.all() if item != at[0] else ~known.any())
        assert shared.defect[at[0]].isnan()
        assert guided_backprop(found, 0)[at[0]].isnan().all()


def test_that_clip_has_no_rows_and_no_length() -> None:
    _, network = program("deep")
    batch = clips(2)
    batch[1, 0, 0, 0, 0] = torch.nan
    found = network.forward(batch)
    rows = temporal_relevance(found, 0)
    assert rows.values[0].isfinite().all()
    assert rows.values[1].isnan().all()
    assert rows.lengths[1].tolist() == [0] * 4
    assert (rows.average[1], rows.reasons[1]) == (None, "the logits are not finite")


@pytest.mark.parametrize("name", ["conv", "norm", "frames"])
def test_a_weight_that_is_not_finite_is_not_hidden(name: str) -> None:
    module, _ = program(name)
    first = next(parameter for parameter in module.parameters() if parameter.dim() > 1)
    first.data[1] = torch.nan
    assert not trace(module).forward(clips()).logits.isfinite().any()


@pytest.mark.parametrize("bias", [0.0, -3e38])
def test_a_sum_that_overflows_is_not_hidden_by_the_rectifier_behind_it(bias: float) -> None:
    """Sums of minus infinity, or of infinities of both signs, from a finite clip and finite weights."""
    module, _ = program("deep")
    convolution = module.get_submodule("2")
    assert isinstance(convolution, nn.Conv3d)
    assert convolution.bias is not None
    convolution.weight.data[:2] = -3e38
    convolution.bias.data[:2] = bias
    module.get_submodule("8").weight.data[:, :2] = 0  # type: ignore[index, operator]
    found = trace(module).forward(clips() + 5).logits
    assert not found.isfinite().any()


def test_large_but_finite_activations_are_left_alone() -> None:
    module, _ = program("deep")
    last = module.get_submodule("8")
    assert isinstance(last, nn.Linear)
    for index, factor in ((0, 1e30), (2, 1e-20), (4, 1e-20)):
        convolution = module.get_submodule(str(index))
        assert isinstance(convolution, nn.Conv3d)
        convolution.weight.data *= factor
    found = trace(module).forward(clips()).logits
    torch.testing.assert_close(found, module(clips()).detach())


def test_only_numbers_that_come_near_the_largest_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    own = Finiteness._look
    monkeypatch.setattr(
        Finiteness, "_look", lambda self, number, value: (read.append(number), own(self, number, value))
    )
    _, network = program("deep")
    network.forward(clips())
    assert [number for number in read if number <= 6] == [0]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("seed", range(5))
def test_half_precision_modules_have_logits_per_frame(dtype: torch.dtype, seed: int) -> None:
    torch.manual_seed(seed)
    width = 256
    module = nn.Sequential(
        nn.Conv3d(3, width, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(width, 40)
    )
    network = trace(module.eval().to(dtype))
    found = network.forward(clips(2, dtype) * 3)
    assert found.no_frame_logits == ""
    torch.testing.assert_close(found.frame_logits.mean(1), found.logits, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_logits_that_are_no_mean_are_seen_in_every_precision(dtype: torch.dtype) -> None:
    _, network = program("conv", dtype)
    found = network.forward(clips(2, dtype))
    found.logits[1] += 1
    assert (found.no_frame_logits_of(0), bool(found.no_frame_logits_of(1))) == ("", True)


WRONG = [
    True,
    False,
    "right",
    "negated",
    None,
    1.0,
    torch.tensor(True),
    torch.tensor([True, False]),
    np.True_,
    1j,
    3,
    -1,
]


@pytest.mark.parametrize("chosen", WRONG, ids=repr)
def test_what_is_no_class_number_is_refused(chosen: object) -> None:
    _, network = program("conv")
    found = network.forward(clips(2))
    asked = [
        lambda: relevance(found, chosen),
        lambda: temporal_relevance(found, chosen),
        lambda: guided_backprop(found, chosen),
    ]
    if chosen is not None and not (isinstance(chosen, str) and chosen == "negated"):
        asked += [lambda: relevance(found, 0, chosen), lambda: temporal_relevance(found, 0, chosen)]
    for question in asked:
        with pytest.raises(UnknownClass):
            question()


@pytest.mark.parametrize("chosen", [1, np.int64(1), np.uint8(1), torch.tensor(1), torch.tensor([1, 1]), [1, 1]])
def test_whole_numbers_of_every_type_are_class_numbers(chosen: object) -> None:
    _, network = program("conv")
    found = network.forward(clips(2))
    assert torch.equal(relevance(found, chosen).values, relevance(found, 1).values)
