"""Exported graphs in onnxruntime: prediction and explanations without torch.

In: Work and the model store's `*.onnx` files, which `actionlens models export` wrote. Out: Reply. Called through
backends.factory.
"""

from service.backends.onnx.backend import OnnxBackend

__all__ = ["OnnxBackend"]
