"""Errors of the relevance engine. Every message names the step and what would work."""

from __future__ import annotations


class RelevanceError(ValueError):
    """A model, layer or request that the relevance engine cannot answer."""


class UnsupportedOperation(RelevanceError):
    """The model contains an operation that has no relevance rule.

    operation: its name ("sigmoid"). step_name: where it is called ("layer1.0.gate"). alternative: what would work.
    """

    def __init__(self, operation: str, step_name: str, alternative: str) -> None:
        super().__init__(f"{step_name}: no relevance rule for {operation}; {alternative}")
        self.operation = operation
        self.step_name = step_name
        self.alternative = alternative


class UnknownLayer(RelevanceError):
    """The named layer is not part of the traced model."""


class UnknownClass(RelevanceError):
    """A target or contrast outside 0 .. K-1."""


class BadClip(RelevanceError):
    """The clip tensor has a wrong number of axes or values that are not finite."""


class NotKept(RelevanceError):
    """The forward pass did not keep the activations that this question needs."""


class NoFrameLogits(RelevanceError):
    """The model has no logits per frame: its head is not averaging followed by one linear layer."""


class MemoryLimitExceeded(RelevanceError):
    """Even one row at a time would need more memory than allowed; nothing was allocated."""
