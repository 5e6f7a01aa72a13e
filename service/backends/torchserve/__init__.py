"""Inference in TorchServe workers, supervised."""

from service.backends.torchserve.backend import TorchServeBackend

__all__ = ["TorchServeBackend"]
