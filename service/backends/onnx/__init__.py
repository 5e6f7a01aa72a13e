"""Exported graphs in onnxruntime: prediction and explanations without torch."""

from service.backends.onnx.backend import OnnxBackend

__all__ = ["OnnxBackend"]
