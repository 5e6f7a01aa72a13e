"""The backend that the settings name."""

from __future__ import annotations

from service.backends.protocol import InferenceBackend
from service.settings import BackendName, Settings


def make_backend(settings: Settings) -> InferenceBackend:
    """A backend, not yet started."""
    # Late, so that each brings only what it needs itself.
    match settings.backend:
        case BackendName.IN_PROCESS:
            from service.backends.in_process import InProcessBackend

            return InProcessBackend(settings)
        case BackendName.ONNX:
            from service.backends.onnx import OnnxBackend

            return OnnxBackend(settings)
        case BackendName.TORCHSERVE:
            from service.backends.torchserve import TorchServeBackend

            return TorchServeBackend(settings)
