"""Where clips are computed: in TorchServe workers, in this process with torch, or in this process with onnxruntime.

In: Work, a worker's request and the array of pixels beside it. Out: Reply, the worker's response and the seconds beside
it. Called by dataplane and the job worker; only in_process imports torch, and late.
"""

from service.backends.protocol import InferenceBackend

__all__ = ["InferenceBackend"]
