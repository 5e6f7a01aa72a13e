"""Relevance in time beside what freezing each window does: python -m benchmarks.frozen_windows CLIP [--model NAME]

For every window of a few frames: the target's probability when the window is frozen to its first frame (what the model
really depends on), and the share of the positive relevance that each method puts on the window's frames. The last lines
give the rank correlation of each method with the drop in probability, for the clip as it is, reversed and mirrored.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.client.results import Result
from service.decoding.image import decode_image
from service.local import LocalClient
from service.readings.explanation import frame_profile
from service.settings import Limits, Settings

_METHODS = ("grad-cam", "dtd", "selective-relevance:base=dtd")
_CHANGES: dict[str, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    "as it is": lambda clip: clip,
    "reversed": lambda clip: clip[::-1],
    "mirrored": lambda clip: clip[:, :, ::-1],
}


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path, help="a folder of PNG frames")
    parser.add_argument("--store", type=Path)
    parser.add_argument("--model", default="motion-primitives")
    parser.add_argument("--window", type=int, default=5)
    options = parser.parse_args()
    store = {"model_store": options.store} if options.store else {}
    settings = Settings(models=(options.model,), default_model=options.model, **store)
    frames = [decode_image(path.read_bytes(), Limits(), path.name) for path in sorted(options.clip.glob("*.png"))]
    clip = np.stack(frames)
    with LocalClient(settings, timeout=600) as client:
        for name, change in _CHANGES.items():
            print(f"\n{name}: {table(client, np.ascontiguousarray(change(clip)), options)}")


def table(client: LocalClient, clip: NDArray[np.uint8], options: argparse.Namespace) -> str:
    """One clip's table."""
    whole = client.explain_clip(clip, methods=_METHODS)
    target = whole.prediction.top[0]
    starts = range(0, len(clip) - options.window + 1, options.window)
    frozen = []
    for start in starts:
        changed = clip.copy()
        changed[start : start + options.window] = clip[start]
        frozen.append(_probability(client.explain_clip(changed), target.index))
    drops = target.probability - np.array(frozen)
    shares = {name: _shares(entry.message, whole, starts, options.window) for name, entry in whole.explanations.items()}
    lines = [
        f"{target.label} {target.probability:.3f}",
        "",
        "| frozen frames | probability | " + " | ".join(shares) + " |",
        "|---" * (2 + len(shares)) + "|",
    ]
    for row, start in enumerate(starts):
        cells = " | ".join(f"{100 * found[row]:.0f} %" for found in shares.values())
        lines.append(f"| {start}-{start + options.window - 1} | {frozen[row]:.3f} | {cells} |")
    ranks = ", ".join(f"{name} {_rank_correlation(found, drops):+.2f}" for name, found in shares.items())
    return "\n".join([*lines, f"rank correlation with the drop: {ranks}"])


def _probability(result: Result, index: int) -> float:
    odds = np.exp(result.logits - result.logits.max())
    return float(odds[index] / odds.sum())


def _shares(explanation, result: Result, starts: range, window: int) -> NDArray[np.float64]:  # type: ignore[no-untyped-def]
    used = np.array(result.frames.used)
    profile = frame_profile(explanation, len(used))
    # The model may see fewer frames than the clip has: each frame of the clip gets what its nearest seen frame has.
    nearest = np.abs(np.arange(starts[-1] + window)[:, None] - used[None]).argmin(1)
    by_frame = profile[nearest]
    sums = np.array([by_frame[start : start + window].sum() for start in starts])
    shares: NDArray[np.float64] = sums / max(by_frame.sum(), 1e-12)
    return shares


def _rank_correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    first, second = (np.argsort(np.argsort(values)) for values in (one, other))
    return float(np.corrcoef(first, second)[0, 1])


if __name__ == "__main__":
    main()
