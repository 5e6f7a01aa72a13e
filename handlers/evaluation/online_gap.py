"""The insertion-deletion gap of live explanations (M14): insertion and deletion in so few steps that an answer can have
it."""

from __future__ import annotations

from functools import cached_property

from torch import Tensor

from handlers.evaluation.common.blank_clips import blank_clip
from handlers.evaluation.common.perturbed_clips import class_score
from handlers.evaluation.common.ranking import ranked_patches
from handlers.evaluation.common.voxels import voxel_map
from handlers.evaluation.measure import LeftOut
from handlers.evaluation.measures.insertion_deletion import insertion_deletion_gap
from handlers.evaluation.subject import Subject
from handlers.explainers.attribution import Attribution

STEPS = 5
"""Parts in which the clip is put in and taken out: 2 (STEPS + 1) = 12 forwards for each explanation."""


class OnlineGap:
    """Measures explanations of one clip, by patches of a 16 x 16 grid of each frame; padding is not ranked."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject

    def of(self, attribution: Attribution) -> float:
        """Measure one explanation, -1 .. 1, higher is better; the same whenever it is measured.

        Raises LeftOut for an explanation without voxels, one that ranks nothing, and a clip that is all padding.
        """
        subject = self._subject
        values = voxel_map(subject, attribution)
        ranking = ranked_patches(values, subject.seen, subject.generator())
        if not len(ranking):
            raise LeftOut("the clip is all padding")
        if bool((values[:, subject.seen] == values[0, subject.seen][0]).all()):
            raise LeftOut("no voxel has positive relevance" if not values.any() else "all voxels count alike")
        return insertion_deletion_gap(class_score(subject), *self._clips, ranking, STEPS)

    @cached_property
    def _clips(self) -> tuple[Tensor, Tensor, Tensor]:
        """The clip as the network takes it, the same blurred, and the same grey."""
        clip = self._subject.model.prepare([self._subject.clip])[0]
        return clip, blank_clip(self._subject, clip, "blur"), blank_clip(self._subject, clip, "grey")
