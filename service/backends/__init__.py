"""Who computes: TorchServe workers, or this very process."""

from service.backends.base import InferenceBackend

__all__ = ["InferenceBackend"]
