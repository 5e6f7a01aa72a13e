"""Attributions of elements by gradients on their features: the rivals of Element Shapley Values in Play Fair, 3.1."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def element_integrated_gradients(consensus: nn.Module, features: Tensor, target: int, steps: int = 50) -> Tensor:
    """Integrated Gradients of the class's logit from the mean feature of the clip, averaged over the features.

    (x - r) * mean over a of dlogit/dx (r + a (x - r)), a at the midpoints of `steps` equal parts of 0 .. 1
    (Sundararajan et al. 2017, Eq. 3); r is the same for every element. consensus: from [B, n, D] to logits [B, K].
    features: float [n, D]. Returns float64 [n], signed; D times their sum is logit(x) - logit(r), but for the sum's
    rounding to `steps` parts.
    """
    reference = features.mean(0, keepdim=True).expand_as(features)
    shares = (torch.arange(steps, dtype=features.dtype) + 0.5) / steps
    path = reference + shares[:, None, None] * (features - reference)
    # A relation of many frames keeps its units of every subsequence: few points of the path at a time.
    parts = torch.split(path, steps if len(features) <= 8 else 1)
    gradient = torch.cat([_gradient(consensus, part, target) for part in parts]).mean(0)
    return ((features - reference) * gradient).double().mean(1)


def element_grad_cam(consensus: nn.Module, features: Tensor, target: int) -> Tensor:
    """Grad-CAM without its ReLU on features of elements, averaged over the features: float64 [n], signed.

    Weights are per element, as those of the network's frames are, which go through it as a batch, and as `grad-cam` has
    them per time step. A feature has one position in its element, so that the weight is its gradient itself: element i
    has the mean over d of x_id dlogit / dx_id (Selvaraju et al. 2017, Eqs. 1 and 2). features: float [n, D].
    """
    gradient = _gradient(consensus, features[None], target)[0]
    return (gradient * features).double().mean(1)


def _gradient(consensus: nn.Module, features: Tensor, target: int) -> Tensor:
    """d logit / d features, of each item of the batch: [B, n, D]."""
    with torch.inference_mode(False), torch.enable_grad():
        given = features.clone().requires_grad_()
        (found,) = torch.autograd.grad(consensus(given)[:, target].sum(), given)
    return found
