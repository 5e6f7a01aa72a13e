"""One forward of a batch, shared by the prediction and every explanation asked for.

The network is traced once with torch.fx. Up to the first layer that an explanation reads, the forward runs without
autograd; from there on autograd records, so a gradient costs only the way from the logits down to that layer. Nothing
is hooked and the module is never modified, so forwards may run in several threads at once.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from handlers.errors import ModelError, RequestError


@dataclass(frozen=True)
class ForwardPass:
    """logits: float [B, K]. activations: by layer name, float [B, C, T', H', W'], those that were asked for."""

    logits: Tensor
    activations: dict[str, Tensor]

    def gradient(self, layer: str, seeds: Tensor) -> Tensor:
        """Gradient of sum(seeds * logits) by the activation of `layer`; seeds: float [B, K]."""
        activation = self.activations[layer]
        (gradient,) = torch.autograd.grad(self.logits, activation, seeds, retain_graph=True)
        return gradient


class TracedModel:
    """A network as a list of steps.

    Raises ModelError when the network's control flow depends on its input, which cannot be traced.
    """

    def __init__(self, module: nn.Module) -> None:
        module.eval().requires_grad_(False)
        try:
            self._graph = fx.symbolic_trace(module)
        except Exception as error:  # torch.fx raises whatever the traced code raises
            raise ModelError(f"architecture: cannot be traced: {error}") from error
        self._steps = _Steps(self._graph)
        self._nodes: dict[str, fx.Node] = {
            str(node.target): node for node in self._graph.graph.nodes if node.op == "call_module"
        }

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers whose activations can be asked for, in the order of computation."""
        return tuple(self._nodes)

    def forward(self, clips: Tensor, keep: Collection[str] = (), *, gradients: bool = False) -> ForwardPass:
        """Run the network; clips: float32 [B, 3, T, H, W]; keep: names of layers.

        gradients: whether `ForwardPass.gradient` will be asked for; without, all runs under inference mode.
        Raises RequestError (field "layer") when a layer does not exist.
        """
        nodes = {self.node(layer): layer for layer in keep}
        with torch.no_grad() if gradients else torch.inference_mode():
            return ForwardPass(*self._steps.walk(clips, nodes, gradients))

    def node(self, layer: str) -> fx.Node:
        """The step of that name. Raises RequestError (field "layer") when there is none."""
        try:
            return self._nodes[layer]
        except KeyError:
            some = ", ".join([*self._nodes][-8:])
            raise RequestError(
                f"layer {layer!r} does not exist; the last layers are {some}", field="layer", reason="UNKNOWN_LAYER"
            ) from None

    def frame_positions(self, layer: str, frames: int, steps: int) -> tuple[float, ...]:
        """The model frame at the centre of each of a layer's `steps` time steps, clipped to 0 .. frames - 1.

        Follows the first input of every step back to the clip: a convolution or pooling with kernel k, stride s,
        padding p and dilation d over time puts its output i at input position i * s - p + d * (k - 1) / 2.
        """
        chain = []
        node: fx.Node | None = self.node(layer)
        while node is not None:
            if node.op == "call_module":
                chain.append(self._graph.get_submodule(str(node.target)))
            node = next((value for value in node.all_input_nodes), None)
        offset, step = 0.0, 1.0
        for module in reversed(chain):
            if isinstance(module, nn.AdaptiveAvgPool3d | nn.AdaptiveMaxPool3d):
                step = frames / steps
                offset = (step - 1) / 2
            elif isinstance(module, nn.Conv3d | nn.MaxPool3d | nn.AvgPool3d):
                kernel, stride, padding, dilation = (
                    _in_time(getattr(module, name, 1)) for name in ("kernel_size", "stride", "padding", "dilation")
                )
                offset += step * (dilation * (kernel - 1) / 2 - padding)
                step *= stride
        return tuple(min(max(offset + step * index, 0.0), frames - 1.0) for index in range(steps))


class _Steps(fx.Interpreter):
    """Runs a traced graph, turning autograd on at the first activation that is kept."""

    def walk(self, clips: Tensor, keep: dict[fx.Node, str], gradients: bool) -> tuple[Tensor, dict[str, Tensor]]:
        values: dict[fx.Node, Any] = {}
        activations: dict[str, Tensor] = {}
        for node in self.module.graph.nodes:  # type: ignore[union-attr]
            if node.op == "placeholder":
                values[node] = clips
                continue
            args = fx.node.map_arg(node.args, values.__getitem__)
            if node.op == "output":
                assert isinstance(args[0], Tensor)
                return args[0], activations
            kwargs = fx.node.map_arg(node.kwargs, values.__getitem__)
            with torch.set_grad_enabled(gradients and bool(activations)):
                value = getattr(self, node.op)(node.target, args, kwargs)
            if node in keep:
                if gradients and not value.requires_grad:
                    value = value.detach().requires_grad_()
                activations[keep[node]] = value
                if any(self._overwrites(user) for user in node.users):
                    value = value.clone()
            values[node] = value
            for spent in self.user_to_last_uses.get(node, ()):
                values.pop(spent, None)
        raise AssertionError("a traced graph ends in an output")

    def _overwrites(self, node: fx.Node) -> bool:
        if node.op == "call_module":
            return bool(getattr(self.fetch_attr(str(node.target)), "inplace", False))
        return bool(node.kwargs.get("inplace")) or getattr(node.target, "__name__", str(node.target)).endswith("_")


def _in_time(value: int | Sequence[int]) -> int:
    return value if isinstance(value, int) else value[0]
