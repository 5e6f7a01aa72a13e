"""Between worker messages (actionlens.worker.v1) and the engine.

In: a batch of ComputeRequests, as bytes or as messages with their pixels beside them. Out: as many ComputeResponses, a
failure where one item fails. Called by handlers.action_handler in TorchServe and by the service's in-process backend.
"""
