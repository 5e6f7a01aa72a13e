"""Findings of the ATR paper: how many frames a model looks at."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import av
import numpy as np
import torch
from torch import Tensor

from benchmarks.findings import subjects
from benchmarks.findings.finding import (
    NotHere,
    Options,
    Result,
    finding,
    interval,
    p_text,
    paired,
    verdict,
)
from benchmarks.findings.subjects import Clip, Known, bundled, explain_matrix, known, samples, trained
from handlers.engine.engine import Engine
from handlers.evaluation.common.correlation import pearson
from handlers.evaluation.measure import Measured
from handlers.evaluation.measures.partial_sampling import (
    FixedWindowParameters,
    PartialSampling,
    PartialSamplingOfRows,
    RowWindowParameters,
)
from handlers.evaluation.measures.temporal_relevance_lengths import mean_matrix, normalised_matrix
from handlers.explainers.attribution import RelevanceMatrix
from handlers.relevance import Rules, bounds_of_pixels, temporal_relevance, trace
from training import comparison
from training.batches import normalise
from training.evaluate import letterboxed
from training.relations import SIZE

FRAMES, FIELD, SIZES = 16, 13, (1, 3, 5, 7, 9, 11, 13, 16)
"""Of motion-primitives: frames of a clip, those that one output step can see, sizes of windows."""


@dataclass(frozen=True)
class Lengths:
    """Matrices of one clip, by contrastive relevance and by plain LRP, both rectified element by element."""

    known: Known
    clrp: RelevanceMatrix
    lrp: RelevanceMatrix


@cache
def _sure(options: Options) -> list[Known]:
    """The clips that motion-primitives is right about with p > 0.5."""
    return [clip for clip in known(bundled("motion-primitives"), options, options.count(200)) if clip.sure]


@cache
def _matrices(options: Options, relevance: str) -> list[RelevanceMatrix]:
    """Of these clips, by one rule."""
    engine = bundled("motion-primitives")
    return [
        explain_matrix(engine, clip.sample.clip, clip.sample.label, relevance=relevance, rectify="element")
        for clip in _sure(options)
    ]


def _sets(options: Options) -> list[Lengths]:
    """Those of these clips that have lengths, with both matrices."""
    found = zip(_sure(options), _matrices(options, "clrp"), _matrices(options, "lrp"), strict=True)
    return [
        Lengths(clip, clrp, lrp)
        for clip, clrp, lrp in found
        if clrp.average_length is not None and lrp.average_length is not None
    ]


def _averages(matrices: list[RelevanceMatrix]) -> tuple[list[float], list[float]]:
    """avg-ATR and max-ATR of each clip."""
    return [float(m.average_length or 0) for m in matrices], [float(m.maximum_length or 0) for m in matrices]


@finding(
    "A1", "models see local context: avg-ATR is well below the clip", "6.6 of 16 frames (Kinetics), 8.2 (SSV2), I3D"
)
def below_the_clip(options: Options) -> Result:
    """Set-level avg-ATR and max-ATR of motion-primitives."""
    found = _sets(options)
    average, largest = _averages([entry.clrp for entry in found])
    mean, low, high = interval(average)
    most = float(np.mean(largest))
    return Result(
        f"avg-ATR {mean:.1f} (95 % {low:.1f} to {high:.1f}), max-ATR {most:.1f}, of {FRAMES} frames",
        f"{len(found)} clips, right with p > 0.5",
        verdict(high < FIELD, high < FRAMES),
        numbers={"average": average, "maximum": largest, "field": FIELD},
    )


@finding("A2", "LRP finds shorter context than contrastive LRP", "avg-ATR shorter by 0.3 to 0.7, max-ATR by 1.0 to 1.3")
def shorter_by_lrp(options: Options) -> Result:
    """The same clips by both rules."""
    found = _sets(options)
    clrp, clrp_most = _averages([entry.clrp for entry in found])
    lrp, lrp_most = _averages([entry.lrp for entry in found])
    average, most = paired(lrp, clrp), paired(lrp_most, clrp_most)
    shorter = [average.difference < 0 and average.p < 0.05, most.difference < 0 and most.p < 0.05]
    return Result(
        f"LRP {average.first:.2f} against CLRP {average.second:.2f} (difference {average.difference:+.2f}, 95 % "
        f"{average.low:+.2f} to {average.high:+.2f}); max {most.first:.2f} against {most.second:.2f}",
        f"{len(found)} clips",
        verdict(all(shorter), any(shorter)),
        p=average.p,
        numbers={"average": average.__dict__, "maximum": most.__dict__},
    )


@finding("A3", "accuracy saturates at windows as long as the ATR", "at about 8 of 16 frames (Kinetics), 10 (SSV2)")
def saturation(options: Options) -> Result:
    """Partial uniform sampling with windows of one size, with each row's own ATR window, and with grey outside."""
    engine = bundled("motion-primitives")
    clips = known(engine, options, options.count(60))
    measure, of_rows = PartialSampling(), PartialSamplingOfRows()
    held, grey = FixedWindowParameters(sizes=SIZES), FixedWindowParameters(sizes=(5, 7, 9), outside="empty")
    accuracy = {size: 0.0 for size in SIZES}
    empty = {size: 0.0 for size in grey.sizes}
    own, windows = [], []
    for clip in clips:
        for parameters, kept in ((held, accuracy), (grey, empty)):
            curve = _accuracy_curve(measure.measure(clip.subject, parameters))
            for size, right in zip(parameters.sizes, curve, strict=True):
                kept[size] += right / len(clips)
        matrix = explain_matrix(engine, clip.sample.clip, clip.sample.label, relevance="clrp", rectify="element")
        if matrix.average_length is None:
            continue
        found = of_rows.measure(clip.subject, matrix, RowWindowParameters())
        own.append(found.values["accuracy"].number / 100)
        windows.append(matrix.average_length)
    whole = accuracy[FRAMES]
    enough = next(size for size in SIZES if accuracy[size] >= whole - 0.02)
    length, of_windows = float(np.mean(windows)), float(np.mean(own))
    curve_text = ", ".join(f"{size}: {accuracy[size]:.2f}" for size in SIZES)
    return Result(
        f"accuracy by window {curve_text}; each row's own ATR window (mean {length:.1f}): {of_windows:.2f}; grey "
        f"outside 5, 7, 9: {', '.join(f'{empty[size]:.2f}' for size in grey.sizes)}",
        f"{len(clips)} clips",
        verdict(abs(enough - length) <= 2.5 and of_windows >= whole - 0.05, enough < FRAMES),
        numbers={"accuracy": accuracy, "grey": empty, "ATR windows": of_windows, "length": length, "enough": enough},
    )


def _accuracy_curve(measured: Measured) -> list[float]:
    """1 or 0 for each size."""
    (curve,) = (curve for curve in measured.curves if curve.name.startswith("accuracy"))
    return [float(y > 0) for y in curve.y]


@finding("A4", "a larger temporal kernel gives larger ATR", "6.3, 7.8, 8.0 frames for kernels of 3, 5, 7 (TAM-R50)")
def larger_kernels(options: Options) -> Result:
    """TAM-ResNet-18 of small widths, as trained by training.comparison, else as initialised."""
    lengths: dict[int, list[float]] = {}
    accuracies = []
    count = options.count(40)
    try:
        networks = {k: trained(f"tam-{k}", options.networks) for k in (3, 5, 7)}
        state = "trained"
    except NotHere:
        networks, state = {}, "initialised, not trained"
    clips = list(samples(count, options, SIZE))
    for kernel in (3, 5, 7):
        lengths[kernel] = []
        if networks:
            engine = networks[kernel]
            accuracies.append(float(np.mean([_top(engine, s.clip) == s.label for s in clips])))
            for sample in clips:
                matrix = explain_matrix(engine, sample.clip, sample.label, relevance="clrp", rectify="element")
                lengths[kernel].append(matrix.average_length or float("nan"))
        else:
            lengths[kernel] = _initialised(kernel, [s.clip for s in clips], options.seed)
    means = [float(np.nanmean(lengths[kernel])) for kernel in (3, 5, 7)]
    both = [n for n in range(count) if not (np.isnan(lengths[3][n]) or np.isnan(lengths[7][n]))]
    ends = paired([lengths[7][n] for n in both], [lengths[3][n] for n in both])
    right = f"; accuracy {', '.join(f'{a:.2f}' for a in accuracies)}" if accuracies else ""
    return Result(
        f"{means[0]:.1f}, {means[1]:.1f}, {means[2]:.1f} frames of 16 (TAM-R18, {state}{right})",
        f"{count} clips",
        verdict(means[0] < means[1] < means[2], means[0] < means[2]),
        p=ends.p,
        numbers={"lengths": {str(k): v for k, v in lengths.items()}, "accuracy": accuracies, "state": state},
    )


def _top(engine: Engine, clip: Clip) -> int:
    return int(subjects.scores(engine.model, [clip])[0].argmax())


def _initialised(kernel: int, clips: list[Clip], seed: int) -> list[float]:
    """avg-ATR of an untrained network for its top-1 class."""
    torch.manual_seed(seed)
    module = comparison.RECIPES[f"tam-{kernel}"].build()
    module.train()
    with torch.no_grad():
        for _ in range(20):  # batch norm must know the scale of what it norms
            module(normalise(np.stack(clips[:8])))
    return _lengths(module.eval(), clips)


def _lengths(module: torch.nn.Module, clips: list[Clip]) -> list[float]:
    """avg-ATR for the top-1 class of each clip, NaN where no row has a positive logit."""
    low, high = bounds_of_pixels((0.5,) * 3, (0.25,) * 3)
    program = trace(module, Rules(low=low, high=high))
    found = []
    with torch.inference_mode():
        for clip in clips:
            forward = program.forward(normalise(clip[None]))
            target = int(forward.logits[0].argmax())
            (average,) = temporal_relevance(forward, target, "negated", "element").average
            found.append(float("nan") if average is None else float(average))
    return found


@finding("A5", "with more frames ATR grows slowly and falls relative to the clip", "+2 frames from 8 to 32 frames")
def more_frames(options: Options) -> Result:
    """motion-primitives takes any number of frames: the same clips at 8, 16 and 32."""
    module = bundled("motion-primitives").model.module
    clips = [s.clip for s in samples(options.count(60), options, frames=32)]
    lengths = {count: _lengths(module, [clip[:: 32 // count] for clip in clips]) for count in (8, 16, 32)}
    kept = [n for n in range(len(clips)) if not any(np.isnan(own[n]) for own in lengths.values())]
    means = {count: float(np.mean([own[n] for n in kept])) for count, own in lengths.items()}
    share = {count: mean / count for count, mean in means.items()}
    ends = paired([lengths[32][n] for n in kept], [lengths[8][n] for n in kept])
    return Result(
        f"{means[8]:.1f} of 8, {means[16]:.1f} of 16, {means[32]:.1f} of 32 frames ({ends.difference:+.1f} from 8 to "
        f"32); {share[8]:.0%}, {share[16]:.0%}, {share[32]:.0%} of the clip",
        f"{len(kept)} clips at three rates",
        verdict(means[8] < means[16] < means[32] and share[8] > share[16] > share[32]),
        p=ends.p,
        numbers={"means": means, "lengths": lengths},
    )


@finding("A6", "ATR and accuracy are not correlated", "no correlation over 8 networks (Fig. 7)")
def no_correlation(options: Options) -> Result:
    """Over checkpoints of one training run: a weak test, of one architecture."""
    steps = comparison.RECIPES["motion-cnn"].kept
    clips = list(samples(options.count(60), options, SIZE))
    accuracy, length = [], []
    for step in steps:
        engine = trained("motion-cnn", options.networks, f"step-{step}.safetensors")
        right = subjects.scores(engine.model, [s.clip for s in clips]).argmax(1) == [s.label for s in clips]
        accuracy.append(float(np.mean(right)))
        matrices = [
            explain_matrix(engine, s.clip, s.label, relevance="clrp", rectify="element")
            for s in clips[: len(clips) // 2]
        ]
        length.append(float(np.mean([m.average_length for m in matrices if m.average_length is not None])))
    found = pearson(torch.tensor(accuracy), torch.tensor(length))
    return Result(
        f"r = {found:+.2f} over {len(steps)} checkpoints (accuracy {min(accuracy):.2f} to {max(accuracy):.2f}, avg-ATR "
        f"{min(length):.1f} to {max(length):.1f})",
        f"{len(clips)} clips, half of them for ATR",
        verdict(abs(found) < 0.5),
        numbers={"steps": list(steps), "accuracy": accuracy, "average": length},
    )


@finding("A7", "fewer output steps in the ensemble give larger ATR", "rises as the ensemble shrinks (Fig. 10)")
def fewer_steps(options: Options) -> Result:
    """MotionCNN, fine-tuned with logits that are the mean of 1, 2, 4 or 8 of the 16 output steps."""
    engines = {n: trained(f"steps-{n}", options.networks) for n in (1, 2, 4, 8)}
    clips = list(samples(options.count(60), options, SIZE))
    lengths, accuracy = {}, {}
    for count, engine in engines.items():
        lengths[count] = _lengths(engine.model.module, [s.clip for s in clips])
        right = subjects.scores(engine.model, [s.clip for s in clips]).argmax(1) == [s.label for s in clips]
        accuracy[count] = float(np.mean(right))
    kept = [n for n in range(len(clips)) if not any(np.isnan(own[n]) for own in lengths.values())]
    means = {count: float(np.mean([own[n] for n in kept])) for count, own in lengths.items()}
    ends = paired([lengths[1][n] for n in kept], [lengths[8][n] for n in kept])
    return Result(
        "; ".join(f"{count}: {means[count]:.1f} frames (accuracy {accuracy[count]:.2f})" for count in (1, 2, 4, 8)),
        f"{len(kept)} clips",
        verdict(means[1] > means[2] > means[4] > means[8], ends.difference > 0 and ends.p < 0.05),
        p=ends.p,
        numbers={"means": means, "accuracy": accuracy, "lengths": lengths},
    )


@finding("A8", "the middle and the diagonal matter; relevance lies on the action", "mean matrices (Fig. 2)")
def the_diagonal(options: Options) -> Result:
    """The mean matrix over clips, and the share of relevance in the frames of the stroke."""
    matrices, inside, chance = [], [], []
    for clip, clrp in zip(_sure(options), _matrices(options, "clrp"), strict=True):
        matrix = normalised_matrix(clrp.values, clrp.row_logits)
        if matrix is None:
            continue
        matrices.append(matrix)
        stroke = torch.from_numpy(clip.sample.stroke)
        columns = matrix.clamp(min=0).sum(0)
        if stroke.any() and float(columns.sum()) > 0:
            inside.append(float(columns[stroke].sum() / columns.sum()))
            chance.append(float(stroke.double().mean()))
    mean = mean_matrix(matrices)
    assert mean is not None
    share = _shares(mean.mean)
    test = paired(inside, chance)
    far = [abs(int(row.argmax()) - index) for index, row in enumerate(mean.mean)]
    near = float(np.mean([distance <= 1 for distance in far]))
    return Result(
        f"{share['diagonal']:.0%} of the mean matrix within 1 frame of the diagonal (even over the field: "
        f"{share['even']:.0%}), where {near:.0%} of the rows peak; the {test.second:.0%} of the frames that are the "
        f"action's hold {test.first:.0%} of the relevance",
        f"{len(matrices)} clips, {len(inside)} with a stroke",
        verdict(share["diagonal"] > share["even"] and test.difference > 0 and test.p < 0.05, test.difference > 0),
        p=test.p,
        numbers={"mean matrix": [[round(v, 4) for v in row] for row in mean.mean.tolist()], **share, "peak": far},
    )


def _shares(matrix: Tensor) -> dict[str, float]:
    """Share of the positive relevance near the diagonal, and what one that is even over each step's field would
    have."""
    positive = matrix.clamp(min=0)
    index = torch.arange(len(matrix))
    distance = (index[:, None] - index[None]).abs()
    whole = float(positive.sum())
    return {
        "diagonal": float(positive[distance <= 1].sum()) / whole,
        "even": float((distance <= 1).sum() / (distance <= FIELD // 2).sum()),
    }


@finding(
    "A9", "dense sampling gives smaller avg-ATR and larger max-ATR", "avg -0.4 / -0.1, max +0.3 / +0.4 frames (Table 7)"
)
def dense_sampling(options: Options) -> Result:
    """Real clips: 16 frames spread over the clip, or 16 consecutive ones from its middle."""
    folder = subjects.real_assets(options) / "clips"
    module = bundled("motion-primitives").model
    engine = bundled("motion-primitives")
    uniform, dense = [], []
    files = [
        *sorted(folder.glob("jester/*.mp4")),
        *sorted(folder.glob("ucf101/*.avi")),
        *sorted(folder.glob("hmdb51/*")),
    ]
    for file in files:
        with av.open(str(file)) as container:
            frames = [
                letterboxed(frame.to_ndarray(format="rgb24").astype(np.uint8)) for frame in container.decode(video=0)
            ]
        if len(frames) < 2 * FRAMES:
            continue
        spread = np.linspace(0, len(frames) - 1, FRAMES).round().astype(int)
        middle = (len(frames) - FRAMES) // 2
        whole = np.stack([frames[index] for index in spread])
        label = int(subjects.scores(module, [whole])[0].argmax())
        matrices = [
            explain_matrix(engine, clip, label, relevance="clrp", rectify="element")
            for clip in (whole, np.stack(frames[middle : middle + FRAMES]))
        ]
        if all(matrix.average_length is not None for matrix in matrices):
            uniform.append(matrices[0])
            dense.append(matrices[1])
    (even, even_most), (close, close_most) = _averages(uniform), _averages(dense)
    average, most = paired(close, even), paired(close_most, even_most)
    return Result(
        f"avg {average.difference:+.2f} (95 % {average.low:+.2f} to {average.high:+.2f}), max {most.difference:+.2f} "
        f"({p_text(most.p)})",
        f"{len(uniform)} real clips",
        verdict(average.difference < 0 < most.difference, average.difference < 0 or most.difference > 0),
        p=average.p,
        numbers={"average": average.__dict__, "maximum": most.__dict__},
    )


@finding("A11", "relevance is conserved: each row of the matrix sums to its logit", "holds by construction (3.1)")
def conserved(options: Options) -> Result:
    """The largest relative defect of LRP's matrices."""
    engine = bundled("motion-primitives")
    defects, rows = [], []
    for sample in samples(options.count(200), options):
        matrix = explain_matrix(engine, sample.clip, sample.label, relevance="lrp")
        whole = matrix.row_logits.double()
        rows.append(float((matrix.values.double().sum(1) - whole).abs().max() / whole.abs().max()))
        defects.append(abs(matrix.quality.conservation_defect or 0.0))
    exact = float(np.mean([defect < 1e-3 for defect in defects]))
    return Result(
        f"defect of the sum: median {np.median(defects):.1e}, at most {max(defects):.2f}; below 0.001 in {exact:.0%} "
        f"of the clips; of a row: median {np.median(rows):.1e} of the largest logit",
        f"{len(defects)} clips, {FRAMES} rows each",
        verdict(max(defects) < 1e-3, float(np.median(defects)) < 0.05),
        numbers={"defects": defects, "rows": rows},
    )
