"""Losses on where a network's explanations lie: on what moves.

The head of `MotionCNN` is linear on the mean over all cells, so the class's value per cell is exactly Grad-CAM's map,
and its mean the logit. Nothing in the loss of the answer says where that evidence has to lie; these two do, for the map
of the last layer and for the relevance of the pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from actionlens.generated_clips.labels import STILL
from handlers.explainers.live.selective_relevance import time_derivative
from handlers.models.architectures.motion_cnn import MotionCNN
from training.batches import MEAN, STD

#: Share of the map that costs nothing more to miss.
_FLOOR = 0.01

#: The smallest and the largest value that a normalised pixel can take.
_LOW, _HIGH = (0 - MEAN) / STD, (1 - MEAN) / STD

#: Where selective relevance cuts, in standard deviations, and how softly it does here.
_THRESHOLD, _SOFTNESS = 4.0, 0.5


def outside(maps: Tensor, inside: Tensor) -> Tensor:
    """-log of the share of non-negative maps [B, ...] that lies inside (bool, same shape), [B]."""
    held = (maps * inside).flatten(1).sum(1) / maps.flatten(1).sum(1).clamp(min=1e-6)
    return -torch.log(held + _FLOOR)


def moves(labels: Tensor, masks: Tensor) -> Tensor:
    """bool [B]: clips of one of the nine moving classes in which something is seen to move. masks: bool [B, ...]."""
    return (labels < STILL) & masks.flatten(1).any(1)


def evidence_loss(features: Tensor, weight: Tensor, labels: Tensor, inside: Tensor) -> Tensor:
    """How much of the evidence for the right class lies beside what moves; the mean over clips of one moving thing.

    features: [B, C, T, H, W], not negative. weight: [K, C] of the linear head. labels: [B]. inside: bool
    [B, T, H, W], the cells in which the mover is seen. Half of it is of the class's value per cell (Grad-CAM's map),
    half of the same with the positive weights alone, where z+ relevance starts: each alone lets the other drift.
    """
    chosen = moves(labels, inside)
    if not chosen.any():
        return features.new_zeros(())
    own = weight[labels[chosen]]
    loss = features.new_zeros(())
    for weights in (own, own.clamp(min=0)):
        values = torch.einsum("bcthw,bc->bthw", features[chosen], weights).clamp(min=0)
        loss = loss + 0.5 * outside(values, inside[chosen]).mean()
    return loss


def layers(model: MotionCNN, clips: Tensor) -> list[Tensor]:
    """What each convolution of `model.features` is given, and at the end what the last one gives."""
    inputs, value = [], clips
    for layer in model.features:
        if isinstance(layer, nn.Conv3d):
            inputs.append(value)
        value = layer(value)
    return [*inputs, value]


def pixel_relevance(model: MotionCNN, inputs: list[Tensor], labels: Tensor) -> Tensor:
    """Relevance of the pixels for the clips' own classes, differentiable, [B, T, H, W].

    As the method "dtd" computes it (z+ without biases, zB at the clip), for a relevance of one of each clip's class.
    inputs: as `layers` gives them.
    """
    *inputs, features = inputs
    own = model.head.weight[labels].clamp(min=0)[:, :, None, None, None] * features
    relevance = own / own.flatten(1).sum(1).clamp(min=1e-9)[:, None, None, None, None]
    convolutions = [layer for layer in model.features if isinstance(layer, nn.Conv3d)]
    for layer, value in zip(convolutions[:0:-1], inputs[:0:-1], strict=True):
        up = layer.weight.clamp(min=0)
        share = relevance / (_forward(layer, value, up) + 1e-6)
        relevance = value * _back(layer, share, up, value.shape)
    layer, clip = convolutions[0], inputs[0]
    up, down = layer.weight.clamp(min=0), layer.weight.clamp(max=0)
    above, below = clip - _LOW, clip - _HIGH
    share = relevance / (_forward(layer, above, up) + _forward(layer, below, down) + 1e-6)
    parts = above * _back(layer, share, up, clip.shape) + below * _back(layer, share, down, clip.shape)
    return parts.sum(1)


def _forward(layer: nn.Conv3d, value: Tensor, weight: Tensor) -> Tensor:
    return functional.conv3d(value, weight, stride=layer.stride, padding=layer.padding)


def _back(layer: nn.Conv3d, value: Tensor, weight: Tensor, shape: torch.Size) -> Tensor:
    """The transpose of `_forward`."""
    stride, padding = tuple(map(int, layer.stride)), tuple(map(int, layer.padding))
    sizes = zip(shape[2:], value.shape[2:], weight.shape[2:], stride, padding, strict=True)
    extra = [size - ((given - 1) * step - 2 * pad + kernel) for size, given, kernel, step, pad in sizes]
    return functional.conv_transpose3d(value, weight, stride=stride, padding=padding, output_padding=extra)


def relevance_loss(relevance: Tensor, masks: Tensor) -> Tensor:
    """How much of the pixels' relevance lies beside what moves, and of what selective relevance keeps of it; [B].

    relevance: [B, T, H, W], not negative. masks: bool, same shape. The cut of selective relevance is made soft here.
    """
    kept = []
    for one in relevance:
        change = time_derivative(one).abs()
        spread = change.square().mean().sqrt().clamp(min=1e-12)
        kept.append(one * torch.sigmoid((change / spread - _THRESHOLD) / _SOFTNESS))
    return 0.5 * outside(relevance, masks) + 0.5 * outside(torch.stack(kept), masks)
