"""Checks of a network that the tests of all families share."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from handlers.models import family
from handlers.relevance import Program, Rules, temporal_relevance, trace
from handlers.relevance.program.receptive_field import frame_centres


def shapes(name: str, classes: int = 400, **arguments: object) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all tensors of a family's full-size network; nothing is allocated."""
    with torch.device("meta"):
        state = family(name).build(classes=classes, **arguments).state_dict()
    return {key: tuple(tensor.shape) for key, tensor in state.items()}


def parameters(name: str, classes: int = 400, **arguments: object) -> int:
    """How many trained numbers the full-size network has."""
    with torch.device("meta"):
        return sum(p.numel() for p in family(name).build(classes=classes, **arguments).parameters())


def seeded(network: nn.Module, seed: int = 0) -> nn.Module:
    """Random weights and statistics of batch norm, float64, evaluation mode."""
    torch.manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.2)
    return network.double().eval()


def rising(network: nn.Module) -> nn.Module:
    """Weights that are all positive and no shifts: more light anywhere never lowers any logit. float32."""
    torch.manual_seed(0)
    for tensor in network.parameters():
        if tensor.dim() > 1:
            tensor.data = torch.rand_like(tensor) / tensor[0].numel()
            if tensor.dim() == 5:  # the same before and after, so that the peak lies at the centre
                tensor.data = (tensor.data + tensor.data.flip(2)) / 2
        elif tensor.dim() == 1:
            tensor.data.zero_()
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.weight.data.fill_(1.0)
    return network.eval()


def clip(frames: int, size: int, batch: int = 1, seed: int = 1) -> Tensor:
    """float64 [batch, 3, frames, size, size] in -2 .. 2."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((batch, 3, frames, size, size), generator=generator, dtype=torch.float64) * 4 - 2


def bounded(network: nn.Module) -> Program:
    """The network's program, for clips in -2 .. 2."""
    return trace(network, Rules(low=(-2.0,) * 3, high=(2.0,) * 3))


def check_program(network: nn.Module, x: Tensor, layer: str) -> Program:
    """The program computes what the module computes, and its gradient at the layer of Grad-CAM is autograd's."""
    program = bounded(network)
    found = program.forward(x, keep=[layer])
    kept: list[Tensor] = []
    hook = network.get_submodule(layer).register_forward_hook(lambda m, i, o: kept.append(o))
    expected = network(x)
    hook.remove()
    torch.testing.assert_close(found.logits, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found.activation(layer), kept[0], rtol=1e-9, atol=1e-9)
    weights = torch.randn_like(expected)
    (slope,) = torch.autograd.grad(expected, kept[0], weights)
    torch.testing.assert_close(found.gradient(layer, weights), slope, rtol=1e-8, atol=1e-10)
    return program


def check_rows(network: nn.Module, x: Tensor) -> None:
    """Logits per time step average to the logits; rows met halfway are the rows carried to the clip."""
    found = bounded(network).forward(x)
    torch.testing.assert_close(found.frame_logits.mean(1), found.logits, rtol=1e-9, atol=1e-9)
    rows = temporal_relevance(found, 1)
    down = temporal_relevance(found, 1, meeting=0)
    torch.testing.assert_close(rows.values, down.values, rtol=1e-6, atol=1e-9)


def check_evidence(network: nn.Module, frames: int, size: int, layer: str, frame: int) -> None:
    """Light in one frame is found in that frame's column, and in the row and layer step whose centre is nearest."""
    x = torch.zeros(1, 3, frames, size, size)
    x[:, :, frame] = 1.0
    program = trace(rising(network), Rules())
    found = program.forward(x, keep=[layer])
    rows = temporal_relevance(found, 0)
    strongest = int(found.frame_logits[0, :, 0].argmax())
    distances = [abs(anchor - frame) for anchor in rows.anchors]
    assert distances[strongest] <= min(distances) + 1e-9, (rows.anchors, found.frame_logits[0, :, 0])
    column = rows.values[0, strongest]
    assert int(column.argmax()) == frame
    assert float(column[frame]) > 0.999 * float(column.sum())
    heat = found.activation(layer)[0].sum((0, 2, 3))
    centres = frame_centres(program.graph, layer, frames, len(heat))
    distances = [abs(centre - frame) for centre in centres]
    assert distances[int(heat.argmax())] <= min(distances) + 1e-9, (centres, heat)
