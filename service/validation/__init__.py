"""Checks of requests that look at no pixels.

In: requests as protobuf messages, and the description of the model that shall answer. Out: nothing, or a target with
class numbers; InvalidArgument or FailedPrecondition that names the field. Called by dataplane, streaming, rpc and jobs.
"""
