"""Generated clips that training never sees, as the benchmarks take them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from actionlens.generated_clips.clips import HELD_OUT_SEED, Sample, generate
from actionlens.generated_clips.labels import STILL


def moving_samples() -> Iterator[Sample]:
    """Held-out clips in which something moves, without end and always the same."""
    return (sample for sample in map(generate, count(HELD_OUT_SEED)) if sample.label != STILL)
