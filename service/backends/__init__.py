"""Who computes: TorchServe workers, or this very process."""

from service.backends.protocol import InferenceBackend

__all__ = ["InferenceBackend"]
