"""Weights in the layouts in which oneDNN computes with them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from handlers.relevance.kernels.geometry import Geometry


def packed(kept: dict[Any, Tensor], name: str, weight: Tensor, geometry: Geometry, shape: torch.Size) -> Tensor:
    """The named weight for an input of that shape. kept: what was packed before, to which this is added.

    The library chooses a layout by the shape, and weights in another one are rearranged at every call, which can take
    longer than the convolution. Shapes with one layout share one packed weight.
    """
    key = (name, geometry, shape)
    if key not in kept:
        g = geometry
        reorder: Any = getattr(torch._C._nn, f"mkldnn_reorder_conv{weight.dim() - 2}d_weight")
        made = reorder(weight.to_mkldnn(), g.padding, g.stride, g.dilation, g.groups, shape)
        layout = bytes(torch.ops.mkldnn._get_mkldnn_serialized_md(made).tolist())
        kept[key] = kept.setdefault((name, geometry, layout), made)
    return kept[key]
