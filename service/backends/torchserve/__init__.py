"""Inference in the workers of a TorchServe that this process starts, watches and replaces.

In: Work, its pixels through shared memory. Out: Reply, or domain errors once one retry has failed too. Called through
backends.factory; ends java and its workers however this process ends.
"""

from service.backends.torchserve.backend import TorchServeBackend

__all__ = ["TorchServeBackend"]
