"""The moving average of a network's state: what is published, steadier than the weights of any one step."""

from __future__ import annotations

from torch import Tensor, nn


class Average:
    """Follows `model`, batch norm statistics included; each `update` keeps `keep` of what was there."""

    def __init__(self, model: nn.Module, keep: float) -> None:
        self._model, self._keep = model, keep
        self.state: dict[str, Tensor] = {name: value.clone() for name, value in model.state_dict().items()}

    def update(self) -> None:
        """Take in the model's present state; whole numbers (counters) are copied."""
        for name, value in self._model.state_dict().items():
            if value.is_floating_point():
                self.state[name].lerp_(value, 1 - self._keep)
            else:
                self.state[name].copy_(value)
