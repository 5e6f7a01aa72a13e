"""Findings of Play Fair: what frames are worth to models that look at them one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from benchmarks.findings.finding import Options, Result, finding, paired, verdict, welch_p
from benchmarks.findings.subjects import bundled, samples, subject, trained
from handlers.engine.engine import Engine
from handlers.evaluation.common.correlation import pearson
from handlers.evaluation.common.element_features import element_features, exact_shapley, network_of, subsequence_logits
from handlers.evaluation.common.feature_gradients import element_grad_cam, element_integrated_gradients
from handlers.evaluation.measure import LeftOut
from handlers.evaluation.measures.frame_discard import centre_rank, kept_after
from handlers.evaluation.measures.shapley_statistics import lad_slope, relative_errors, replacement_changes
from handlers.explainers.common.discard_curves import prior
from handlers.explainers.shapley import sample as sampled
from handlers.models.blocks.consensus import RelationalConsensus
from training.relations import SIZE

COUNT = 8
"""Snippets of a clip."""


@dataclass(frozen=True)
class Valued:
    """A clip whose elements are valued for its true class. correct: whether the model is right. values: float64 [8].
    marginals: [8 scales, 8]. gradients, grad_cam: the rivals, [8]. features: [8, D]."""

    label: int
    correct: bool
    probability: float
    features: Tensor
    values: Tensor
    marginals: Tensor
    gradients: Tensor
    grad_cam: Tensor


def _valued(engine: Engine, options: Options, count: int) -> list[Valued]:
    consensus = network_of(engine.model).consensus
    card = engine.model.card
    empty, _ = prior(card.class_prior, len(card.labels))
    found = []
    for number, clip in enumerate(samples(count, options, SIZE)):
        own = subject(engine, clip, number)
        features = element_features(own)
        exact = exact_shapley(consensus, features, empty)
        found.append(
            Valued(
                clip.label,
                bool(own.correct),
                own.probability,
                features,
                exact.values[:, clip.label],
                exact.marginals[..., clip.label],
                element_integrated_gradients(consensus, features, clip.label),
                element_grad_cam(consensus, features, clip.label),
            )
        )
    return found


@cache
def _trn(options: Options) -> list[Valued]:
    return _valued(bundled("motion-trn"), options, options.count(1000))


def _accuracies(engine: Engine, clips: Sequence[Valued], ranks: Sequence[Sequence[int]]) -> np.ndarray:
    """Whether each clip is right after 0 .. 7 elements are discarded, in the order of its rank: bool [n, 8]."""
    consensus = network_of(engine.model).consensus
    found = []
    for clip, rank in zip(clips, ranks, strict=True):
        logits = subsequence_logits(consensus, clip.features, kept_after(rank))
        found.append((logits.argmax(1) == clip.label).numpy())
    return np.stack(found)


def _ascending(values: Tensor) -> list[int]:
    return values.argsort().tolist()


@finding(
    "D1",
    "discarding the least valued frames first raises accuracy, the most valued first collapses it; a quarter suffices",
    "+20 % at 4 of 8 discarded; 6 of 8 removable without loss",
)
def discarding(options: Options) -> Result:
    """Frame discard by exact ESV and by the orders that know nothing."""
    engine, clips = bundled("motion-trn"), _trn(options)
    rng = np.random.default_rng(options.seed)
    ranks = {
        "lowest first": [_ascending(clip.values) for clip in clips],
        "highest first": [_ascending(-clip.values) for clip in clips],
        "centre": [centre_rank(COUNT)] * len(clips),
        "edges": [centre_rank(COUNT)[::-1]] * len(clips),
        "random": [rng.permutation(COUNT).tolist() for _ in clips],
    }
    right = {name: _accuracies(engine, clips, own) for name, own in ranks.items()}
    curves = {name: own.mean(0).round(3).tolist() for name, own in right.items()}
    low, high = curves["lowest first"], curves["highest first"]
    gain = paired(right["lowest first"][:, 4].astype(float), right["lowest first"][:, 0].astype(float))
    removable = max(gone for gone in range(COUNT) if low[gone] >= low[0])
    return Result(
        f"accuracy {low[0]:.2f}; 4 of 8 gone: {low[4]:.2f} lowest first, {high[4]:.2f} highest first, "
        f"{curves['random'][4]:.2f} random; {removable} of 8 removable without loss",
        f"{len(clips)} clips",
        verdict(
            gain.difference > 0 and gain.p < 0.05 and high[4] < curves["random"][4] and removable >= 6,
            gain.difference > 0 and high[4] < low[4],
        ),
        p=gain.p,
        numbers={"curves": curves, "removable": removable},
    )


@finding("D2", "clips answered right have more supporting frames", "more for correct than for incorrect (Fig. 4a)")
def supporting(options: Options) -> Result:
    """Share of elements with a positive value."""
    shares: dict[bool, list[float]] = {True: [], False: []}
    for clip in _trn(options):
        shares[clip.correct].append(100 * float((clip.values > 0).double().mean()))
    right, wrong = (float(np.mean(shares[kind])) for kind in (True, False))
    p = welch_p(shares[True], shares[False])
    return Result(
        f"{right:.0f} % of the snippets of right clips, {wrong:.0f} % of wrong ones",
        f"{len(shares[True])} right, {len(shares[False])} wrong",
        verdict(right > wrong and p is not None and p < 0.05, right > wrong),
        p=p,
        numbers={"right": right, "wrong": wrong},
    )


@finding(
    "D3", "marginal contributions fall with the number of frames already there", "largest at the first scales (Fig. 6a)"
)
def by_scale(options: Options) -> Result:
    """Mean marginal contribution at each scale."""
    means = torch.stack([clip.marginals.mean(1) for clip in _trn(options)]).mean(0).tolist()
    falling = [means[scale] > means[scale + 1] for scale in range(1, COUNT - 1)]
    return Result(
        ", ".join(f"{mean:.3f}" for mean in means) + " for scales 1 to 8",
        f"{len(_trn(options))} clips",
        verdict(all(falling) and means[0] > means[1], sum(falling) >= len(falling) - 1 and means[1] > means[-1]),
        numbers={"marginals": means},
    )


@finding("D4", "the first and last frames matter most for TRN", "most supporting and distracting at the ends (Fig. 4b)")
def extremes(options: Options) -> Result:
    """Where the largest and the smallest values lie."""
    clips = _trn(options)
    places = {
        name: np.bincount([int(pick(clip.values)) for clip in clips], minlength=COUNT)
        for name, pick in (("most supporting", torch.argmax), ("most distracting", torch.argmin))
    }
    even = 2 / COUNT
    shares = {name: float((own[0] + own[-1]) / own.sum()) for name, own in places.items()}
    beyond = {name: share > even + 2 * (even * (1 - even) / len(clips)) ** 0.5 for name, share in shares.items()}
    return Result(
        f"the two ends are most supporting in {shares['most supporting']:.0%}, most distracting in "
        f"{shares['most distracting']:.0%} of the clips (even: {even:.0%})",
        f"{len(clips)} clips",
        verdict(all(beyond.values()), any(beyond.values())),
        numbers={name: own.tolist() for name, own in places.items()},
    )


@finding("D5", "the share of supporting frames falls with more frames", "falls from 2 to 16 frames (Fig. 6b)")
def more_elements(options: Options) -> Result:
    """2, 4, 6 and 8 snippets of the same clips, evenly spread."""
    engine = bundled("motion-trn")
    consensus, card = network_of(engine.model).consensus, engine.model.card
    empty, _ = prior(card.class_prior, len(card.labels))
    shares: dict[int, list[float]] = {2: [], 4: [], 6: [], 8: []}
    for number, clip in enumerate(samples(options.count(400), options, SIZE)):
        features = element_features(subject(engine, clip, number))
        some = {n: features[np.linspace(0, COUNT - 1, n).round().astype(int)] for n in shares}
        with torch.no_grad():
            answers = {int(consensus(own[None])[0].argmax()) for own in some.values()}
        if answers == {clip.label}:
            for n, own in some.items():
                values = exact_shapley(consensus, own, empty).values[:, clip.label]
                shares[n].append(float((values > 0).double().mean()))
    means = {n: float(np.mean(found)) for n, found in shares.items()}
    ends = paired(shares[8], shares[2])
    return Result(
        ", ".join(f"{n} snippets: {mean:.0%}" for n, mean in means.items()),
        f"{len(shares[8])} clips, right with each number of snippets",
        verdict(ends.difference < 0 and ends.p < 0.05, ends.difference < 0),
        p=ends.p,
        numbers={"shares": {str(n): mean for n, mean in means.items()}},
    )


@finding(
    "D6",
    "values are smooth in time: a neighbour in a frame's place changes little",
    "change grows with distance (Fig. 6c)",
)
def smooth(options: Options) -> Result:
    """Exchange of an element for one of its neighbours in the clip."""
    engine = bundled("motion-trn")
    consensus, card = network_of(engine.model).consensus, engine.model.card
    empty, _ = prior(card.class_prior, len(card.labels))
    clips = [clip for clip in _trn(options)[: options.count(150)] if clip.correct]

    def changes_of(clip: Valued) -> Tensor:
        return replacement_changes(
            lambda features: exact_shapley(consensus, features, empty).values[:, clip.label], clip.features, 3
        )

    changes = torch.stack([changes_of(clip) for clip in clips]).abs()
    mean = changes.nanmean((0, 1))
    sizes = [float((mean[3 - shift] + mean[3 + shift]) / 2) for shift in (1, 2, 3)]
    sides = float((mean[:3].flip(0) - mean[4:]).abs().max() / mean.max())
    near, far = (changes[:, :, [3 - s, 3 + s]].nanmean((1, 2)).tolist() for s in (1, 3))
    test = paired(far, near)
    return Result(
        f"|change| of the normalised value {sizes[0]:.3f}, {sizes[1]:.3f}, {sizes[2]:.3f} for 1, 2, 3 snippets away; "
        f"sides differ by {sides:.0%} at most",
        f"{len(clips)} clips answered right",
        verdict(sizes[0] < sizes[1] < sizes[2] and test.p < 0.05, sizes[0] < sizes[2]),
        p=test.p,
        numbers={"changes": mean.tolist()},
    )


@finding(
    "D7",
    "256 subsequences per scale in 4 iterations come close to exact values",
    "r = 0.99, slope 0.99, error 14.4 % (16 frames)",
)
def approximation(options: Options) -> Result:
    """Sampled against exact values, on 16 elements: the clips' eight snippets and eight of their neighbours in time."""
    engine = bundled("motion-trn")
    network, card = network_of(engine.model), engine.model.card
    consensus = network.consensus
    assert isinstance(consensus, RelationalConsensus)
    empty, _ = prior(card.class_prior, len(card.labels))
    rs, slopes, errors = [], [], []
    for number, clip in enumerate(samples(options.count(100), options, SIZE, frames=32)):
        with torch.no_grad():
            features = network.frame_features(engine.model.prepare([clip.clip]))[0]
            probability = float(consensus(features[None])[0].softmax(0)[clip.label])
            if probability < 0.05:
                continue
            exact = exact_shapley(consensus, features, empty).values[:, clip.label]
            sums = sampled(consensus, features, 256, 4 * number)
            for iteration in range(1, 4):
                sums = sums + sampled(consensus, features, 256, 4 * number + iteration)
            estimate = sums.shapley(empty).values[:, clip.label]
        try:
            rs.append(pearson(estimate, exact))
            slopes.append(lad_slope(estimate, exact))
        except LeftOut:  # all snippets of a clip in which nothing moves have one value
            continue
        errors.append(100 * float(relative_errors(estimate, exact).mean()))
    return Result(
        f"r = {np.mean(rs):.3f} (least {min(rs):.3f}), slope {np.median(slopes):.2f}, relative error "
        f"{np.mean(errors):.1f} %",
        f"{len(rs)} clips of 16 snippets",
        verdict(float(np.mean(rs)) >= 0.98, float(np.mean(rs)) >= 0.9),
        numbers={"r": rs, "slope": slopes, "error": errors},
    )


@finding(
    "D8",
    "ESV finds better frames to keep than IG or Grad-CAM",
    "+20 % accuracy at 4 of 8 discarded, +7 % IG, +8 % Grad-CAM",
)
def rivals(options: Options) -> Result:
    """Accuracy at 4 of 8 elements discarded, lowest first."""
    engine, clips = bundled("motion-trn"), _trn(options)
    values = {
        "ESV": [clip.values for clip in clips],
        "IG": [clip.gradients for clip in clips],
        "Grad-CAM": [clip.grad_cam for clip in clips],
    }
    right = {name: _accuracies(engine, clips, [_ascending(v) for v in own])[:, 4] for name, own in values.items()}
    whole = float(np.mean([clip.correct for clip in clips]))
    gains = {name: 100 * (float(own.mean()) - whole) for name, own in right.items()}
    best = max(("IG", "Grad-CAM"), key=lambda name: gains[name])
    test = paired(right["ESV"].astype(float), right[best].astype(float))
    return Result(
        ", ".join(f"{name} {gain:+.1f} %" for name, gain in gains.items()) + f" (from {whole:.1%})",
        f"{len(clips)} clips",
        verdict(test.difference > 0 and test.p < 0.05, test.difference > 0),
        p=test.p,
        numbers={"gains": gains},
    )


@finding(
    "D9",
    "on TSN the methods agree more than on TRN",
    "TSN r 0.85, 0.89, 0.82; TRN 0.60, 0.56, 0.81 (ESV-IG, ESV-GC, IG-GC)",
)
def agreement(options: Options) -> Result:
    """Pearson's r over the elements of a clip; TSN has the backbone of motion-trn, fine-tuned."""
    count = options.count(500)
    clips = {"TRN": _trn(options)[:count], "TSN": _valued(trained("tsn", options.networks), options, count)}
    pairs = (("values", "gradients"), ("values", "grad_cam"), ("gradients", "grad_cam"))
    found = {name: [[_r(clip, *pair) for pair in pairs] for clip in own] for name, own in clips.items()}
    means = {name: np.nanmean(own, 0).tolist() for name, own in found.items()}
    both = np.array([found["TSN"], found["TRN"]])[:, :, 0]
    kept = np.isfinite(both).all(0)
    test = paired(both[0][kept], both[1][kept])
    right = {name: float(np.mean([clip.correct for clip in own])) for name, own in clips.items()}
    text = {name: ", ".join(f"{r:.2f}" for r in own) for name, own in means.items()}
    more = [tsn > trn for tsn, trn in zip(means["TSN"], means["TRN"], strict=True)]
    return Result(
        f"TSN {text['TSN']}; TRN {text['TRN']} (accuracy {right['TSN']:.2f}, {right['TRN']:.2f})",
        f"{count} clips",
        verdict(more[0] and more[1] and test.p < 0.05, any(more)),
        p=test.p,
        numbers={"means": means, "accuracy": right},
    )


def _r(clip: Valued, first: str, second: str) -> float:
    try:
        return pearson(getattr(clip, first), getattr(clip, second))
    except LeftOut:
        return float("nan")
