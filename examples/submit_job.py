"""An explanation that is too expensive for a live answer, as a job: python examples/submit_job.py [CLIP ...]

Needs a running service (`make run`); ACTIONLENS_ADDRESS names another than 127.0.0.1:8470.
"""

import os
import sys
from pathlib import Path

from actionlens.client import Client

SAMPLE = Path(__file__).parents[1] / "model_store/motion-primitives/sample.mp4"
clips = [Path(name) for name in sys.argv[1:]] or [SAMPLE]

with Client(os.environ.get("ACTIONLENS_ADDRESS", "127.0.0.1:8470")) as client:
    # Durable from here on: a request_id makes it safe to send the same request twice, a seed to compute it twice.
    job = client.jobs.submit(clips, {"occlusion": {"frames": 4, "pixels": 56}}, seed=1, priority="high")
    print(f"job {job.id}")
    job = client.jobs.wait(job.id, progress=lambda update: print(f"{update.job.clips.succeeded} of {len(clips)} done"))
    for clip in client.jobs.clips(job.id):
        if clip.HasField("failure"):
            print(f"{clip.name}: {clip.failure.message}")
            continue
        result = client.jobs.result(job.id, clip.index)
        explanation = result.explanations["occlusion"]
        print(f"{clip.name}: {result.prediction.top[0].label}: {explanation.reading} {list(explanation.values.shape)}")
