"""Reads weights files without running anything of them.

In comes a path (safetensors, PyTorch checkpoint, NumPy archive, Keras HDF5); out go tensors by name, or Keras layers.
Called by importing, by benchmarks, and by families that read files of a kind of their own.
"""
