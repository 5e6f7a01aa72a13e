"""The Python clients.

    from actionlens.client import Client

    with Client("127.0.0.1:8470") as client:
        result = client.explain_clip("clip.mp4", methods=["grad-cam", {"selective-relevance": {"threshold": 3}}])
        print(result.prediction.top[0].label, result.explanations["grad-cam"].reading)

Errors are those of `actionlens.errors`: code, reason, field and retry_after say what happened and where.
"""

from service.client import *  # noqa: F403
from service.client import __all__ as __all__
