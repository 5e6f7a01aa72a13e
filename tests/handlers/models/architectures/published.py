"""Networks of single frames as their repositories describe them, straight from the tensors of a checkpoint. Test only.

Pictures are folded into the batch, layers are found by the published names, and nothing here knows the families.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import torch
import torch.nn.functional as F
from torch import Tensor

State = Mapping[str, Tensor]


def pictures(clip: Tensor) -> Tensor:
    """[1, 3, T, H, W] to [T, 3, H, W]."""
    return clip[0].transpose(0, 1)


def _norm(state: State, name: str, x: Tensor) -> Tensor:
    mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
    return F.batch_norm(x, mean, var, state[f"{name}.weight"], state[f"{name}.bias"])


def _unit(state: State, name: str, x: Tensor, stride: int = 1) -> Tensor:
    weight = state[f"{name}.weight"]
    x = F.conv2d(x, weight, state[f"{name}.bias"], stride, weight.shape[-1] // 2)
    return _norm(state, f"{name}_bn", x).relu()


def bn_inception(state: State, x: Tensor) -> Tensor:
    """[T, 3, H, W] to the vectors [T, C] before the last layer; names without a prefix."""
    x = F.max_pool2d(_unit(state, "conv1_7x7_s2", x, 2), 3, 2, ceil_mode=True)
    x = _unit(state, "conv2_3x3", _unit(state, "conv2_3x3_reduce", x))
    x = F.max_pool2d(x, 3, 2, ceil_mode=True)
    for name in ("3a", "3b", "3c", "4a", "4b", "4c", "4d", "4e", "5a", "5b"):
        at = f"inception_{name}"
        stride = 2 if name in ("3c", "4e") else 1
        middle = _unit(state, f"{at}_3x3", _unit(state, f"{at}_3x3_reduce", x), stride)
        double = _unit(state, f"{at}_double_3x3_1", _unit(state, f"{at}_double_3x3_reduce", x))
        double = _unit(state, f"{at}_double_3x3_2", double, stride)
        if stride == 2:
            x = torch.cat([middle, double, F.max_pool2d(x, 3, 2, ceil_mode=True)], 1)
            continue
        if name == "5b":
            pooled = F.max_pool2d(x, 3, 1, 1)
        else:
            pooled = F.avg_pool2d(x, 3, 1, 1, ceil_mode=True, count_include_pad=True)
        x = torch.cat([_unit(state, f"{at}_1x1", x), middle, double, _unit(state, f"{at}_pool_proj", pooled)], 1)
    return x.mean((2, 3))


def _v3(state: State, first: str, x: Tensor, *padding: tuple[int, int], halves: bool = False) -> Tensor:
    """Convolutions called `first`, `first`_1 and so on, each with zeros (height, width) around; the last may halve."""
    for number, zeros in enumerate(padding, start=1):
        name = first if number == 1 else f"{first}_{number - 1}"
        stride = 2 if halves and number == len(padding) else 1
        x = F.conv2d(x, state[f"{name}_Conv2D.weight"], state[f"{name}_Conv2D.bias"], stride, zeros)
        x = _norm(state, f"{name}_batchnorm", x).relu()
    return x


def inception_v3(state: State, x: Tensor) -> Tensor:
    """As `bn_inception`, for pictures of 299 x 299."""
    none, one, two, high, wide = (0, 0), (1, 1), (2, 2), (3, 0), (0, 3)
    x = _v3(state, "conv_1", _v3(state, "conv", x, none, halves=True), none)
    x = F.max_pool2d(_v3(state, "conv_2", x, one), 3, 2, ceil_mode=True)
    x = _v3(state, "conv_4", _v3(state, "conv_3", x, none), none)
    x = F.max_pool2d(x, 3, 2, ceil_mode=True)
    for at in ("mixed", "mixed_1", "mixed_2"):
        once, twice = _v3(state, f"{at}_tower_conv", x, none, two), _v3(state, f"{at}_tower_1_conv", x, none, one, one)
        pooled = F.avg_pool2d(x, 3, 1, 1, ceil_mode=True)
        x = torch.cat(
            [_v3(state, f"{at}_conv", x, none), once, twice, _v3(state, f"{at}_tower_2_conv", pooled, none)], 1
        )
    once = _v3(state, "mixed_3_tower_conv", x, none, one, none, halves=True)
    x = torch.cat([_v3(state, "mixed_3_conv", x, none, halves=True), once, F.max_pool2d(x, 3, 2, ceil_mode=True)], 1)
    for at in ("mixed_4", "mixed_5", "mixed_6", "mixed_7"):
        once = _v3(state, f"{at}_tower_conv", x, none, high, wide)
        twice = _v3(state, f"{at}_tower_1_conv", x, none, wide, high, wide, high)
        pooled = F.avg_pool2d(x, 3, 1, 1, ceil_mode=True)
        x = torch.cat(
            [_v3(state, f"{at}_conv", x, none), once, twice, _v3(state, f"{at}_tower_2_conv", pooled, none)], 1
        )
    once = _v3(state, "mixed_8_tower_conv", x, none, none, halves=True)
    twice = _v3(state, "mixed_8_tower_1_conv", x, none, high, wide, none, halves=True)
    x = torch.cat([once, twice, F.max_pool2d(x, 3, 2, ceil_mode=True)], 1)
    for at in ("mixed_9", "mixed_10"):
        joined = [_v3(state, f"{at}_conv", x, none)]
        for tower, zeros in (("tower", (none,)), ("tower_1", (none, one))):
            before = _v3(state, f"{at}_{tower}_conv", x, *zeros)
            joined.append(_v3(state, f"{at}_{tower}_mixed_conv", before, (1, 0)))
            joined.append(_v3(state, f"{at}_{tower}_mixed_conv_1", before, (0, 1)))
        pooled = F.max_pool2d(x, 3, 1, 1) if at == "mixed_10" else F.avg_pool2d(x, 3, 1, 1, ceil_mode=True)
        x = torch.cat([*joined, _v3(state, f"{at}_tower_2_conv", pooled, none)], 1)
    return F.avg_pool2d(x, 8).flatten(1)


def resnet(state: State, x: Tensor) -> Tensor:
    """As `bn_inception`, of bottlenecks with torchvision's names."""
    x = _norm(state, "bn1", F.conv2d(x, state["conv1.weight"], stride=2, padding=3)).relu()
    x = F.max_pool2d(x, 3, 2, 1)
    for stage in range(1, 5):
        block = 0
        while (at := f"layer{stage}.{block}") + ".conv1.weight" in state:
            stride = 2 if stage > 1 and block == 0 else 1
            y = _norm(state, f"{at}.bn1", F.conv2d(x, state[f"{at}.conv1.weight"])).relu()
            y = _norm(state, f"{at}.bn2", F.conv2d(y, state[f"{at}.conv2.weight"], stride=stride, padding=1)).relu()
            y = _norm(state, f"{at}.bn3", F.conv2d(y, state[f"{at}.conv3.weight"]))
            if f"{at}.downsample.0.weight" in state:
                x = _norm(state, f"{at}.downsample.1", F.conv2d(x, state[f"{at}.downsample.0.weight"], stride=stride))
            x = (x + y).relu()
            block += 1
    return x.mean((2, 3))


def base(state: State, prefix: str, x: Tensor) -> Tensor:
    """The backbone behind a prefix."""
    own = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    if "layer1.0.conv1.weight" in own:
        return resnet(own, x)
    return inception_v3(own, x) if "conv_Conv2D.weight" in own else bn_inception(own, x)


def linear(state: State, name: str, x: Tensor) -> Tensor:
    """A linear layer of that name."""
    return F.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])


def tsn(state: State, clip: Tensor) -> Tensor:
    """Logits [K] of one clip [1, 3, T, H, W]: the mean of what `new_fc` says of every frame."""
    return linear(state, "new_fc", base(state, "base_model.", pictures(clip))).mean(0)


def trn(state: State, clip: Tensor) -> Tensor:
    """As `tsn`, of TRN-pytorch's RelationModule: ReLU, Linear, ReLU, Linear on all features in order."""
    features = linear(state, "new_fc", base(state, "base_model.", pictures(clip)))
    hidden = linear(state, "consensus.classifier.1", features.flatten().relu()).relu()
    return linear(state, "consensus.classifier.3", hidden)


def mtrn_expected(state: State, clip: Tensor) -> Tensor:
    """As `tsn`, of RelationModuleMultiScale: the mean of its sum over every set of relations that it may draw."""
    features = linear(state, "new_fc", base(state, "base_model.", pictures(clip)))
    frames = len(features)
    total = torch.zeros((), dtype=features.dtype)
    for place, scale in enumerate(range(frames, 1, -1)):
        at = f"consensus.fc_fusion_scales.{place}"
        relations = [features[list(chosen)].flatten().relu() for chosen in combinations(range(frames), scale)]
        said = [linear(state, f"{at}.3", linear(state, f"{at}.1", relation).relu()) for relation in relations]
        draws = [torch.stack(drawn).sum(0) for drawn in combinations(said, min(3, len(said)))]
        total = total + torch.stack(draws).mean(0)
    return total


def play_fair_mtrn(backbone: State, heads: list[State], clip: Tensor) -> Tensor:
    """As `tsn`, of Play Fair's MultiscaleModel: Linear, ReLU, Linear for every number of frames, mean of means."""
    features = linear(backbone, "last_linear", base(backbone, "", pictures(clip)))
    scales = []
    for scale, head in enumerate(heads[: len(features)], start=1):
        sets = torch.stack([features[list(chosen)].flatten() for chosen in combinations(range(len(features)), scale)])
        scales.append(linear(head, "model.3", linear(head, "model.1", sets).relu()).mean(0))
    return torch.stack(scales).mean(0)


def play_fair_tsn(backbone: State, head: State, clip: Tensor) -> Tensor:
    """As `tsn`, of Play Fair's ClassifierConsensus."""
    features = linear(backbone, "last_linear", base(backbone, "", pictures(clip)))
    return linear(head, "classifier", features.relu()).mean(0)
