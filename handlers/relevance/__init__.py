"""Relevance propagation for video action models, from one forward pass.

Five lines in a notebook, for a model in evaluation mode and clips [B, C, T, H, W] normalised as it was trained:

>>> program = trace(model, Rules(low=low, high=high))  # once; the model is not changed; bounds of the clip's values
>>> forward = program.forward(clips)                   # forward.logits [B, K], forward.frame_logits [B, T', K]
>>> best = forward.logits.argmax(1)
>>> heat = relevance(forward, best).values             # [B, C, T, H, W]: how much every value carries
>>> rows = temporal_relevance(forward, best).values    # [B, T', N]: frame j's part in the logit of time step i

The program shares the model's weights: trace again after changing them or moving the model to another device.
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
from handlers.relevance.modules.conv_lstm import ConvLSTM
from handlers.relevance.modules.layers import EvenFrames, SamePad
from handlers.relevance.operations.opaque_module import Whole
from handlers.relevance.precision import Precision
from handlers.relevance.program.autograd_network import PlainNetwork
from handlers.relevance.program.forward_pass import ForwardPass
from handlers.relevance.program.opaque_network import Opaque, OpaqueNetwork
from handlers.relevance.program.program import Program
from handlers.relevance.program.protocol import Network, Pass
from handlers.relevance.propagation.guided import guided_backprop, guided_grad_cam
from handlers.relevance.propagation.propagate import Relevance, relevance
from handlers.relevance.rules import AddRule, AlphaBeta, Gamma, NormRule, Rules, ZPlus, bounds_of_pixels
from handlers.relevance.temporal.temporal_relevance import MEMORY, TemporalRelevance, temporal_relevance
from handlers.relevance.tracing.tracer import trace

__all__ = [
    "MEMORY",
    "AddRule",
    "AlphaBeta",
    "BadClip",
    "ConvLSTM",
    "EvenFrames",
    "ForwardPass",
    "Gamma",
    "MemoryLimitExceeded",
    "Network",
    "NoFrameLogits",
    "NormRule",
    "NotKept",
    "Opaque",
    "OpaqueNetwork",
    "Pass",
    "PlainNetwork",
    "Precision",
    "Program",
    "Relevance",
    "RelevanceError",
    "Rules",
    "SamePad",
    "TemporalRelevance",
    "UnknownClass",
    "UnknownLayer",
    "UnsupportedOperation",
    "Whole",
    "ZPlus",
    "bounds_of_pixels",
    "guided_backprop",
    "guided_grad_cam",
    "relevance",
    "temporal_relevance",
    "trace",
]
