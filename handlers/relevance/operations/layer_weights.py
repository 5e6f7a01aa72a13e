"""The parameters of a convolution or linear layer, and the linear maps made from them."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from handlers.relevance.kernels.convolution import Kernel
from handlers.relevance.kernels.geometry import Geometry
from handlers.relevance.operations.linear_map import LinearMap

Map = Kernel | LinearMap


@dataclass(eq=False)
class LayerWeights:
    """The parameters of a layer and the linear maps made from them, each built once and shared by all passes."""

    weight: Tensor
    bias: Tensor | None
    geometry: Geometry | None
    _built: dict[Any, Any] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def map(self, weight: Tensor, dtype: torch.dtype | None = None) -> Map:
        """The layer's map with other weights. dtype: in which a convolution is computed."""
        if self.geometry is None:
            return LinearMap(weight)
        return Kernel(weight if dtype is None else weight.to(dtype), self.geometry)

    def once(self, key: Any, build: Any) -> Any:
        """The result of `build`, built at the first call with this key."""
        with self._lock:
            if key not in self._built:
                self._built[key] = build()
            return self._built[key]
