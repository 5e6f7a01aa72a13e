"""Gradients and Guided Backprop against autograd."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from handlers.relevance import NotKept, Rules, UnknownLayer, guided_backprop, guided_grad_cam, relevance, trace
from handlers.relevance.kernels.convolution import Kernel
from handlers.relevance.kernels.geometry import Geometry
from tests.handlers.relevance.networks import ALL, Net, Plain, Residual, TwoSpeed, clip, pair
from tests.waiting import PATIENCE


class _Guided(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return cotangent.clamp(min=0) * (x > 0)


class _GuidedRelu(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = _Guided.apply(x)
        return result


def close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", [*ALL, TwoSpeed])
def test_gradients_equal_autograd(kind: type[Net]) -> None:
    net, twin = pair(kind)
    x = clip(frames=8 if kind is TwoSpeed else 7).requires_grad_(True)
    logits = twin(x)
    cotangent = torch.randn(logits.shape, dtype=torch.float64)
    forward = trace(net).forward(x)
    (expected,) = torch.autograd.grad(logits, x, cotangent)
    assert close(forward.gradient("", cotangent), expected)


@pytest.mark.parametrize(
    ("size", "stride", "padding"),
    [
        ((5, 7, 7), (1, 2, 2), (2, 3, 3)),
        ((3, 7, 7), (1, 2, 2), (1, 3, 3)),
        ((1, 7, 7), (1, 2, 2), (0, 3, 3)),
        ((5, 3, 5), (2, 2, 2), (0, 1, 4)),
        ((4, 2, 3), (3, 3, 2), (1, 0, 1)),
        ((6, 4, 4), (1, 4, 4), (5, 0, 3)),
    ],
)
@pytest.mark.parametrize("frames", [6, 9])
def test_strided_convolutions_of_few_channels_are_transposed_exactly(
    size: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...], frames: int
) -> None:
    x = torch.randn(2, 3, frames, 17, 14, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(5, 3, *size, dtype=torch.float64)
    y = nn.functional.conv3d(x, weight, stride=stride, padding=padding)
    cotangent = torch.randn_like(y)
    (expected,) = torch.autograd.grad(y, x, cotangent)
    kernel = Kernel(weight, Geometry(stride, padding, (1, 1, 1)))
    assert close(kernel.transpose(cotangent, (frames, 17, 14)), expected)


@pytest.mark.parametrize("layer", ["stem", "ab1", "a2", "ab2", "pb2", "p3", "db", "fc"])
def test_gradient_at_every_kind_of_layer(layer: str) -> None:
    net, twin = pair(Residual)
    kept: dict[str, Tensor] = {}
    twin.get_submodule(layer).register_forward_hook(lambda m, i, o: kept.update(out=o))
    x = clip()
    logits = twin(x.requires_grad_(True))
    cotangent = torch.randn(logits.shape, dtype=torch.float64)
    (expected,) = torch.autograd.grad(logits, kept["out"], cotangent)
    program = trace(net)
    for with_relevance in (True, False):
        forward = program.forward(x, keep=[layer], relevance=with_relevance)
        assert close(forward.activation(layer), kept["out"])
        assert close(forward.gradient(layer, cotangent), expected)


def test_pass_without_relevance_keeps_only_what_was_named() -> None:
    net, _ = pair(Residual)
    forward = trace(net).forward(clip(), keep=["pb3"], relevance=False)
    with pytest.raises(NotKept, match="relevance=True"):
        relevance(forward, 0)
    with pytest.raises(NotKept, match="keep="):
        forward.gradient("", torch.zeros_like(forward.logits))
    with pytest.raises(UnknownLayer, match="'nowhere'"):
        trace(net).forward(clip(), keep=["nowhere"])


@pytest.mark.parametrize("kind", [*ALL, TwoSpeed])
def test_guided_backprop_equals_autograd_with_guided_rectifiers(kind: type[Net]) -> None:
    net, twin = pair(kind)
    twin.relus = nn.ModuleList(_GuidedRelu() for _ in twin.relus)
    x = clip(frames=8 if kind is TwoSpeed else 7).requires_grad_(True)
    (expected,) = torch.autograd.grad(twin(x)[:, 2].sum(), x)
    forward = trace(net).forward(x)
    found = guided_backprop(forward, 2)
    assert close(found, expected)
    assert not torch.allclose(found, forward.gradient("", torch.eye(4, dtype=torch.float64)[[2, 2]]))
    cam = torch.rand((2, 2, 3, 3), dtype=torch.float64)
    resized = nn.functional.interpolate(cam[:, None], size=x.shape[2:], mode="trilinear", align_corners=False)
    assert close(guided_grad_cam(forward, cam, 2), expected * resized)


def test_model_and_clip_are_left_alone_and_threads_agree() -> None:
    net, _ = pair(Plain)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    x = clip()
    given = x.clone()
    program = trace(net, Rules(low=(-2.0,) * 3, high=(2.0,) * 3))
    forward = program.forward(x)
    expected = [relevance(program.forward(x), k).values for k in range(4)]
    found: dict[int, Tensor] = {}
    threads = [threading.Thread(target=lambda k=k: found.update({k: relevance(forward, k).values})) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert all(torch.equal(found[k], expected[k]) for k in range(4))
    assert torch.equal(x, given)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in net.parameters())
