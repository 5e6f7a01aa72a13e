"""Networks of whole clips as their repositories describe them, straight from the tensors of a checkpoint. Test only.

Layers are found by the published names, and nothing here knows the families.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

State = Mapping[str, Tensor]
Triple = Sequence[int]


def norm(state: State, name: str, x: Tensor, eps: float = 1e-5) -> Tensor:
    """Batch norm of that name, as evaluated."""
    mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
    return F.batch_norm(x, mean, var, state[f"{name}.weight"], state[f"{name}.bias"], eps=eps)


def conv(state: State, name: str, x: Tensor, stride: Triple = (1, 1, 1)) -> Tensor:
    """Convolution padded by half its size; a weight of four axes acts on single pictures."""
    weight = state[f"{name}.weight"]
    if weight.dim() == 5:
        return F.conv3d(x, weight, None, stride, [size // 2 for size in weight.shape[2:]])
    pictures = F.conv2d(x.transpose(1, 2).flatten(0, 1), weight, None, stride[1:], weight.shape[-1] // 2)
    return pictures.unflatten(0, (x.shape[0], x.shape[2])).transpose(1, 2)


def linear(state: State, name: str, x: Tensor) -> Tensor:
    """A linear layer on the mean over time and space."""
    return F.linear(x.mean((2, 3, 4)), state[f"{name}.weight"], state[f"{name}.bias"])


def video_resnet(state: State, x: Tensor) -> Tensor:
    """torchvision's r3d_18, mc3_18 and r2plus1d_18: logits of [B, 3, T, H, W]."""
    x = norm(state, "stem.1", conv(state, "stem.0", x, (1, 2, 2))).relu()
    if "stem.3.weight" in state:
        x = norm(state, "stem.4", conv(state, "stem.3", x)).relu()
    for stage in range(1, 5):
        for block in range(2):
            at, step = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            y = _half(state, f"{at}.conv2", _half(state, f"{at}.conv1", x, step).relu(), 1)
            if step > 1:
                flat = state.get(f"{at}.conv1.0.weight", torch.empty(1, 1, 3)).shape[2] == 1
                x = conv(state, f"{at}.downsample.0", x, (1 if flat else step, step, step))
                x = norm(state, f"{at}.downsample.1", x)
            x = (x + y).relu()
    return linear(state, "fc", x)


def _half(state: State, at: str, x: Tensor, step: int) -> Tensor:
    """A convolution, whole or in two parts, and its batch norm."""
    if f"{at}.0.0.weight" in state:
        x = norm(state, f"{at}.0.1", conv(state, f"{at}.0.0", x, (1, step, step))).relu()
        x = conv(state, f"{at}.0.3", x, (step, 1, 1))
    else:
        flat = state[f"{at}.0.weight"].shape[2] == 1
        x = conv(state, f"{at}.0", x, (1 if flat else step, step, step))
    return norm(state, f"{at}.1", x)


def s3d(state: State, x: Tensor) -> Tensor:
    """torchvision's s3d; the pooling before its head takes the whole picture."""

    def unit(name: str, y: Tensor, stride: Triple = (1, 1, 1)) -> Tensor:
        return norm(state, f"{name}.1", conv(state, f"{name}.0", y, stride), 1e-3).relu()

    def separable(name: str, y: Tensor, step: int = 1) -> Tensor:
        return unit(f"{name}.1", unit(f"{name}.0", y, (1, step, step)), (step, 1, 1))

    x = F.max_pool3d(separable("features.0", x, 2), (1, 3, 3), (1, 2, 2), (0, 1, 1))
    x = F.max_pool3d(separable("features.3", unit("features.2", x)), (1, 3, 3), (1, 2, 2), (0, 1, 1))
    for place in range(5, 16):
        at = f"features.{place}"
        if place in (7, 13):
            x = F.max_pool3d(x, 3, 2, 1) if place == 7 else F.max_pool3d(x, 2, 2)
            continue
        branches = [separable(f"{at}.branch{number}.1", unit(f"{at}.branch{number}.0", x)) for number in (1, 2)]
        pooled = unit(f"{at}.branch3.1", F.max_pool3d(x, 3, 1, 1))
        x = torch.cat([unit(f"{at}.branch0", x), *branches, pooled], 1)
    x = F.avg_pool3d(x, (2, *x.shape[3:]), 1)
    return F.conv3d(x, state["classifier.1.weight"], state["classifier.1.bias"]).mean((2, 3, 4))


def same(x: Tensor, size: Triple, stride: Triple) -> Tensor:
    """Zeros around x as the PyTorch port of I3D adds them."""
    around: list[int] = []
    for extent, kernel, step in reversed(list(zip(x.shape[2:], size, stride, strict=True))):
        total = max(kernel - step if extent % step == 0 else kernel - extent % step, 0)
        around += [total // 2, total - total // 2]
    return F.pad(x, around)


def i3d(state: State, x: Tensor) -> Tensor:
    """The PyTorch port of I3D; the pooling before its head takes the whole picture; the mean over its time steps."""

    def unit(name: str, y: Tensor, stride: Triple = (1, 1, 1)) -> Tensor:
        weight = state[f"{name}.conv3d.weight"]
        y = F.conv3d(same(y, weight.shape[2:], stride), weight, None, stride)
        return norm(state, f"{name}.bn", y, 1e-3).relu()

    def pool(y: Tensor, size: Triple, stride: Triple) -> Tensor:
        return F.max_pool3d(same(y, size, stride), size, stride)

    x = pool(unit("Conv3d_1a_7x7", x, (2, 2, 2)), (1, 3, 3), (1, 2, 2))
    x = pool(unit("Conv3d_2c_3x3", unit("Conv3d_2b_1x1", x)), (1, 3, 3), (1, 2, 2))
    for name in ("3b", "3c", "4b", "4c", "4d", "4e", "4f", "5b", "5c"):
        if name in ("4b", "5b"):
            x = pool(x, (3, 3, 3) if name == "4b" else (2, 2, 2), (2, 2, 2))
        at = f"Mixed_{name}"
        branches = [unit(f"{at}.b{number}b", unit(f"{at}.b{number}a", x)) for number in (1, 2)]
        x = torch.cat([unit(f"{at}.b0", x), *branches, unit(f"{at}.b3b", pool(x, (3, 3, 3), (1, 1, 1)))], 1)
    x = F.avg_pool3d(x, (2, *x.shape[3:]), 1)
    return F.conv3d(x, state["logits.conv3d.weight"], state["logits.conv3d.bias"]).mean((2, 3, 4))


def frame_resnet(
    state: State, x: Tensor, head: str, step: int = 1, pooled: Callable[[Tensor], Tensor] = lambda y: y
) -> Tensor:
    """IBM's i3d_resnet and resnet with TAM, TSM's ResNets. step: of time at a stride. pooled: between stages."""
    x = norm(state, "bn1", conv(state, "conv1", x, (1, 2, 2))).relu()
    x = F.max_pool3d(x, (1, 3, 3), (1, 2, 2), (0, 1, 1))
    for stage in range(1, 5):
        block = 0
        while (at := f"layer{stage}.{block}") + ".bn1.weight" in state:
            stride = (step, 2, 2) if stage > 1 and block == 0 else (1, 1, 1)
            deep = f"{at}.conv3.weight" in state
            y = _first(state, at, x, (1, 1, 1) if deep else stride)
            y = norm(state, f"{at}.bn2", conv(state, f"{at}.conv2", y, stride if deep else (1, 1, 1)))
            if deep:
                y = norm(state, f"{at}.bn3", conv(state, f"{at}.conv3", y.relu()))
            if f"{at}.downsample.0.weight" in state:
                x = norm(state, f"{at}.downsample.1", conv(state, f"{at}.downsample.0", x, stride))
            x = (x + y).relu()
            block += 1
        x = pooled(x) if stage < 4 else x
    return linear(state, head, x)


def _first(state: State, at: str, x: Tensor, stride: Triple) -> Tensor:
    """A block's first convolution on what its TAM or shift makes of the neighbouring frames."""
    name = f"{at}.conv1"
    if f"{name}.net.weight" in state:
        fold, shifted = x.shape[1] // 8, torch.zeros_like(x)
        shifted[:, :fold, :-1] = x[:, :fold, 1:]
        shifted[:, fold : 2 * fold, 1:] = x[:, fold : 2 * fold, :-1]
        shifted[:, 2 * fold :] = x[:, 2 * fold :]
        x, name = shifted, f"{name}.net"
    elif f"{at}.tam.curr_se.fc1.weight" in state:
        x = _blended(state, [f"{at}.tam.{which}_se" for which in ("prev", "curr", "next")], x)
    elif f"{at}.tam.blending_layers.0.fc1.weight" in state:
        count = sum(key.startswith(f"{at}.tam.") for key in state)
        x = _blended(state, [f"{at}.tam.blending_layers.{place}" for place in range(count)], x)
    return norm(state, f"{at}.bn1", conv(state, name, x, stride)).relu()


def _blended(state: State, names: Sequence[str], x: Tensor) -> Tensor:
    """The sum of neighbouring frames, each weighted by the layer of its place; what lies outside the clip is 0."""
    around, frames = len(names) // 2, x.shape[2]
    padded = F.pad(x, (0, 0, 0, 0, around, around))
    found = torch.zeros_like(x)
    for place, name in enumerate(names):
        weight = state[f"{name}.fc1.weight"]
        found += F.conv3d(
            padded[:, :, place : place + frames], weight[:, :, None], groups=x.shape[1] // weight.shape[1]
        )
    return found.relu()
