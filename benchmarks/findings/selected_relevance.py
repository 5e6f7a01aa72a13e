"""Findings of the selective-relevance paper: the part of a map that moves."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import torch
from torch import Tensor

from benchmarks.findings.finding import Options, Result, finding, interval, paired, verdict
from benchmarks.findings.subjects import bundled, explain_map, known, real_assets, samples
from benchmarks.findings.temporal_masks import gesture, lrcn, lrcn_clip
from handlers.evaluation.common.voxels import voxel_map
from handlers.evaluation.measures.agreement import overlap, positives
from handlers.evaluation.measures.motion_precision import centred, mass_precision, precision
from handlers.explainers.attribution import SaliencyVolume

RAW = {"DTD": "dtd", "GC": "grad-cam", "GGC": "guided-grad-cam", "GBP": "guided-backprop"}
SELECTED = ("DTD", "GC", "GGC")
"""Maps of which a selective version is measured."""


@dataclass
class Precisions:
    """Of each clip: precision of the voxels above zero, of those above the map's mean, of the mass; NaN: no voxel."""

    above_zero: list[float] = field(default_factory=list)
    above_mean: list[float] = field(default_factory=list)
    mass: list[float] = field(default_factory=list)


@dataclass
class Measurements:
    """Of one set of clips. base: share of the voxels that move. kept: (positions, relevance) that selection keeps.
    overlaps: of the voxels that two methods call relevant."""

    precisions: dict[str, Precisions] = field(default_factory=dict)
    base: list[float] = field(default_factory=list)
    kept: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    overlaps: dict[str, list[float]] = field(default_factory=dict)


@cache
def _measured(options: Options) -> Measurements:
    """Everything about maps of motion-primitives on moving clips, with exact masks of what moves."""
    engine, found = bundled("motion-primitives"), Measurements()
    for clip in known(engine, options, options.count(200), moving=True):
        moving = torch.from_numpy(clip.sample.mask)
        counted = torch.ones_like(moving)
        found.base.append(float(moving.double().mean()))
        relevant: dict[str, Tensor] = {}
        for name, method in RAW.items():
            volume = explain_map(engine, clip.sample.clip, clip.sample.label, method)
            values = voxel_map(clip.subject, volume, signed=True)
            _add(found, name, values, moving, counted)
            relevant[name] = positives(values, counted)
            if name in SELECTED:
                chosen = explain_map(engine, clip.sample.clip, clip.sample.label, "selective-relevance", base=method)
                values = voxel_map(clip.subject, chosen, signed=True)
                _add(found, f"selective {name}", values, moving, counted)
                found.kept.setdefault(name, []).append(_kept(chosen))
        for one, other in (("DTD", "GC"), ("DTD", "GBP"), ("GC", "GBP")):
            shared = overlap(relevant[one], relevant[other]).iou
            found.overlaps.setdefault(f"{one}, {other}", []).append(np.nan if shared is None else shared)
    return found


def _add(found: Measurements, name: str, values: Tensor, moving: Tensor, counted: Tensor) -> None:
    own = found.precisions.setdefault(name, Precisions())
    for numbers, number in (
        (own.above_zero, precision(values, moving, counted)),
        (own.above_mean, precision(centred(values, "mean", counted), moving, counted)),
        (own.mass, mass_precision(values, moving, counted)),
    ):
        numbers.append(np.nan if number is None else 100 * number)


def _kept(volume: SaliencyVolume) -> tuple[float, float]:
    """Shares in % of positions and relevance that are kept."""
    positions, relevance = volume.quality.selected_positions, volume.quality.motion_share
    return (
        np.nan if positions is None else 100 * positions,
        np.nan if relevance is None else 100 * relevance,
    )


def _pairs(first: list[float], second: list[float]) -> tuple[list[float], list[float]]:
    """The numbers of clips that have both."""
    both = [(a, b) for a, b in zip(first, second, strict=True) if np.isfinite(a) and np.isfinite(b)]
    return [a for a, _ in both], [b for _, b in both]


@finding("C1", "selective relevance raises motion precision", "DTD 27.8 to 41.1 %, GC 28.2 to 36.1, GGC 42.9 to 45.8")
def raised(options: Options) -> Result:
    """Precision of positive voxels against exact masks, raw and selective."""
    found = _measured(options)
    tests = {
        name: paired(*_pairs(found.precisions[f"selective {name}"].above_zero, found.precisions[name].above_zero))
        for name in SELECTED
    }
    up = [test.difference > 0 and test.p < 0.05 for test in tests.values()]
    mass = {
        name: (np.nanmean(found.precisions[name].mass), np.nanmean(found.precisions[f"selective {name}"].mass))
        for name in SELECTED
    }
    text = ", ".join(f"{name} {t.second:.1f} to {t.first:.1f} % (of {t.n} clips)" for name, t in tests.items())
    by_mass = ", ".join(f"{name} {a:.1f} to {b:.1f}" for name, (a, b) in mass.items())
    return Result(
        f"{text}; by mass {by_mass}; base rate {100 * np.mean(found.base):.1f} %",
        f"{len(found.base)} clips, exact masks",
        verdict(all(up), any(up)),
        p=max(test.p for test in tests.values()),
        numbers={name: test.__dict__ for name, test in tests.items()} | {"mass": mass},
    )


@finding(
    "C2",
    "Guided BP has the highest raw precision and agrees least with the others",
    "47.5 %; overlap 2.8 % (DTD), 1.0 % (GC)",
)
def guided(options: Options) -> Result:
    """By three readings of "positive", since the paper's centring decides the order."""
    found = _measured(options)
    orders = {}
    for reading in ("above_zero", "above_mean", "mass"):
        orders[reading] = {name: float(np.nanmean(getattr(found.precisions[name], reading))) for name in RAW}
    overlaps = {name: 100 * float(np.nanmean(own)) for name, own in found.overlaps.items()}
    first = [max(order, key=lambda name: order[name]) for order in orders.values()]
    least = overlaps["DTD, GC"] > max(overlaps["DTD, GBP"], overlaps["GC, GBP"])
    text = {k: ", ".join(f"{name} {value:.1f}" for name, value in order.items()) for k, order in orders.items()}
    return Result(
        f"R > 0: {text['above_zero']}; R > mean: {text['above_mean']}; mass: {text['mass']} %; overlap DTD-GC "
        f"{overlaps['DTD, GC']:.1f}, DTD-GBP {overlaps['DTD, GBP']:.1f}, GC-GBP {overlaps['GC, GBP']:.1f} %",
        f"{len(found.base)} clips, exact masks",
        verdict(all(name in ("GBP", "GGC") for name in first) and least, "GBP" in first or "GGC" in first or least),
        numbers={"precision": orders, "overlap": overlaps},
    )


@finding(
    "C3",
    "of DTD more relevance than positions is kept, of Grad-CAM less",
    "DTD 10.5 % in 7.7 %; GC 2.6 % in 4.7 %; GGC 36.9 % in 41.9 %",
)
def kept(options: Options) -> Result:
    """Means over clips of what selection keeps, n = 4."""
    found = _measured(options)
    shares = {name: np.nanmean(np.array(own), 0).tolist() for name, own in found.kept.items()}
    dtd = paired(*_pairs([b for _, b in found.kept["DTD"]], [a for a, _ in found.kept["DTD"]]))
    directions = [
        shares["DTD"][1] > shares["DTD"][0],
        shares["GC"][1] < shares["GC"][0],
        shares["GGC"][1] < shares["GGC"][0],
    ]
    return Result(
        ", ".join(f"{name} {relevance:.1f} % in {positions:.1f} %" for name, (positions, relevance) in shares.items()),
        f"{len(found.base)} clips",
        verdict(all(directions), directions[0]),
        p=dtd.p,
        numbers={"kept": shares},
    )


@finding(
    "C4",
    "about 90 % of relevance is static: models lean on context",
    "10.5 % of DTD's relevance moves (3-D CNN, UCF-101)",
)
def static(options: Options) -> Result:
    """Motion share of DTD on three networks."""
    method = "dtd"
    bundle = bundled("motion-primitives")
    own = [
        _kept(explain_map(bundle, sample.clip, sample.label, "selective-relevance", base=method))[1]
        for sample in samples(options.count(200), options, moving=True)
    ]
    shares = {"motion-primitives": interval([share for share in own if np.isfinite(share)])}
    engine = lrcn(options)
    clips = [lrcn_clip(file) for file in sorted((real_assets(options) / "clips" / "ucf101").glob("*.avi"))]
    numbers = [_kept(explain_map(engine, clip, None, "selective-relevance", base=method))[1] for clip in clips]
    shares["LRCN"] = (float(np.nanmean(numbers)), np.nan, np.nan)
    net, swipe = gesture(options)
    shares["gesture network"] = (
        _kept(explain_map(net, swipe, None, "selective-relevance", base=method))[1],
        np.nan,
        np.nan,
    )
    low = all(mean < 50 for mean, _, _ in shares.values())
    return Result(
        ", ".join(f"{name} {mean:.1f} %" for name, (mean, _, _) in shares.items()) + " of DTD's relevance moves",
        f"{len(own)} generated clips, {len(clips)} and 1 real ones",
        verdict(low, any(mean < 50 for mean, _, _ in shares.values())),
        numbers={name: list(values) for name, values in shares.items()},
    )


@finding("C5", "selecting costs next to nothing", "DTD 1.16 to 1.71 ms (GPU), 0.5 to 1 ms for all")
def overhead(options: Options) -> Result:
    """Process time of one clip, taking turns."""
    engine = bundled("motion-primitives")
    clips = [sample.clip for sample in samples(options.count(20), options)]
    times: dict[str, list[float]] = {"grad-cam": [], "selective grad-cam": [], "dtd": [], "selective dtd": []}
    for turn, clip in enumerate([clips[0], *clips]):
        for base in ("grad-cam", "dtd"):
            for name, call in ((base, (base, {})), (f"selective {base}", ("selective-relevance", {"base": base}))):
                started = time.process_time()
                explain_map(engine, clip, 0, call[0], **call[1])
                if turn:
                    times[name].append(1000 * (time.process_time() - started))
    medians = {name: float(np.median(own)) for name, own in times.items()}
    more = medians["selective dtd"] / medians["dtd"]
    return Result(
        f"DTD {medians['dtd']:.0f} to {medians['selective dtd']:.0f} ms, Grad-CAM {medians['grad-cam']:.0f} to "
        f"{medians['selective grad-cam']:.0f} ms of one core, forward pass included",
        f"{len(clips)} clips, medians",
        verdict(more < 1.5),
        numbers={"ms": medians},
    )


@finding("C6", "a low threshold selects too much to help", "n = 2 unhelpful for GC and GGC")
def threshold(options: Options) -> Result:
    """Sweep of n for DTD and GGC: precision by mass and share kept."""
    engine = bundled("motion-primitives")
    clips = known(engine, options, options.count(40), moving=True)
    curves: dict[str, dict[int, tuple[float, float]]] = {}
    for name in ("DTD", "GGC"):
        for n in range(1, 7):
            found = []
            for clip in clips:
                volume = explain_map(
                    engine, clip.sample.clip, clip.sample.label, "selective-relevance", base=RAW[name], threshold=n
                )
                moving = torch.from_numpy(clip.sample.mask)
                right = precision(voxel_map(clip.subject, volume, signed=True), moving)
                found.append((np.nan if right is None else 100 * right, _kept(volume)[0]))
            curves.setdefault(name, {})[n] = tuple(np.nanmean(found, 0).tolist())
    rises = {name: all(own[n + 1][0] > own[n][0] for n in range(1, 6)) for name, own in curves.items()}
    falls = {name: all(own[n + 1][1] < own[n][1] for n in range(1, 6)) for name, own in curves.items()}
    text = "; ".join(
        f"{name}, n = 1 to 6: precision {', '.join(f'{p:.0f}' for p, _ in own.values())} %, kept "
        f"{', '.join(f'{k:.1f}' for _, k in own.values())} %"
        for name, own in curves.items()
    )
    return Result(
        text,
        f"{len(clips)} clips, exact masks",
        verdict(all(rises.values()) and all(falls.values()), all(falls.values())),
        numbers={"curves": {name: {str(n): list(v) for n, v in own.items()} for name, own in curves.items()}},
    )


@finding("C7", "static regions that are relevant are removed", "shown on examples (Fig. 4)")
def removed(options: Options) -> Result:
    """A textured square that stands still, pasted into every clip: its share of DTD's relevance, raw and selective."""
    engine = bundled("motion-primitives")
    rng = np.random.default_rng(options.seed)
    raw: list[float] = []
    left: list[float] = []
    for clip in samples(options.count(40), options, moving=True):
        pixels = clip.clip.copy()
        corner = (slice(None), slice(8, 36), slice(8, 36))
        pixels[corner] = rng.integers(0, 256, (28, 28, 3), dtype=np.uint8)
        inside = torch.zeros(pixels.shape[:3], dtype=torch.bool)
        inside[corner] = True
        for method, found, parameters in (("dtd", raw, {}), ("selective-relevance", left, {"base": "dtd"})):
            volume = explain_map(engine, pixels, clip.label, method, **parameters)
            values = volume.values if volume.mask is None else volume.values * volume.mask
            found.append(mass_precision(values, inside) or 0.0)
    test = paired(raw, left)
    area = 28 * 28 / 112**2
    return Result(
        f"{test.first:.1%} of the relevance before, {test.second:.1%} after (the square is {area:.1%} of the frame)",
        f"{test.n} clips",
        verdict(test.difference > 0 and test.p < 0.05 and test.second < 0.5 * test.first, test.difference > 0),
        p=test.p,
        numbers={"raw": raw, "selective": left},
    )
