"""Classifiers that come as .onnx files: converted to torch where every operator converts, else run by onnxruntime."""

from handlers.onnx_import.model_card import about, settled
from handlers.onnx_import.module import network

__all__ = ["about", "network", "settled"]
