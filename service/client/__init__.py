"""The Python client: clips, frames and questions come in, results with NumPy arrays go out.

Programs of users call it, and so do the command line and the live view.

    from service.client import Client

    with Client("127.0.0.1:8470") as client:
        result = client.explain_clip("clip.mp4", methods=["grad-cam", {"selective-relevance": {"threshold": 3}}])
        print(result.prediction.top[0].label, result.explanations["grad-cam"].reading)

Errors are those of `service.errors`: code, reason, field and retry_after say what happened and where.
"""

from service.client.async_client import AsyncClient, AsyncExplainedStream
from service.client.channel import tls_credentials
from service.client.client import Client
from service.client.evaluations.ground_truth import GroundTruth
from service.client.evaluations.measure_messages import evaluation
from service.client.job_requests import Downloaded, ServerFile
from service.client.results import ExplanationResult, Result, WindowResult
from service.client.stream_messages import Frame
from service.client.streams import ExplainedStream

__all__ = [
    "AsyncClient",
    "AsyncExplainedStream",
    "Client",
    "Downloaded",
    "ExplainedStream",
    "ExplanationResult",
    "Frame",
    "GroundTruth",
    "Result",
    "ServerFile",
    "WindowResult",
    "evaluation",
    "tls_credentials",
]
