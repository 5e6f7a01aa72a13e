"""The explanation that knows nothing, to compare with."""

from __future__ import annotations

import torch

from handlers.evaluation.subject import Subject
from handlers.explainers.attribution import SaliencyVolume


def random_map(subject: Subject, draw: int) -> SaliencyVolume:
    """Uniform noise in 0 .. 1 for every voxel, always the same for a subject and a draw (0, 1, ...).

    Patches of it are in random order as well, so it serves measures of voxels, patches and frames alike.
    """
    values = torch.rand(subject.shape, generator=subject.generator(1 + draw))
    return SaliencyVolume(values, tuple(map(float, range(len(values)))))
