"""Do explanations of transformers lie on what decides? `python -m benchmarks.tokens [--family videomae] [--steps 300]`.

Trains a tiny transformer to tell whether a textured square moves left or right, beside a resting square with another
texture and before noise, and asks on 64 new clips how much of each explanation lies on the moving square, and whether
its strongest patch does. One thread; some minutes.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from handlers.explainers.live.grad_cam import grad_cam
from handlers.models import family
from handlers.models.blocks.tokens import TokenNetwork
from handlers.relevance import ForwardPass, Gamma, Rules, relevance, trace

FRAMES, SIZE, SIDE, PATCH = 8, 48, 8, 8
_COMMON = {"image_size": SIZE, "num_frames": FRAMES, "hidden_size": 48, "num_hidden_layers": 3}
_COMMON |= {"num_attention_heads": 4, "intermediate_size": 96}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "videomae": {**_COMMON, "patch_size": PATCH},
    "timesformer": {**_COMMON, "patch_size": PATCH},
    "vivit": {**_COMMON, "tubelet_size": (2, PATCH, PATCH)},
}


def clips(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """float [B, 3, T, H, W] in -0.25 .. 1.8, class [B] (1: to the right), and bool [B, T, H, W]: the moving square."""

    def drawn(low: int, high: int) -> int:
        return int(torch.randint(low, high, (1,), generator=generator))

    x = torch.rand(count, 3, FRAMES, SIZE, SIZE, generator=generator) / 2 - 0.25
    classes = torch.randint(0, 2, (count,), generator=generator)
    textures = torch.rand(count, 2, 3, 1, SIDE, SIDE, generator=generator) * 2 - 0.2
    moving = torch.zeros(count, FRAMES, SIZE, SIZE, dtype=torch.bool)
    for item in range(count):
        row, column = drawn(0, SIZE - SIDE), drawn(0, SIZE - SIDE)
        x[item, :, :, row : row + SIDE, column : column + SIDE] = textures[item, 0]
        row, column = drawn(0, SIZE - SIDE), drawn(16, SIZE - SIDE - 16)
        for frame in range(FRAMES):
            left = column + (2 if classes[item] else -2) * frame
            x[item, :, frame, row : row + SIDE, left : left + SIDE] = textures[item, 1, :, 0]
            moving[item, frame, row : row + SIDE, left : left + SIDE] = True
    return x, classes, moving


def trained(name: str, steps: int) -> TokenNetwork:
    """A tiny network of a family that tells the two classes apart."""
    torch.manual_seed(0)
    network = family(name).build(classes=2, **ARGUMENTS[name])
    for tensor in network.parameters():
        if tensor.dim() > 1:
            nn.init.trunc_normal_(tensor, std=0.08)
    generator = torch.Generator().manual_seed(1)
    optimiser = torch.optim.AdamW(network.parameters(), 1.5e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1.5e-3, total_steps=steps)
    for _ in range(steps):
        x, classes, _ = clips(32, generator)
        optimiser.zero_grad()
        F.cross_entropy(network(x), classes).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    assert isinstance(network, TokenNetwork)
    return network.eval()


def explanations(network: TokenNetwork, forward: ForwardPass, kept: list[str]) -> dict[str, Tensor]:
    """By name, maps [B, T, H, W] for the likelier class of each clip."""
    best = forward.logits.argmax(1)
    found = {
        "dtd (z+)": relevance(forward, best).values.sum(1),
        "dtd (gamma 0.25)": relevance(forward, best, rule=Gamma(0.25)).values.sum(1),
        "dtd (gamma 0)": relevance(forward, best, rule=Gamma(0.0)).values.sum(1),
    }
    seeds = F.one_hot(best, 2).float()
    parts = (forward.activation("tokens"), forward.gradient("tokens", seeds))
    coarse = {"grad-cam": grad_cam(*(network.on_grid(part) for part in parts))}
    with torch.no_grad():
        shares = network.rollout({layer: forward.activation(layer) for layer in kept})
    coarse["attention-rollout"] = network.on_grid(shares[..., None])[:, 0]
    for name, heat in coarse.items():
        found[name] = F.interpolate(heat[:, None], (FRAMES, SIZE, SIZE))[:, 0]
    found["input x gradient"] = (forward.clip * forward.gradient("", seeds)).sum(1)
    return found


def main() -> None:
    """Train, explain, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--family", choices=list(ARGUMENTS), default="videomae")
    parser.add_argument("--steps", type=int, default=300)
    options = parser.parse_args()
    torch.set_num_threads(1)
    network = trained(options.family, options.steps)
    x, classes, moving = clips(64, torch.Generator().manual_seed(9))
    kept = ["tokens", *(layer for layer, _ in network.reads())]
    forward = trace(network, Rules(low=(-0.25,) * 3, high=(1.8,) * 3)).forward(x, kept)
    right = float((forward.logits.argmax(1) == classes).float().mean())
    print(f"{options.family}: {right:.2f} right; the moving square is {float(moving.float().mean()):.3f} of a clip\n")
    print("| explanation | share of positive relevance on it | strongest patch touches it |\n|---|---|---|")
    patch = (2, PATCH, PATCH)
    touched = F.avg_pool3d(moving[:, None].float(), patch).flatten(1) > 0
    for name, heat in explanations(network, forward, kept).items():
        positive = heat.clamp(min=0)
        share = (positive * moving).flatten(1).sum(1) / positive.flatten(1).sum(1)
        strongest = F.avg_pool3d(heat[:, None], patch).flatten(1).argmax(1, keepdim=True)
        print(f"| {name} | {float(share.mean()):.3f} | {float(touched.gather(1, strongest).float().mean()):.2f} |")


if __name__ == "__main__":
    main()
