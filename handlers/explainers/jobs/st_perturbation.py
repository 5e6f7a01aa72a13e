"""Spatio-temporal extremal perturbation (comprehensive study, Eq. 2-4): the part of the clip that suffices."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Annotated, Literal

import torch
from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError
from torch import Tensor

from handlers.errors import RequestError
from handlers.explainers.attribution import Attribution, Curve, Details, SaliencyVolume
from handlers.explainers.explainer import Parameters
from handlers.explainers.iteration import IterativeExplainer, Question, State
from handlers.explainers.perturbation import (
    MOST_STEPS,
    NEAR_BINARY,
    Ascent,
    Masks,
    Mode,
    PerturbationPlan,
    Progress,
    Score,
    Variant,
    blurred,
    faded,
    kept,
    perimeter,
    smoothed,
)
from handlers.models.action_model import ActionModel

_LEVELS = 8
_STILL_THERE = 0.5
_EDGE = 1.5
"""Pixels by which the edges of a cut are softened beside the hard ones, which can serve as content by themselves."""

Share = Annotated[float, Field(ge=1e-4, lt=1)]
"""A smaller share is less than a voxel of a small clip."""


class StPerturbationParameters(Parameters):
    """Parameters of spatio-temporal perturbation."""

    areas: Annotated[
        list[Share], Field(min_length=1, max_length=8, description="shares of the visible volume that masks may keep")
    ] = [0.01, 0.05, 0.1]  # noqa: RUF012  (pydantic copies it)
    mode: Annotated[Mode, Field(description="preserve, delete or dual (both by one mask)")] = "preserve"
    variant: Annotated[
        Variant, Field(description="st; sync: the same area in every frame; unsync: each frame alone")
    ] = "st"
    perturbation: Annotated[
        Literal["blur", "fade"], Field(description="what is not kept is blurred, or fades to black")
    ] = "blur"
    blur: Annotated[
        float,
        Field(ge=0.001, le=1, description="strongest blur: its standard deviation as a share of the shorter side"),
    ] = 0.18
    iterations: Annotated[int, Field(ge=1, le=20_000, description="most iterations")] = 2000
    early_stop: Annotated[bool, Field(description="stop a mask when its score stands still and it is near binary")] = (
        True
    )
    step: Annotated[
        int | None, Field(ge=1, le=64, description="pixels between the seeds of a mask; 7 of 112 pixels of a side")
    ] = None
    sigma: Annotated[
        float | None, Field(ge=0.25, le=256, description="reach of a seed in pixels; 11 of 112 pixels of a side")
    ] = None
    smoothing: Annotated[float, Field(ge=0, le=64, description="frames over which masks are smoothed; 0: off")] = 0.0
    shape: Annotated[bool, Field(description="ask for one compact shape in space and time")] = False
    ranking: Annotated[float, Field(gt=0, le=1000, description="weight of the area's term at the start")] = 0.3
    growth: Annotated[float, Field(ge=1, le=2, description="factor of that weight per iteration")] = 1.04
    sufficient: Annotated[
        float | None, Field(gt=0, le=1, description="find the smallest area that reaches this share of the full score")
    ] = None

    @field_validator("areas")
    @classmethod
    def _names_of_their_own(cls, value: list[float]) -> list[float]:
        names = [f"{area:g}" for area in value]
        for name in names:
            if names.count(name) > 1:
                raise PydanticCustomError("areas", f"{name} is there twice; each area makes results of its own name")
        return value

    @field_validator("sigma")
    @classmethod
    def _few_seeds_in_reach(cls, value: float | None, info: ValidationInfo) -> float | None:
        step = info.data.get("step")
        if value is not None and step is not None and value > MOST_STEPS * step:
            raise PydanticCustomError("sigma", f"at most {MOST_STEPS} steps: {MOST_STEPS * step} for step {step}")
        return value

    @property
    def plan(self) -> PerturbationPlan:
        """The same for the library; step and sigma must be known (`StPerturbation.fitted`)."""
        names = ("mode", "variant", "step", "sigma", "smoothing", "shape", "ranking", "growth")
        return PerturbationPlan(areas=tuple(self.areas), **{name: getattr(self, name) for name in names})


class StPerturbation(IterativeExplainer[StPerturbationParameters]):
    """Masks of given areas that keep the class as probable as can be."""

    name = "st-perturbation"
    summary = "the smallest parts of the clip that suffice for the class, found by perturbing all else"
    parameters = StPerturbationParameters
    by_probability = True
    by_gradient = True

    def fitted(self, model: ActionModel, parameters: StPerturbationParameters) -> StPerturbationParameters:
        side = min(model.card.input.height, model.card.input.width)
        step, sigma = PerturbationPlan.geometry(side, parameters.step, parameters.sigma)
        return parameters.model_copy(update={"step": step, "sigma": sigma})

    def start(self, question: Question[StPerturbationParameters]) -> State:
        clip = _clip(question)
        ascent, _ = _tools(question, clip)
        progress = Progress.start(ascent, len(question.parameters.areas), clip)
        return State(0, question.parameters.iterations, arrays=vars(progress))

    @torch.no_grad()
    def advance(self, question: Question[StPerturbationParameters], state: State, seconds: float) -> State:
        end = time.monotonic() + seconds
        parameters = question.parameters
        ascent, masks = _tools(question, _clip(question))
        progress, done = _progress(state, masks), False
        while not done:
            progress = progress.next(ascent, tuple(parameters.areas), parameters.early_stop)
            done = progress.iteration >= parameters.iterations or not progress.running(parameters.early_stop)
            if time.monotonic() >= end:
                break
        return State(
            progress.iteration, state.iterations, done, float(progress.scores[:, -1].mean()), arrays=vars(progress)
        )

    @torch.no_grad()
    def result(self, question: Question[StPerturbationParameters], state: State) -> Attribution:
        parameters, clip = question.parameters, _clip(question)
        ascent, masks = _tools(question, clip)
        progress = _progress(state, masks)
        full, perturbed = ascent.probability(torch.ones_like(clip[0])), ascent.probability(torch.zeros_like(clip[0]))
        measures = {"score full": full, "score perturbed": perturbed}
        arrays: dict[str, Tensor] = {}
        reached: dict[float, Tensor] = {}
        total = torch.zeros_like(clip[0])
        for number, area in enumerate(parameters.areas):
            mask = masks.upsample(progress.seeds[number]).values
            total += mask
            chosen = kept(mask, area, by_frame=parameters.variant != "st")
            cut = chosen.to(mask)
            preserved, left = ascent.scores(cut)
            arrays[f"mask {area:g}"] = masks.cells(cut)
            measures[f"area {area:g}"] = float(chosen.double().mean())
            measures[f"soft area {area:g}"] = float(mask.double().mean())
            measures[f"misfit {area:g}"] = masks.misfit(mask, area)
            measures[f"perimeter {area:g}"] = float(perimeter(chosen))
            measures[f"iterations {area:g}"] = float(progress.used[number])
            soft_preserved, soft_left = ascent.scores(smoothed(cut[None], _EDGE)[0])
            found = {"": (preserved, soft_preserved), "without ": (left, soft_left)}
            for which, (hard, softened) in found.items():
                if hard is not None and softened is not None:
                    measures[f"score {which}{area:g}"] = hard
                    measures[f"softened score {which}{area:g}"] = softened
            wanted = (parameters.sufficient or 0.0) * full
            if (preserved is None or preserved >= wanted) and (left is None or left <= full - wanted):
                reached[area] = chosen
        smallest = min(reached, default=None) if parameters.sufficient else None
        if smallest is not None:
            measures["sufficient area"] = smallest
        missed = [area for area in parameters.areas if measures[f"misfit {area:g}"] > NEAR_BINARY]
        notes = _notes(parameters, full, perturbed, smallest)
        notes += _misses(parameters, masks, measures, missed, state.done)
        return SaliencyVolume(
            values=total,
            frame_positions=tuple(float(frame) for frame in range(len(total))),
            mask=None if smallest is None else reached[smallest],
            undefined=_NO_MASK if state.done and len(missed) == len(parameters.areas) else "",
            details=Details(_curves(parameters.areas, progress), notes, measures, arrays),
        )


_NO_MASK = "no mask holds its area: what is shown is grey, and its cuts say little of what suffices"


def _clip(question: Question[StPerturbationParameters]) -> Tensor:
    """[C, T, H, W] as the network takes it."""
    return question.model.prepare([question.clip])[0]


def _tools(question: Question[StPerturbationParameters], clip: Tensor) -> tuple[Ascent, Masks]:
    parameters, model, target = question.parameters, question.model, question.target
    if parameters.perturbation == "fade":
        pyramid = faded(clip, model.black)
    else:
        pyramid = blurred(clip, parameters.blur * min(clip.shape[2:]), _LEVELS)
    masks = Masks(parameters.plan, clip)
    return Ascent(Score(model.program, target.index, target.contrast), pyramid, masks, parameters.plan), masks


def _progress(state: State, masks: Masks) -> Progress:
    """Raises RequestError for the state of a job that was begun with other seeds: before step and sigma went with the
    size of the frame."""
    progress = Progress(**{entry.name: state.arrays[entry.name] for entry in fields(Progress)})
    if progress.seeds.shape[1:] != masks.grid:
        raise RequestError(
            f"state: has seeds {list(progress.seeds.shape[1:])}, and these parameters make {list(masks.grid)}: the job "
            "was begun by a version with another step; submit it again, or with step=7,sigma=11 for the former masks",
            field="state",
            reason="BAD_STATE",
        )
    return progress


def _curves(areas: Sequence[float], progress: Progress) -> tuple[Curve, ...]:
    curves = []
    for number, area in enumerate(areas):
        used = int(progress.used[number])
        steps = tuple(float(n) for n in range(1, used + 1))
        for name, values, unit in (("objective", progress.scores, "probability"), ("misfit", progress.misfits, "")):
            curves.append(Curve(f"{name} {area:g}", "iteration", steps, tuple(values[number, :used].tolist()), unit))
    return tuple(curves)


def _notes(
    parameters: StPerturbationParameters, full: float, perturbed: float, smallest: float | None
) -> tuple[str, ...]:
    notes = []
    if perturbed >= _STILL_THERE * full:
        notes.append(
            f"wholly perturbed, the clip still has probability {perturbed:.2f} ({full:.2f} as it is): this "
            "perturbation takes away little that the model needs, and masks mean little; try another"
        )
    if parameters.sufficient is not None and smallest is None:
        notes.append(
            f"no area reached {parameters.sufficient:g} of the full clip's probability {full:.2f}: ask for larger areas"
        )
    return tuple(notes)


def _misses(
    parameters: StPerturbationParameters,
    masks: Masks,
    measures: Mapping[str, float],
    missed: Sequence[float],
    done: bool,
) -> tuple[str, ...]:
    """What is to be said where a mask is not one of its area."""
    notes = []
    share, of = masks.seed_share(), "the clip" if parameters.variant == "st" else "a frame"
    small = [f"{area:g}" for area in parameters.areas if area < share]
    if small:
        notes.append(
            f"one seed alone covers {share:.2g} of {of}, more than area {', '.join(small)}: such masks are partly grey "
            f"at best; ask for larger areas, or smaller step and sigma (now {parameters.step} and {parameters.sigma:g} "
            "pixels)"
        )
    for area in missed:
        soft = measures[f"soft area {area:g}"]
        way = "ask for more iterations, or larger areas" if done else "it is still on its way"
        notes.append(
            f"the mask for area {area:g} misses it (mean {soft:.2g}, misfit {measures[f'misfit {area:g}']:.2g} of it): "
            f"the shown part is a cut through a grey mask; {way}"
        )
    return tuple(notes)


EXPLAINER = StPerturbation()
