"""Findings of "Interpreting video features": temporal masks, and what whole-clip changes do."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np
import torch

from actionlens.card import Input, ModelCard, Weights
from actionlens.generated_clips.clips import Sample
from actionlens.generated_clips.labels import REVERSE_TIME, SHAKE
from benchmarks.findings.finding import NotHere, Options, Result, finding, p_text, paired, verdict, welch_p
from benchmarks.findings.subjects import (
    Clip,
    Known,
    bundled,
    explain_frames,
    explain_map,
    known,
    real_assets,
    samples,
    scores,
    trained,
)
from handlers.engine.engine import Engine
from handlers.evaluation.measure import LeftOut
from handlers.evaluation.measures.blobs import BlobParameters, Blobs, statistics
from handlers.evaluation.measures.temporal_mask_statistics import Drops, drops
from handlers.evaluation.measures.temporal_pointing_game import highest_frame
from handlers.evaluation.measures.whole_clip import macro_f1
from handlers.explainers.attribution import FrameAttribution
from handlers.importing.checkpoint import import_checkpoint
from handlers.models.action_model import ActionModel, build
from handlers.tensor_files.weights import read_weights
from training import comparison
from training.relations import SIZE


@cache
def _matched(options: Options) -> tuple[Engine, Engine, float, float]:
    """The C-LSTM, and the 3-D CNN's checkpoint whose F1 is nearest to its own; and both F1."""
    recurrent = trained("c-lstm", options.networks)
    clips = list(samples(300, options, SIZE))
    reached = _f1(recurrent, clips)
    engines = [
        trained("motion-cnn", options.networks, f"step-{n}.safetensors") for n in comparison.RECIPES["motion-cnn"].kept
    ]
    own = [_f1(engine, clips) for engine in engines]
    best = min(range(len(own)), key=lambda index: abs(own[index] - reached))
    return recurrent, engines[best], reached, own[best]


def _f1(engine: Engine, clips: Sequence[Sample]) -> float:
    answers = scores(engine.model, [clip.clip for clip in clips]).argmax(1).tolist()
    return macro_f1([clip.label for clip in clips], answers) or 0.0


@cache
def _masks(options: Options) -> dict[str, list[tuple[Known, FrameAttribution]]]:
    """Temporal masks of both networks on the moving clips that both are right about."""
    recurrent, convolutional, _, _ = _matched(options)
    found: dict[str, list[tuple[Known, FrameAttribution]]] = {"c-lstm": [], "3-D CNN": []}
    wanted = options.count(16)
    pool = zip(
        *(known(engine, options, 8 * wanted, SIZE, moving=True) for engine in (recurrent, convolutional)), strict=True
    )
    for one, other in pool:
        if one.subject.correct and other.subject.correct and len(found["c-lstm"]) < wanted:
            for name, engine, clip in (("c-lstm", recurrent, one), ("3-D CNN", convolutional, other)):
                mask = explain_frames(engine, clip.sample.clip, clip.sample.label, "temporal-mask")
                found[name].append((clip, mask))
    return found


def _of(masks: Sequence[tuple[Known, FrameAttribution]], name: str) -> list[float]:
    return [mask.details.measures[name] for _, mask in masks]


@finding(
    "B1",
    "masks of a 3-D CNN are shorter than those of a C-LSTM",
    "6.2 ± 3.3 against 9.9 ± 4.1 of 16 frames (I3D, C-LSTM)",
)
def lengths(options: Options) -> Result:
    """Lengths of learned masks of two networks of equal F1."""
    masks = _masks(options)
    _, _, recurrent_f1, convolutional_f1 = _matched(options)
    own = {name: _of(found, "mask_length") for name, found in masks.items()}
    test = paired(own["3-D CNN"], own["c-lstm"])
    deviations = {name: float(np.std(found, ddof=1)) for name, found in own.items()}
    spread, other = deviations["3-D CNN"], deviations["c-lstm"]
    return Result(
        f"3-D CNN {test.first:.1f} ± {spread:.1f}, C-LSTM {test.second:.1f} ± {other:.1f} of 16 frames "
        f"(F1 {convolutional_f1:.2f} and {recurrent_f1:.2f})",
        f"{test.n} clips that both answer right",
        verdict(test.difference < 0 and test.p < 0.05, test.difference < 0),
        p=test.p,
        numbers={"lengths": own, "f1": {"c-lstm": recurrent_f1, "3-D CNN": convolutional_f1}},
    )


@finding(
    "B2",
    "freezing hurts more than reversing, and more so for the 3-D CNN",
    "drop ratio 8.4 against 2.6; difference 0.2 against 0.08",
)
def falls(options: Options) -> Result:
    """Drop ratio and drop difference with the soft mask, as the paper's authors take it."""
    masks = _masks(options)
    ratios, differences = {}, {}
    for name, found in masks.items():
        both: list[Drops] = [
            drops(
                m.details.measures["original_score"],
                m.details.measures["soft_freeze_score"],
                m.details.measures["soft_reverse_score"],
            )
            for _, m in found
        ]
        ratios[name] = [own.ratio for own in both if own.ratio is not None]
        differences[name] = [own.difference for own in both]
    test = paired(differences["3-D CNN"], differences["c-lstm"])
    medians = {name: float(np.median(own)) if own else float("nan") for name, own in ratios.items()}
    more = [test.difference > 0, medians["3-D CNN"] > medians["c-lstm"]]
    return Result(
        f"difference {test.first:.2f} against {test.second:.2f}; ratio, median {medians['3-D CNN']:.1f} against "
        f"{medians['c-lstm']:.1f} (3-D CNN, C-LSTM)",
        f"{test.n} clips; ratios of {len(ratios['3-D CNN'])} and {len(ratios['c-lstm'])}",
        verdict(all(more) and test.p < 0.05, any(more)),
        p=test.p,
        numbers={"ratios": ratios, "differences": differences},
    )


@finding(
    "B3", "reversing changes the answer only where order matters", "SSV2 top-1 0.43 to 0.09; KTH 0.86 to 0.80 (I3D)"
)
def reversal(options: Options) -> Result:
    """motion-primitives on directed classes and on those that are the same both ways; the LRCN on real clips."""
    engine = bundled("motion-primitives")
    clips = list(samples(options.count(500), options))
    labels = np.array([clip.label for clip in clips])
    forward = scores(engine.model, [clip.clip for clip in clips]).argmax(1)
    back = scores(engine.model, [np.ascontiguousarray(clip.clip[::-1]) for clip in clips]).argmax(1)
    opposite = np.array(REVERSE_TIME)[labels]
    directed = opposite != labels
    rates = {
        kind: (float((forward == labels)[rows].mean()), float((back == labels)[rows].mean()))
        for kind, rows in (("directed", directed), ("symmetric", ~directed))
    }
    turned = float((back == opposite)[directed].mean())
    return Result(
        f"directed classes {rates['directed'][0]:.2f} to {rates['directed'][1]:.2f}, and {turned:.2f} are answered "
        f"with the opposite class; shake and still {rates['symmetric'][0]:.2f} to {rates['symmetric'][1]:.2f}",
        f"{int(directed.sum())} directed clips, {int((~directed).sum())} others",
        verdict(rates["directed"][1] < 0.2 and rates["symmetric"][1] > rates["symmetric"][0] - 0.1),
        numbers={"rates": rates, "opposite": turned},
    )


@finding("B4", "masks cover the frames of the action", "shown on examples (Fig. 5)")
def on_the_action(options: Options) -> Result:
    """Learned masks of motion-primitives against the frames of the stroke."""
    engine = bundled("motion-primitives")
    overlaps: list[float] = []
    chance: list[float] = []
    hit: list[float] = []
    share: list[float] = []
    clips = (clip for clip in known(engine, options, 4 * options.count(16), moving=True) if clip.subject.correct)
    for number, clip in enumerate(clips):
        stroke = torch.from_numpy(clip.sample.stroke)
        if len(overlaps) >= options.count(16):
            break
        if not stroke.any() or stroke.all():
            continue
        mask = explain_frames(engine, clip.sample.clip, clip.sample.label, "temporal-mask")
        learned = mask.details.arrays.get("learned")
        if learned is None:
            continue
        on = learned > 0.5
        shifted = [torch.roll(on, shift) for shift in range(len(on))]
        overlaps.append(_iou(on, stroke))
        chance.append(float(np.mean([_iou(own, stroke) for own in shifted])))
        frame, _ = highest_frame(learned.double(), torch.Generator().manual_seed(number))
        hit.append(float(stroke[frame]))
        share.append(float(stroke.double().mean()))
    test = paired(overlaps, chance)
    pointing = paired(hit, share)
    return Result(
        f"IoU {test.first:.2f} (the same masks elsewhere in the clip: {test.second:.2f}); the highest frame is of the "
        f"action in {pointing.first:.0%} (chance {pointing.second:.0%}, {p_text(pointing.p)})",
        f"{test.n} clips answered right",
        verdict(test.difference > 0 and test.p < 0.05 and pointing.difference > 0, test.difference > 0),
        p=test.p,
        numbers={"iou": overlaps, "chance": chance, "hit": hit},
    )


def _iou(first: torch.Tensor, second: torch.Tensor) -> float:
    either = int((first | second).sum())
    return int((first & second).sum()) / either if either else 0.0


@finding(
    "B5", "where a motion is symmetric, reversing hardly hurts and freezing does", "drop ratio far above 1 (Fig. 5a)"
)
def symmetric(options: Options) -> Result:
    """Masks of the class "shake"."""
    engine = bundled("motion-primitives")
    freezing, reversing, ratios = [], [], []
    for clip in samples(options.count(10), options, label=SHAKE):
        found = explain_frames(engine, clip.clip, SHAKE, "temporal-mask").details.measures
        freezing.append(found["original_score"] - found["soft_freeze_score"])
        reversing.append(found["original_score"] - found["soft_reverse_score"])
        if "soft_drop_ratio" in found:
            ratios.append(found["soft_drop_ratio"])
    test = paired(freezing, reversing)
    ratio = f"; ratio, median {np.median(ratios):.1f} of the {len(ratios)} that have one" if ratios else ""
    return Result(
        f"freezing takes {test.first:.2f} off the probability, reversing {test.second:.2f}{ratio}",
        f"{test.n} clips of shake",
        verdict(test.difference > 0 and test.p < 0.05 and test.second < 0.5 * test.first, test.difference > 0),
        p=test.p,
        numbers={"freezing": freezing, "reversing": reversing, "ratios": ratios},
    )


@finding("B6", "a model that reads appearance needs no motion", "not in the paper: a check of the method")
def no_motion(options: Options) -> Result:
    """The LRCN on UCF clips: frozen, reversed, and its mask."""
    clips = real_assets(options) / "clips" / "ucf101"
    engine = lrcn(options)
    rows = {}
    empty = 0
    for file in sorted(clips.glob("*.avi")):
        clip = lrcn_clip(file)
        whole, frozen, back = scores(
            engine.model, [clip, np.repeat(clip[10:11], 20, 0), np.ascontiguousarray(clip[::-1])]
        )
        top = int(whole.argmax())
        mask = explain_frames(engine, clip, top, "temporal-mask", iterations=100)
        empty += any(note.startswith("freezing changes") for note in mask.details.notes)
        rows[file.stem] = [round(float(own[top]), 3) for own in (whole, frozen, back)]
    text = "; ".join(f"{name}: {w:.2f}, {f:.2f} frozen, {b:.2f} reversed" for name, (w, f, b) in rows.items())
    return Result(
        f"{text}; {empty} of {len(rows)} masks empty, with the note that freezing changes next to nothing",
        f"{len(rows)} real clips",
        verdict(empty == len(rows), empty > 0),
        numbers={"scores": rows, "empty": empty},
    )


@finding(
    "B7",
    "Grad-CAM of a 3-D CNN has fewer, larger and more central blobs than that of a C-LSTM",
    "1.6 / 33.7 px / 54.4 px from the centre against 3.6 / 26.7 / 96.8 (SSV2)",
)
def blobs(options: Options) -> Result:
    """Blobs of Grad-CAM of the two networks of equal F1, at half of the clip's highest value."""
    recurrent, convolutional, _, _ = _matched(options)
    measure, found, counts = Blobs(), {}, {}
    for name, engine in (("3-D CNN", convolutional), ("C-LSTM", recurrent)):
        gathered = []
        for clip in known(engine, options, options.count(200), SIZE, moving=True):
            volume = explain_map(engine, clip.sample.clip, clip.sample.label, "grad-cam")
            try:
                arrays = measure.measure(clip.subject, volume, BlobParameters()).arrays
            except LeftOut:
                continue
            gathered.append((arrays["counts"], arrays["blobs"]))
        found[name] = statistics(gathered)
        counts[name] = [float(count.mean()) for count, _ in gathered]
    one, other = found["3-D CNN"], found["C-LSTM"]
    same = [one.count[0] < other.count[0], one.diameter[0] > other.diameter[0], one.distance[0] < other.distance[0]]
    text = {
        name: f"{own.count[0]:.1f} blobs, {own.diameter[0]:.0f} px wide, {own.distance[0]:.0f} px from the centre"
        for name, own in found.items()
    }
    return Result(
        f"3-D CNN {text['3-D CNN']}; C-LSTM {text['C-LSTM']} (of 224)",
        f"{len(counts['3-D CNN'])} and {len(counts['C-LSTM'])} clips, all frames",
        verdict(all(same), any(same)),
        p=welch_p(counts["3-D CNN"], counts["C-LSTM"]),
        numbers={name: {kind: list(v) for kind, v in own.__dict__.items()} for name, own in found.items()},
    )


@finding(
    "B8", "the mask finds the frames that decide a swipe", "shown on examples; here frames 20-24 are known to decide"
)
def swipe(options: Options) -> Result:
    """The public gesture network on its swipe of 30 frames; the mask is learned at 120 x 120 pixels, a third of the
    work."""
    engine, clip = gesture(options)
    mask = explain_frames(*gesture(options, 120), "Left_Swipe", "temporal-mask", iterations=60)
    learned = mask.details.arrays.get("learned", torch.zeros(30))
    on = (learned > 0.5).nonzero()[:, 0].tolist()
    measures, whole = mask.details.measures, float(scores(engine.model, [clip])[0, 0])
    shown = (mask.values > 0.5).nonzero()[:, 0].tolist()
    windows = {first: float(scores(engine.model, [_frozen(clip, first, 5)])[0, 0]) for first in range(0, 30, 5)}
    lowest = min(windows, key=lambda first: windows[first])
    held = set(range(20, 25)) <= set(on)
    return Result(
        f"of the windows of 5 frames the one from {lowest} on lowers the score most ({whole:.3f} to "
        f"{windows[lowest]:.3f}); learned mask: {_spans(on)}; shown: {_spans(shown)}, which leaves "
        f"{measures.get('shown_score', float('nan')):.3f}",
        "1 real clip",
        verdict(lowest == 20 and held and set(on) <= set(range(18, 27)), lowest == 20 or held),
        numbers={"learned": learned.tolist(), "shown": shown, "windows": windows},
    )


def _spans(frames: Sequence[int]) -> str:
    """Frames as text: "frames 9 to 12 and 20"."""
    spans: list[list[int]] = []
    for frame in frames:
        if spans and frame == spans[-1][-1] + 1:
            spans[-1].append(frame)
        else:
            spans.append([frame])
    text = [f"{span[0]} to {span[-1]}" if len(span) > 1 else str(span[0]) for span in spans]
    return f"frames {' and '.join(text)}" if text else "no frame"


def _frozen(clip: Clip, first: int, length: int) -> Clip:
    chosen = [first if first <= frame < first + length else frame for frame in range(len(clip))]
    return np.ascontiguousarray(clip[chosen])


@cache
def lrcn(options: Options) -> Engine:
    """The public LRCN, imported. Raises NotHere."""
    source = real_assets(options) / "models" / "lrcn_ucf50"
    with tempfile.TemporaryDirectory() as folder:
        made = import_checkpoint(
            "cnn-lstm", source / "lrcn_ucf50.h5", Path(folder), labels_path=source / "labels.txt", name="lrcn"
        )
        return Engine.load(made.folder)


def lrcn_clip(file: Path) -> Clip:
    """20 frames of 64 x 64 as the LRCN's authors take them."""
    with av.open(str(file)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    skip = max(len(frames) // 20, 1)
    return np.stack([cv2.resize(frames[min(skip * n, len(frames) - 1)], (64, 64)) for n in range(20)]).astype(np.uint8)


@cache
def gesture(options: Options, size: int = 200) -> tuple[Engine, Clip]:
    """The public gesture network and its swipe of 30 frames. Raises NotHere."""
    assets = real_assets(options)
    folder = assets / "models" / "gesture_conv3d"
    file = folder / "gesture_conv3d_torch_layout.npz"
    if not file.exists():
        raise NotHere(f"needs {file}")
    card = ModelCard(
        name="gesture",
        architecture="conv3d",
        arguments={"channels": [32, 64, 128], "hidden": [128]},
        labels=tuple((folder / "labels.txt").read_text().split()),
        input=Input(frames=30, height=size, width=size, color="bgr"),  # type: ignore[arg-type]
        layer="features",
        weights=Weights(file="weights.safetensors", sha256="0" * 64),
    )
    model = ActionModel(card, build(card, read_weights(file)))
    pictures = []
    for path in sorted((assets / "clips" / "gesture_swipe_30f").glob("*.png")):
        picture = np.asarray(cv2.imread(str(path)))[..., ::-1]
        height = round(size * picture.shape[0] / picture.shape[1])
        canvas = np.zeros((size, size, 3), np.uint8)
        top = (size - height) // 2
        canvas[top : top + height] = cv2.resize(np.ascontiguousarray(picture), (size, height))
        pictures.append(canvas)
    return Engine(model), np.stack(pictures)
