"""Selective relevance against a plain loop over the definition, and on maps whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from handlers.engine.engine import ClipAnswer, ClipRequest, Engine, MethodCall
from handlers.engine.smoke_test import answer_noise
from handlers.errors import RequestError
from handlers.explainers import explainer
from handlers.explainers.attribution import SaliencyVolume
from handlers.explainers.live.selective_relevance import motion_mask, selectivity, time_derivative, upsampled
from handlers.support import cases
from tests.handlers import networks


def loop_derivative(relevance: Tensor, *, zero_padding: bool) -> Tensor:
    """The 27-point Sobel sum, written out."""
    frames, height, width = relevance.shape
    out = torch.zeros_like(relevance)
    for t, y, x in np.ndindex(frames, height, width):
        for dt, dy, dx in np.ndindex(3, 3, 3):
            weight = (-1, 0, 1)[dt] * (1, 2, 1)[dy] * (1, 2, 1)[dx]
            tt, yy, xx = t + dt - 1, y + dy - 1, x + dx - 1
            inside = 0 <= tt < frames and 0 <= yy < height and 0 <= xx < width
            if inside or not zero_padding:
                tt, yy, xx = (min(max(v, 0), n - 1) for v, n in ((tt, frames), (yy, height), (xx, width)))
                out[t, y, x] += weight * relevance[tt, yy, xx]
    return out


@pytest.mark.parametrize("zero_padding", [False, True])
@pytest.mark.parametrize("shape", [(1, 3, 3), (4, 5, 3), (6, 1, 7)])
def test_derivative_is_the_27_point_sum(shape: tuple[int, int, int], zero_padding: bool) -> None:
    relevance = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    result = time_derivative(relevance, zero_padding=zero_padding)
    torch.testing.assert_close(result, loop_derivative(relevance, zero_padding=zero_padding))


@given(value=st.floats(-1e6, 1e6), threshold=st.floats(0, 8))
@settings(max_examples=50)
def test_a_map_that_stands_still_selects_nothing(value: float, threshold: float) -> None:
    picture = torch.linspace(0, 1, 20).reshape(1, 4, 5) * value
    assert not motion_mask(picture.expand(6, 4, 5), threshold).any()


def test_the_published_padding_selects_the_ends_of_a_constant_map() -> None:
    mask = motion_mask(torch.ones(16, 8, 8), 2.0, peer=True)
    assert mask[[0, -1]].any()
    assert not mask[1:-1].any()


def test_a_moving_blob_is_selected_and_the_scene_is_not() -> None:
    relevance = torch.zeros(12, 24, 24)
    relevance[:, 2:6, 2:6] = 1.0
    for t in range(12):
        relevance[t, 16:19, 2 * t : 2 * t + 2] = 1.0
    mask = motion_mask(relevance, 2.0)
    assert not mask[:, :10].any()
    assert mask[2:-2, 16:19].any(dim=(1, 2)).all()
    positions, share = selectivity(relevance, mask)
    blob, scene = 12 * 3 * 2, 12 * 16
    assert 0 < share <= blob / (blob + scene)
    assert 0 < positions <= blob / (blob + scene)


def test_signed_keeps_rises_only() -> None:
    relevance = torch.zeros(8, 9, 9)
    relevance[4:, 4, 4] = 1.0
    relevance[:4, 1, 1] = 1.0
    rises = motion_mask(relevance, 1.0, signed=True)
    both = motion_mask(relevance, 1.0)
    assert rises[4, 4, 4]
    assert both[4, 1, 1]
    assert not rises[4, 1, 1]


@given(seed=st.integers(0, 10_000), scale=st.floats(1e-3, 1e3))
@settings(max_examples=30)
def test_scaling_the_map_changes_nothing(seed: int, scale: float) -> None:
    relevance = torch.rand((5, 6, 7), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    assert torch.equal(motion_mask(relevance, 1.5), motion_mask(relevance * scale, 1.5))


def test_shares_by_hand() -> None:
    relevance = torch.tensor([[[3.0, 1.0, -5.0, 0.0]]])
    mask = torch.tensor([[[True, False, True, True]]])
    assert selectivity(relevance, mask) == (0.5, 0.75)
    assert selectivity(-relevance.abs(), mask) == (None, None)


def test_a_model_without_relevance_is_explained_by_what_explains_it() -> None:
    model = cases()["trn"]()
    wanted: list[dict[str, str]] = [{}, {"base": "grad-cam"}, {"base": "dtd"}]
    answer = answer_noise(Engine(model), tuple(MethodCall("selective-relevance", each) for each in wanted))
    left_out, named, refused = answer.explained
    for entry in (left_out, named):
        assert isinstance(entry.result, SaliencyVolume)
        assert entry.result.mask is not None
        assert entry.parameters["base"] == "grad-cam"
    assert isinstance(refused.result, RequestError)
    assert (refused.result.field, refused.result.reason) == ("base", "BASE_UNSUPPORTED")
    why = explainer("dtd").unsupported(model)
    assert refused.result.message == f"base: dtd cannot explain trn: {why}"


def test_relevance_makes_the_map_where_there_is_any() -> None:
    (entry,) = answer_noise(Engine(networks.model()), (MethodCall("selective-relevance"),)).explained
    assert entry.parameters["base"] == "dtd"


def test_a_model_that_no_map_explains_is_refused_with_the_reason_of_relevance() -> None:
    model = cases()["onnx, not converted"]()
    assert explainer("selective-relevance").unsupported(model) == explainer("dtd").unsupported(model)


def published(relevance: Tensor, threshold: float) -> Tensor:
    """The authors' code in their own steps: a 3-D convolution with padding, std of its magnitude, a comparison."""
    smooth = torch.tensor([1.0, 2.0, 1.0], dtype=relevance.dtype)
    along = torch.tensor([-1.0, 0.0, 1.0], dtype=relevance.dtype)
    kernel = torch.einsum("t,y,x->tyx", along, smooth, smooth)
    edges = torch.nn.functional.conv3d(relevance[None, None], kernel[None, None], padding=1)[0, 0].abs()
    return edges > threshold * torch.sqrt(((edges - edges.mean()) ** 2).sum() / (edges.numel() - 1))


@given(seed=st.integers(0, 10_000), threshold=st.floats(0.1, 6))
@settings(max_examples=50)
def test_peer_is_the_published_code(seed: int, threshold: float) -> None:
    relevance = torch.randn((5, 6, 7), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    expected = published(relevance, threshold)
    assert torch.equal(motion_mask(relevance, threshold, peer=True), expected)


def test_a_coarse_map_is_resized_linearly_at_its_own_positions() -> None:
    values = torch.rand((2, 3, 3), generator=torch.Generator().manual_seed(0))
    found = upsampled(values, (1.5, 5.5), (8, 9, 6))
    assert found.shape == (8, 9, 6)
    # Steps in equal parts of the clip, so it is what torch calls trilinear.
    expected = torch.nn.functional.interpolate(values[None, None], size=(8, 9, 6), mode="trilinear")[0, 0]
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(upsampled(values, (0.0, 7.0), (8, 3, 3))[[0, 7]], values)


@pytest.mark.parametrize("upsample", [None, True, False])
def test_maps_coarser_than_14_x_14_are_resized_before_their_derivative(upsample: bool | None) -> None:
    engine = Engine(networks.model())
    calls = [
        MethodCall("grad-cam"),
        MethodCall("selective-relevance", {"base": "grad-cam", "threshold": 1.0, "upsample": upsample}),
        MethodCall("selective-relevance", {"threshold": 1.0, "upsample": upsample}),
    ]
    (answer,) = engine.explain([ClipRequest(networks.clip(1), calls, target=1)])
    assert isinstance(answer, ClipAnswer)
    cam, selective, fine = (entry.result for entry in answer.explained)
    assert isinstance(cam, SaliencyVolume)
    assert isinstance(selective, SaliencyVolume)
    assert isinstance(fine, SaliencyVolume)
    assert fine.details.notes == ()  # at the pixels already
    assert selective.mask is not None
    if upsample is False:
        assert torch.equal(selective.values, cam.values)
        assert (selective.layer, selective.details.notes) == ("relu2", ())
    else:
        torch.testing.assert_close(selective.values, upsampled(cam.values, cam.frame_positions, (6, 12, 16)))
        assert (selective.layer, selective.frame_positions) == ("", (0.0, 1.0, 2.0, 3.0, 4.0, 5.0))
        assert "6 x 8 was resized to 12 x 16" in selective.details.notes[0]
    assert torch.equal(selective.mask, motion_mask(selective.values, 1.0))
    assert (selective.quality.selected_positions, selective.quality.motion_share) == selectivity(
        selective.values, selective.mask
    )


def test_a_grid_that_is_fine_enough_keeps_its_resolution() -> None:
    size = {"frames": 6, "height": 28, "width": 28, "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.25, 0.3)}
    engine = Engine(networks.model(input=size))
    call = MethodCall("selective-relevance", {"base": "grad-cam"})
    (answer,) = engine.explain([ClipRequest(networks.clip(1, 6, 28, 28), [call])])
    assert isinstance(answer, ClipAnswer)
    result = answer.explained[0].result
    assert isinstance(result, SaliencyVolume)
    assert (result.values.shape, result.layer) == ((3, 14, 14), "relu2")
