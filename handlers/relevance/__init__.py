"""Relevance propagation for video action models, from one forward pass.

program = trace(model)                            # once; the model is not changed
forward = program.forward(clips)                  # [B, C, T, H, W] -> forward.logits, forward.frame_logits
best = forward.logits.argmax(1)
heat = relevance(forward, best).values            # [B, C, T, H, W]
"""

from handlers.relevance.errors import (
    BadClip,
    MemoryLimitExceeded,
    NoFrameLogits,
    NotKept,
    RelevanceError,
    UnknownClass,
    UnknownLayer,
    UnsupportedOperation,
)
from handlers.relevance.forward_pass import ForwardPass
from handlers.relevance.guided import guided_backprop, guided_grad_cam
from handlers.relevance.program import Program, trace
from handlers.relevance.propagate import Relevance, relevance
from handlers.relevance.rules import AddRule, AlphaBeta, Gamma, NormRule, Rules, ZPlus, bounds_of_pixels
from handlers.relevance.temporal import TemporalRelevance, temporal_relevance

__all__ = [
    "AddRule",
    "AlphaBeta",
    "BadClip",
    "ForwardPass",
    "Gamma",
    "MemoryLimitExceeded",
    "NoFrameLogits",
    "NormRule",
    "NotKept",
    "Program",
    "Relevance",
    "RelevanceError",
    "Rules",
    "TemporalRelevance",
    "UnknownClass",
    "UnknownLayer",
    "UnsupportedOperation",
    "ZPlus",
    "bounds_of_pixels",
    "guided_backprop",
    "guided_grad_cam",
    "relevance",
    "temporal_relevance",
    "trace",
]
