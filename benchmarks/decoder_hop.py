"""What decoding in a process of its own costs a frame: python -m benchmarks.decoder_hop

Times one JPEG of 640 x 480 through the decoder process and in this one, in turn, so that other work meets both. The
difference of the best rounds is the hop: the picture to the process and the model's frame back.
"""

from __future__ import annotations

import time
from statistics import median

import cv2
import numpy as np

from actionlens.v1 import model_pb2
from service.decoding.process.decoder import Decoder, DecoderPool, InProcessDecoder
from service.settings import Settings

_ROUNDS = 400


def main() -> None:
    """Measure and print milliseconds."""
    settings = Settings(decode_threads=1)
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    picture = cv2.imencode(".jpg", cv2.GaussianBlur(noise, (0, 0), 3))[1].tobytes()
    size = model_pb2.ModelInput(frames=16, height=112, width=112)
    pool, here = DecoderPool(settings), InProcessDecoder(settings)

    def milliseconds(decoder: Decoder) -> float:
        begun = time.perf_counter()
        decoder.frame(picture, size, None)
        return 1000 * (time.perf_counter() - begun)

    milliseconds(pool)
    rounds = [(milliseconds(pool), milliseconds(here)) for _ in range(_ROUNDS)]
    pool.close()
    for place, times in zip(("process", "in-process"), zip(*rounds, strict=True), strict=True):
        print(f"{place:10}  best {min(times):6.2f} ms  middle {median(times):6.2f} ms")


if __name__ == "__main__":
    main()
