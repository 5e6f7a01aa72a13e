"""Makes the graph of an .onnx file end in logits, whatever it ends in: their softmax is what the file puts out."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from actionlens.card import Scores
from handlers.errors import ModelError
from handlers.onnx_import.ending import Ending, find_ending, with_logarithm, without_ending
from handlers.onnx_import.file import OnnxFile
from handlers.onnx_import.opaque_runtime import OnnxRuntime
from handlers.scores import apart, probe_clips, recognised, unclear

_EXACT = 2e-5
"""Of probabilities, where an average of softmaxes is compared with the softmax of the average."""
_FITS = 5e-3
"""Of probabilities otherwise; those of half precision are that far off."""


@dataclass(frozen=True)
class LogitsFile:
    """file: ends in logits. scores: what the file itself ends in. notes: what was changed, for people."""

    file: OnnxFile
    scores: Scores
    notes: tuple[str, ...] = ()


def with_logits(file: OnnxFile, size: tuple[int, int, int], said: Scores | None = None) -> LogitsFile:
    """The file with its logits as output, found by its graph and by what it answers on a few clips.

    size: frames, height, width. said: by the card; `logits` leaves the file as it is. Explanations start before the
    softmax or sigmoid where the file's own prediction is that of the logits there, else at the logarithm of its
    probabilities, whose softmax they are. Raises ModelError where the card says what the file does not do.
    """
    ending = find_ending(file.model.graph, file.output)
    if said is Scores.LOGITS:
        left = () if ending is None else (f"the {ending.said} at its end is left in: the card says scores: logits",)
        return LogitsFile(file, Scores.LOGITS, left)
    if ending is not None and said is ending.kind and not ending.averages:
        return LogitsFile(_before(file, ending), ending.kind)  # compared when it was imported
    if ending is None and said is Scores.LOG_PROBABILITIES:
        return LogitsFile(file, said)
    rows = _answers(file, size)
    found, total = recognised(rows)
    if said not in (None, Scores.SIGMOID, found) and not (ending is not None and said is ending.kind):
        raise ModelError(f"scores: the card says {said}, but {file.path.name} puts out {found}")
    dropped = found is Scores.LOGITS and ending is not None and ending.kind is Scores.PROBABILITIES
    if dropped and ending is not None and bool(((rows >= 0) & (rows <= 1)).all()):
        candidate = _before(file, ending)
        shares = rows / rows.sum(1, keepdim=True)
        if apart(_answers(candidate, size), shares, Scores.PROBABILITIES) <= _FITS:
            note = (
                f"the {ending.said} near its end is left out: explanations start at the logits; the file leaves "
                "classes out behind it, so predictions are shares among those that are left"
            )
            return LogitsFile(candidate, Scores.PROBABILITIES, (note,))
    if found is Scores.LOGITS:
        return _independent(file, ending, rows, size, said)
    if ending is not None and ending.kind is found:
        candidate = _before(file, ending)
        limit = _EXACT if _averages(file, ending, rows, size) else _FITS
        if apart(_answers(candidate, size), rows, found, total) <= limit:
            where = "at" if not ending.behind else "near"
            note = f"the {ending.said} {where} its end is left out: explanations start at the logits"
            return LogitsFile(candidate, found, (note,))
    if found is Scores.LOG_PROBABILITIES:
        note = "it puts out log-probabilities, and explanations are of them: where its logits are was not found"
        return LogitsFile(file, found, (note,))
    why = (
        f"its scores are averages of a {ending.said}, which no logits are the softmax's of"
        if ending is not None and ending.averages
        else "its scores are probabilities by their numbers, and no softmax that they come from was found in its graph"
    )
    model, output = with_logarithm(file.model, file.output, total)
    note = f"{why}: predictions are as the file gives them, explanations are of their logarithm"
    return LogitsFile(replace(file, model=model, output=output), found, (note,))


def _independent(
    file: OnnxFile, ending: Ending | None, rows: Tensor, size: tuple[int, int, int], said: Scores | None
) -> LogitsFile:
    """A file whose rows are no probabilities together: logits, or a sigmoid of every one."""
    if ending is not None and ending.kind is Scores.SIGMOID:
        candidate = _before(file, ending)
        limit = _EXACT if _averages(file, ending, rows, size) else _FITS
        if apart(_answers(candidate, size), rows, Scores.SIGMOID) <= limit:
            note = (
                f"the {ending.said} near its end is left out: explanations start at the logits; classes are scored one "
                "by one, and several may be likely"
            )
            return LogitsFile(candidate, Scores.SIGMOID, (note,))
        raise ModelError(f"{file.path}: averages the scores of a Sigmoid; export it with the logits as output")
    if said is Scores.SIGMOID:
        raise ModelError(f"scores: the card says sigmoid, and no Sigmoid was found at the end of {file.path.name}")
    note = unclear(rows)
    return LogitsFile(file, Scores.LOGITS, (note,) if note else ())


def _before(file: OnnxFile, ending: Ending) -> OnnxFile:
    model, output = without_ending(file.model, ending)
    return replace(file, model=model, output=output)


def _averages(file: OnnxFile, ending: Ending, rows: Tensor, size: tuple[int, int, int]) -> bool:
    """Whether there is more than one softmax to average: at several positions, or of several parts of a clip."""
    if not ending.averages:
        return False
    one = OnnxRuntime(replace(file, output=ending.logits), "")(probe_clips(3, *size)[:1])
    return bool(one.numel() != rows.shape[1])


def _answers(file: OnnxFile, size: tuple[int, int, int]) -> Tensor:
    """[N, K] of the probe clips. Raises ModelError where it does not run or puts out anything else."""
    clips = probe_clips(3, *size)
    try:
        runtime = OnnxRuntime(file, "")
        rows: Tensor = torch.cat([runtime(clip[None]) for clip in clips])
    except RuntimeError as error:
        raise ModelError(f"{file.path}: does not run on {list(clips.shape)}: {error}") from error
    if rows.dim() != 2 or len(rows) != len(clips) or rows.shape[1] < 2:
        raise ModelError(
            f"{file.path}: output {file.output!r} of {len(clips)} clips is {list(rows.shape)}; logits are "
            "[batch, classes]"
        )
    if not bool(torch.isfinite(rows).all()):
        raise ModelError(f"{file.path}: output {file.output!r} of clips of noise is not finite")
    return rows
