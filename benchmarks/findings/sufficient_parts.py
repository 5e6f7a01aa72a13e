"""Findings of the comprehensive study: spatio-temporal perturbation against other maps, and what the measures do."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from benchmarks.findings.finding import Options, Paired, Result, finding, paired, verdict
from benchmarks.findings.subjects import Known, bundled, explain_map, known
from handlers.evaluation.common.random_maps import random_map
from handlers.evaluation.measure import LeftOut, MapMeasure
from handlers.evaluation.measures.insertion_deletion import (
    Deletion,
    DeletionParameters,
    Insertion,
    InsertionParameters,
    PatchDeletion,
    PatchDeletionParameters,
    PatchInsertion,
    PatchInsertionParameters,
)
from handlers.evaluation.measures.masked_accuracy import MaskedAccuracy, MaskedAccuracyParameters
from handlers.evaluation.measures.pointing_game import PointingGame, PointingGameParameters
from handlers.evaluation.measures.saliency_metric import SaliencyMetric, SaliencyMetricParameters
from handlers.evaluation.measures.temporal_pointing_game import TemporalPointingGame, TemporalPointingGameParameters
from handlers.explainers.attribution import SaliencyVolume

STEPS = 32
"""Of insertion and deletion; the paper's scripts take 128."""
AREAS = [0.1]
"""Of the masks that make a map. One: masks of more areas, as the paper adds up, cost as much again each."""

METHODS: dict[str, tuple[str, dict[str, object]]] = {
    "ST": ("st-perturbation", {"areas": AREAS}),
    "sync": ("st-perturbation", {"areas": AREAS, "variant": "sync"}),
    "unsync": ("st-perturbation", {"areas": AREAS, "variant": "unsync"}),
    "Grad-CAM": ("grad-cam", {}),
    "DTD": ("dtd", {}),
}
SMOOTH: tuple[str, dict[str, object]] = ("st-perturbation", {"areas": AREAS, "smoothing": 2})
COMPACT: tuple[str, dict[str, object]] = ("st-perturbation", {"areas": AREAS, "shape": True})
RANDOM = "random"


@cache
def _clips(options: Options) -> list[Known]:
    """Moving clips that are answered right, p > 0.5."""
    wanted = options.count(8)
    found = known(bundled("motion-primitives"), options, 2 * wanted + 4, moving=True)
    return [clip for clip in found if clip.sure][:wanted]


@cache
def _mapped(options: Options, name: str) -> list[SaliencyVolume]:
    """The maps of one method, of all clips. name: of METHODS, "smooth", "compact" or "random"."""
    method, parameters = {**METHODS, "smooth": SMOOTH, "compact": COMPACT}.get(name, (RANDOM, {}))
    if method == RANDOM:
        return [random_map(clip.subject, 0) for clip in _clips(options)]
    engine = bundled("motion-primitives")
    return [explain_map(engine, c.sample.clip, c.sample.label, method, **parameters) for c in _clips(options)]


@cache
def _numbers(options: Options, name: str, measure: str) -> dict[str, list[float]]:
    """Every value of a measure, of each clip; NaN where it is left out."""
    built, parameters = _MEASURES[measure]
    found = []
    for clip, volume in zip(_clips(options), _mapped(options, name), strict=True):
        try:
            values = built.measure(clip.subject, volume, parameters).values
            found.append({key: value.number for key, value in values.items()})
        except LeftOut:
            found.append({})
    keys = list(dict.fromkeys(key for own in found for key in own))
    return {key: [own.get(key, float("nan")) for own in found] for key in keys}


_MEASURES: dict[str, tuple[MapMeasure, object]] = {  # type: ignore[type-arg]
    "CI": (Insertion(), InsertionParameters(steps=STEPS)),
    "CD": (Deletion(), DeletionParameters(steps=STEPS)),
    "CI patches": (PatchInsertion(), PatchInsertionParameters(steps=STEPS)),
    "CD patches": (PatchDeletion(), PatchDeletionParameters(steps=STEPS)),
    "SM": (SaliencyMetric(), SaliencyMetricParameters()),
    "S-PT": (PointingGame(), PointingGameParameters()),
    "T-PT": (TemporalPointingGame(), TemporalPointingGameParameters()),
    "accuracy": (MaskedAccuracy(), MaskedAccuracyParameters()),
}
_MAIN = {
    "CI": "insertion",
    "CD": "deletion",
    "CI patches": "insertion-patches",
    "CD patches": "deletion-patches",
    "S-PT": "pointing-game",
    "T-PT": "temporal-pointing-game",
}
_ALL = (*METHODS, RANDOM)


def _values(options: Options, name: str, measure: str, key: str = "") -> list[float]:
    return _numbers(options, name, measure)[key or _MAIN[measure]]


def _means(options: Options, measure: str, names: Sequence[str] = _ALL, key: str = "") -> dict[str, float]:
    return {name: float(np.nanmean(_values(options, name, measure, key))) for name in names}


def _test(first: list[float], second: list[float]) -> Paired:
    both = [(a, b) for a, b in zip(first, second, strict=True) if np.isfinite(a) and np.isfinite(b)]
    return paired([a for a, _ in both], [b for _, b in both])


def _listed(means: dict[str, float], digits: int = 1) -> str:
    return ", ".join(f"{name} {mean:.{digits}f}" for name, mean in means.items())


@finding(
    "E1",
    "ST perturbation has the best CI, S50 and S75",
    "CI 89.5 (Grad-CAM 77.6, random 29.1); S50 -0.65 (-0.38); S75 -0.46 (0.33)",
)
def best(options: Options) -> Result:
    """Objective measures of all maps."""
    ci, s50, s75 = _means(options, "CI"), _means(options, "SM", key="s50"), _means(options, "SM", key="s75")
    wins = [
        max(ci, key=lambda n: ci[n]) == "ST",
        min(s50, key=lambda n: s50[n]) == "ST",
        min(s75, key=lambda n: s75[n]) == "ST",
    ]
    test = _test(_values(options, "ST", "CI"), _values(options, "Grad-CAM", "CI"))
    return Result(
        f"CI {_listed(ci)}; S50 {_listed(s50, 2)}; S75 {_listed(s75, 2)}",
        f"{len(_clips(options))} clips answered right, {STEPS} steps",
        verdict(all(wins), any(wins) or (test.difference > 0 and test.p < 0.05)),
        p=test.p,
        numbers={"CI": ci, "S50": s50, "S75": s75, "ST - Grad-CAM": test.__dict__},
    )


@finding("E2", "random maps get the best deletion score", "CD 18.0 random against 24.8 to 32.1")
def deletion(options: Options) -> Result:
    """Deletion by voxels; lower is called better."""
    cd = _means(options, "CD")
    others = min((name for name in cd if name != RANDOM), key=lambda name: cd[name])
    test = _test(_values(options, RANDOM, "CD"), _values(options, others, "CD"))
    return Result(
        f"CD {_listed(cd)}",
        f"{len(_clips(options))} clips, {STEPS} steps",
        verdict(min(cd, key=lambda name: cd[name]) == RANDOM, cd[RANDOM] < float(np.median(list(cd.values())))),
        p=test.p,
        numbers={"CD": cd},
    )


@finding("E3", "voxel-wise and patch-wise CI rank methods alike", "the same order but for sync (S2)")
def patches(options: Options) -> Result:
    """Spearman's rho of the mean CI over the methods."""
    names = list(_ALL)
    voxel, patch = _means(options, "CI"), _means(options, "CI patches")
    order = [np.argsort(np.argsort([means[name] for name in names])) for means in (voxel, patch)]
    rho = float(np.corrcoef(order[0], order[1])[0, 1])
    return Result(
        f"Spearman {rho:.2f} over {len(names)} maps; patch-wise {_listed(patch)}",
        f"{len(_clips(options))} clips, {STEPS} steps",
        verdict(rho >= 0.8, rho > 0.5),
        numbers={"voxels": voxel, "patches": patch, "rho": rho},
    )


@finding(
    "E4",
    "the spatial pointing game does not favour ST: objective and subjective measures oppose",
    "S-PT 46.8 ST, 47.5 Grad-CAM",
)
def pointing(options: Options) -> Result:
    """Pointing game against exact masks, per frame."""
    pt = _means(options, "S-PT")
    chance = float(np.nanmean(_values(options, "ST", "S-PT", "chance")))
    test = _test(_values(options, "ST", "S-PT"), _values(options, "Grad-CAM", "S-PT"))
    best = max(pt, key=lambda name: pt[name])
    return Result(
        f"S-PT {_listed(pt, 0)} (chance {chance:.0f})",
        f"{len(_clips(options))} clips, frames in which something moves",
        verdict(best != "ST" and test.difference <= 0, best != "ST"),
        p=test.p,
        numbers={"S-PT": pt, "chance": chance},
    )


@finding("E5", "smoothing in time raises T-PT and lowers CI", "T-PT 0.33 to 0.48; CI 59.3 to 51.3 (smoothing 0 to 2)")
def smoothing(options: Options) -> Result:
    """Temporal pointing at the stroke, with and without smoothing over two frames."""
    t = _test(_values(options, "smooth", "T-PT"), _values(options, "ST", "T-PT"))
    ci = _test(_values(options, "smooth", "CI"), _values(options, "ST", "CI"))
    chance = float(np.nanmean(_values(options, "ST", "T-PT", "chance")))
    return Result(
        f"T-PT {t.second:.0f} to {t.first:.0f} % (chance {chance:.0f}), CI {ci.second:.1f} to {ci.first:.1f}",
        f"{t.n} clips with frames outside the action",
        verdict(t.difference > 0 > ci.difference, t.difference > 0 or ci.difference < 0),
        p=ci.p,
        numbers={"T-PT": t.__dict__, "CI": ci.__dict__},
    )


@finding("E6", "a shape loss raises S-PT and lowers CI", "S-PT 46.8 to 56.0, CI 89.5 to 83.3")
def shape(options: Options) -> Result:
    """ST with and without the wish for one compact shape."""
    pt = _test(_values(options, "compact", "S-PT"), _values(options, "ST", "S-PT"))
    ci = _test(_values(options, "compact", "CI"), _values(options, "ST", "CI"))
    return Result(
        f"S-PT {pt.second:.0f} to {pt.first:.0f}, CI {ci.second:.1f} to {ci.first:.1f}",
        f"{pt.n} clips",
        verdict(pt.difference > 0 > ci.difference, pt.difference > 0 or ci.difference < 0),
        p=pt.p,
        numbers={"S-PT": pt.__dict__, "CI": ci.__dict__},
    )


@finding(
    "E7", "the top 10 % of the voxels keep nearly all of the accuracy", "saturates at 10 %, ST best everywhere (S3)"
)
def masked(options: Options) -> Result:
    """Accuracy where only the best voxels are not blurred; the clips are answered right as they are."""
    shares = (1, 2, 5, 10, 20)
    curves = {name: [_means(options, "accuracy", [name], f"kept {s:g}%")[name] / 100 for s in shares] for name in _ALL}
    own = curves["ST"]
    best_everywhere = all(
        own[i] >= max(curve[i] for name, curve in curves.items() if name != "ST") for i in range(len(shares))
    )
    return Result(
        f"ST at 1, 2, 5, 10, 20 %: {', '.join(f'{a:.2f}' for a in own)}; at 10 %: "
        + _listed({name: curve[3] for name, curve in curves.items()}, 2),
        f"{len(_clips(options))} clips, unmasked accuracy 1",
        verdict(own[4] - own[3] <= 0.05 and best_everywhere, own[4] - own[3] <= 0.05),
        numbers={"curves": curves},
    )


@finding("E8", "ST puts much on the first or last frame", "first for VGG16-LSTM, first and last for R(2+1)D")
def ends(options: Options) -> Result:
    """Share of the masks in the two frames at the ends."""
    shares = []
    for volume in _mapped(options, "ST"):
        frames = volume.values.clamp(min=0).sum((1, 2))
        shares.append(float((frames[0] + frames[-1]) / frames.sum()))
    even = 2 / 16
    test = paired(shares, [even] * len(shares))
    return Result(
        f"{test.first:.0%} of the masks in the first and last frame (even: {even:.0%})",
        f"{len(shares)} clips",
        verdict(test.difference > 0 and test.p < 0.05, test.difference > 0),
        p=test.p,
        numbers={"shares": shares},
    )


@finding("E9", "a tenth of the clip suffices for the score", "most clips by 10 % of the pixels (Eq. 3)")
def sufficient(options: Options) -> Result:
    """The smallest of three areas whose mask reaches 90 % of the clip's probability."""
    engine = bundled("motion-primitives")
    areas = []
    for clip in _clips(options)[: options.count(4)]:
        volume = explain_map(
            engine, clip.sample.clip, clip.sample.label, "st-perturbation", areas=[0.02, 0.05, 0.1], sufficient=0.9
        )
        areas.append(volume.details.measures.get("sufficient area", float("nan")))
    reached = [area for area in areas if np.isfinite(area)]
    median = float(np.median([area if np.isfinite(area) else 1.0 for area in areas]))
    return Result(
        f"median {median:.2g} of the volume; {len(reached)} of {len(areas)} by 0.1, "
        f"{len(areas) - len(reached)} not by 0.1",
        f"{len(areas)} clips",
        verdict(median <= 0.1, len(reached) > 0),
        numbers={"areas": areas},
    )
