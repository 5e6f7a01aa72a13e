"""Turns a weights file, or a directory from Hugging Face, into a model's folder that can be served.

In come a checkpoint and a card; out go card.yaml and safetensors under the family's names, tried on a clip of noise.
Called by `python -m handlers.importing` and so by `actionlens models import`.
"""
