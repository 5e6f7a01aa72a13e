"""A video explained while it plays, at most 250 ms late: python examples/live_stream.py [VIDEO]

Needs a running service (`make run`); ACTIONLENS_ADDRESS names another than 127.0.0.1:8470.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import av

from actionlens.client import AsyncClient
from actionlens.v1.answer_pb2 import ExplanationLevel

SAMPLE = Path(__file__).parents[1] / "model_store/motion-primitives/sample.mp4"


async def frames(path: Path) -> AsyncIterator[object]:
    """RGB arrays [height, width, 3], one after the other as a camera hands them out."""
    with av.open(path) as video:
        for frame in video.decode(video=0):
            yield frame.to_ndarray(format="rgb24")
            await asyncio.sleep(1 / 30)


async def main(path: Path) -> None:
    async with AsyncClient(os.environ.get("ACTIONLENS_ADDRESS", "127.0.0.1:8470")) as client:
        methods = ["grad-cam", "selective-relevance"]
        live = {"fill": "drop-oldest", "consume": "newest", "latency_budget": 0.25}
        async with client.explain_stream(frames(path), methods=methods, **live) as stream:
            async for window in stream:
                best, level = window.prediction.top[0], ExplanationLevel.Name(window.message.level)
                print(f"{best.label} {best.probability:.2f}, {level.lower()}, {1000 * window.lag:.0f} ms late")
        print(f"frames: {stream.summary.counts}".replace("\n", ", "))


asyncio.run(main(Path(sys.argv[1]) if len(sys.argv) > 1 else SAMPLE))
