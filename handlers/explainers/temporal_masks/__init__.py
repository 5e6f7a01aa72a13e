"""Masks over time (Interpreting video features, 3.1): what they do to a clip, what they cost, all that are windows."""

from handlers.explainers.temporal_masks.descent import Descent
from handlers.explainers.temporal_masks.frame_mixer import FrameMixer, FramePicker
from handlers.explainers.temporal_masks.loss import Loss, total_variation
from handlers.explainers.temporal_masks.perturbation import Perturbation, freeze, reverse
from handlers.explainers.temporal_masks.report import NO_DROP, Findings, MaskScores, report
from handlers.explainers.temporal_masks.window import MaskWindow, best_window, windows

__all__ = [
    "NO_DROP",
    "Descent",
    "Findings",
    "FrameMixer",
    "FramePicker",
    "Loss",
    "MaskScores",
    "MaskWindow",
    "Perturbation",
    "best_window",
    "freeze",
    "report",
    "reverse",
    "total_variation",
    "windows",
]
