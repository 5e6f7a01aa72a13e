"""Spatio-temporal extremal perturbation: which part of a clip suffices for a class (comprehensive study, Eq. 2-4).

A mask keeps a given share of the clip and perturbs the rest, so that the class stays as probable as it can be. In a
notebook, for a traced program and a clip [C, T, H, W] as its model takes it:

>>> plan = PerturbationPlan(areas=(0.05,))
>>> masks = Masks(plan, clip)
>>> ascent = Ascent(Score(program, target), blurred(clip, sigma=20, levels=8), masks, plan)
>>> state = ascent.start(clip)
>>> for iteration in range(100):
...     state = ascent.step(state, 0.05, iteration)
>>> share = kept(masks.upsample(state.seeds).values, 0.05)  # bool [T, H, W]

The model is never touched: the program has its own copy of the steps, and gradients are taken of the clip alone.
"""

from handlers.explainers.perturbation.ascent import Ascent, AscentState
from handlers.explainers.perturbation.masks import Masks, kept, perimeter
from handlers.explainers.perturbation.plan import MOST_STEPS, Mode, PerturbationPlan, Variant
from handlers.explainers.perturbation.plateau import NEAR_BINARY
from handlers.explainers.perturbation.progress import Progress
from handlers.explainers.perturbation.pyramid import Pyramid, blurred, faded, smoothed
from handlers.explainers.perturbation.score import Score

__all__ = [
    "MOST_STEPS",
    "NEAR_BINARY",
    "Ascent",
    "AscentState",
    "Masks",
    "Mode",
    "PerturbationPlan",
    "Progress",
    "Pyramid",
    "Score",
    "Variant",
    "blurred",
    "faded",
    "kept",
    "perimeter",
    "smoothed",
]
