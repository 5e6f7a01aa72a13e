"""What happens in a clip, and what speaks for it: python examples/explain_clip.py [CLIP]

Needs a running service (`make run`); ACTIONLENS_ADDRESS names another than 127.0.0.1:8470.
"""

import os
import sys
from pathlib import Path

from actionlens.client import Client

SAMPLE = Path(__file__).parents[1] / "model_store/motion-primitives/sample.mp4"
clip = Path(sys.argv[1]) if len(sys.argv) > 1 else SAMPLE

with Client(os.environ.get("ACTIONLENS_ADDRESS", "127.0.0.1:8470")) as client:
    # A method with parameters is a dictionary, or text as on the command line: "selective-relevance:threshold=3".
    result = client.explain_clip(clip, methods=["grad-cam", {"selective-relevance": {"threshold": 3}}, "atr"])

for score in result.prediction.top[:3]:
    print(f"{score.label:24} {score.probability:.3f}")
for name, explanation in result.explanations.items():
    # float32 at the resolution of the layer: [T', H', W'] for maps, [T', N] for the matrix of atr.
    print(f"{name}: {explanation.reading} {list(explanation.values.shape)}, {1000 * explanation.seconds:.0f} ms")
timings = result.timings
print(f"forward {1000 * timings.forward:.0f} ms, everything {1000 * timings.total:.0f} ms")
