"""Writes a model with its explanations as one ONNX graph.

In come a model's folder and names of methods; out goes an .onnx file that predicts and explains without PyTorch.
Called by `python -m handlers.exporting` and so by `actionlens export`.
"""
