"""Grad-CAM drawn over a frame by a few lines of your own: python examples/own_heatmap_png.py [CLIP [PNG]]

Needs a running service (`make run`); ACTIONLENS_ADDRESS names another than 127.0.0.1:8470.
"""

import os
import sys
from pathlib import Path

import av
import numpy as np
from PIL import Image

from actionlens.client import Client

SAMPLE = Path(__file__).parents[1] / "model_store/motion-primitives/sample.mp4"
clip = Path(sys.argv[1]) if len(sys.argv) > 1 else SAMPLE
png = sys.argv[2] if len(sys.argv) > 2 else "heatmap.png"

with Client(os.environ.get("ACTIONLENS_ADDRESS", "127.0.0.1:8470")) as client:
    result = client.explain_clip(clip, methods=["grad-cam"])
cam, placed = result.explanations["grad-cam"], result.frames.placement

step = int(cam.values.max((1, 2)).argmax())  # the time step with the strongest evidence ...
model_frame = round(cam.frame_positions[step])  # ... the frame of the model in its middle ...
source_frame = result.frames.used[model_frame]  # ... and that frame's number in the file
frame = list(av.open(clip).decode(video=0))[source_frame].to_image()

# The map lies on the model's input; the source fills a part of that (letterbox), which is enlarged to the frame.
heat = Image.fromarray(cam.values[step] / max(float(cam.values.max()), 1e-9))
heat = heat.resize((placed.frame_width, placed.frame_height), Image.Resampling.BILINEAR)
box = (placed.left, placed.top, placed.left + placed.width, placed.top + placed.height)
strength = np.asarray(heat.resize(frame.size, Image.Resampling.BILINEAR, box=box)).clip(0, 1)[..., None]
drawn = np.asarray(frame) * (1 - 0.7 * strength) + np.array([255, 90, 0]) * 0.7 * strength
Image.fromarray(drawn.astype(np.uint8)).save(png)
print(f"{png}: {result.prediction.top[0].label}, frame {source_frame}; {cam.reading}")
